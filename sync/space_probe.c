/*
 * Trying a remote out: what works, what does not, and why, one thing after the other.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/exchange/peer.h"
#include "sync/space_internal.h"

struct test {
	struct space *space;
	const struct space_remote *remote;
	int (*visit)(void *context, const struct space_check *check, struct qosid_errbuf *err);
	void *context;
	int code; /* of the first check that failed */
	struct qosid_errbuf *err;
};

static int tell_good(struct test *test, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int tell_good(struct test *test, const char *name, const char *format, ...)
{
	char text[512];
	struct space_check check = {.name = name, .good = true, .text = text, .hint = ""};
	va_list words;

	va_start(words, format);
	(void)vsnprintf(text, sizeof(text), format, words);
	va_end(words);
	return test->visit(test->context, &check, test->err);
}

static int tell_bad(struct test *test, const char *name, const struct qosid_errbuf *fault, bool host_unknown)
{
	struct space_check check = {
	    .name = name, .host_unknown = host_unknown, .text = fault->what, .hint = fault->hint};
	struct qosid_errbuf err = {0};
	int rc = test->visit(test->context, &check, &err);

	if (test->code == 0 || rc != 0) {
		test->code = rc != 0 ? rc : fault->code;
		if (test->err != NULL)
			*test->err = rc != 0 ? err : *fault;
	}
	return rc;
}

/* ---- links ---- */

/* What it means that a stage was reached. */
static int tell_stage(struct test *test, enum link_scheme scheme, enum link_stage stage, const struct link_probe *probe)
{
	switch (stage) {
	case LINK_STAGE_NAME:
		return tell_good(test, "name", "the name of the server resolves");
	case LINK_STAGE_CONNECT:
		return tell_good(test, "connection", "the server answers");
	case LINK_STAGE_HOST:
		if (scheme == LINK_SSH)
			return tell_good(test, "host", "its key is one that was confirmed");
		return tell_good(test, "host", "its certificate is right%s%s",
		    probe->version[0] != '\0' ? ", HTTP/" : "", probe->version);
	case LINK_STAGE_LOGIN:
		return tell_good(test, "login", "it lets this office in");
	case LINK_STAGE_REPOSITORY:
		return tell_good(test, "repository", "git speaks for the repository there, and it may be read");
	default:
		return 0;
	}
}

static const char *name_of_stage(enum link_stage stage)
{
	static const char *const names[] = {"settings", "name", "connection", "host", "login", "repository"};

	return names[stage <= LINK_STAGE_REPOSITORY ? stage : LINK_STAGE_START];
}

/* Failures before anything has been reached that have nothing to do with the network. */
static bool is_setting(const struct link_probe *probe, int rc)
{
	return probe->stage == LINK_STAGE_START && rc != QOSID_ERR_OFFLINE;
}

static int test_reading(struct test *test, enum link_scheme scheme, struct link_probe *probe)
{
	const struct space_remote *remote = test->remote;
	struct qosid_errbuf fault = {0};
	int rc = link_try(&remote->target, "git-upload-pack", &remote->limits, probe, &fault), told = 0;

	if (rc == QOSID_ERR_CANCELLED || rc == QOSID_ERR_NOMEM) {
		if (test->err != NULL)
			*test->err = fault;
		return rc;
	}
	for (enum link_stage stage = LINK_STAGE_NAME; told == 0 && stage <= probe->stage; stage++)
		told = tell_stage(test, scheme, stage, probe);
	if (rc == 0 || told != 0)
		return told;
	if (is_setting(probe, rc) || probe->stage >= LINK_STAGE_REPOSITORY)
		return tell_bad(test, is_setting(probe, rc) ? "settings" : "repository", &fault, false);
	return tell_bad(test, name_of_stage(probe->stage + 1), &fault, probe->host_unknown);
}

/* Asking for the other service shows whether this office may push, and pushes nothing. */
static int test_writing(struct test *test)
{
	const struct space_remote *remote = test->remote;
	struct qosid_errbuf fault = {0};
	struct link_probe probe;

	if (link_try(&remote->target, "git-receive-pack", &remote->limits, &probe, &fault) != 0)
		return tell_bad(test, "write", &fault, false);
	return tell_good(test, "write", "it may be written to");
}

static int test_clock(struct test *test, const struct link_probe *probe)
{
	struct qosid_errbuf fault = {0};
	long long skew = (long long)probe->clock_skew, distance = skew < 0 ? -skew : skew;

	if (!probe->clock_known)
		return 0; /* ssh does not tell */
	if (distance <= LIMIT_CLOCK_SKEW_SECONDS)
		return tell_good(test, "clock", "its clock and this one agree to %lld s", distance);
	(void)qosid_error(&fault, QOSID_ERR_FAILED, "its clock is %lld minutes %s this one", distance / 60,
	    skew > 0 ? "ahead of" : "behind");
	qosid_error_hint(&fault, "set the one that is wrong; other offices will see times that cannot be right");
	return tell_bad(test, "clock", &fault, false);
}

/* ---- logs ---- */

struct count {
	struct space *space;
	size_t logs, members, here;
};

static int count_log(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	static const char heads[] = "refs/heads/";
	struct count *count = context;
	const struct roster *roster = space_roster(count->space);
	struct log log;

	(void)err;
	if (strncmp(name, heads, sizeof(heads) - 1) == 0)
		name += sizeof(heads) - 1;
	if (log_parse(&log, name, NULL) != 0)
		return 0;
	count->logs++;
	if (roster_operation_count(roster) > 0 && roster_find_member(roster, -1, log.office) != NULL)
		count->members++;
	if (repo_has(count->space->exchange.repo, id))
		count->here++;
	return 0;
}

static int test_logs(struct test *test)
{
	const struct space_remote *remote = test->remote;
	struct count count = {.space = test->space};
	struct qosid_errbuf fault = {0};
	struct peer *peer = NULL;
	int rc;

	if ((rc = peer_open(&peer, &remote->target, &remote->limits, test->space->exchange.repo, &fault)) == 0)
		rc = peer_visit_refs(peer, count_log, &count, &fault);
	peer_close(peer);
	if (rc != 0)
		return tell_bad(test, "logs", &fault, false);
	if (count.logs == 0)
		return tell_good(test, "logs", "it holds no log yet; the first exchange brings them");
	if (roster_operation_count(space_roster(test->space)) == 0)
		return tell_good(test, "logs", "it holds %zu log%s; whose they are, the first exchange will tell",
		    count.logs, count.logs == 1 ? "" : "s");
	if (count.members == 0) {
		(void)qosid_error(&fault, QOSID_ERR_FAILED, "it holds %zu log%s, none by a member of this space",
		    count.logs, count.logs == 1 ? "" : "s");
		qosid_error_hint(&fault, "is it the repository of another space?");
		return tell_bad(test, "logs", &fault, false);
	}
	return tell_good(test, "logs", "it holds %zu log%s by members of this space; of %zu all is here already",
	    count.members, count.members == 1 ? "" : "s", count.here);
}

/* ---- all of it ---- */

static int test_folder(struct test *test)
{
	const char *path = test->remote->target.url;
	struct qosid_errbuf fault = {0};
	struct repo *repo = NULL;
	char objects[4200];
	int rc;

	if (strncmp(path, "file://", 7) == 0)
		path += 7;
	rc = repo_open(&repo, path, false, &fault);
	repo_free(repo);
	if (rc != 0)
		return tell_bad(test, "repository", &fault, false);
	(void)snprintf(objects, sizeof(objects), "%s/objects", path);
	if ((rc = tell_good(test, "repository", "the folder holds a bare repository")) != 0)
		return rc;
	if (access(objects, W_OK) == 0)
		rc = tell_good(test, "write", "it may be written to");
	else {
		(void)qosid_error(&fault, QOSID_ERR_REFUSED, "%s may not be written to", path);
		qosid_error_hint(&fault, "is the medium write-protected, or the folder another user's?");
		rc = tell_bad(test, "write", &fault, false);
	}
	return rc != 0 ? rc : test_logs(test);
}

int space_test_remote(struct space *space, const struct space_remote *remote,
    int (*visit)(void *context, const struct space_check *check, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct test test = {space, remote, visit, context, 0, err};
	struct link_probe probe = {0};
	struct qosid_errbuf fault = {0};
	enum link_scheme scheme;
	int rc;

	if (link_parse_url(remote->target.url, &scheme, &fault) != 0)
		rc = tell_bad(&test, "settings", &fault, false);
	else if (scheme == LINK_FOLDER)
		rc = test_folder(&test);
	else if ((rc = test_reading(&test, scheme, &probe)) == 0 && test.code == 0 && (rc = test_writing(&test)) == 0 &&
		 (rc = test_logs(&test)) == 0)
		rc = test_clock(&test, &probe);
	return rc != 0 ? rc : test.code;
}
