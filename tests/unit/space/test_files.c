/*
 * Large attachments on demand: documents come without them, a person has one brought with no more of its log than leads
 * to it, and what is elsewhere is not taken for what is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "offices.h"
#include "sync/limits.h"

#define LARGE ((size_t)5 << 20) /* above a batch, so that each is one of its own */

/* Documents file-0, file-1, ... with an attachment each, in a change set each. */
static void publish_files(struct space *space, int count)
{
	uint8_t *data = malloc(LARGE);
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	char id[32];

	assert_non_null(data);
	for (int i = 0; i < count; i++) {
		(void)snprintf(id, sizeof(id), "file-%d", i);
		for (size_t at = 0; at < LARGE; at++)
			data[at] = (uint8_t)(at * 2654435761u >> (8 + i));
		put(space, id, "{\"kind\":\"scan\"}");
		put_attachment(space, id, "scan.pdf", data, LARGE);
		must(space_publish(space, NULL, &report, &err), &err);
		assert_int_equal(report.sets_published, 1);
	}
	free(data);
}

static void digest_of(struct space *space, const char *id, uint8_t out[DIGEST_BYTES], bool *here)
{
	struct replica_record record = {0};
	struct qosid_errbuf err = {0};
	const char *text;

	must(replica_read_document(space_replica(space), id, NULL, &record, &err), &err);
	assert_int_equal(qosid_buf_append_byte(&record.attachments, 0, NULL), 0);
	text = strstr((const char *)record.attachments.data, "blake2b-256:");
	assert_non_null(text);
	must(digest_parse(out, text, DIGEST_TEXT_SIZE - 1, &err), &err);
	must(attachment_find(space_replica(space), out, here, NULL, &err), &err);
	replica_record_free(&record);
}

static bool is_here(struct space *space, const char *id)
{
	uint8_t digest[DIGEST_BYTES];
	bool here;

	digest_of(space, id, digest, &here);
	return here;
}

static int count_absence(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err)
{
	(void)err;
	assert_string_equal(absence->office, "khujand");
	assert_int_equal(absence->length, LARGE);
	++*(int *)context;
	return 0;
}

static int count_absent(struct space *space)
{
	struct qosid_errbuf err = {0};
	int count = 0;

	must(attachment_visit_absent(space_replica(space), NULL, count_absence, &count, &err), &err);
	return count;
}

static int visit_fault(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	if (context == NULL)
		fail_msg("%s: %s", finding->log, finding->detail);
	else
		(void)snprintf(context, 300, "%s: %s", finding->log, finding->detail);
	return 0;
}

static void test_on_demand(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct space *london = offices_add(offices, "london", "writer,reader");
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	uint8_t digest[DIGEST_BYTES];
	struct exchange_wanted wanted = {"khujand", digest};
	struct exchange_proof proof;
	bool here;

	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	publish_files(khujand, 3);
	(void)meet(khujand, "origin");
	must(space_set_remote_files(london, "origin", EXCHANGE_FILES_ON_DEMAND, &err), &err);
	report = meet(london, "origin");
	assert_int_equal(report.findings, 0);
	assert_true(report.bytes_fetched < 100000);
	assert_equal_replicas(khujand, london); /* the documents are all here */
	assert_int_equal(count_absent(london), 3);
	must(space_verify(london, true, NULL, visit_fault, NULL, &proof, &err), &err);

	digest_of(london, "file-1", digest, &here);
	assert_false(here);
	must(space_fetch_file(london, "origin", &wanted, NULL, &report, &here, &err), &err);
	assert_true(here);
	assert_true(is_here(london, "file-1"));
	assert_true(is_here(london, "file-0"));  /* before it in the log */
	assert_false(is_here(london, "file-2")); /* after it */
	assert_true(report.bytes_fetched > 2 * LARGE && report.bytes_fetched < 2 * LARGE + 100000);
	assert_int_equal(count_absent(london), 1);
	must(space_verify(london, true, NULL, visit_fault, NULL, &proof, &err), &err);

	/* It neither fetches the rest by itself nor harms the remote. */
	report = meet(london, "origin");
	assert_int_equal(report.findings, 0);
	assert_false(is_here(london, "file-2"));
	must(space_set_remote_files(london, "origin", EXCHANGE_FILES_ALWAYS, &err), &err);
	report = meet(london, "origin");
	assert_int_equal(report.findings, 0);
	assert_int_equal(count_absent(london), 0);
	assert_true(report.bytes_fetched > LARGE && report.bytes_fetched < LARGE + 100000);
	space_close(khujand);
	space_close(london);
}

static void test_never(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct space *london = offices_add(offices, "london", "writer,reader");
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	uint8_t digest[DIGEST_BYTES];
	struct exchange_wanted wanted = {"khujand", digest};
	bool here;

	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	publish_files(khujand, 1);
	must(space_set_remote_files(khujand, "origin", EXCHANGE_FILES_NEVER, &err), &err);
	report = meet(khujand, "origin");
	assert_int_equal(report.logs_pushed, 1);
	(void)meet(london, "origin");
	assert_int_equal(count_absent(london), 1);
	digest_of(london, "file-0", digest, &here);
	must(space_fetch_file(london, "origin", &wanted, NULL, &report, &here, &err), &err);
	assert_false(here); /* it is not there */
	must(space_set_remote_files(khujand, "origin", EXCHANGE_FILES_ON_DEMAND, &err), &err);
	report = meet(khujand, "origin");
	assert_int_equal(report.logs_pushed, 1);
	must(space_set_remote_files(london, "origin", EXCHANGE_FILES_NEVER, &err), &err);
	assert_int_equal(space_fetch_file(london, "origin", &wanted, NULL, &report, &here, &err), QOSID_ERR_REFUSED);
	(void)meet(london, "origin");
	assert_false(is_here(london, "file-0"));
	must(space_set_remote_files(london, "origin", EXCHANGE_FILES_ON_DEMAND, &err), &err);
	must(space_fetch_file(london, "origin", &wanted, NULL, &report, &here, &err), &err);
	assert_true(here);
	space_close(khujand);
	space_close(london);
}

/* A publisher may send smaller ones through the files log too; nothing is too small but nothing itself. */
static void test_own_size(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct exchange_report report;
	uint8_t data[2000] = {1};
	FILE *config;

	space_close(offices->steward);
	config = fopen(offices_path(offices, "dushanbe/config"), "a");
	assert_non_null(config);
	assert_true(fputs("[space]\n\tattachment-inline = 1000\n", config) >= 0);
	assert_int_equal(fclose(config), 0);
	offices->steward = offices_open(offices, "dushanbe");
	put(offices->steward, "a", "{}");
	put_attachment(offices->steward, "a", "large", data, 1001);
	put(offices->steward, "b", "{}");
	put_attachment(offices->steward, "b", "small", data, 1000);
	put(offices->steward, "c", "{}");
	put_attachment(offices->steward, "c", "empty", data, 0);
	report = meet(offices->steward, "origin");
	assert_int_equal(report.logs_pushed, 3); /* roster, office, files */
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	assert_true(is_here(khujand, "a") && is_here(khujand, "b") && is_here(khujand, "c"));
	space_close(khujand);
}

/* What a fetched files log holds and the replica does not is missing, and said to be. */
static void test_missing(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct qosid_errbuf err = {0};
	char command[300], said[300] = "";
	struct exchange_proof proof;

	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	publish_files(khujand, 1);
	space_close(khujand);
	(void)snprintf(command, sizeof(command), "sqlite3 %s 'DELETE FROM attachment_chunk; DELETE FROM attachment'",
	    offices_path(offices, "khujand/replica.db"));
	assert_int_equal(system(command), 0);
	khujand = offices_open(offices, "khujand");
	must(space_verify(khujand, true, NULL, visit_fault, said, &proof, &err), &err);
	assert_string_equal(
	    said, "files/khujand: files/khujand change set 1: an attachment of this log is not in the replica");
	space_close(khujand);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_on_demand, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_never, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_own_size, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_missing, offices_setup, offices_teardown),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
