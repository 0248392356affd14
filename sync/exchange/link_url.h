/*
 * The URL of a remote, taken apart: see link_parse_url() in link.h for what is refused.
 *
 * What comes out is safe to hand on: user and host hold letters, digits and a little punctuation and never begin with a
 * dash, the path holds no control character, and nothing is left that a shell, ssh or libcurl would read as anything
 * but a user, a host and a path.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_URL_H
#define QOSID_SYNC_EXCHANGE_LINK_URL_H

#include "sync/exchange/link.h"

#define LINK_URL_BYTES 2048u
#define LINK_HOST_BYTES 253u
#define LINK_USER_BYTES 64u

struct link_url {
	enum link_scheme scheme;
	char user[LINK_USER_BYTES + 1]; /* "": none given */
	char host[LINK_HOST_BYTES + 1]; /* an IPv6 address without its brackets; "" for a folder */
	unsigned port;                  /* 0: the scheme's own */
	char path[LINK_URL_BYTES + 1];  /* ssh: as the server's shell is to see it, decoded; https: from the slash on,
					   still encoded, without a slash at the end; folder: the path itself */
};

int link_url_parse(struct link_url *out, const char *url, struct qosid_errbuf *err);

/* "https://host[:port]", for https. */
#define LINK_ORIGIN_SIZE (LINK_HOST_BYTES + 32)
void link_url_format_origin(char out[LINK_ORIGIN_SIZE], const struct link_url *url);

/* Whether two https URLs lead to the same server. */
bool link_url_same_origin(const struct link_url *a, const struct link_url *b);

#endif
