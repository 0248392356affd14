/*
 * Inside the change set codec: the fixed syntax of a payload's lines, the same for the encoder and the decoder.
 *
 * A line is not any JSON object with the right members, but these bytes around a time, a user and a document. So the
 * decoder finds the document without looking at it, and it is scanned only once.
 */
#ifndef QOSID_SYNC_CHANGESET_CODEC_H
#define QOSID_SYNC_CHANGESET_CODEC_H

#include <zstd.h>

#include "sync/changeset/changeset.h"

#define CODEC_FORMAT 1
#define CODEC_HEADER_KIND "change set"
#define CODEC_BEFORE_TIME "{\"time\":\""
#define CODEC_BEFORE_USER "\",\"user\":"
#define CODEC_BEFORE_DOC ",\"doc\":"
#define CODEC_AFTER_DOC "}"

/* Padding: behind the zstd frame a skippable one, its content zeros. */
#define CODEC_PADDING_MAGIC                                                                                            \
	{                                                                                                              \
		0x50, 0x2a, 0x4d, 0x18                                                                                 \
	}
#define CODEC_PADDING_HEAD 8 /* magic number and length, little-endian */

/* Append the header line with its line feed. */
int codec_format_header(struct qosid_buf *out, const struct changeset_header *header, struct qosid_errbuf *err);

/* Append what stands in a line before its document. */
int codec_format_line_head(struct qosid_buf *out, int64_t time, const char *user, struct qosid_errbuf *err);

/* Set level (0: the default) and dictionary (may be NULL) of a compression. Not 0: zstd refuses. */
int codec_set_compression(ZSTD_CCtx *zstd, int level, const struct changeset_dictionary *dictionary);

#endif
