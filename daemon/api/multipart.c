/* MIME multipart bodies; see multipart.h. */
#include "daemon/api/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define PIECE_BYTES 65536
#define HEADERS_BYTES 8192 /* of one part */

bool multipart_parameter(const char *header, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name), len = 0;
	const char *at = header;

	while ((at = strchr(at, ';')) != NULL) {
		at += 1 + strspn(at + 1, " \t");
		if (strncasecmp(at, name, name_len) != 0 || at[name_len] != '=')
			continue;
		at += name_len + 1;
		if (*at == '"') {
			for (at++; *at && *at != '"'; at++) {
				if (*at == '\\' && at[1])
					at++;
				if (len + 1 >= size)
					return false;
				out[len++] = *at;
			}
		} else {
			len = strcspn(at, "; \t\r\n");
			if (len + 1 > size)
				return false;
			memcpy(out, at, len);
		}
		out[len] = '\0';
		return len > 0;
	}
	return false;
}

/* As spool_read(), and short only at the end. */
static int read_full(
    const struct spool *spool, uint64_t offset, char *data, size_t len, size_t *got, struct qosid_errbuf *err)
{
	size_t more = 1;
	int rc = 0;

	for (*got = 0; rc == 0 && more > 0 && *got < len; *got += more)
		rc = spool_read(spool, offset + *got, data + *got, len - *got, &more, err);
	return rc;
}

/* The offset of the delimiter at or after offset; false when there is none. */
static int find_delimiter(const struct multipart *multipart, uint64_t offset, const char *delimiter, bool *found,
    uint64_t *where, struct qosid_errbuf *err)
{
	size_t len = strlen(delimiter), got = 1;
	char *piece = malloc(PIECE_BYTES);
	int rc = 0;

	*found = false;
	if (!piece)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	while (got > 0) {
		const char *hit;

		rc = read_full(multipart->body, offset, piece, PIECE_BYTES, &got, err);
		if (rc != 0 || got < len)
			break;
		hit = memmem(piece, got, delimiter, len);
		if (hit) {
			*found = true;
			*where = offset + (uint64_t)(hit - piece);
			break;
		}
		offset += got - (len - 1); /* one that lies across the pieces is found in the next */
	}
	free(piece);
	return rc;
}

/* offset is behind a delimiter: see whether it closes the body, and skip to the next line. */
static int pass_delimiter(struct multipart *multipart, uint64_t offset, struct qosid_errbuf *err)
{
	char text[256];
	size_t got = 0;
	const char *end;
	int rc = read_full(multipart->body, offset, text, sizeof(text) - 1, &got, err);

	if (rc != 0)
		return rc;
	text[got] = '\0';
	if (strncmp(text, "--", 2) == 0) {
		multipart->ended = true;
		return 0;
	}
	end = strstr(text, "\r\n");
	if (!end || strspn(text, " \t") != (size_t)(end - text))
		return qosid_error(err, QOSID_ERR_INVALID, "a multipart boundary is not followed by a new line");
	multipart->offset = offset + (uint64_t)(end - text); /* the line break may be half of the blank line */
	return 0;
}

int multipart_open(
    struct multipart *multipart, const struct spool *body, const char *content_type, struct qosid_errbuf *err)
{
	char boundary[MULTIPART_BOUNDARY_MAX + 1];
	uint64_t where;
	bool found;
	int rc;

	*multipart = (struct multipart){.body = body};
	if (!multipart_parameter(content_type, "boundary", boundary, sizeof(boundary)))
		return qosid_error(err, QOSID_ERR_INVALID, "the multipart Content-Type names no boundary");
	(void)snprintf(multipart->delimiter, sizeof(multipart->delimiter), "\r\n--%s", boundary);
	/* The first one may stand at the very beginning, without a line break before it. */
	rc = find_delimiter(multipart, 0, multipart->delimiter + 2, &found, &where, err);
	if (rc == 0 && !found)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the multipart body has no boundary");
	return rc != 0 ? rc : pass_delimiter(multipart, where + strlen(multipart->delimiter + 2), err);
}

static void take_header(struct multipart_part *part, const char *line)
{
	if (strncasecmp(line, "Content-Type:", 13) == 0)
		(void)snprintf(part->type, sizeof(part->type), "%s", line + 13 + strspn(line + 13, " \t"));
	else if (strncasecmp(line, "Content-Disposition:", 20) == 0)
		(void)multipart_parameter(line + 20, "filename", part->filename, sizeof(part->filename));
	else if (strncasecmp(line, "Content-Encoding:", 17) == 0)
		part->gzip = strcasestr(line + 17, "gzip") != NULL;
}

/* Read the headers; multipart->offset, at the line break before them, moves to the content. */
static int read_headers(struct multipart *multipart, struct multipart_part *part, struct qosid_errbuf *err)
{
	char text[HEADERS_BYTES + 1], *at = text, *end, *line_end;
	size_t got = 0;
	int rc = read_full(multipart->body, multipart->offset, text, HEADERS_BYTES, &got, err);

	if (rc != 0)
		return rc;
	text[got] = '\0';
	end = strstr(text, "\r\n\r\n");
	if (!end)
		return qosid_error(err, QOSID_ERR_INVALID, "the headers of a multipart part do not end");
	multipart->offset += (uint64_t)(end + 4 - text);
	while (at < end) {
		at += 2;
		line_end = strstr(at, "\r\n");
		*line_end = '\0';
		take_header(part, at);
		at = line_end;
		*at = '\r';
	}
	return 0;
}

int multipart_next(struct multipart *multipart, struct multipart_part *part, struct qosid_errbuf *err)
{
	uint64_t where = 0;
	bool found;
	int rc;

	*part = (struct multipart_part){0};
	if (multipart->ended)
		return 0;
	rc = read_headers(multipart, part, err);
	if (rc != 0)
		return rc;
	part->offset = multipart->offset;
	/* An empty part's delimiter begins with the line break that ended the headers. */
	rc = find_delimiter(multipart, part->offset - 2, multipart->delimiter, &found, &where, err);
	if (rc == 0 && !found)
		rc = qosid_error(err, QOSID_ERR_INVALID, "a multipart part has no boundary behind it");
	if (rc != 0)
		return rc;
	part->length = where > part->offset ? where - part->offset : 0;
	rc = pass_delimiter(multipart, where + strlen(multipart->delimiter), err);
	return rc != 0 ? rc : 1;
}

int spool_pump(const struct spool *spool, uint64_t offset, uint64_t length, const struct qosid_sink *sink,
    struct qosid_errbuf *err)
{
	char *piece = malloc(PIECE_BYTES);
	int rc = piece ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "out of memory");

	while (rc == 0 && length > 0) {
		size_t got = 0;

		rc = spool_read(spool, offset, piece, length < PIECE_BYTES ? (size_t)length : PIECE_BYTES, &got, err);
		if (rc == 0 && got == 0)
			rc = qosid_error(err, QOSID_ERR_INVALID, "the body ends too early");
		if (rc == 0)
			rc = sink->write(sink->context, piece, got, err);
		offset += got;
		length -= got;
	}
	free(piece);
	return rc;
}

/* ---- gunzip ---- */

struct gunzip {
	z_stream stream;
	const struct qosid_sink *sink;
	uint64_t left;
	bool ended;
	unsigned char out[PIECE_BYTES];
};

static int push_gunzip(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct gunzip *gunzip = context;
	z_stream *stream = &gunzip->stream;
	int rc = 0;

	stream->next_in = (unsigned char *)(uintptr_t)data; /* zlib only reads it */
	stream->avail_in = (unsigned)len;
	while (rc == 0 && (stream->avail_in > 0 || stream->avail_out == 0) && !gunzip->ended) {
		int status;
		size_t got;

		stream->next_out = gunzip->out;
		stream->avail_out = sizeof(gunzip->out);
		status = inflate(stream, Z_NO_FLUSH);
		if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
			return qosid_error(err, QOSID_ERR_INVALID, "the gzip data is damaged");
		got = sizeof(gunzip->out) - stream->avail_out;
		if (got > gunzip->left)
			return qosid_error(err, QOSID_ERR_LIMIT, "an attachment is too large");
		gunzip->left -= got;
		gunzip->ended = status == Z_STREAM_END;
		if (got > 0)
			rc = gunzip->sink->write(gunzip->sink->context, gunzip->out, got, err);
		if (status == Z_BUF_ERROR)
			break;
	}
	return rc;
}

int spool_pump_gunzip(const struct spool *spool, uint64_t offset, uint64_t length, uint64_t limit,
    const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
	struct qosid_sink inflating = {push_gunzip, gunzip};
	int rc;

	if (!gunzip)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	gunzip->sink = sink;
	gunzip->left = limit;
	if (inflateInit2(&gunzip->stream, 15 + 16) != Z_OK) {
		free(gunzip);
		return qosid_error(err, QOSID_ERR_NOMEM, "cannot set up gzip");
	}
	rc = spool_pump(spool, offset, length, &inflating, err);
	if (rc == 0 && !gunzip->ended)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the gzip data ends too early");
	(void)inflateEnd(&gunzip->stream); /* cannot fail for a stream that was set up */
	free(gunzip);
	return rc;
}
