/*
 * What a replication is asked to do: the JSON object that POST /_replicate and the documents of _replicator share.
 */
#ifndef QOSID_DAEMON_API_REPLICATE_SPEC_H
#define QOSID_DAEMON_API_REPLICATE_SPEC_H

#include "sync/couch/couch.h"
#include "sync/replica/json.h"

#define REPLICATE_ID_SIZE 80

struct replicate_end {
	const char *local;      /* a database here; NULL: the peer */
	struct couch_peer peer; /* url NULL: local */
	const char *shown;      /* the name, or the address without credentials */
};

/* Starts as {0}; all strings are its own. */
struct replicate_spec {
	char **strings;
	size_t string_count;
	const char **headers[2]; /* of source and target */
	const char **doc_ids;
	struct replicate_end source, target;
	struct couch_options options; /* but for the ends */
	bool cancel;
	const char *replication_id; /* to cancel by; NULL: not given */
	char id[REPLICATE_ID_SIZE]; /* "<32 hex>+continuous+create_target": the same for the same request */
	char digest[33];            /* covers credentials too */
};

/* QOSID_ERR_INVALID or _USAGE with a text for the client. */
int replicate_spec_parse(struct replicate_spec *out, struct json_slice object, struct qosid_errbuf *err);
void replicate_spec_free(struct replicate_spec *spec); /* wipes */

#endif
