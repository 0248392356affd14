/*
 * Peers as a meeting sees them (peer.h): every call goes to the class of the peer.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/peer_internal.h"

int peer_open(struct peer **out, const struct link_target *target, const struct link_limits *limits, struct repo *own,
    struct qosid_errbuf *err)
{
	static const char scheme[] = "file://";
	const char *path = target->url;

	(void)limits; /* a folder needs none */
	if (strncmp(path, scheme, sizeof(scheme) - 1) == 0)
		path += sizeof(scheme) - 1;
	return peer_open_folder(out, path, own, err);
}

void peer_close(struct peer *peer)
{
	if (peer != NULL)
		peer->class->close(peer);
}

int peer_visit_refs(struct peer *peer,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	return peer->class->visit_refs(peer, visit, context, err);
}

int peer_fetch(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err)
{
	*stats = (struct transfer_stats){0};
	*whole = false;
	return peer->class->fetch(peer, tip, have, progress, watch, stats, whole, err);
}

int peer_push(struct peer *peer, const char *ref, const git_oid *old, const git_oid *tip, enum peer_answer *answer,
    struct transfer_stats *stats, struct qosid_errbuf *err)
{
	*stats = (struct transfer_stats){0};
	*answer = PEER_TAKEN;
	return peer->class->push(peer, ref, old, tip, answer, stats, err);
}

void peer_settle(struct peer *peer)
{
	if (peer->class->settle != NULL)
		peer->class->settle(peer);
}

void peer_read_traffic(const struct peer *peer, struct link_traffic *out)
{
	*out = (struct link_traffic){0};
	if (peer->class->read_traffic != NULL)
		peer->class->read_traffic(peer, out);
}

const char *peer_name(const struct peer *peer)
{
	return peer->name;
}
