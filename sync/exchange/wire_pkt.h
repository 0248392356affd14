/*
 * Pkt-lines over a link: the frames of git's wire protocol (gitprotocol-common), bounded.
 *
 * The other end is not trusted: a frame is at most 65,520 bytes, an answer at most as long as wire_allow() said, and
 * text meant for people is only ever repeated through wire_quote(). What breaks the framing is QOSID_ERR_FAILED, an end
 * in the middle QOSID_ERR_OFFLINE, and after either the connection is of no more use.
 */
#ifndef QOSID_SYNC_EXCHANGE_WIRE_PKT_H
#define QOSID_SYNC_EXCHANGE_WIRE_PKT_H

#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/exchange/link.h"

#define WIRE_PKT_MAX 65520u
#define WIRE_QUOTE_SIZE 200

/* One connection. Starts with wire_init(), which takes the link over; ended by wire_end(). */
struct wire {
	struct link *link;
	uint8_t *input; /* WIRE_PKT_MAX bytes */
	size_t at, filled;
	uint64_t allowed; /* bytes that may still come */
	struct qosid_buf output;
};

int wire_init(struct wire *wire, struct link *link, struct qosid_errbuf *err);
void wire_end(struct wire *wire); /* closes the link; accepts one that has ended */

/* From here on at most so many bytes may come; more are QOSID_ERR_LIMIT. */
void wire_allow(struct wire *wire, uint64_t bytes);

enum wire_kind { WIRE_DATA, WIRE_FLUSH, WIRE_DELIM, WIRE_RESPONSE_END };

struct wire_pkt {
	enum wire_kind kind;
	const uint8_t *data; /* valid until the next read */
	size_t len;
};

/* Read one frame. A line "ERR ..." is what the server says when it gives up: QOSID_ERR_CORRUPT, with its words. */
int wire_read(struct wire *wire, struct wire_pkt *out, struct qosid_errbuf *err);

/* As wire_read() for a line of text: without the line feed that may end it. *text is "" unless it is WIRE_DATA; a line
 * with NUL bytes in it is allowed only for those that look at *len. */
int wire_read_line(struct wire *wire, enum wire_kind *kind, const char **text, size_t *len, struct qosid_errbuf *err);

/* The next piece that came on sideband 1; *len 0 at the flush. Progress (2) is skipped, an error (3) is as "ERR". */
int wire_read_band(struct wire *wire, const uint8_t **data, size_t *len, struct qosid_errbuf *err);

/* After the last frame of an answer: nothing more may come where each answer stands alone. */
int wire_read_end(struct wire *wire, struct qosid_errbuf *err);

/* Add a line to what is asked next (without a line feed; one is added), or a special frame, or bytes as they are. */
int wire_write_line(struct wire *wire, struct qosid_errbuf *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int wire_write_mark(struct wire *wire, enum wire_kind kind, struct qosid_errbuf *err);
int wire_write_raw(struct wire *wire, const void *data, size_t len, struct qosid_errbuf *err);

/* Send what was added, and turn to the answer. */
int wire_ask(struct wire *wire, struct qosid_errbuf *err);

/* A stranger's words for an error text: printable ASCII, cut. */
void wire_quote(char out[WIRE_QUOTE_SIZE], const void *text, size_t len);

#endif
