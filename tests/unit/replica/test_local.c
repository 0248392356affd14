/*
 * Local documents, positions of logs, findings.
 */
#include <stdio.h>

#include "store_support.h"

static void test_local_documents(void **state)
{
	struct scratch *s = *state;
	struct qosid_buf body = {0};

	assert_rc(s, replica_put_local(s->replica, "peer", slice("{}"), &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_read_local(s->replica, "peer", &body, &s->err), QOSID_ERR_NOTFOUND);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_local(s->replica, "peer", slice("{\"seq\":1}"), &s->err), 0);
	assert_rc(s, replica_put_local(s->replica, "peer", slice("{\"seq\":2}"), &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	scratch_reopen(s);
	assert_rc(s, replica_read_local(s->replica, "peer", &body, &s->err), 0);
	assert_string_equal((const char *)body.data, "{\"seq\":2}");
	assert_int_equal(info(s).sequence, 0);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_local(s->replica, "peer", slice(NULL), &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_rc(s, replica_read_local(s->replica, "peer", &body, &s->err), QOSID_ERR_NOTFOUND);
	qosid_buf_free(&body);
}

static void test_positions(void **state)
{
	struct scratch *s = *state;
	struct replica_position put = {.sequence = 12, .time = 1764000000}, read;

	assert_rc(s, replica_read_position(s->replica, "office/khujand", &read, &s->err), 0);
	assert_int_equal(read.sequence, 0);
	assert_string_equal(read.commit, "");
	memset(put.digest, 7, sizeof(put.digest));
	memset(put.commit, 'c', 40);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_position(s->replica, "office/khujand", &put, &s->err), 0);
	put.sequence = 13;
	assert_rc(s, replica_put_position(s->replica, "office/khujand", &put, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	scratch_reopen(s);
	assert_rc(s, replica_read_position(s->replica, "office/khujand", &read, &s->err), 0);
	assert_int_equal(read.sequence, 13);
	assert_int_equal(read.time, put.time);
	assert_string_equal(read.commit, put.commit);
	assert_memory_equal(read.digest, put.digest, sizeof(put.digest));
	assert_rc(s, replica_read_position(s->replica, "office/london", &read, &s->err), 0);
	assert_int_equal(read.sequence, 0);
	assert_rc(s, replica_put_position(s->replica, "office/london", &put, &s->err), QOSID_ERR_USAGE);
}

static int list_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(context, err, "%s %lld %s %s %s %lld %d\n", finding->log,
	    (long long)finding->sequence, finding->cause, finding->detail, finding->evidence, (long long)finding->time,
	    finding->stops);
}

static void expect_findings(struct scratch *s, const char *expected)
{
	struct qosid_buf list = {0};

	assert_rc(s, qosid_buf_append_text(&list, "", &s->err), 0);
	assert_rc(s, replica_visit_findings(s->replica, list_finding, &list, &s->err), 0);
	assert_string_equal((const char *)list.data, expected);
	qosid_buf_free(&list);
}

static void test_findings(void **state)
{
	struct scratch *s = *state;
	struct replica_finding bad = {"office/b", 3, "signature", "wrong", "abc", 5, true};
	struct replica_finding late = {"office/a", 1, "clock", "late", "", 6, false};

	expect_findings(s, "");
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_finding(s->replica, &bad, &s->err), 0);
	assert_rc(s, replica_put_finding(s->replica, &late, &s->err), 0);
	bad.sequence = 4;
	bad.detail = "still wrong";
	assert_rc(s, replica_put_finding(s->replica, &bad, &s->err), 0);
	bad.cause = "fork";
	assert_rc(s, replica_put_finding(s->replica, &bad, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	expect_findings(s, "office/a 1 clock late  6 0\n"
			   "office/b 4 fork still wrong abc 5 1\n"
			   "office/b 4 signature still wrong abc 5 1\n");
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_clear_findings(s->replica, "office/b", &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	expect_findings(s, "office/a 1 clock late  6 0\n");
	assert_rc(s, replica_put_finding(s->replica, &late, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_clear_findings(s->replica, "office/a", &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_clear_warnings(s->replica, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_finding(s->replica, &bad, &s->err), 0);
	assert_rc(s, replica_clear_warnings(s->replica, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	expect_findings(s, "office/b 4 fork still wrong abc 5 1\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_local_documents),
	    TEST(test_positions),
	    TEST(test_findings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
