/*
 * The allowed_signers file: see space.h.
 *
 * Times are never trusted to decide anything here, but stock tools know nothing else. So bounds are only put where they
 * mean something, and are wide enough for whatever has been found valid: an office that did not know yet goes on with
 * its old key for a while, and clocks differ.
 */
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/space_internal.h"

struct span {
	const uint8_t *key;
	int64_t first, last; /* of the commits signed by it; 0: none */
};

static void widen(struct span *span, int64_t time)
{
	if (span->first == 0 || time < span->first)
		span->first = time;
	if (time > span->last)
		span->last = time;
}

/* Look at every commit of one log. */
static int walk_log(
    struct space *space, enum log_kind kind, const char *office, struct span *span, struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0}, signature = {0}, payload = {0};
	const struct log_point start = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	char ref[LOG_REF_SIZE];
	struct log log;
	git_oid tip;
	int rc;

	log_init(&log, kind, office);
	log_format_tip(ref, &log, space->config.office);
	if ((rc = repo_read_ref(space->exchange.repo, ref, &tip, NULL)) != 0)
		return rc == QOSID_ERR_NOTFOUND ? 0 : qosid_error(err, rc, "%s cannot be read", ref);
	rc = log_compare(space->exchange.repo, &start, &tip, &relation, &chain, err);
	for (size_t i = 0; rc == 0 && i < chain.count; i++) {
		struct commit commit = {0};

		qosid_buf_reset(&raw);
		qosid_buf_reset(&signature);
		qosid_buf_reset(&payload);
		if ((rc = repo_read(
			 space->exchange.repo, &chain.ids[i], GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, err)) == 0 &&
		    (rc = commit_parse(&commit, raw.data, raw.len, &signature, &payload, err)) == 0 &&
		    sshsig_parse_signer((const char *)signature.data, signature.len, signer, NULL) == 0 &&
		    memcmp(signer, span->key, SIGNING_PUBLIC_BYTES) == 0)
			widen(span, commit.time);
		commit_free(&commit);
	}
	log_chain_free(&chain);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
	return rc;
}

static int walk_logs(struct space *space, const char *office, struct span *span, struct qosid_errbuf *err)
{
	static const enum log_kind kinds[] = {LOG_ROSTER, LOG_OFFICE, LOG_FILES};
	int rc = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && rc == 0; i++)
		rc = walk_log(space, kinds[i], office, span, err);
	return rc;
}

/* When the roster stopped naming this key: by a later operation that gives the office others, or removes it. */
static int64_t find_end(const struct roster *roster, size_t index, const struct roster_entry *entry)
{
	const struct roster_member *now = roster_find_member(roster, -1, entry->office);
	struct roster_entry later;
	int64_t end = 0;

	if (now != NULL && now->roles == 0)
		end = now->ended / 1000;
	if (now != NULL && memcmp(now->signing_public, entry->signing_public, SIGNING_PUBLIC_BYTES) == 0)
		return end;
	for (size_t i = index + 1; i < roster_operation_count(roster); i++) {
		roster_read_entry(roster, i, &later);
		if (later.kind == ROSTER_ROLL_KEY && strcmp(later.office, entry->office) == 0)
			return later.time / 1000;
	}
	return end;
}

static int format_key(struct space *space, size_t index, const struct roster_entry *entry, struct qosid_buf *out,
    struct qosid_errbuf *err)
{
	struct span span = {.key = entry->signing_public};
	int64_t after = 0, before = find_end(space->exchange.roster, index, entry);
	bool later = entry->kind == ROSTER_ROLL_KEY;
	int rc;

	if (before > 0 || later) {
		if ((rc = walk_logs(space, entry->office, &span, err)) != 0)
			return rc;
		if (later)
			after = span.first > 0 && span.first < entry->time / 1000 ? span.first : entry->time / 1000;
		if (before > 0)
			before = (span.last > before ? span.last : before) + 1;
	}
	return sshsig_format_allowed_between(out, entry->office, entry->signing_public, after, before, err);
}

int space_format_allowed_signers(struct space *space, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct roster *roster = space->exchange.roster;
	struct roster_entry entry;
	int rc = 0;

	for (size_t i = 0; i < roster_operation_count(roster) && rc == 0; i++) {
		roster_read_entry(roster, i, &entry);
		if (entry.signing_public != NULL)
			rc = format_key(space, i, &entry, out, err);
	}
	return rc;
}
