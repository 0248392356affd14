/*
 * How two places in a log relate, by walking back from both (log.h).
 *
 * In git a log is a chain of parents. An office log that was restarted is several: the first commit of a generation has
 * no parent, but names the last commit of the generation before, which may be here or may have been dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/log.h"

/* A peer's log longer than this is not walked: 16 million change sets are 40 years of one a minute. */
#define CHAIN_MAX ((size_t)1 << 24)

void log_chain_free(struct log_chain *chain)
{
	free(chain->ids);
	*chain = (struct log_chain){0};
}

static int chain_add(struct log_chain *chain, const git_oid *id, struct qosid_errbuf *err)
{
	if (chain->count >= CHAIN_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "the log is longer than %zu commits", CHAIN_MAX);
	if ((chain->count & (chain->count - 1)) == 0) { /* full at powers of two */
		size_t room = chain->count == 0 ? 1 : chain->count * 2;
		git_oid *ids = realloc(chain->ids, room * sizeof(*ids));

		if (ids == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a log of %zu commits", room);
		chain->ids = ids;
	}
	git_oid_cpy(&chain->ids[chain->count++], id);
	return 0;
}

int log_chain_prepend(struct log_chain *chain, const struct log_chain *older, struct qosid_errbuf *err)
{
	git_oid *ids;

	if (older->count > CHAIN_MAX - chain->count)
		return qosid_error(err, QOSID_ERR_LIMIT, "the log is longer than %zu commits", CHAIN_MAX);
	ids = reallocarray(chain->ids, older->count + chain->count, sizeof(*ids));
	if (ids == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a log of %zu commits", chain->count);
	memmove(ids + older->count, ids, chain->count * sizeof(*ids));
	memcpy(ids, older->ids, older->count * sizeof(*ids));
	chain->ids = ids;
	chain->count += older->count;
	return 0;
}

/* The parent named by a raw commit: its second line, when that is a parent line. Form is judged elsewhere. */
static bool parse_parent(const struct qosid_buf *raw, git_oid *parent)
{
	static const char tag[] = "parent ";
	const size_t tree_line = sizeof("tree ") - 1 + GIT_OID_HEXSZ + 1;
	const char *text = (const char *)raw->data;

	if (raw->len < tree_line + sizeof(tag) - 1 + GIT_OID_HEXSZ || memcmp(text, "tree ", 5) != 0 ||
	    memcmp(text + tree_line, tag, sizeof(tag) - 1) != 0)
		return false;
	return git_oid_fromstrn(parent, text + tree_line + sizeof(tag) - 1, GIT_OID_HEXSZ) == 0;
}

static void chain_reverse(struct log_chain *chain)
{
	for (size_t i = 0; i < chain->count / 2; i++) {
		git_oid swap = chain->ids[i];

		chain->ids[i] = chain->ids[chain->count - 1 - i];
		chain->ids[chain->count - 1 - i] = swap;
	}
}

/* Someone on the way from a commit to the root. */
struct walker {
	git_oid id;
	bool at_end;   /* id is the root, and has been visited */
	bool crosses;  /* from the first commit of a generation on to the last of the one before */
	bool crossed;  /* just now: id may not be here */
	bool cut;      /* it was not: that generation has been dropped */
	int64_t first; /* sequence of the first commit of the last generation visited; 0 in the first of all */
};

/* Where a walk has come to a commit without parent. */
static void walker_cross(struct walker *walker, struct repo *repo)
{
	struct commit commit = {0};

	walker->at_end = true;
	walker->first = 0;
	if (walker->crosses && log_read_commit(repo, &walker->id, &commit, NULL) == 0 && commit_begins(&commit)) {
		walker->at_end = false;
		walker->crossed = true;
		walker->first = commit.sequence;
		git_oid_cpy(&walker->id, &commit.archive);
	}
	commit_free(&commit);
}

/* Whether it can go on from id. */
static bool walker_stands(struct walker *walker, struct repo *repo)
{
	if (walker->crossed && !repo_has(repo, &walker->id))
		walker->at_end = walker->cut = true;
	walker->crossed = false;
	return !walker->at_end;
}

static int walker_step(struct walker *walker, struct repo *repo, struct qosid_buf *raw, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(raw);
	if ((rc = repo_read(repo, &walker->id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, raw, err)) != 0)
		return rc;
	if (!parse_parent(raw, &walker->id))
		walker_cross(walker, repo);
	return 0;
}

/* Walk from both in step, so that the shorter way to the other decides. */
static int meet(struct repo *repo, struct walker *from_tip, struct walker *from_point, const struct log_point *point,
    const git_oid *tip, enum log_relation *relation, struct log_chain *chain, struct qosid_errbuf *err)
{
	bool empty = point->sequence == 0;
	struct qosid_buf raw = {0};
	int rc = 0;

	while (rc == 0 && (!from_tip->at_end || !from_point->at_end)) {
		if (walker_stands(from_tip, repo)) {
			if ((rc = chain_add(chain, &from_tip->id, err)) != 0 ||
			    (rc = walker_step(from_tip, repo, &raw, err)) != 0)
				break;
			if (from_tip->at_end ? empty : !empty && git_oid_equal(&from_tip->id, &point->commit)) {
				*relation = LOG_AHEAD;
				break;
			}
		}
		if (walker_stands(from_point, repo)) {
			if ((rc = walker_step(from_point, repo, &raw, err)) != 0)
				break;
			if (!from_point->at_end && git_oid_equal(&from_point->id, tip)) {
				*relation = LOG_BEHIND;
				break;
			}
		}
	}
	qosid_buf_free(&raw);
	return rc;
}

/* Neither way has led to the other: whether that can be because a generation between them has been dropped. */
static enum log_relation judge(struct repo *repo, const struct walker *from_tip, const struct walker *from_point,
    const struct log_point *point, const git_oid *tip)
{
	struct commit at_tip = {0}, at_point = {0};
	enum log_relation relation = LOG_DIVERGED;

	if (log_read_commit(repo, tip, &at_tip, NULL) == 0 &&
	    log_read_commit(repo, &point->commit, &at_point, NULL) == 0) {
		if (from_tip->cut && at_point.sequence < from_tip->first - 1)
			relation = LOG_RESTARTED;
		else if (from_point->cut && at_tip.sequence < from_point->first - 1)
			relation = LOG_OLDER;
	}
	commit_free(&at_tip);
	commit_free(&at_point);
	return relation;
}

static int relate(struct repo *repo, bool crosses, const struct log_point *point, const git_oid *tip,
    enum log_relation *relation, struct log_chain *chain, struct qosid_errbuf *err)
{
	bool empty = point->sequence == 0;
	struct walker from_tip = {.id = *tip, .crosses = crosses && !empty};
	struct walker from_point = {.id = point->commit, .at_end = empty, .crosses = crosses};
	int rc;

	log_chain_free(chain);
	*relation = LOG_SAME;
	if (!empty && git_oid_equal(&point->commit, tip))
		return 0;
	*relation = LOG_DIVERGED;
	rc = meet(repo, &from_tip, &from_point, point, tip, relation, chain, err);
	if (rc == 0 && *relation == LOG_DIVERGED && crosses)
		*relation = judge(repo, &from_tip, &from_point, point, tip);
	if (rc == 0 && (*relation == LOG_AHEAD || *relation == LOG_RESTARTED))
		chain_reverse(chain);
	else
		log_chain_free(chain);
	return rc;
}

int log_compare(struct repo *repo, const struct log_point *point, const git_oid *tip, enum log_relation *relation,
    struct log_chain *chain, struct qosid_errbuf *err)
{
	return relate(repo, false, point, tip, relation, chain, err);
}

int log_relate(struct repo *repo, const struct log *log, const struct log_point *point, const git_oid *tip,
    enum log_relation *relation, struct log_chain *chain, struct qosid_errbuf *err)
{
	return relate(repo, log->kind == LOG_OFFICE, point, tip, relation, chain, err);
}
