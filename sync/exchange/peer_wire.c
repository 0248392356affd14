/*
 * A peer behind a link: connections, the list of its refs, and what it is known to bear (peer_wire.h).
 *
 * Where the server remembers (ssh), the list of refs and all fetches go over one connection; receive-pack is only
 * started when there is something to push.
 */
#include "sync/exchange/peer_wire.h"

#include <stdlib.h>
#include <string.h>

static void add_traffic(struct link_traffic *sum, const struct link *link)
{
	struct link_traffic traffic;

	link_read_traffic(link, &traffic);
	sum->up += traffic.up;
	sum->down += traffic.down;
	sum->round_trips += traffic.round_trips;
}

int wire_dial(struct peer_wire *peer, const char *service, struct wire *wire, struct wire_features *features,
    struct wire_refs *refs, struct qosid_errbuf *err)
{
	struct link *link = NULL;
	int rc;

	if (peer->dials++ == WIRE_DIALS_MAX)
		return qosid_error(err, QOSID_ERR_OFFLINE, "%u connections in one meeting are enough", WIRE_DIALS_MAX);
	if ((rc = peer->dialer.dial(peer->dialer.context, service, &link, err)) != 0 ||
	    (rc = wire_init(wire, link, err)) != 0)
		return rc;
	rc = wire_greet(wire, features, refs, err);
	if (rc == 0 && !features->has_sideband)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the remote's git is too old");
	if (rc == 0)
		return 0;
	wire_hang_up(peer, wire);
	if (rc != QOSID_ERR_CORRUPT)
		return rc;
	if (err != NULL) /* the server says why, and it is not about a log */
		err->code = QOSID_ERR_FAILED;
	return QOSID_ERR_FAILED;
}

void wire_hang_up(struct peer_wire *peer, struct wire *wire)
{
	if (wire->link != NULL)
		add_traffic(&peer->spent, wire->link);
	wire_end(wire);
}

/* The greeting of an old server has the refs in it; a newer one is asked. */
static int list(struct peer_wire *peer, struct qosid_errbuf *err)
{
	int rc;

	wire_refs_free(&peer->refs);
	if ((rc = wire_dial(peer, "git-upload-pack", &peer->upload, &peer->features, &peer->refs, err)) == 0 &&
	    peer->features.version == 2)
		rc = wire_list_refs(&peer->upload, &peer->features, &peer->refs, err);
	peer->is_listed = rc == 0;
	return rc;
}

static int wire_visit_refs(struct peer *peer,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct peer_wire *wire = (struct peer_wire *)peer;
	int rc = 0;

	for (size_t i = 0; i < wire->refs.count && rc == 0; i++)
		rc = visit(context, wire->refs.items[i].name, &wire->refs.items[i].id, err);
	return rc;
}

static void wire_traffic(const struct peer *peer, struct link_traffic *out)
{
	const struct peer_wire *wire = (const struct peer_wire *)peer;

	*out = wire->spent;
	if (wire->upload.link != NULL)
		add_traffic(out, wire->upload.link);
}

static void wire_close(struct peer *peer)
{
	struct peer_wire *wire = (struct peer_wire *)peer;

	if (wire->is_listed)
		wire_pace_save(wire);
	wire_end(&wire->upload);
	wire_refs_free(&wire->refs);
	if (wire->dialer.free != NULL)
		wire->dialer.free(wire->dialer.context);
	free(peer->name);
	free(wire);
}

static const struct peer_class wire_class = {.visit_refs = wire_visit_refs,
    .fetch = wire_fetch_log,
    .push = wire_push_logs,
    .read_traffic = wire_traffic,
    .close = wire_close};

int peer_open_wire(
    struct peer **out, const char *name, const struct wire_dialer *dialer, struct repo *own, struct qosid_errbuf *err)
{
	struct peer_wire *wire = calloc(1, sizeof(*wire));
	int rc;

	*out = NULL;
	if (wire == NULL || (wire->peer.name = strdup(name)) == NULL) {
		free(wire);
		if (dialer->free != NULL)
			dialer->free(dialer->context);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a remote");
	}
	wire->peer.class = &wire_class;
	wire->peer.own = own;
	wire->dialer = *dialer;
	wire_pace_load(wire);
	rc = list(wire, err);
	if (rc != 0)
		wire_close(&wire->peer);
	else
		*out = &wire->peer;
	return rc;
}
