/*
 * What the kinds of links share: each is a struct that begins with a struct link, and a class that moves its bytes.
 *
 * link.c calls through; link_ssh.c and link_https.c are the classes that link_open() chooses from, and tests have
 * classes of their own (a pair of sockets with a real git at the other end, a server that lies).
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_LINK_INTERNAL_H

#include "sync/exchange/link.h"

struct link_class {
	/* As the functions of link.h; size is never 0. */
	int (*read)(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err);
	int (*write)(struct link *link, const void *data, size_t len, struct qosid_errbuf *err);
	int (*turn)(struct link *link, struct qosid_errbuf *err);
	/* End the conversation and free the struct; link is never NULL. */
	void (*close)(struct link *link);
	bool is_stateless;
};

struct link {
	const struct link_class *class;
	struct link_traffic traffic; /* kept by the class as the bytes go */
};

#endif
