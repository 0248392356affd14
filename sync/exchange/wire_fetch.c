/*
 * Fetching a log from a git server in steps (peer.h): git's protocol has no way to go on with a pack that was cut off,
 * and to an untrusted server no bound should be left open, so a log that is long comes in many small packs.
 *
 * A fetch begins by asking for everything from our end of the log to the remote's, which for a day's changes is one
 * request and one small pack. Git packs the commits first and newest first. So when the pack is cut off, or is larger
 * than is taken unverified, the commits in front of it have told the ids of what lies between. These are hashed, and
 * each names its parent, so they can be relied on: the chain of ids is written down, completed (with commits alone,
 * where the server can filter) and from then on, oldest first, the log is asked for in batches that end at a commit in
 * the middle. Each batch is complete in itself, is stored, verified by the watcher, and stays whatever happens after.
 */
#include <string.h>

#include "sync/exchange/peer_wire.h"
#include "sync/exchange/wire_unpack.h"
#include "sync/limits.h"

#define BATCH_BYTES WIRE_PACE_MAX /* of objects that are kept unverified */
#define BATCH_OBJECTS 6000u
#define DEEPEN_COMMITS 4000u /* asked for at once, when only commits are */
#define COMMIT_BYTES_GUESS 2048u

/* A fetch of one log. */
struct fetch {
	struct peer_wire *peer;
	const git_oid *tip;
	git_oid haves[2]; /* what is here of the log */
	size_t have_count;
	const char *progress;
	bool
	    takes_whole; /* the server gives nothing but what its refs name: then all at once, within the hard bounds */
	struct wire_chain chain;
	struct wire_objects objects; /* of the last pack */
	struct transfer_stats *stats;
};

enum ask {
	ASK_ALL,    /* all that a commit has in front of it, within the bounds */
	ASK_COMMITS /* commits only */
};

enum outcome {
	GOT_WHOLE,   /* the pack has arrived to its end */
	GOT_STOPPED, /* it was larger than is taken at once */
};

/* ---- one request ---- */

static int write_haves(struct fetch *fetch, struct wire *wire, struct qosid_errbuf *err)
{
	const struct wire_chain *chain = &fetch->chain;
	char hex[GIT_OID_HEXSZ + 1];
	int rc = 0;

	if (chain->is_connected) {
		git_oid_tostr(hex, sizeof(hex), &chain->base);
		return chain->has_base ? wire_write_line(wire, err, "have %s", hex) : 0;
	}
	for (size_t i = 0; i < fetch->have_count && rc == 0; i++) {
		git_oid_tostr(hex, sizeof(hex), &fetch->haves[i]);
		rc = wire_write_line(wire, err, "have %s", hex);
	}
	return rc;
}

static int ask_v2(struct fetch *fetch, const git_oid *want, enum ask ask, struct qosid_errbuf *err)
{
	const struct wire_features *features = &fetch->peer->features;
	struct wire *wire = &fetch->peer->upload;
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	git_oid_tostr(hex, sizeof(hex), want);
	if ((rc = wire_write_line(wire, err, "command=fetch")) != 0 ||
	    (features->names_format && (rc = wire_write_line(wire, err, "object-format=sha1")) != 0) ||
	    (rc = wire_write_mark(wire, WIRE_DELIM, err)) != 0 ||
	    (rc = wire_write_line(wire, err, "no-progress")) != 0 ||
	    (rc = wire_write_line(wire, err, "ofs-delta")) != 0 ||
	    (ask == ASK_COMMITS && (rc = wire_write_line(wire, err, "filter tree:0")) != 0) ||
	    (ask == ASK_COMMITS && features->has_shallow &&
		(rc = wire_write_line(wire, err, "deepen %u", DEEPEN_COMMITS)) != 0) ||
	    (rc = wire_write_line(wire, err, "want %s", hex)) != 0 || (rc = write_haves(fetch, wire, err)) != 0 ||
	    (rc = wire_write_line(wire, err, "done")) != 0)
		return rc;
	return wire_write_mark(wire, WIRE_FLUSH, err);
}

static int ask_v0(struct fetch *fetch, const git_oid *want, enum ask ask, struct qosid_errbuf *err)
{
	const struct wire_features *features = &fetch->peer->features;
	struct wire *wire = &fetch->peer->upload;
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	git_oid_tostr(hex, sizeof(hex), want);
	if ((rc = wire_write_line(wire, err, "want %s side-band-64k no-progress%s%s%s", hex,
		 features->has_ofs_delta ? " ofs-delta" : "", features->has_filter ? " filter" : "",
		 features->names_format ? " object-format=sha1" : "")) != 0 ||
	    (ask == ASK_COMMITS && (rc = wire_write_line(wire, err, "filter tree:0")) != 0) ||
	    (rc = wire_write_mark(wire, WIRE_FLUSH, err)) != 0 || (rc = write_haves(fetch, wire, err)) != 0)
		return rc;
	return wire_write_line(wire, err, "done");
}

/* Read what comes before the pack. */
static int read_prelude(struct fetch *fetch, struct qosid_errbuf *err)
{
	struct wire *wire = &fetch->peer->upload;
	bool at_section = true;
	enum wire_kind kind;
	const char *line;
	size_t len;
	int rc;

	while ((rc = wire_read_line(wire, &kind, &line, &len, err)) == 0) {
		if (kind == WIRE_DATA && fetch->peer->features.version == 2 && at_section &&
		    strcmp(line, "packfile") == 0)
			return 0;
		if (kind == WIRE_DATA && fetch->peer->features.version != 2)
			return strcmp(line, "NAK") == 0 || strncmp(line, "ACK ", 4) == 0
				   ? 0
				   : qosid_error(err, QOSID_ERR_FAILED,
					 "the remote does not speak git's protocol: neither ACK nor NAK");
		if (kind == WIRE_FLUSH)
			return qosid_error(err, QOSID_ERR_FAILED, "the remote answered without a pack");
		at_section = kind == WIRE_DELIM;
	}
	return rc;
}

static int connect_upload(struct peer_wire *peer, struct qosid_errbuf *err)
{
	if (peer->upload.link != NULL)
		return 0;
	return wire_dial(peer, "git-upload-pack", &peer->upload, &peer->features, NULL, err);
}

/* Commits that are known to be missing: those of the chain, one more when it goes on. */
static size_t count_missing(const struct fetch *fetch, const git_oid *want)
{
	const struct wire_chain *chain = &fetch->chain;

	for (size_t i = 0; i < chain->count; i++) {
		if (git_oid_equal(&chain->ids[i], want))
			return chain->count - i + (chain->is_connected ? 0 : 1);
	}
	return chain->count + 1;
}

/* Go on along the parents, through the commits that have arrived. */
static int learn(struct fetch *fetch, struct qosid_errbuf *err)
{
	struct repo *own = fetch->peer->peer.own;
	struct wire_chain *chain = &fetch->chain;
	struct qosid_buf raw = {0};
	git_oid tree, parent;
	bool has_parent;
	int rc = 0;

	while (rc == 0 && chain->count > 0 && !chain->is_connected) {
		qosid_buf_reset(&raw);
		if (wire_objects_read(&fetch->objects, &chain->ids[chain->count - 1], GIT_OBJECT_COMMIT,
			LIMIT_COMMIT_BYTES, &raw, NULL) != 0)
			break;
		if (!transfer_parse_commit(&raw, &tree, &parent, &has_parent)) {
			rc = qosid_error(err, QOSID_ERR_INVALID, "the remote's log has a commit in it that no log has");
		} else if (!has_parent || transfer_has_whole(own, &parent)) {
			chain->is_connected = true;
			chain->has_base = has_parent;
			chain->base = has_parent ? parent : (git_oid){0};
		} else
			rc = wire_chain_add(chain, &parent, err);
	}
	qosid_buf_free(&raw);
	return rc;
}

/* Whether the next object of the pack is more than is taken at once. A single commit is taken with all that is its. */
static int is_too_much(struct fetch *fetch, const git_oid *want, enum ask ask, uint32_t count, git_object_t type,
    size_t size, bool *too_much, struct qosid_errbuf *err)
{
	bool is_large = fetch->objects.bytes.len + size > BATCH_BYTES;
	int rc = 0;

	*too_much = false;
	if (ask == ASK_COMMITS) {
		*too_much = is_large || (type != GIT_OBJECT_COMMIT && type != GIT_OBJECT_ANY);
		return 0;
	}
	if (fetch->takes_whole || type == GIT_OBJECT_COMMIT || type == GIT_OBJECT_ANY) {
		*too_much = is_large && !fetch->takes_whole;
		return 0;
	}
	if (!is_large && count <= BATCH_OBJECTS)
		return 0;
	if ((rc = learn(fetch, err)) == 0)
		*too_much = count_missing(fetch, want) > 1;
	return rc;
}

static int read_pack(
    struct fetch *fetch, const git_oid *want, enum ask ask, enum outcome *outcome, struct qosid_errbuf *err)
{
	struct wire_unpack *unpack = NULL;
	git_object_t type;
	uint32_t count;
	size_t size;
	int rc = wire_unpack_open(&unpack, &fetch->peer->upload, &fetch->objects, &count, err);

	*outcome = GOT_WHOLE;
	while (rc == 0 && (rc = wire_unpack_peek(unpack, &type, &size, err)) > 0) {
		bool too_much;

		rc = is_too_much(fetch, want, ask, count, type, size, &too_much, err);
		if (rc == 0 && too_much) {
			*outcome = GOT_STOPPED;
			break;
		}
		if (rc == 0)
			rc = wire_unpack_take(unpack, err);
	}
	wire_unpack_close(unpack);
	return rc;
}

/* Ask, and read the answer. Whatever comes of it, fetch->objects are those that arrived whole, and the chain has been
 * taken on by them. After a failure and a stop the connection is at an end, as it is for old servers after each pack
 * where they remember. */
static int request(
    struct fetch *fetch, const git_oid *want, enum ask ask, enum outcome *outcome, struct qosid_errbuf *err)
{
	struct peer_wire *peer = fetch->peer;
	struct wire *wire = &peer->upload;
	int rc, learned;

	wire_objects_free(&fetch->objects);
	if ((rc = connect_upload(peer, err)) != 0)
		return rc;
	rc = peer->features.version == 2 ? ask_v2(fetch, want, ask, err) : ask_v0(fetch, want, ask, err);
	if (rc == 0)
		rc = wire_ask(wire, err);
	wire_allow(wire, WIRE_OBJECTS_BYTES_MAX + WIRE_OBJECTS_MAX * 16);
	if (rc == 0)
		rc = read_prelude(fetch, err);
	if (rc == 0)
		rc = read_pack(fetch, want, ask, outcome, err);
	if (rc == 0 && *outcome == GOT_WHOLE)
		rc = wire_read_end(wire, err);
	if (rc != 0 || *outcome == GOT_STOPPED || (peer->features.version != 2 && !link_is_stateless(wire->link)))
		wire_hang_up(peer, wire);
	learned = learn(fetch, rc == 0 ? err : NULL);
	return rc != 0 ? rc : learned;
}

/* ---- storing ---- */

static int read_object(
    void *context, const git_oid *id, git_object_t type, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return wire_objects_read(context, id, type, limit, out, err);
}

/* Store what leads up to a commit, out of what has arrived. */
static int store(struct fetch *fetch, const git_oid *complete, struct qosid_errbuf *err)
{
	struct peer_wire *peer = fetch->peer;
	const struct transfer_source source = {read_object, &fetch->objects, peer->peer.name};
	struct transfer_stats stats = {0};
	int rc = transfer_copy(&source, peer->peer.own, complete, fetch->progress, NULL, &stats, NULL, err);

	fetch->stats->commits += stats.commits;
	fetch->stats->objects += stats.objects;
	fetch->stats->bytes += stats.bytes;
	if (rc == 0 && stats.commits > 0)
		peer->commit_bytes = (size_t)(stats.bytes / stats.commits) + 1;
	wire_objects_free(&fetch->objects);
	return rc;
}

/* Drop the oldest commits of the chain that are here. */
static void advance(struct fetch *fetch)
{
	struct wire_chain *chain = &fetch->chain;

	while (chain->is_connected && chain->count > 0 &&
	       transfer_has_whole(fetch->peer->peer.own, &chain->ids[chain->count - 1])) {
		chain->base = chain->ids[--chain->count];
		chain->has_base = true;
	}
}

/* ---- the steps ---- */

/* Ask for the commits that link what is known of the chain to what is here. */
static int connect_chain(struct fetch *fetch, struct qosid_errbuf *err)
{
	struct wire_chain *chain = &fetch->chain;

	while (!chain->is_connected) {
		git_oid want = chain->ids[chain->count - 1];
		size_t before = chain->count;
		enum outcome outcome;
		int rc = request(fetch, &want, fetch->peer->features.has_filter ? ASK_COMMITS : ASK_ALL, &outcome, err);

		if (rc != 0)
			return rc;
		if (!chain->is_connected && chain->count == before)
			return qosid_error(err, QOSID_ERR_LIMIT,
			    "the remote's log cannot be taken in parts: its commits do not come first");
	}
	return 0;
}

/* How many commits to ask for next. */
static size_t batch_count(const struct fetch *fetch)
{
	const struct peer_wire *peer = fetch->peer;
	size_t size = peer->commit_bytes > 0 ? peer->commit_bytes : COMMIT_BYTES_GUESS;
	size_t count = peer->fetch_pace / size;

	count = count > BATCH_OBJECTS / 3 ? BATCH_OBJECTS / 3 : count;
	count = count > fetch->chain.count ? fetch->chain.count : count;
	return count > 0 ? count : 1;
}

/* Fetch the oldest commits of a connected chain, with all that is theirs. */
static int fetch_batch(struct fetch *fetch, struct qosid_errbuf *err)
{
	struct wire_chain *chain = &fetch->chain;
	struct peer_wire *peer = fetch->peer;
	size_t count = batch_count(fetch);
	enum outcome outcome;
	git_oid want;
	int rc;

	for (;; count = (count + 3) / 4) {
		want = chain->ids[chain->count - count];
		if ((rc = request(fetch, &want, ASK_ALL, &outcome, err)) != 0)
			return rc;
		if (outcome == GOT_WHOLE)
			break;
		if (count == 1) /* is_too_much() does not stop there */
			return qosid_error(err, QOSID_ERR_LIMIT, "a commit of the remote's log is too large");
		peer->commit_bytes = BATCH_BYTES / ((count + 3) / 4); /* no less than that, it has been seen */
	}
	if ((rc = store(fetch, &want, err)) != 0)
		return rc;
	chain->count -= count;
	chain->base = want;
	chain->has_base = true;
	if (chain->count > 0) /* it was a full step */
		peer->fetch_pace = wire_pace_faster(peer->fetch_pace);
	return 0;
}

/* Take the chain's commits in, batch by batch. 1: the watcher has seen enough. */
static int fetch_chain(struct fetch *fetch, const struct transfer_watch *watch, struct qosid_errbuf *err)
{
	struct wire_chain *chain = &fetch->chain;
	int rc = connect_chain(fetch, err);

	wire_chain_save(chain, fetch->peer->peer.own, fetch->progress);
	while (rc == 0 && chain->count > 0) {
		git_oid last = chain->ids[0];

		rc = fetch_batch(fetch, err);
		if (rc == 0 && watch != NULL && !(chain->count == 0 && git_oid_equal(&last, fetch->tip)))
			rc = watch->arrived(watch->context, &chain->base, err);
	}
	return rc;
}

/* Ask for all there is. *done: it has arrived, and is stored; otherwise there is a chain. */
static int fetch_all(struct fetch *fetch, bool *done, struct qosid_errbuf *err)
{
	enum outcome outcome;
	int rc;

	*done = false;
	wire_chain_free(&fetch->chain);
	if ((rc = wire_chain_add(&fetch->chain, fetch->tip, err)) != 0 ||
	    (rc = request(fetch, fetch->tip, ASK_ALL, &outcome, err)) != 0 || outcome != GOT_WHOLE)
		return rc;
	*done = true;
	return store(fetch, fetch->tip, err);
}

static void add_have(struct fetch *fetch, const git_oid *id)
{
	if (!git_oid_is_zero(id) && repo_has(fetch->peer->peer.own, id) &&
	    (fetch->have_count == 0 || !git_oid_equal(&fetch->haves[0], id)))
		fetch->haves[fetch->have_count++] = *id;
}

/* Go on from the newest commit of the log that is here now. */
static void restart(struct fetch *fetch)
{
	if (fetch->chain.has_base) {
		fetch->have_count = 0;
		add_have(fetch, &fetch->chain.base);
	}
	wire_chain_free(&fetch->chain);
}

/* 1: the watcher has seen enough. */
static int run(struct fetch *fetch, const struct transfer_watch *watch, struct qosid_errbuf *err)
{
	bool done = false;
	int rc = connect_upload(fetch->peer, err);

	if (rc != 0)
		return rc;
	fetch->takes_whole = !fetch->peer->features.takes_any_want;
	/* What was left of a chain may end before the tip of today, or not be there any more. */
	if (fetch->chain.count > 0 && !fetch->takes_whole && (rc = fetch_chain(fetch, watch, err)) != 0 &&
	    !peer_is_damage(rc))
		return rc;
	restart(fetch);
	if (transfer_has_whole(fetch->peer->peer.own, fetch->tip))
		return 0;
	if ((rc = fetch_all(fetch, &done, err)) != 0 || done)
		return rc;
	rc = fetch_chain(fetch, watch, err);
	if (rc != QOSID_ERR_CORRUPT)
		return rc;
	/* The server may give only what its refs name, without having said so. */
	fetch->takes_whole = true;
	restart(fetch);
	rc = fetch_all(fetch, &done, err);
	return rc == 0 && !done ? qosid_error(err, QOSID_ERR_LIMIT, "the remote's log is too large to be taken whole")
				: rc;
}

int wire_fetch_log(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err)
{
	struct fetch fetch = {.peer = (struct peer_wire *)peer, .tip = tip, .progress = progress, .stats = stats};
	struct peer_wire *wire = fetch.peer;
	git_oid reached;
	int rc;

	if (repo_has(peer->own, tip) && transfer_has_whole(peer->own, tip)) {
		*whole = true;
		return 0;
	}
	add_have(&fetch, have);
	if (progress != NULL && repo_read_ref(peer->own, progress, &reached, NULL) == 0)
		add_have(&fetch, &reached);
	wire_chain_load(&fetch.chain, peer->own, progress);
	advance(&fetch);
	rc = run(&fetch, watch, err);
	if (rc == QOSID_ERR_OFFLINE)
		wire->fetch_pace = wire_pace_slower(wire->fetch_pace);
	/* Done, not to be relied on, or nothing yet. */
	if ((rc <= 0 && rc != QOSID_ERR_OFFLINE && rc != QOSID_ERR_CANCELLED) ||
	    (fetch.chain.count <= 1 && !fetch.chain.is_connected))
		wire_chain_free(&fetch.chain);
	wire_chain_save(&fetch.chain, peer->own, progress);
	*whole = rc == 0;
	wire_chain_free(&fetch.chain);
	wire_objects_free(&fetch.objects);
	return rc > 0 ? 0 : rc;
}
