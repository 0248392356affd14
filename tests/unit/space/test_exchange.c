/*
 * Offices that meet through folders: convergence, relay, roles, attachments, and coming back after a crash at the
 * worst moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "offices.h"

static void test_two_offices_converge(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;

	put(offices->steward, "a", "{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0}");
	put(khujand, "b", "{\"from\":\"khujand\"}");
	report = meet(offices->steward, "origin");
	assert_int_equal(report.revisions_published, 1);
	assert_int_equal(report.logs_pushed, 2); /* roster and own */
	report = meet(khujand, "origin");
	assert_int_equal(report.revisions_applied, 1);
	assert_int_equal(report.revisions_published, 1);
	report = meet(offices->steward, "origin");
	assert_int_equal(report.revisions_applied, 1);
	assert_string_equal(get(khujand, "a"), "{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0}");
	assert_string_equal(get(offices->steward, "b"), "{\"from\":\"khujand\"}");
	assert_equal_replicas(offices->steward, khujand);
	assert_int_equal(count_findings(khujand, NULL), 0);
	space_close(khujand);
}

static void test_idle_exchange_changes_nothing(void **state)
{
	struct offices *offices = *state;
	struct exchange_report report;

	put(offices->steward, "a", "{}");
	(void)meet(offices->steward, "origin");
	report = meet(offices->steward, "origin");
	assert_int_equal(report.sets_published, 0);
	assert_int_equal(report.sets_applied, 0);
	assert_int_equal(report.logs_pushed, 0);
	assert_int_equal(report.commits_fetched, 0);
	assert_int_equal(report.findings, 0);
}

static void test_every_revision_is_published(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;

	put(offices->steward, "a", "{\"n\":1}");
	put(offices->steward, "a", "{\"n\":2}");
	put(offices->steward, "a", "{\"n\":3}");
	report = meet(offices->steward, "origin");
	assert_int_equal(report.revisions_published, 3);
	report = meet(khujand, "origin");
	assert_string_equal(get(khujand, "a"), "{\"n\":3}");
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

static void test_conflict_has_the_same_winner(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;
	char winner[256];

	put(offices->steward, "a", "{\"n\":0}");
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	put(offices->steward, "a", "{\"by\":\"dushanbe\"}");
	put(khujand, "a", "{\"by\":\"khujand\"}");
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.conflicts, 1);
	(void)meet(offices->steward, "origin");
	(void)snprintf(winner, sizeof(winner), "%s", get(khujand, "a"));
	assert_string_equal(get(offices->steward, "a"), winner);
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

/* dushanbe and london never share a remote: khujand carries between them. */
static void test_relay(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct space *london = offices_add(offices, "london", "writer,reader");
	struct qosid_errbuf err = {0};

	must(space_remove_remote(london, "origin", &err), &err);
	must(space_add_remote(khujand, "stick", offices_path(offices, "stick.git"), true, &err), &err);
	must(space_add_remote(london, "stick", offices_path(offices, "stick.git"), false, &err), &err);
	put(offices->steward, "a", "{\"from\":\"dushanbe\"}");
	put(london, "b", "{\"from\":\"london\"}");
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	(void)meet(khujand, "stick");
	(void)meet(london, "stick");
	assert_string_equal(get(london, "a"), "{\"from\":\"dushanbe\"}");
	(void)meet(khujand, "stick");
	(void)meet(khujand, "origin");
	(void)meet(offices->steward, "origin");
	assert_string_equal(get(offices->steward, "b"), "{\"from\":\"london\"}");
	assert_equal_replicas(offices->steward, london);
	assert_equal_replicas(khujand, london);
	space_close(khujand);
	space_close(london);
}

/* A stick that is behind is not a stick that was rewound. */
static void test_remote_that_is_behind(void **state)
{
	struct offices *offices = *state;
	struct qosid_errbuf err = {0};
	struct exchange_report report;

	must(space_add_remote(offices->steward, "stick", offices_path(offices, "stick.git"), true, &err), &err);
	put(offices->steward, "a", "{}");
	(void)meet(offices->steward, "stick");
	put(offices->steward, "b", "{}");
	(void)meet(offices->steward, "origin");
	report = meet(offices->steward, "stick");
	assert_int_equal(report.findings, 0);
	assert_int_equal(report.logs_pushed, 1);
	assert_int_equal(count_findings(offices->steward, NULL), 0);
}

static void test_auditor_reads_and_witness_does_not(void **state)
{
	struct offices *offices = *state;
	struct space *auditor = offices_add(offices, "auditor", "auditor");
	struct space *witness = offices_add(offices, "witness", "witness");
	struct exchange_report report;

	put(offices->steward, "a", "{\"n\":1}");
	(void)meet(offices->steward, "origin");
	put(auditor, "mine", "{}");
	report = meet(auditor, "origin");
	assert_string_equal(get(auditor, "a"), "{\"n\":1}");
	assert_int_equal(report.sets_published, 0);
	assert_int_equal(count_findings(auditor, "publish"), 1);
	report = meet(witness, "origin");
	assert_int_equal(report.sets_applied, 1);
	assert_null(get(witness, "a"));
	assert_int_equal(count_findings(witness, NULL), 0);
	space_close(auditor);
	space_close(witness);
}

static void test_joiner_waits_until_admitted(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", NULL);
	struct exchange_report report;

	put(offices->steward, "a", "{}");
	put(khujand, "b", "{}");
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.waiting, 1);
	assert_int_equal(report.sets_published, 0);
	assert_null(get(khujand, "a"));
	offices_admit(offices, khujand, "writer,reader");
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.waiting, 0);
	assert_non_null(get(khujand, "a"));
	(void)meet(offices->steward, "origin");
	assert_non_null(get(offices->steward, "b"));
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

static void test_large_attachment(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	size_t len = ((size_t)LIMIT_FILE_PART_BYTES * 2) + 12345;
	uint8_t *data = malloc(len), digest[DIGEST_BYTES];
	struct qosid_errbuf err = {0};
	struct exchange_report report;
	bool found = false;
	int64_t length = 0;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	digest_compute(digest, data, len);
	must(replica_begin(space_replica(offices->steward), &err), &err);
	struct attachment_writer *writer;
	uint8_t stored[DIGEST_BYTES];
	must(attachment_writer_open(&writer, space_replica(offices->steward), &err), &err);
	must(attachment_writer_write(writer, data, len, &err), &err);
	must(attachment_writer_finish(writer, stored, &length, &err), &err);
	attachment_writer_free(writer);
	assert_memory_equal(stored, digest, DIGEST_BYTES);
	must(replica_commit(space_replica(offices->steward), &err), &err);

	char text[DIGEST_TEXT_SIZE], attachments[256];
	digest_format(text, digest);
	(void)snprintf(attachments, sizeof(attachments),
	    "{\"scan.bin\":{\"content_type\":\"application/octet-stream\",\"stub\":true,\"digest\":\"%s\"}}", text);
	struct replica_edit edit = {.id = "file",
	    .body = {"{}", 2},
	    .attachments = {attachments, strlen(attachments)},
	    .user = "tester",
	    .time = 1764000000000};
	struct revision written;
	must(replica_begin(space_replica(offices->steward), &err), &err);
	must(replica_put_edit(space_replica(offices->steward), &edit, &written, &err), &err);
	must(replica_commit(space_replica(offices->steward), &err), &err);

	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	must(attachment_find(space_replica(khujand), digest, &found, &length, &err), &err);
	assert_true(found);
	assert_int_equal(length, len);
	struct qosid_buf back = {0};
	struct qosid_buf_sink target = {&back, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	must(attachment_read(space_replica(khujand), digest, 0, -1, &sink, &err), &err);
	assert_int_equal(back.len, len);
	assert_memory_equal(back.data, data, len);
	/* The same content again costs no second file. */
	edit.id = "again";
	must(replica_begin(space_replica(offices->steward), &err), &err);
	must(replica_put_edit(space_replica(offices->steward), &edit, &written, &err), &err);
	must(replica_commit(space_replica(offices->steward), &err), &err);
	report = meet(offices->steward, "origin");
	assert_int_equal(report.logs_pushed, 1);
	qosid_buf_free(&back);
	free(data);
	space_close(khujand);
}

static void test_small_attachment(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	uint8_t digest[DIGEST_BYTES];
	struct qosid_errbuf err = {0};
	bool found = false;
	int64_t length;

	put_attachment(offices->steward, "doc", "note.txt", "salom", 5);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	digest_compute(digest, "salom", 5);
	must(attachment_find(space_replica(khujand), digest, &found, &length, &err), &err);
	assert_true(found);
	assert_int_equal(length, 5);
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

/* Git has the change set, SQLite does not know: what a kill between the two leaves behind. */
static void test_crash_after_git_before_sqlite(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;
	struct replica_info info;
	struct qosid_errbuf err = {0};

	put(offices->steward, "a", "{}");
	space_close(offices->steward); /* checkpoints the WAL, so that the file alone is the replica */
	copy_folder(offices_path(offices, "dushanbe/replica.db"), offices_path(offices, "before.db"));
	offices->steward = offices_open(offices, "dushanbe");
	must(space_publish(offices->steward, NULL, &report, &err), &err);
	assert_int_equal(report.sets_published, 1);
	space_close(offices->steward);
	copy_folder(offices_path(offices, "before.db"), offices_path(offices, "dushanbe/replica.db"));
	offices->steward = offices_open(offices, "dushanbe");
	must(replica_read_info(space_replica(offices->steward), &info, &err), &err);
	assert_int_equal(info.pending, 1);
	report = meet(offices->steward, "origin");
	assert_int_equal(report.sets_published, 0);
	must(replica_read_info(space_replica(offices->steward), &info, &err), &err);
	assert_int_equal(info.pending, 0);
	put(offices->steward, "b", "{}");
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.sets_applied, 2);
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

/* The whole folder comes from an old backup: the office takes its own log over from the remote and goes on after it. */
static void test_restored_backup_resumes(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;

	(void)meet(offices->steward, "origin");
	put(khujand, "a", "{\"n\":1}");
	(void)meet(khujand, "origin");
	space_close(khujand);
	copy_folder(offices_path(offices, "khujand"), offices_path(offices, "backup"));
	khujand = offices_open(offices, "khujand");
	put(khujand, "a", "{\"n\":2}");
	put(khujand, "b", "{\"n\":1}");
	(void)meet(khujand, "origin");
	space_close(khujand);
	remove_folder(offices_path(offices, "khujand"));
	copy_folder(offices_path(offices, "backup"), offices_path(offices, "khujand"));
	khujand = offices_open(offices, "khujand");
	put(khujand, "c", "{\"n\":1}");
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	assert_int_equal(report.sets_published, 1);
	assert_string_equal(get(khujand, "a"), "{\"n\":2}");
	report = meet(offices->steward, "origin");
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
}

/* ... but when it published before it met anybody, there are two histories, and everybody sees it. */
static void test_restored_backup_that_published_is_a_fork(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct space *london = offices_add(offices, "london", "writer,reader");
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	must(space_add_remote(khujand, "stick", offices_path(offices, "stick.git"), true, &err), &err);
	must(space_add_remote(offices->steward, "stick", offices_path(offices, "stick.git"), false, &err), &err);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	space_close(khujand);
	copy_folder(offices_path(offices, "khujand"), offices_path(offices, "backup"));
	khujand = offices_open(offices, "khujand");
	put(khujand, "a", "{\"n\":1}");
	(void)meet(khujand, "origin");
	(void)meet(offices->steward, "origin");
	space_close(khujand);
	remove_folder(offices_path(offices, "khujand"));
	copy_folder(offices_path(offices, "backup"), offices_path(offices, "khujand"));
	khujand = offices_open(offices, "khujand");
	put(khujand, "a", "{\"n\":666}");
	(void)meet(khujand, "stick");
	report = meet(offices->steward, "stick");
	assert_true(report.findings > 0);
	assert_int_equal(count_findings(offices->steward, "fork"), 1);
	assert_string_equal(get(offices->steward, "a"), "{\"n\":1}");
	/* The others go on. */
	put(london, "b", "{}");
	(void)meet(london, "origin");
	(void)meet(offices->steward, "origin");
	assert_non_null(get(offices->steward, "b"));
	/* The office itself sees it as well and publishes no more. */
	(void)meet(khujand, "origin");
	assert_int_equal(count_findings(khujand, "fork"), 1);
	put(khujand, "c", "{}");
	report = meet(khujand, "origin");
	assert_int_equal(report.sets_published, 0);
	space_close(khujand);
	space_close(london);
}

static int count_any(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)finding;
	(void)err;
	(*(size_t *)context)++;
	return 0;
}

static void test_verify(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct qosid_errbuf err = {0};
	struct exchange_proof proof;
	size_t findings = 0;

	put(offices->steward, "a", "{}");
	(void)meet(offices->steward, "origin");
	put(khujand, "b", "{}");
	(void)meet(khujand, "origin");
	must(space_verify(khujand, true, NULL, count_any, &findings, &proof, &err), &err);
	assert_int_equal(findings, 0);
	assert_int_equal(proof.partial, 0);
	assert_int_equal(proof.sets, 4); /* two of the roster, one of each office */
	space_close(khujand);
}

static void test_missing_remote_is_offline(void **state)
{
	struct offices *offices = *state;
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	remove_folder(offices_path(offices, "remote.git"));
	assert_int_equal(space_exchange(offices->steward, "origin", NULL, &report, &err), QOSID_ERR_OFFLINE);
	assert_int_equal(space_exchange(offices->steward, "nowhere", NULL, &report, &err), QOSID_ERR_NOTFOUND);
}

int main(void)
{
#define OFFICE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    OFFICE_TEST(test_two_offices_converge),
	    OFFICE_TEST(test_idle_exchange_changes_nothing),
	    OFFICE_TEST(test_every_revision_is_published),
	    OFFICE_TEST(test_conflict_has_the_same_winner),
	    OFFICE_TEST(test_relay),
	    OFFICE_TEST(test_remote_that_is_behind),
	    OFFICE_TEST(test_auditor_reads_and_witness_does_not),
	    OFFICE_TEST(test_joiner_waits_until_admitted),
	    OFFICE_TEST(test_large_attachment),
	    OFFICE_TEST(test_small_attachment),
	    OFFICE_TEST(test_crash_after_git_before_sqlite),
	    OFFICE_TEST(test_restored_backup_resumes),
	    OFFICE_TEST(test_restored_backup_that_published_is_a_fork),
	    OFFICE_TEST(test_verify),
	    OFFICE_TEST(test_missing_remote_is_offline),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
