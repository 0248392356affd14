/*
 * What has been acknowledged survives: kill -9 at any moment, two processes at once, a full disk; files that are
 * damaged, foreign or of a newer schema are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_support.h"

#define BATCH 10

/* Children must not run the parent's cleanups, nor report through its cmocka. */
static void child_exit(int status)
{
	_exit(status);
}

static int put_new(struct replica *replica, const char *id, const char *body, struct qosid_errbuf *err)
{
	struct revision written;
	struct replica_edit put = {.id = id, .body = slice(body), .user = "child", .time = 1};

	return replica_put_edit(replica, &put, &written, err);
}

/* Write the batch "<name>-<number>-0".. in one transaction. */
static int put_batch(struct replica *replica, const char *name, unsigned number, struct qosid_errbuf *err)
{
	char id[64], body[1200];
	int rc = replica_begin(replica, err);

	for (unsigned i = 0; rc == 0 && i < BATCH; i++) {
		(void)snprintf(id, sizeof(id), "%s-%u-%u", name, number, i);
		(void)snprintf(body, sizeof(body), "{\"pad\":\"%01000u\"}", number);
		rc = put_new(replica, id, body, err);
	}
	if (rc == 0)
		rc = replica_commit(replica, err);
	else
		replica_rollback(replica);
	return rc;
}

static void expect_integrity(struct scratch *s)
{
	sqlite3 *db;
	sqlite3_stmt *statement;

	assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
	sqlite3_finalize(statement);
	/* The counters agree with what they count. */
	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT documents = (SELECT count(*) FROM document WHERE NOT flags & 1)"
			     " AND pending = (SELECT count(*) FROM document WHERE flags & 2 AND sequence > published)"
			     " + (SELECT count(*) FROM revision WHERE pending)"
			     " AND sequence >= (SELECT coalesce(max(sequence), 0) FROM document) FROM state",
			     -1, &statement, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(statement, 0), 1);
	sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect_batch(struct scratch *s, const char *name, unsigned number)
{
	struct replica_record record = {0};
	char id[64];

	for (unsigned i = 0; i < BATCH; i++) {
		(void)snprintf(id, sizeof(id), "%s-%u-%u", name, number, i);
		assert_rc(s, replica_read_document(s->replica, id, NULL, &record, &s->err), 0);
	}
	replica_record_free(&record);
}

/* Write batches and acknowledge each through the pipe, until killed. */
static void run_writer(const char *path, unsigned first, int pipe_fd)
{
	struct qosid_errbuf err = {0};
	struct replica *replica;

	if (replica_open(&replica, path, 0, &err) < 0) {
		fprintf(stderr, "# child: %s\n", err.what);
		child_exit(1);
	}
	for (unsigned number = first;; number++) {
		if (put_batch(replica, "k", number, &err) < 0) {
			fprintf(stderr, "# child: %s\n", err.what);
			child_exit(2);
		}
		if (write(pipe_fd, &number, sizeof(number)) != sizeof(number))
			child_exit(3);
	}
}

static void test_kill(void **state)
{
	struct scratch *s = *state;
	uint64_t seed = 99;
	unsigned next = 0, acknowledged;

	for (int round = 0; round < 10; round++) {
		unsigned wanted = 1 + random_next(&seed) % 12;
		int fds[2], status;
		pid_t child;

		replica_close(s->replica);
		s->replica = NULL;
		assert_int_equal(pipe(fds), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(fds[0]);
			run_writer(s->path, next, fds[1]);
		}
		close(fds[1]);
		while (wanted-- > 0)
			assert_int_equal(read(fds[0], &acknowledged, sizeof(acknowledged)), sizeof(acknowledged));
		/* Somewhere inside the next batches. */
		usleep(random_next(&seed) % 3000);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged))
			; /* what it acknowledged before it died */
		close(fds[0]);
		assert_rc(s, replica_open(&s->replica, s->path, 0, &s->err), 0);
		for (unsigned number = 0; number <= acknowledged; number++)
			expect_batch(s, "k", number);
		/* One batch may have been stored and not acknowledged; none is there in part. */
		next = (unsigned)(info(s).documents / BATCH);
		assert_int_equal(info(s).documents, next * BATCH);
		assert_true(next == acknowledged + 1 || next == acknowledged + 2);
		expect_integrity(s);
	}
}

static pid_t start_counter(const char *path, const char *name, unsigned batches)
{
	struct replica *replica;
	struct qosid_errbuf err = {0};
	pid_t child = fork();

	if (child != 0)
		return child;
	if (replica_open(&replica, path, REPLICA_CREATE, &err) < 0) {
		fprintf(stderr, "# child: %s\n", err.what);
		child_exit(1);
	}
	for (unsigned number = 0; number < batches; number++)
		if (put_batch(replica, name, number, &err) < 0) {
			fprintf(stderr, "# child: %s\n", err.what);
			child_exit(2);
		}
	replica_close(replica);
	child_exit(0);
	return 0;
}

static void wait_success(pid_t child)
{
	int status;

	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The file does not exist yet: both also create it at once. */
static void test_two_writers(void **state)
{
	struct scratch *s = *state;
	pid_t a, b;

	replica_close(s->replica);
	s->replica = NULL;
	assert_int_equal(unlink(s->path), 0);
	a = start_counter(s->path, "a", 40);
	b = start_counter(s->path, "b", 40);
	wait_success(a);
	wait_success(b);
	assert_rc(s, replica_open(&s->replica, s->path, 0, &s->err), 0);
	for (unsigned number = 0; number < 40; number++) {
		expect_batch(s, "a", number);
		expect_batch(s, "b", number);
	}
	assert_int_equal(info(s).documents, 2 * 40 * BATCH);
	assert_int_equal(info(s).sequence, 2 * 40 * BATCH);
	expect_integrity(s);
}

/* In a child, since a limit on file sizes cannot be taken back for good. */
static void fill_disk(const char *path)
{
	struct rlimit limit = {300000, 300000};
	struct qosid_errbuf err = {0};
	struct replica_info before, after;
	struct replica *replica;
	unsigned number = 0;
	int rc;

	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) < 0)
		child_exit(1);
	if (replica_open(&replica, path, 0, &err) < 0)
		child_exit(2);
	do {
		if (replica_read_info(replica, &before, &err) < 0)
			child_exit(3);
		rc = put_batch(replica, "f", number++, &err);
	} while (rc == 0 && number < 1000);
	if (rc != QOSID_ERR_FULL || err.code != QOSID_ERR_FULL || !err.hint[0]) {
		fprintf(stderr, "# child: rc %d: %s\n", rc, err.what);
		child_exit(4);
	}
	/* Reading still works, and nothing of the batch is there. */
	if (replica_read_info(replica, &after, &err) < 0 || before.documents != after.documents ||
	    after.documents != (int64_t)(number - 1) * BATCH)
		child_exit(5);
	replica_close(replica);
	child_exit(0);
}

static void test_full_disk(void **state)
{
	struct scratch *s = *state;
	int64_t batches;
	pid_t child;

	replica_close(s->replica);
	s->replica = NULL;
	child = fork();
	if (child == 0)
		fill_disk(s->path);
	wait_success(child);
	assert_rc(s, replica_open(&s->replica, s->path, 0, &s->err), 0);
	batches = info(s).documents / BATCH;
	assert_true(batches > 0);
	for (unsigned number = 0; number < batches; number++)
		expect_batch(s, "f", number);
	expect_integrity(s);
	assert_rc(s, put_batch(s->replica, "g", 0, &s->err), 0);
}

/* ---- files that are refused ---- */

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void write_at(const char *path, off_t offset, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, offset), len);
	assert_int_equal(close(fd), 0);
}

static void expect_refused(struct scratch *s, unsigned flags, int code, const char *what)
{
	assert_int_equal(replica_open(&s->replica, s->path, flags, &s->err), code);
	assert_int_equal(s->err.code, code);
	if (!strstr(s->err.what, what))
		fail_msg("\"%s\" does not say \"%s\"", s->err.what, what);
	assert_null(s->replica);
	qosid_error_clear(&s->err);
}

static void test_newer_schema(void **state)
{
	struct scratch *s = *state;

	replica_close(s->replica);
	s->replica = NULL;
	run_sql(s->path, "PRAGMA user_version = 99");
	assert_int_equal(replica_open(&s->replica, s->path, 0, &s->err), QOSID_ERR_INVALID);
	assert_non_null(strstr(s->err.hint, "upgrade"));
	expect_refused(s, REPLICA_CREATE, QOSID_ERR_INVALID, "version 99");
	expect_refused(s, REPLICA_READ_ONLY, QOSID_ERR_INVALID, "version 99");
}

static void test_foreign_files(void **state)
{
	struct scratch *s = *state;
	static const char text[] =
	    "This is a letter, not a database, and it is longer than a header of one hundred bytes "
	    "so that it is read as one.";

	replica_close(s->replica);
	s->replica = NULL;
	assert_int_equal(unlink(s->path), 0);
	expect_refused(s, 0, QOSID_ERR_NOTFOUND, s->path);
	run_sql(s->path, "CREATE TABLE other(x)");
	expect_refused(s, REPLICA_CREATE, QOSID_ERR_INVALID, "another program");
	assert_int_equal(unlink(s->path), 0);
	write_at(s->path, 0, text, sizeof(text));
	expect_refused(s, REPLICA_CREATE, QOSID_ERR_CORRUPT, "not a database");
	assert_int_equal(truncate(s->path, 0), 0);
	expect_refused(s, 0, QOSID_ERR_INVALID, "empty");
	/* What a creation that was cut short leaves behind can be created again. */
	assert_rc(s, replica_open(&s->replica, s->path, REPLICA_CREATE, &s->err), 0);
	assert_int_equal(info(s).documents, 0);
}

/* A write that fails for another reason than a refusal takes its whole transaction with it. */
static void test_damaged_tree_dooms_the_transaction(void **state)
{
	struct scratch *s = *state;

	edit(s, "a", NULL, "{}");
	run_sql(s->path, "UPDATE document SET tree = x'ff'");
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	edit(s, "b", NULL, "{}");
	assert_rc(s, try_edit(s, "a", NULL, false, "{\"n\":1}", NULL), QOSID_ERR_CORRUPT);
	assert_int_equal(replica_commit(s->replica, &s->err), QOSID_ERR_FAILED);
	expect_missing(s, "b", NULL, "missing");
}

static void test_damaged_files(void **state)
{
	struct scratch *s = *state;
	struct replica_range all = {0};
	struct qosid_buf list = {0};
	char garbage[4096];
	struct stat status;
	int rc;

	for (unsigned number = 0; number < 20; number++)
		assert_rc(s, put_batch(s->replica, "d", number, &s->err), 0);
	replica_close(s->replica);
	s->replica = NULL;
	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(stat(s->path, &status), 0);
	/* All pages but the first one. */
	for (off_t offset = 4096; offset < status.st_size; offset += 4096)
		write_at(s->path, offset, garbage, sizeof(garbage));
	rc = replica_open(&s->replica, s->path, 0, &s->err);
	if (rc == 0)
		rc = replica_visit_documents(s->replica, &all, list_record, &list, &s->err);
	assert_int_equal(rc, QOSID_ERR_CORRUPT);
	assert_true(s->err.hint[0] != '\0');
	assert_non_null(strstr(s->err.where, s->path));
	replica_close(s->replica);
	s->replica = NULL;
	write_at(s->path, 0, garbage, sizeof(garbage));
	expect_refused(s, 0, QOSID_ERR_CORRUPT, "not a database");
	qosid_buf_free(&list);
}

static void test_damaged_tree(void **state)
{
	struct scratch *s = *state;
	struct replica_record record = {0};

	merge(s, "a", "1-x", false, "{}", false);
	run_sql(s->path, "UPDATE document SET tree = x'ffffffff'");
	assert_int_equal(replica_read_document(s->replica, "a", NULL, &record, &s->err), QOSID_ERR_CORRUPT);
	assert_non_null(strstr(s->err.where, "document \"a\""));
	replica_record_free(&record);
}

static void test_read_only(void **state)
{
	struct scratch *s = *state;

	merge(s, "a", "1-x", false, "{}", false);
	replica_close(s->replica);
	s->replica = NULL;
	expect_refused(s, REPLICA_READ_ONLY | REPLICA_CREATE, QOSID_ERR_USAGE, "read-only");
	assert_rc(s, replica_open(&s->replica, s->path, REPLICA_READ_ONLY, &s->err), 0);
	expect_winner(s, "a", "1-x", false, "{}");
	assert_rc(s, replica_begin(s->replica, &s->err), QOSID_ERR_USAGE);
}

static void test_private_file(void **state)
{
	struct scratch *s = *state;
	struct stat status;
	char wal[400];

	assert_int_equal(stat(s->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	edit(s, "a", NULL, "{}");
	(void)snprintf(wal, sizeof(wal), "%s-wal", s->path);
	assert_int_equal(stat(wal, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_kill),
	    TEST(test_two_writers),
	    TEST(test_full_disk),
	    TEST(test_newer_schema),
	    TEST(test_foreign_files),
	    TEST(test_damaged_tree_dooms_the_transaction),
	    TEST(test_damaged_files),
	    TEST(test_damaged_tree),
	    TEST(test_read_only),
	    TEST(test_private_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
