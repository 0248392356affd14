/*
 * See store_support.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store_support.h"

int scratch_setup(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));
	const char *tmp = getenv("TMPDIR");

	if (!scratch)
		return -1;
	(void)snprintf(scratch->dir, sizeof(scratch->dir), "%s/qosid-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch->dir))
		return -1;
	(void)snprintf(scratch->path, sizeof(scratch->path), "%s/replica.db", scratch->dir);
	*state = scratch;
	return replica_open(&scratch->replica, scratch->path, REPLICA_CREATE, &scratch->err);
}

int scratch_teardown(void **state)
{
	struct scratch *scratch = *state;
	char path[600];
	struct dirent *entry;
	DIR *dir;

	replica_close(scratch->replica);
	dir = opendir(scratch->dir);
	while (dir && (entry = readdir(dir))) {
		(void)snprintf(path, sizeof(path), "%s/%s", scratch->dir, entry->d_name);
		(void)unlink(path); /* "." and ".." stay */
	}
	if (dir)
		closedir(dir);
	(void)rmdir(scratch->dir);
	free(scratch);
	return 0;
}

void scratch_reopen(struct scratch *scratch)
{
	replica_close(scratch->replica);
	scratch->replica = NULL;
	assert_rc(scratch, replica_open(&scratch->replica, scratch->path, 0, &scratch->err), 0);
}

void check_rc(struct scratch *scratch, int rc, int expected, const char *call, const char *file, int line)
{
	if (rc != expected) {
		print_error("%s gave %d, not %d: %s (%s)\n", call, rc, expected, scratch->err.what, scratch->err.where);
		_fail(file, line);
	}
	if (rc < 0 && scratch->err.code != rc) {
		print_error("%s gave %d but err->code %d\n", call, rc, scratch->err.code);
		_fail(file, line);
	}
	qosid_error_clear(&scratch->err);
}

struct json_slice slice(const char *text)
{
	return (struct json_slice){text, text ? strlen(text) : 0};
}

struct revision rev_of(const char *text)
{
	struct revision rev;

	assert_int_equal(revision_parse(&rev, text, strlen(text), NULL), 0);
	return rev;
}

/* ---- writing ---- */

/* Begin unless the test has begun; finish what was begun here. */
static bool begin(struct scratch *scratch)
{
	return replica_begin(scratch->replica, NULL) == 0;
}

static int finish(struct scratch *scratch, bool own, int rc)
{
	if (own && rc == 0)
		rc = replica_commit(scratch->replica, &scratch->err);
	else if (own)
		replica_rollback(scratch->replica);
	return rc;
}

int try_edit(struct scratch *scratch, const char *id, const char *parent, bool deleted, const char *body,
    const char *attachments)
{
	struct revision parent_rev, written;
	struct replica_edit put = {
	    .id = id,
	    .deleted = deleted,
	    .body = slice(body),
	    .attachments = slice(attachments),
	    .user = "tester",
	    .time = 1764000000123,
	};
	bool own = begin(scratch);
	int rc;

	if (parent) {
		parent_rev = rev_of(parent);
		put.parent = &parent_rev;
	}
	rc = replica_put_edit(scratch->replica, &put, &written, &scratch->err);
	if (rc == 0)
		revision_format(scratch->text, &written);
	return finish(scratch, own, rc);
}

const char *edit(struct scratch *scratch, const char *id, const char *parent, const char *body)
{
	assert_rc(scratch, try_edit(scratch, id, parent, false, body, NULL), 0);
	return scratch->text;
}

const char *edit_delete(struct scratch *scratch, const char *id, const char *parent)
{
	assert_rc(scratch, try_edit(scratch, id, parent, true, "{}", NULL), 0);
	return scratch->text;
}

int try_merge(struct scratch *scratch, const char *id, const char *path, bool deleted, const char *body,
    const char *attachments, bool pending, enum revtree_outcome *outcome)
{
	char text[4096];
	const char *hashes[64];
	struct replica_revision revision = {
	    .id = id,
	    .body = slice(body),
	    .attachments = slice(attachments),
	    .user = "elsewhere",
	    .time = 1764000001000,
	    .pending = pending,
	};
	size_t count = 0;
	char *hash, *rest;
	bool own;
	int rc;

	assert_true(strlen(path) < sizeof(text));
	strcpy(text, path);
	revision.path.generation = (uint32_t)strtoul(text, &rest, 10);
	for (hash = strtok_r(rest + 1, " ", &rest); hash; hash = strtok_r(NULL, " ", &rest)) {
		assert_true(count < 64);
		hashes[count++] = hash;
	}
	revision.path.hashes = hashes;
	revision.path.count = count;
	revision.path.deleted = deleted;
	own = begin(scratch);
	rc = replica_put_revision(scratch->replica, &revision, outcome, &scratch->err);
	return finish(scratch, own, rc);
}

enum revtree_outcome merge(
    struct scratch *scratch, const char *id, const char *path, bool deleted, const char *body, bool pending)
{
	enum revtree_outcome outcome = REVTREE_KNOWN;

	assert_rc(scratch, try_merge(scratch, id, path, deleted, body, NULL, pending, &outcome), 0);
	return outcome;
}

/* ---- reading ---- */

static void check_record(struct replica_record *record, const char *rev, const char *body)
{
	char text[REVISION_TEXT_SIZE];

	revision_format(text, &record->rev);
	assert_string_equal(text, rev);
	assert_string_equal((const char *)record->body.data, body);
}

void expect_winner(struct scratch *scratch, const char *id, const char *rev, bool deleted, const char *body)
{
	struct replica_record record = {0};

	assert_rc(scratch, replica_read_document(scratch->replica, id, NULL, &record, &scratch->err),
	    deleted ? QOSID_ERR_NOTFOUND : 0);
	assert_int_equal(record.deleted, deleted);
	check_record(&record, rev, body);
	replica_record_free(&record);
}

void expect_revision(struct scratch *scratch, const char *id, const char *rev, const char *body)
{
	struct replica_record record = {0};
	struct revision wanted = rev_of(rev);

	assert_rc(scratch, replica_read_document(scratch->replica, id, &wanted, &record, &scratch->err), 0);
	check_record(&record, rev, body);
	replica_record_free(&record);
}

void expect_missing(struct scratch *scratch, const char *id, const char *rev, const char *why)
{
	struct replica_record record = {0};
	struct revision wanted;

	if (rev)
		wanted = rev_of(rev);
	assert_int_equal(replica_read_document(scratch->replica, id, rev ? &wanted : NULL, &record, &scratch->err),
	    QOSID_ERR_NOTFOUND);
	assert_non_null(strstr(scratch->err.what, why));
	qosid_error_clear(&scratch->err);
	replica_record_free(&record);
}

void expect_render(struct scratch *scratch, const char *id, const char *rev, unsigned options, const char *expected)
{
	struct replica_record record = {0};
	struct revision wanted;
	struct qosid_buf out = {0};

	if (rev)
		wanted = rev_of(rev);
	assert_rc(
	    scratch, replica_read_document(scratch->replica, id, rev ? &wanted : NULL, &record, &scratch->err), 0);
	assert_rc(scratch, replica_render_record(scratch->replica, &record, options, &out, &scratch->err), 0);
	assert_string_equal((const char *)out.data, expected);
	qosid_buf_free(&out);
	replica_record_free(&record);
}

struct replica_info info(struct scratch *scratch)
{
	struct replica_info out;

	assert_rc(scratch, replica_read_info(scratch->replica, &out, &scratch->err), 0);
	return out;
}

int list_record(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct qosid_buf *out = context;
	char text[REVISION_TEXT_SIZE];

	revision_format(text, &record->rev);
	return qosid_buf_append_format(out, err, "%s%s@%s", out->len ? " " : "", (const char *)record->id.data, text);
}

void expect_pending(struct scratch *scratch, const char *expected)
{
	struct qosid_buf list = {0};

	assert_rc(scratch, qosid_buf_append_text(&list, "", &scratch->err), 0);
	assert_rc(scratch, replica_visit_pending(scratch->replica, list_record, &list, &scratch->err), 0);
	assert_string_equal((const char *)list.data, expected);
	qosid_buf_free(&list);
}

uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}
