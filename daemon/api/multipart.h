/*
 * MIME multipart bodies (RFC 2046), as CouchDB's replicators send and expect them.
 *
 * Reading finds where the parts lie in a spooled body, in pieces of 64 KiB, so a part may be of any size. Writing is
 * just text and lives with those who write.
 */
#ifndef QOSID_DAEMON_API_MULTIPART_H
#define QOSID_DAEMON_API_MULTIPART_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/error.h"
#include "crypto/sink.h"
#include "daemon/http/http.h"

#define MULTIPART_BOUNDARY_MAX 200

struct multipart_part {
	uint64_t offset; /* of the content in the body */
	uint64_t length;
	char type[256];     /* Content-Type as sent; "": none */
	char filename[512]; /* of Content-Disposition; "": none */
	bool gzip;          /* Content-Encoding: gzip */
	bool taken;         /* the reader's own mark */
};

struct multipart {
	const struct spool *body;
	uint64_t offset;                            /* where the next part's headers begin */
	bool ended;                                 /* the closing boundary has been met */
	char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* "\r\n--boundary" */
};

/* The parameter of a Content-Type ("multipart/related; boundary=...") or similar header; false when it is not there or
 * too long. */
bool multipart_parameter(const char *header, const char *name, char *out, size_t size);

/* Begin: finds the first boundary. QOSID_ERR_INVALID when the body does not have the form. */
int multipart_open(
    struct multipart *multipart, const struct spool *body, const char *content_type, struct qosid_errbuf *err);

/* The next part: 1, or 0 after the last one. */
int multipart_next(struct multipart *multipart, struct multipart_part *part, struct qosid_errbuf *err);

/* Push a part of a spool into sink; gunzip undoes gzip on the way and refuses to give more than limit bytes. */
int spool_pump(const struct spool *spool, uint64_t offset, uint64_t length, const struct qosid_sink *sink,
    struct qosid_errbuf *err);
int spool_pump_gunzip(const struct spool *spool, uint64_t offset, uint64_t length, uint64_t limit,
    const struct qosid_sink *sink, struct qosid_errbuf *err);

#endif
