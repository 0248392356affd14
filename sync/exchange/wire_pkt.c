/*
 * Pkt-lines over a link (wire_pkt.h).
 */
#include "sync/exchange/wire_pkt.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES ((size_t)4)
#define STRAY_BYTES_MAX 64u
#define OUTPUT_BYTES (64u << 10) /* more is handed to the link as it comes */

int wire_init(struct wire *wire, struct link *link, struct qosid_errbuf *err)
{
	*wire = (struct wire){.link = link, .input = malloc(WIRE_PKT_MAX)};
	if (wire->input != NULL)
		return 0;
	wire_end(wire);
	return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a connection");
}

void wire_end(struct wire *wire)
{
	link_close(wire->link);
	free(wire->input);
	qosid_buf_free(&wire->output);
	*wire = (struct wire){0};
}

void wire_allow(struct wire *wire, uint64_t bytes)
{
	wire->allowed = bytes;
}

/* ---- reading ---- */

/* Have at least len bytes in the buffer. */
static int fill(struct wire *wire, size_t len, struct qosid_errbuf *err)
{
	if (wire->filled - wire->at >= len)
		return 0;
	memmove(wire->input, wire->input + wire->at, wire->filled - wire->at);
	wire->filled -= wire->at;
	wire->at = 0;
	while (wire->filled < len) {
		size_t room = WIRE_PKT_MAX - wire->filled, got;
		int rc;

		if (wire->allowed == 0)
			return qosid_error(err, QOSID_ERR_LIMIT, "the remote's answer is longer than it may be");
		if (room > wire->allowed)
			room = (size_t)wire->allowed;
		rc = link_read(wire->link, wire->input + wire->filled, room, &got, err);
		if (rc != 0)
			return rc;
		if (got == 0)
			return qosid_error(err, QOSID_ERR_OFFLINE, "the remote ended the conversation in the middle");
		wire->filled += got;
		wire->allowed -= got;
	}
	return 0;
}

static int hex_value(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static int not_git(struct wire *wire, struct qosid_errbuf *err)
{
	char words[WIRE_QUOTE_SIZE];
	int rc;

	wire_quote(words, wire->input + wire->at, wire->filled - wire->at);
	rc = qosid_error(err, QOSID_ERR_FAILED, "the remote does not speak git's protocol: it says \"%.80s\"", words);
	qosid_error_hint(
	    err, "see that the address leads to a git repository, and that nothing greets before git does");
	return rc;
}

static int given_up(const void *text, size_t len, struct qosid_errbuf *err)
{
	char words[WIRE_QUOTE_SIZE];

	wire_quote(words, text, len);
	return qosid_error(err, QOSID_ERR_CORRUPT, "the remote says: %s", words);
}

int wire_read(struct wire *wire, struct wire_pkt *out, struct qosid_errbuf *err)
{
	static const enum wire_kind marks[] = {WIRE_FLUSH, WIRE_DELIM, WIRE_RESPONSE_END};
	size_t len = 0;
	int rc = fill(wire, HEAD_BYTES, err);

	*out = (struct wire_pkt){0};
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < HEAD_BYTES; i++) {
		int value = hex_value(wire->input[wire->at + i]);

		if (value < 0)
			return not_git(wire, err);
		len = len << 4 | (size_t)value;
	}
	if (len < sizeof(marks) / sizeof(marks[0])) {
		out->kind = marks[len];
		wire->at += HEAD_BYTES;
		return 0;
	}
	if (len < HEAD_BYTES || len > WIRE_PKT_MAX)
		return not_git(wire, err);
	if ((rc = fill(wire, len, err)) != 0)
		return rc;
	*out = (struct wire_pkt){WIRE_DATA, wire->input + wire->at + HEAD_BYTES, len - HEAD_BYTES};
	wire->at += len;
	if (out->len > 4 && memcmp(out->data, "ERR ", 4) == 0)
		return given_up(out->data + 4, out->len - 4, err);
	return 0;
}

int wire_read_line(struct wire *wire, enum wire_kind *kind, const char **text, size_t *len, struct qosid_errbuf *err)
{
	struct wire_pkt pkt;
	int rc = wire_read(wire, &pkt, err);

	*text = "";
	*len = 0;
	*kind = pkt.kind;
	if (rc != 0 || pkt.kind != WIRE_DATA || pkt.len == 0)
		return rc;
	/* The frame's own bytes are free to be written: its head lies before the text, the next frame is kept. */
	memmove(wire->input + wire->at - pkt.len - 1, pkt.data, pkt.len);
	*text = (const char *)wire->input + wire->at - pkt.len - 1;
	*len = pkt.len;
	if ((*text)[*len - 1] == '\n')
		--*len;
	wire->input[(size_t)(*text - (const char *)wire->input) + *len] = '\0';
	return 0;
}

int wire_read_band(struct wire *wire, const uint8_t **data, size_t *len, struct qosid_errbuf *err)
{
	struct wire_pkt pkt;
	int rc;

	*data = NULL;
	*len = 0;
	while ((rc = wire_read(wire, &pkt, err)) == 0 && pkt.kind == WIRE_DATA) {
		if (pkt.len == 0 || pkt.data[0] < 1 || pkt.data[0] > 3)
			return qosid_error(err, QOSID_ERR_FAILED,
			    "the remote does not speak git's protocol: a line "
			    "that belongs to no band");
		if (pkt.data[0] == 3)
			return given_up(pkt.data + 1, pkt.len - 1, err);
		if (pkt.data[0] != 1 || pkt.len == 1) /* progress, or a sign of life */
			continue;
		*data = pkt.data + 1;
		*len = pkt.len - 1;
		return 0;
	}
	return rc;
}

int wire_read_end(struct wire *wire, struct qosid_errbuf *err)
{
	uint8_t stray[STRAY_BYTES_MAX];
	size_t got = wire->filled - wire->at;
	int rc = 0;

	if (!link_is_stateless(wire->link))
		return 0;
	if (got == 0)
		rc = link_read(wire->link, stray, sizeof(stray), &got, err);
	if (rc == 0 && got != 0)
		rc = qosid_error(err, QOSID_ERR_FAILED,
		    "the remote does not speak git's protocol: its answer goes on "
		    "after the end");
	return rc;
}

/* ---- writing ---- */

int wire_write_raw(struct wire *wire, const void *data, size_t len, struct qosid_errbuf *err)
{
	int rc = 0;

	if (wire->output.len + len > OUTPUT_BYTES) {
		rc = link_write(wire->link, wire->output.data, wire->output.len, err);
		qosid_buf_reset(&wire->output);
	}
	if (rc != 0)
		return rc;
	return len > OUTPUT_BYTES ? link_write(wire->link, data, len, err)
				  : qosid_buf_append(&wire->output, data, len, err);
}

int wire_write_line(struct wire *wire, struct qosid_errbuf *err, const char *fmt, ...)
{
	char line[1024], head[HEAD_BYTES + 1];
	va_list ap;
	int len, rc;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len + 1 >= sizeof(line))
		return qosid_error(err, QOSID_ERR_LIMIT, "a line for the remote is too long");
	line[len] = '\n';
	(void)snprintf(head, sizeof(head), "%04zx", ((size_t)len + 1 + HEAD_BYTES) & 0xffffU);
	rc = wire_write_raw(wire, head, HEAD_BYTES, err);
	return rc == 0 ? wire_write_raw(wire, line, (size_t)len + 1, err) : rc;
}

int wire_write_mark(struct wire *wire, enum wire_kind kind, struct qosid_errbuf *err)
{
	return wire_write_raw(wire, kind == WIRE_DELIM ? "0001" : "0000", HEAD_BYTES, err);
}

int wire_ask(struct wire *wire, struct qosid_errbuf *err)
{
	int rc = link_write(wire->link, wire->output.data, wire->output.len, err);

	qosid_buf_reset(&wire->output);
	return rc == 0 ? link_turn(wire->link, err) : rc;
}

void wire_quote(char out[WIRE_QUOTE_SIZE], const void *text, size_t len)
{
	const uint8_t *at = text;
	size_t used = 0;

	for (size_t i = 0; i < len && used < WIRE_QUOTE_SIZE - 1; i++) {
		bool plain = at[i] >= ' ' && at[i] < 0x7f;

		if (plain || (i + 1 < len && used > 0 && out[used - 1] != ' '))
			out[used++] = plain ? (char)at[i] : ' ';
	}
	while (used > 0 && out[used - 1] == ' ')
		used--;
	out[used] = '\0';
}
