/*
 * What the kinds of peers share: each is a struct that begins with a struct peer, and a class that does the work.
 */
#ifndef QOSID_SYNC_EXCHANGE_PEER_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_PEER_INTERNAL_H

#include "sync/exchange/peer.h"

struct peer_class {
	/* As the functions of peer.h. */
	int (*visit_refs)(struct peer *peer,
	    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
	    struct qosid_errbuf *err);
	int (*fetch)(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
	    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);
	int (*push)(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err);
	void (*settle)(struct peer *peer);
	void (*read_traffic)(const struct peer *peer, struct link_traffic *out);
	/* Free the struct; peer is never NULL. */
	void (*close)(struct peer *peer);
};

struct peer {
	const struct peer_class *class;
	struct repo *own;
	char *name;
};

/* A repository in a folder. */
int peer_open_folder(struct peer **out, const char *path, struct repo *own, struct qosid_errbuf *err);

#endif
