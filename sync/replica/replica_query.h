/*
 * Questions about a replica that its CouchDB face asks: pages of documents and of the changes feed in either direction,
 * revision trees by themselves, local documents by name, MD5 of contents.
 *
 * All of them only read. A visit holds one read snapshot; its visitor may read the replica.
 */
#ifndef QOSID_SYNC_REPLICA_QUERY_H
#define QOSID_SYNC_REPLICA_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/replica/replica.h"

#define MD5_BYTES 16

/* A part of a list in the order of its key. Bounds are where the walk begins and ends: descending, from is the greater
 * one. */
struct replica_page {
	const char *from; /* inclusive; NULL: no bound */
	const char *to;
	bool to_exclusive;
	bool descending;
	int64_t skip;
	int64_t limit;   /* negative: all */
	bool heads_only; /* the record's body, attachments and user are left empty */
};

/* Live documents by id, in the order of the id's bytes. */
int replica_visit_page(struct replica *replica, const struct replica_page *page, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err);

/* How many live documents lie before page->from in its direction. */
int replica_count_before(
    struct replica *replica, const struct replica_page *page, int64_t *out, struct qosid_errbuf *err);

/* The changes feed. Forward: sequence > since, oldest first. Backward: all, newest first, since ignored. */
struct replica_feed {
	int64_t since;
	bool descending;
	bool heads_only;
};
int replica_visit_feed(struct replica *replica, const struct replica_feed *feed, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err);

/* How many documents have a sequence > since. */
int replica_count_changes(struct replica *replica, int64_t since, int64_t *out, struct qosid_errbuf *err);

/* The head of one document: id, sequence, tree, winner. QOSID_ERR_NOTFOUND when there is none. */
int replica_read_head(struct replica *replica, const char *id, struct replica_record *record, struct qosid_errbuf *err);

/* Whether this revision's body is stored. */
int replica_has_body(
    struct replica *replica, const char *id, const struct revision *rev, bool *out, struct qosid_errbuf *err);

/* The sequence given out last, as the open transaction sees it: it tells whether an edit wrote anything. */
int64_t replica_last_sequence(const struct replica *replica);

/* Small stored things whose name is in the page, by name. */
int replica_visit_locals(struct replica *replica, const struct replica_page *page,
    int (*visit)(void *context, const char *id, struct json_slice body, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* The MD5 of stored content, as CouchDB's clients know attachments. QOSID_ERR_NOTFOUND when the content is not here. */
int replica_read_md5(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], uint8_t out[MD5_BYTES], struct qosid_errbuf *err);

#endif
