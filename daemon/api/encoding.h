/*
 * Attachments in gzip, as CouchDB gives them out: content of a type that compresses well is sent compressed to who
 * takes that, and its stub tells the length so. Contents are stored as they came, so digests and revisions know nothing
 * of it: the gzip form is made anew each time it is wanted, and the same content always gives the same bytes. Longer
 * content than ENCODING_LIMIT_BYTES has no gzip form, which bounds the work of a request.
 */
#ifndef QOSID_DAEMON_API_ENCODING_H
#define QOSID_DAEMON_API_ENCODING_H

#include "daemon/api/render.h"

#define ENCODING_LIMIT_BYTES (8 << 20)

/* Whether the attachment has a gzip form: by CouchDB's list of compressible types, and its content is here. */
bool encoding_applies(const struct attached *attached);
/* Whether an Accept-Encoding value (NULL: none) takes gzip. */
bool encoding_accepted(const char *value);
/* Write the gzip form; sink NULL only counts. *length is its length. */
int encoding_write(struct api_database *database, const struct attached *attached, const struct qosid_sink *sink,
    int64_t *length, struct qosid_errbuf *err);

#endif
