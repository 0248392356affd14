/*
 * A peer: the repository at the other end of a meeting, whatever the way to it.
 *
 * meet.c speaks to this; peer_folder.c is a repository in a folder, peer_wire.c one behind ssh or https. Nothing a peer
 * says is trusted: what it sends is counted, capped and hashed on the way in, and means something only after log.h has
 * verified it.
 */
#ifndef QOSID_SYNC_EXCHANGE_PEER_H
#define QOSID_SYNC_EXCHANGE_PEER_H

#include <git2.h>

#include "crypto/error.h"
#include "sync/exchange/link.h"
#include "sync/exchange/repo.h"
#include "sync/exchange/transfer.h"

struct peer;

/* Failures of the peer's objects, not of the way to it or of our own disk. */
static inline bool peer_is_damage(int rc)
{
	return rc == QOSID_ERR_CORRUPT || rc == QOSID_ERR_NOTFOUND || rc == QOSID_ERR_LIMIT || rc == QOSID_ERR_INVALID;
}

/* Open a folder (absolute path or file://) or connect to an ssh or https remote. own is this office's repository, into
 * which fetches go. QOSID_ERR_OFFLINE: it cannot be reached now. */
int peer_open(struct peer **out, const struct link_target *target, const struct link_limits *limits, struct repo *own,
    struct qosid_errbuf *err);
void peer_close(struct peer *peer); /* accepts NULL */

/* Visit the peer's refs below refs/heads/, as it had them when it was opened (or asked last). */
int peer_visit_refs(struct peer *peer,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* Bring the chain that ends in tip here, as transfer_chain() does: in batches of bounded size, each complete and looked
 * at by watch before the next is asked for. `have` is where our copy of the log ends (zero: nothing). What has arrived
 * when the link breaks is kept, and the next fetch goes on from there. Damage there is one of peer_is_damage(). */
int peer_fetch(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);

/* A ref of the peer's that is to be moved, and what became of it. */
enum peer_answer {
	PEER_UNASKED, /* the way to it broke before, or our own copy is damaged: then fault says so */
	PEER_TAKEN,
	PEER_MOVED,  /* the ref was moved by someone else meanwhile */
	PEER_REFUSED /* the peer takes nothing under this name; fault says why */
};
struct peer_update {
	const char *ref;
	git_oid old; /* zero: the ref is not there */
	git_oid tip;
	enum peer_answer answer;
	struct transfer_stats stats;
	struct qosid_errbuf fault; /* code 0: none */
};

/* Bring the chains that end in the tips there and move the refs to them, in steps of bounded size that each move refs,
 * so that a link that always breaks still makes progress. Failures are of the way to the peer or of our own disk; what
 * was answered before stands. */
int peer_push(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err);

/* Leave the peer tidy after a meeting that went well. Best effort. */
void peer_settle(struct peer *peer);

/* Bytes on the wire so far (zeros for a folder). */
void peer_read_traffic(const struct peer *peer, struct link_traffic *out);

/* The peer in words for error texts: the folder, or the URL without anything secret. */
const char *peer_name(const struct peer *peer);

#endif
