/*
 * The two kinds of links that link_open() chooses from, and what they know about how far they got.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_KINDS_H
#define QOSID_SYNC_EXCHANGE_LINK_KINDS_H

#include "crypto/buf.h"
#include "sync/exchange/link_internal.h"
#include "sync/exchange/link_url.h"

/* Connect and wait for the first byte of the greeting. *probe says how far it came, also when it fails. */
int link_ssh_open(struct link **out, const struct link_url *url, const struct link_target *target, const char *service,
    const struct link_limits *limits, struct link_probe *probe, struct qosid_errbuf *err);
int link_https_open(struct link **out, const struct link_url *url, const struct link_target *target,
    const char *service, const struct link_limits *limits, struct link_probe *probe, struct qosid_errbuf *err);

/* How a login at an https server is proven; all of it lies in memory of libsodium's. */
struct link_login {
	char *user;       /* NULL: none */
	char *secret;     /* password or token; NULL: none */
	bool bearer;      /* the secret is a bearer token */
	bool from_helper; /* and is to be approved or rejected there */
};
void link_login_free(struct link_login *login);

/* Read a token file. QOSID_ERR_REFUSED: others may read it. */
int link_login_read(struct link_login *login, const char *path, struct qosid_errbuf *err);

/* Ask a credential helper for a login ("get"), or tell it how a login did ("store", "erase"). It is git's protocol; a
 * helper that knows nothing leaves login empty. */
int link_login_ask(struct link_login *login, const char *helper, const struct link_url *url, const char *action,
    const struct link_limits *limits, struct qosid_errbuf *err);

#endif
