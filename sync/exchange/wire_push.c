/*
 * Pushing logs to a git server in steps (peer.h): each step is a conversation with receive-pack that moves refs by what
 * fits into a pack of bounded size, so that what has arrived stays when the link breaks.
 *
 * The pack holds what the commits after the remote's tip name and the tip does not, oldest first, undeltified: payloads
 * are encrypted, and have no deltas. What the server lists when the conversation begins says how far a step before it
 * has come whose answer was lost.
 */
#define ZLIB_CONST
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "sync/exchange/oidmap.h"
#include "sync/exchange/peer_wire.h"
#include "sync/limits.h"

#define PACK_HEAD_BYTES 12u
#define PACK_OBJECTS_AT 8u

/* A log on its way. */
struct parcel {
	struct peer_update *update;
	git_oid *chain; /* what the remote lacks, oldest first */
	size_t count, cap, next;
	git_oid at;     /* where the remote's ref stands; zero: it is not there */
	git_oid target; /* where this step moves it */
	size_t target_next;
	struct transfer_stats stats; /* of this step */
	bool is_sent;
	unsigned failures;
};

struct push {
	struct peer_wire *peer;
	struct parcel *parcels;
	size_t count;
	struct qosid_buf pack;
	uint32_t objects;
	bool is_full;
	struct oidmap known; /* in the pack, or at the remote for sure */
};

/* ---- the pack ---- */

static int pack_begin(struct push *push, struct qosid_errbuf *err)
{
	static const uint8_t head[PACK_HEAD_BYTES] = {'P', 'A', 'C', 'K', 0, 0, 0, 2};

	qosid_buf_reset(&push->pack);
	oidmap_reset(&push->known);
	push->objects = 0;
	push->is_full = false;
	return qosid_buf_append(&push->pack, head, sizeof(head), err);
}

/* Append an object; what does not shrink is stored, which deflate() does by itself. */
static int pack_object(struct push *push, git_object_t type, const struct qosid_buf *data, struct qosid_errbuf *err)
{
	uLongf room = compressBound((uLong)data->len);
	uint8_t head[16];
	size_t used = 0, len = data->len;
	int rc;

	head[used] = (uint8_t)((unsigned)type << 4 | (len & 15));
	for (len >>= 4; len > 0; len >>= 7) {
		head[used++] |= 0x80;
		head[used] = (uint8_t)(len & 0x7f);
	}
	used++;
	if ((rc = qosid_buf_append(&push->pack, head, used, err)) != 0 ||
	    (rc = qosid_buf_reserve(&push->pack, room, err)) != 0)
		return rc;
	if (compress2(push->pack.data + push->pack.len, &room, data->data, (uLong)data->len,
		type == GIT_OBJECT_BLOB ? 1 : Z_BEST_COMPRESSION) != Z_OK)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compress a git object");
	push->pack.len += room;
	push->objects++;
	return 0;
}

/* Note an object; false when it was known. */
static int note(struct push *push, const git_oid *id, bool *is_new, struct qosid_errbuf *err)
{
	uint32_t index;

	return oidmap_add(&push->known, id, &index, is_new, err);
}

static int pack_blob(struct push *push, struct parcel *parcel, const git_oid *id, bool send, struct qosid_errbuf *err)
{
	struct qosid_buf data = {0};
	bool is_new;
	int rc = note(push, id, &is_new, err);

	if (rc != 0 || !is_new || !send)
		return rc;
	if ((rc = repo_read(push->peer->peer.own, id, GIT_OBJECT_BLOB, LIMIT_CHANGESET_BYTES, &data, err)) == 0)
		rc = pack_object(push, GIT_OBJECT_BLOB, &data, err);
	parcel->stats.objects++;
	parcel->stats.bytes += data.len;
	qosid_buf_free(&data);
	return rc;
}

/* Put a tree and what is in it into the pack, or only note that the remote has them. */
static int pack_tree(
    struct push *push, struct parcel *parcel, const git_oid *id, bool outermost, bool send, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf raw = {0};
	size_t count = 0;
	bool is_new;
	int rc = note(push, id, &is_new, err);

	if (rc != 0 || !is_new)
		return rc;
	if ((rc = repo_read(push->peer->peer.own, id, GIT_OBJECT_TREE, TRANSFER_TREE_BYTES_MAX, &raw, err)) == 0)
		rc = repo_parse_tree(&raw, entries, &count, err);
	if (rc == 0 && send)
		rc = pack_object(push, GIT_OBJECT_TREE, &raw, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!entries[i].is_tree)
			rc = pack_blob(push, parcel, &entries[i].id, send, err);
		else if (outermost)
			rc = pack_tree(push, parcel, &entries[i].id, false, send, err);
		else
			rc = qosid_error(err, QOSID_ERR_INVALID, "a tree of ours has folders in a folder");
	}
	parcel->stats.objects++;
	parcel->stats.bytes += raw.len;
	qosid_buf_free(&raw);
	return rc;
}

static int read_commit(struct push *push, const git_oid *id, struct qosid_buf *raw, git_oid *tree, git_oid *parent,
    bool *has_parent, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	qosid_buf_reset(raw);
	rc = repo_read(push->peer->peer.own, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, raw, err);
	if (rc != 0 || transfer_parse_commit(raw, tree, parent, has_parent))
		return rc;
	git_oid_tostr(hex, sizeof(hex), id);
	return qosid_error(err, QOSID_ERR_INVALID, "commit %s of ours is not one of a log", hex);
}

static int pack_commit(struct push *push, struct parcel *parcel, const git_oid *id, bool send, struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0};
	git_oid tree, parent;
	bool has_parent;
	int rc = read_commit(push, id, &raw, &tree, &parent, &has_parent, err);

	if (rc == 0 && send)
		rc = pack_object(push, GIT_OBJECT_COMMIT, &raw, err);
	if (rc == 0)
		rc = pack_tree(push, parcel, &tree, true, send, err);
	if (send) {
		parcel->stats.commits++;
		parcel->stats.objects++;
		parcel->stats.bytes += raw.len;
	}
	qosid_buf_free(&raw);
	return rc;
}

static int pack_end(struct push *push, struct qosid_errbuf *err)
{
	uint8_t sum[GIT_OID_RAWSZ];

	for (unsigned i = 0; i < 4; i++)
		push->pack.data[PACK_OBJECTS_AT + i] = (uint8_t)(push->objects >> (24 - 8 * i));
	if (EVP_Digest(push->pack.data, push->pack.len, sum, NULL, EVP_sha1(), NULL) != 1)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
	return qosid_buf_append(&push->pack, sum, sizeof(sum), err);
}

/* ---- parcels ---- */

static int chain_add(struct parcel *parcel, const git_oid *id, struct qosid_errbuf *err)
{
	if (parcel->count == parcel->cap) {
		size_t cap = parcel->cap == 0 ? 16 : parcel->cap * 2;
		git_oid *chain = realloc(parcel->chain, cap * sizeof(*chain));

		if (chain == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a log of %zu commits", cap);
		parcel->chain = chain;
		parcel->cap = cap;
	}
	parcel->chain[parcel->count++] = *id;
	return 0;
}

/* List what lies between the remote's tip and ours. */
static int parcel_walk(struct push *push, struct parcel *parcel, struct qosid_errbuf *err)
{
	git_oid id = parcel->update->tip, tree, parent;
	struct qosid_buf raw = {0};
	bool has_parent = true;
	int rc = 0;

	parcel->at = parcel->update->old;
	while (rc == 0 && has_parent && !git_oid_equal(&id, &parcel->at)) {
		if ((rc = read_commit(push, &id, &raw, &tree, &parent, &has_parent, err)) == 0 &&
		    (rc = chain_add(parcel, &id, err)) == 0 && has_parent)
			id = parent;
	}
	for (size_t i = 0; i < parcel->count / 2; i++) {
		git_oid swap = parcel->chain[i];

		parcel->chain[i] = parcel->chain[parcel->count - 1 - i];
		parcel->chain[parcel->count - 1 - i] = swap;
	}
	qosid_buf_free(&raw);
	return rc;
}

static bool is_open(const struct parcel *parcel)
{
	return parcel->update->answer == PEER_UNASKED && parcel->update->fault.code == 0;
}

/* Compare with what the server lists: where a parcel stands, or that it is none any more. */
static void parcel_place(struct parcel *parcel, const struct wire_refs *refs)
{
	const struct wire_ref *ref = wire_find_ref(refs, parcel->update->ref);

	if (ref == NULL || git_oid_equal(&ref->id, &parcel->update->old)) {
		bool is_gone = ref == NULL && !git_oid_is_zero(&parcel->update->old);

		parcel->next = 0;
		parcel->at = parcel->update->old;
		if (is_gone)
			parcel->update->answer = PEER_MOVED;
		return;
	}
	for (size_t i = 0; i < parcel->count; i++) {
		if (!git_oid_equal(&ref->id, &parcel->chain[i]))
			continue;
		parcel->at = ref->id;
		parcel->next = i + 1;
		if (parcel->next == parcel->count)
			parcel->update->answer = PEER_TAKEN;
		return;
	}
	parcel->update->answer = PEER_MOVED;
}

/* Add of a log what still fits. A copy of ours that is damaged costs this log its place and no other. */
static int parcel_load(struct push *push, struct parcel *parcel, struct qosid_errbuf *err)
{
	size_t limit = push->peer->push_pace;
	int rc = 0;

	if (!git_oid_is_zero(&parcel->at))
		rc = pack_commit(push, parcel, &parcel->at, false, err);
	parcel->stats = (struct transfer_stats){0};
	parcel->target_next = parcel->next;
	while (rc == 0 && parcel->target_next < parcel->count && !push->is_full) {
		struct transfer_stats stats = parcel->stats;
		size_t len = push->pack.len;
		uint32_t objects = push->objects;

		if ((rc = pack_commit(push, parcel, &parcel->chain[parcel->target_next], true, err)) != 0)
			break;
		push->is_full = push->pack.len >= limit;
		if (push->pack.len > limit && objects > 0) { /* the next step begins with it */
			qosid_buf_cut(&push->pack, len);
			push->objects = objects;
			parcel->stats = stats;
			break;
		}
		parcel->target = parcel->chain[parcel->target_next++];
	}
	parcel->is_sent = rc == 0 && parcel->target_next > parcel->next;
	return rc;
}

/* ---- the conversation ---- */

static int write_commands(
    struct push *push, const struct wire_features *features, struct wire *wire, struct qosid_errbuf *err)
{
	struct qosid_buf line = {0};
	bool is_first = true;
	int rc = 0;

	for (size_t i = 0; i < push->count && rc == 0; i++) {
		const struct parcel *parcel = &push->parcels[i];
		char old[GIT_OID_HEXSZ + 1], new[GIT_OID_HEXSZ + 1];

		if (!is_open(parcel) || !parcel->is_sent)
			continue;
		git_oid_tostr(old, sizeof(old), &parcel->at);
		git_oid_tostr(new, sizeof(new), &parcel->target);
		qosid_buf_reset(&line);
		rc = qosid_buf_append_format(&line, err, "0000%s %s %s", old, new, parcel->update->ref);
		if (rc == 0 && is_first) {
			static const char words[] = "\0 report-status side-band-64k";

			rc = qosid_buf_append(&line, words, sizeof(words) - 1, err);
			if (rc == 0 && features->names_format)
				rc = qosid_buf_append_text(&line, " object-format=sha1", err);
		}
		is_first = false;
		if (rc == 0) {
			char head[5];

			(void)snprintf(head, sizeof(head), "%04zx", line.len & 0xffffU);
			memcpy(line.data, head, 4);
			rc = wire_write_raw(wire, line.data, line.len, err);
		}
	}
	qosid_buf_free(&line);
	return rc == 0 ? wire_write_mark(wire, WIRE_FLUSH, err) : rc;
}

static struct parcel *find_parcel(struct push *push, const char *ref, size_t len)
{
	for (size_t i = 0; i < push->count; i++) {
		struct parcel *parcel = &push->parcels[i];

		if (is_open(parcel) && parcel->is_sent && strlen(parcel->update->ref) == len &&
		    memcmp(parcel->update->ref, ref, len) == 0)
			return parcel;
	}
	return NULL;
}

/* The remote has moved the ref of a log. */
static void parcel_taken(struct parcel *parcel)
{
	struct transfer_stats *sum = &parcel->update->stats;

	sum->commits += parcel->stats.commits;
	sum->objects += parcel->stats.objects;
	sum->bytes += parcel->stats.bytes;
	parcel->at = parcel->target;
	parcel->next = parcel->target_next;
	parcel->is_sent = false;
	if (parcel->next == parcel->count)
		parcel->update->answer = PEER_TAKEN;
}

/* It has not. That somebody was quicker shows when the refs are listed again: one more try is due. */
static void parcel_refused(struct parcel *parcel, const char *why, size_t len)
{
	char words[WIRE_QUOTE_SIZE];

	parcel->is_sent = false;
	if (parcel->failures++ == 0 && memmem(why, len, "hook", 4) == NULL && memmem(why, len, "den", 3) == NULL)
		return;
	wire_quote(words, why, len);
	(void)qosid_error(
	    &parcel->update->fault, QOSID_ERR_REFUSED, "the remote does not take %s: %s", parcel->update->ref, words);
	parcel->update->answer = PEER_REFUSED;
}

/* A line of the report. */
static int take_report(struct push *push, const char *line, size_t len, struct qosid_errbuf *err)
{
	struct parcel *parcel;
	char words[WIRE_QUOTE_SIZE];

	if (len > 0 && line[len - 1] == '\n')
		len--;
	if (len > 7 && memcmp(line, "unpack ", 7) == 0) {
		if (len == 9 && memcmp(line + 7, "ok", 2) == 0)
			return 0;
		wire_quote(words, line + 7, len - 7);
		return qosid_error(err, QOSID_ERR_FAILED, "the remote cannot store what was pushed: %s", words);
	}
	if (len > 3 && memcmp(line, "ok ", 3) == 0 && (parcel = find_parcel(push, line + 3, len - 3)) != NULL) {
		parcel_taken(parcel);
	} else if (len > 3 && memcmp(line, "ng ", 3) == 0) {
		const char *space = memchr(line + 3, ' ', len - 3);
		size_t name_len = space != NULL ? (size_t)(space - line - 3) : len - 3;

		if ((parcel = find_parcel(push, line + 3, name_len)) != NULL)
			parcel_refused(parcel, line + 3 + name_len, len - 3 - name_len);
	}
	return 0;
}

/* Collect the report, which is pkt-lines within the sideband. */
static int read_report(struct push *push, struct wire *wire, struct qosid_errbuf *err)
{
	struct qosid_buf report = {0};
	const uint8_t *data;
	size_t len, at = 0;
	int rc;

	wire_allow(wire, WIRE_REPORT_BYTES_MAX);
	while ((rc = wire_read_band(wire, &data, &len, err)) == 0 && len > 0) {
		if ((rc = qosid_buf_append(&report, data, len, err)) != 0)
			break;
	}
	while (rc == 0 && report.len - at > 4) {
		char head[5] = {0};
		unsigned line;

		memcpy(head, report.data + at, 4);
		if (sscanf(head, "%4x", &line) != 1 || line < 4 || line > report.len - at)
			break;
		rc = take_report(push, (const char *)report.data + at + 4, line - 4, err);
		at += line;
	}
	qosid_buf_free(&report);
	return rc;
}

/* Load what fits, oldest first. *any: there is something to send; *again: a log fell out, and the pack is of no use. */
static int load(struct push *push, bool *any, bool *again, struct qosid_errbuf *err)
{
	int rc = pack_begin(push, err);

	*any = *again = false;
	for (size_t i = 0; i < push->count && rc == 0 && !*again; i++) {
		struct parcel *parcel = &push->parcels[i];

		parcel->is_sent = false;
		if (!is_open(parcel) || push->is_full)
			continue;
		rc = parcel_load(push, parcel, &parcel->update->fault);
		if (peer_is_damage(rc)) {
			*again = true;
			rc = 0;
		} else if (rc != 0 && err != NULL)
			*err = parcel->update->fault;
		*any = *any || parcel->is_sent;
	}
	return rc == 0 ? pack_end(push, err) : rc;
}

/* Send the pack, and hear what became of it. */
static int converse(
    struct push *push, struct wire *wire, const struct wire_features *features, struct qosid_errbuf *err)
{
	struct peer_wire *peer = push->peer;
	int rc;

	if ((rc = write_commands(push, features, wire, err)) == 0 &&
	    (rc = wire_write_raw(wire, push->pack.data, push->pack.len, err)) == 0 && (rc = wire_ask(wire, err)) == 0)
		rc = read_report(push, wire, err);
	for (size_t i = 0; i < push->count && rc == 0; i++) {
		static const char silence[] = "it gives no answer";

		if (is_open(&push->parcels[i]) && push->parcels[i].is_sent)
			parcel_refused(&push->parcels[i], silence, sizeof(silence) - 1);
	}
	if (rc == QOSID_ERR_OFFLINE)
		peer->push_pace = wire_pace_slower(peer->push_pace);
	else if (rc == 0 && push->is_full)
		peer->push_pace = wire_pace_faster(peer->push_pace);
	if (rc != QOSID_ERR_CORRUPT)
		return rc;
	if (err != NULL) /* the server gives up, and it is not about our objects */
		err->code = QOSID_ERR_FAILED;
	return QOSID_ERR_FAILED;
}

/* One conversation. *any: something was sent, so that there may be more to do. */
static int step(struct push *push, bool *any, struct qosid_errbuf *err)
{
	struct peer_wire *peer = push->peer;
	struct wire_features features;
	struct wire_refs refs = {0};
	struct wire wire = {0};
	bool again;
	int rc;

	*any = false;
	if ((rc = wire_dial(peer, "git-receive-pack", &wire, &features, &refs, err)) != 0)
		goto out;
	for (size_t i = 0; i < push->count; i++) {
		if (is_open(&push->parcels[i]))
			parcel_place(&push->parcels[i], &refs);
	}
	do
		rc = load(push, any, &again, err);
	while (rc == 0 && again);
	if (rc == 0 && *any) {
		rc = converse(push, &wire, &features, err);
	} else if (rc == 0 && !link_is_stateless(wire.link)) { /* so that it ends without a complaint */
		(void)wire_write_mark(&wire, WIRE_FLUSH, NULL);
		(void)wire_ask(&wire, NULL);
	}
out:
	wire_hang_up(peer, &wire);
	wire_refs_free(&refs);
	return rc;
}

static bool has_open(const struct push *push)
{
	for (size_t i = 0; i < push->count; i++) {
		if (is_open(&push->parcels[i]))
			return true;
	}
	return false;
}

int wire_push_logs(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err)
{
	struct push push = {.peer = (struct peer_wire *)peer, .count = count};
	bool any = true;
	int rc = 0;

	push.parcels = calloc(count, sizeof(*push.parcels));
	if (push.parcels == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for %zu logs", count);
	for (size_t i = 0; i < count && rc == 0; i++) {
		push.parcels[i].update = &updates[i];
		rc = parcel_walk(&push, &push.parcels[i], &updates[i].fault);
		if (rc != 0 && !peer_is_damage(rc) && err != NULL)
			*err = updates[i].fault;
		rc = peer_is_damage(rc) ? 0 : rc;
	}
	while (rc == 0 && any && has_open(&push))
		rc = step(&push, &any, err);
	for (size_t i = 0; i < count; i++)
		free(push.parcels[i].chain);
	free(push.parcels);
	qosid_buf_free(&push.pack);
	oidmap_free(&push.known);
	return rc;
}
