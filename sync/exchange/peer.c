/*
 * Peers as a meeting sees them (peer.h): every call goes to the class of the peer.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/peer_wire.h"

/* How to connect to a target, for a peer that lives no longer than its strings. */
struct route {
	struct link_target target;
	struct link_limits limits;
};

static int dial(void *context, const char *service, struct link **out, struct qosid_errbuf *err)
{
	const struct route *route = context;

	return link_open(out, &route->target, service, &route->limits, err);
}

static int open_link(struct peer **out, const struct link_target *target, const struct link_limits *limits,
    struct repo *own, struct qosid_errbuf *err)
{
	struct route *route = malloc(sizeof(*route));
	struct wire_dialer dialer = {dial, route, free};

	if (route == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a remote");
	*route = (struct route){*target, *limits};
	return peer_open_wire(out, target->url, &dialer, own, err);
}

int peer_open(struct peer **out, const struct link_target *target, const struct link_limits *limits, struct repo *own,
    struct qosid_errbuf *err)
{
	static const char file[] = "file://";
	enum link_scheme scheme;
	const char *path = target->url;
	int rc = link_parse_url(target->url, &scheme, err);

	*out = NULL;
	if (rc != 0)
		return rc;
	if (scheme != LINK_FOLDER)
		return open_link(out, target, limits, own, err);
	if (strncmp(path, file, sizeof(file) - 1) == 0)
		path += sizeof(file) - 1;
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

int peer_push(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < count; i++) {
		updates[i].answer = PEER_UNASKED;
		updates[i].stats = (struct transfer_stats){0};
		updates[i].fault = (struct qosid_errbuf){0};
	}
	return count == 0 ? 0 : peer->class->push(peer, updates, count, err);
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
