/*
 * A peer behind a link, spoken to in git's wire protocol: what peer_wire.c, wire_greet.c, wire_fetch.c, wire_push.c and
 * wire_state.c share.
 */
#ifndef QOSID_SYNC_EXCHANGE_PEER_WIRE_H
#define QOSID_SYNC_EXCHANGE_PEER_WIRE_H

#include "sync/exchange/peer_internal.h"
#include "sync/exchange/wire_pkt.h"

/* A greeting, with all the refs that an old server lists in it, and a list of refs: 65,536 of long names, and others.
 */
#define WIRE_GREETING_BYTES_MAX (32u << 20)
#define WIRE_REFS_MAX 65536u
#define WIRE_REF_NAME_MAX 256u
#define WIRE_REPORT_BYTES_MAX (4u << 20)

/* Connections of one meeting: one is left in the middle when a pack is larger than is taken at once. */
#define WIRE_DIALS_MAX 256u

/* How much is asked for or sent at once: it starts small, doubles with each step that arrives and goes down to a
 * quarter when the link breaks, and is remembered from one meeting to the next. */
#define WIRE_PACE_START (64u << 10)
#define WIRE_PACE_MIN (8u << 10)
#define WIRE_PACE_MAX (4u << 20)

struct wire_ref {
	git_oid id;
	char *name;
};

/* Refs by name. Starts as {0}. */
struct wire_refs {
	struct wire_ref *items;
	size_t count, cap;
};

/* What a server can do, as its greeting says. */
struct wire_features {
	int version;       /* 0, 1 or 2 */
	bool names_format; /* it wants to hear object-format=sha1 */
	bool has_filter, has_shallow;
	bool takes_any_want; /* commits that no ref names may be asked for */
	bool has_sideband;
	bool has_status; /* of receive-pack */
	bool has_ofs_delta;
};

/* How to connect to a service of the peer; tests have ways of their own. */
struct wire_dialer {
	int (*dial)(void *context, const char *service, struct link **out, struct qosid_errbuf *err);
	void *context;
	void (*free)(void *context); /* may be NULL */
};

/* Commits of a log that are known to be there and are not here yet, newest first: of the last one perhaps no more than
 * its id. Each is the parent that a hashed commit named. Starts as {0}. */
struct wire_chain {
	git_oid *ids;
	size_t count, cap;
	bool is_connected; /* the last one follows what is here (has_base), or is the first commit of all */
	bool has_base;
	git_oid base;
};

struct peer_wire {
	struct peer peer;
	struct wire_dialer dialer;
	struct wire upload; /* to upload-pack; link NULL: not connected */
	struct wire_features features;
	struct wire_refs refs;
	bool is_listed;            /* refs are there */
	struct link_traffic spent; /* on connections that have ended */
	unsigned dials;
	size_t fetch_pace, push_pace;
	size_t commit_bytes; /* what a commit with all that belongs to it took lately */
};

/* A peer behind this dialer, which is ended with it. name is for error texts, and names what is remembered of it. */
int peer_open_wire(
    struct peer **out, const char *name, const struct wire_dialer *dialer, struct repo *own, struct qosid_errbuf *err);

/* ---- peer_wire.c ---- */

/* Connect to a service and read its greeting. refs (may be NULL) get what an old server, or receive-pack, lists. */
int wire_dial(struct peer_wire *peer, const char *service, struct wire *wire, struct wire_features *features,
    struct wire_refs *refs, struct qosid_errbuf *err);

/* End a connection and keep count of its bytes; accepts one that has ended. */
void wire_hang_up(struct peer_wire *peer, struct wire *wire);

/* ---- wire_greet.c ---- */

int wire_greet(struct wire *wire, struct wire_features *out, struct wire_refs *refs, struct qosid_errbuf *err);

/* List the refs of logs (protocol v2). */
int wire_list_refs(
    struct wire *wire, const struct wire_features *features, struct wire_refs *refs, struct qosid_errbuf *err);
const struct wire_ref *wire_find_ref(const struct wire_refs *refs, const char *name);
void wire_refs_free(struct wire_refs *refs);

/* ---- wire_fetch.c, wire_push.c ---- */

int wire_fetch_log(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);
int wire_push_logs(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err);

/* ---- wire_state.c: what is remembered between meetings; a loss of it costs bytes and nothing else ---- */

int wire_chain_add(struct wire_chain *chain, const git_oid *id, struct qosid_errbuf *err);
void wire_chain_free(struct wire_chain *chain);

/* The chain of the log that a progress ref stands for. What cannot be read is as if it had never been. */
void wire_chain_load(struct wire_chain *chain, const struct repo *own, const char *progress);
void wire_chain_save(const struct wire_chain *chain, const struct repo *own, const char *progress);
void wire_pace_load(struct peer_wire *peer);
void wire_pace_save(const struct peer_wire *peer);
size_t wire_pace_faster(size_t pace);
size_t wire_pace_slower(size_t pace);

#endif
