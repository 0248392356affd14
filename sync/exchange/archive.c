/*
 * Old generations of logs that are kept: refs/heads/archive/<office>/<n> for the own ones, as in a remote, and
 * refs/qosid/verified/archive/<office>/<n> for those of others.
 *
 * The last commit of an archive is named, by id and digest, by a commit that has been verified: the first one of the
 * next generation. So an archive can be fetched from anywhere at any time, and is the office's own log or nothing.
 */
#include <stdio.h>
#include <string.h>

#include "sync/exchange/exchange.h"

#define PREFIX "archive/"

bool archive_parse(const char *name, struct log *log, int64_t *generation)
{
	char office[LIMIT_SLUG_BYTES + 1];
	const char *slash, *at;
	int64_t number = 0;

	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
		return false;
	name += sizeof(PREFIX) - 1;
	slash = strchr(name, '/');
	if (slash == NULL || (size_t)(slash - name) >= sizeof(office))
		return false;
	memcpy(office, name, (size_t)(slash - name));
	office[slash - name] = '\0';
	if (slug_check(office, NULL) != 0 || slash[1] < '1' || slash[1] > '9')
		return false;
	for (at = slash + 1; *at >= '0' && *at <= '9' && at - slash < 16; at++)
		number = number * 10 + (*at - '0');
	if (*at != '\0')
		return false;
	log_init(log, LOG_OFFICE, office);
	*generation = number;
	return true;
}

void archive_format(
    char out[ARCHIVE_REF_SIZE], const struct exchange *exchange, const struct log *log, int64_t generation)
{
	bool own = strcmp(log->office, exchange->office) == 0;

	(void)snprintf(out, ARCHIVE_REF_SIZE, "%s" PREFIX "%s/%lld", own ? "refs/heads/" : "refs/qosid/verified/",
	    log->office, (long long)generation);
}

int archive_find_first(struct exchange *exchange, const git_oid *tip, git_oid *first, struct qosid_errbuf *err)
{
	struct log_point nothing = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	int rc = log_compare(exchange->repo, &nothing, tip, &relation, &chain, err);

	if (rc == 0)
		git_oid_cpy(first, &chain.ids[0]);
	log_chain_free(&chain);
	return rc;
}

static int put_ref(struct repo *repo, const char *ref, const git_oid *id, bool *same, struct qosid_errbuf *err)
{
	git_oid old;
	int rc = repo_read_ref(repo, ref, &old, NULL);

	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return qosid_error(err, rc, "%s cannot be read", ref);
	*same = rc == 0 && git_oid_equal(&old, id);
	return *same ? 0 : repo_update_ref(repo, ref, rc == 0 ? &old : NULL, id, err);
}

int archive_keep(struct exchange *exchange, const struct log *log, const git_oid *begin, struct qosid_errbuf *err)
{
	git_oid first = *begin;
	bool same = false;
	int rc = 0;

	/* Several, when a log has moved on by more than one generation at once. */
	while (rc == 0 && !same) {
		struct commit commit = {0};
		char ref[ARCHIVE_REF_SIZE];
		bool here;

		if ((rc = log_read_commit(exchange->repo, &first, &commit, err)) != 0)
			break;
		here = commit_begins(&commit) && repo_has(exchange->repo, &commit.archive);
		if (here) {
			archive_format(ref, exchange, log, commit.generation - 1);
			if ((rc = put_ref(exchange->repo, ref, &commit.archive, &same, err)) == 0 && !same)
				rc = archive_find_first(exchange, &commit.archive, &first, err);
		}
		commit_free(&commit);
		if (!here)
			break;
	}
	return rc;
}

/* ---- letting go ---- */

struct held {
	size_t prefix;
	char ref[ARCHIVE_REF_SIZE]; /* the first one found, or "" */
	git_oid id;
};

static int find_held(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	struct held *held = context;
	int64_t generation;
	struct log log;

	(void)err;
	if (!archive_parse(name + held->prefix, &log, &generation))
		return 0;
	(void)snprintf(held->ref, sizeof(held->ref), "%s", name);
	git_oid_cpy(&held->id, id);
	return 1;
}

int archive_drop_all(struct exchange *exchange, struct qosid_errbuf *err)
{
	static const char *const places[] = {"refs/heads/", "refs/qosid/verified/"};
	char prefix[64];
	int rc = 0;

	if (exchange->generations.keep || exchange->generations.fetch)
		return 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct held held = {.prefix = strlen(places[i])};

		(void)snprintf(prefix, sizeof(prefix), "%s" PREFIX, places[i]);
		while ((rc = repo_visit_refs(exchange->repo, prefix, find_held, &held, err)) > 0) {
			if ((rc = repo_delete_ref(exchange->repo, held.ref, &held.id, err)) != 0)
				return rc;
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- proving ---- */

int archive_verify(struct exchange *exchange, const struct log *log, const git_oid *begin, git_oid *first,
    const char **cause, struct qosid_errbuf *fault)
{
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root, exchange->steward};
	struct log_point point = {0};
	struct log_chain chain = {0};
	struct qosid_buf payload = {0};
	struct commit next = {0};
	enum log_relation relation;
	int rc;

	*cause = "archive";
	if ((rc = log_read_commit(exchange->repo, begin, &next, fault)) != 0 ||
	    (rc = log_compare(exchange->repo, &point, &next.archive, &relation, &chain, fault)) != 0)
		goto out;
	for (size_t i = 0; rc == 0 && i < chain.count; i++) {
		struct commit commit = {0};

		rc = log_verify_next(
		    exchange->repo, log, &rules, &point, &chain.ids[i], &commit, &payload, cause, fault);
		commit_free(&commit);
	}
	if (rc != 0)
		goto out;
	*cause = "archive";
	if (memcmp(point.digest, next.previous, DIGEST_BYTES) != 0 || point.sequence != next.sequence - 1 ||
	    point.generation != next.generation - 1 || point.in_snapshot)
		rc = qosid_error(fault, QOSID_ERR_REFUSED, "%s: generation %lld is not what generation %lld links to",
		    log->name, (long long)point.generation, (long long)next.generation);
	else
		git_oid_cpy(first, &chain.ids[0]);
out:
	commit_free(&next);
	log_chain_free(&chain);
	qosid_buf_free(&payload);
	return rc;
}
