/*
 * Inside the change set codec: the fixed syntax of a payload's lines, the same for the encoder and the decoder.
 *
 * A line is not any JSON object with the right members, but these bytes around a time, a user and a document. So the
 * decoder finds the document without looking at it, and it is scanned only once.
 */
#ifndef QOSID_SYNC_CHANGESET_CODEC_H
#define QOSID_SYNC_CHANGESET_CODEC_H

#include "sync/changeset/changeset.h"

#define CODEC_FORMAT 1
#define CODEC_HEADER_KIND "change set"
#define CODEC_BEFORE_TIME "{\"time\":\""
#define CODEC_BEFORE_USER "\",\"user\":"
#define CODEC_BEFORE_DOC ",\"doc\":"
#define CODEC_AFTER_DOC "}"

/* Append the header line with its line feed. */
int codec_format_header(struct qosid_buf *out, const struct changeset_header *header, struct qosid_errbuf *err);

#endif
