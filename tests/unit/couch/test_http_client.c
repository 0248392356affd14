/*
 * The HTTP client against a peer that misbehaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sync/couch/address.h"
#include "sync/couch/http_client.h"
#include "tests/unit/couch/responder.h"

/* One request to a scripted peer. */
struct trial {
	struct rule *rules;
	struct couch_request request;
	unsigned attempts;
	unsigned idle;
	const char *scheme; /* instead of http */
	const char *user, *password;
	const char *ca_file;
	const atomic_bool *cancel;
	/* results */
	struct couch_response response;
	struct qosid_buf answer;
	struct qosid_errbuf err;
};

static int attempt(struct trial *trial)
{
	struct responder *responder = responder_start(trial->rules);
	char url[128];
	struct couch_peer peer = {.url = url,
	    .proxy = "",
	    .user = trial->user,
	    .password = trial->password,
	    .ca_file = trial->ca_file,
	    .attempts = trial->attempts != 0 ? trial->attempts : 1,
	    .connect_timeout_s = 1,
	    .idle_timeout_s = trial->idle != 0 ? trial->idle : 5,
	    .backoff_ms = 4};
	struct couch_http *http;
	int code;

	(void)snprintf(url, sizeof(url), "%s%s", trial->scheme != NULL ? trial->scheme : "http",
	    strchr(responder_url(responder), ':'));
	if (trial->request.method == NULL)
		trial->request.method = "GET";
	if (trial->request.path == NULL)
		trial->request.path = "";
	assert_int_equal(couch_http_open(&http, &peer, trial->cancel, &trial->err), 0);
	code = couch_http_json(http, &trial->request, &trial->response, &trial->answer, &trial->err);
	if (code == 0 && trial->response.status != 200)
		code = couch_http_unexpected(http, &trial->response, "a test", &trial->err);
	couch_http_close(http);
	responder_stop(responder);
	return code;
}

static void end(struct trial *trial)
{
	rules_free(trial->rules);
	qosid_buf_free(&trial->answer);
}

static void answers_json(void **state)
{
	struct rule rules[] = {{.path = "=/db/_changes?x=1", .body = " {\"a\":[1]} "}, {.method = ""}};
	struct trial trial = {.rules = rules, .request = {.path = "_changes?x=1"}};

	(void)state;
	assert_int_equal(attempt(&trial), 0);
	assert_string_equal((char *)trial.answer.data, " {\"a\":[1]} ");
	end(&trial);
}

/* Statuses are told apart, and what the peer says of them is passed on. */
static void judges_statuses(void **state)
{
	static const struct {
		int status, code;
	} cases[] = {{400, QOSID_ERR_INVALID}, {401, QOSID_ERR_REFUSED}, {403, QOSID_ERR_REFUSED},
	    {404, QOSID_ERR_NOTFOUND}, {412, QOSID_ERR_INVALID}, {413, QOSID_ERR_LIMIT}, {302, QOSID_ERR_REFUSED},
	    {500, QOSID_ERR_OFFLINE}, {503, QOSID_ERR_OFFLINE}, {418, QOSID_ERR_INVALID}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rule rules[] = {{.status = cases[i].status,
					   .headers = "Location: http://127.0.0.1:1/\r\n",
					   .body = "{\"error\":\"word\",\"reason\":\"the \\u0007reason\"}"},
		    {.method = ""}};
		struct trial trial = {.rules = rules};

		assert_int_equal(attempt(&trial), cases[i].code);
		assert_int_equal(trial.response.status, cases[i].status);
		assert_string_equal(trial.response.error, "word");
		assert_string_equal(trial.response.reason, "the  reason");
		assert_int_equal(rules[0].hits, 1);
		end(&trial);
	}
}

static void tries_again(void **state)
{
	struct rule rules[] = {{.status = 503, .times = 1}, {.status = 429, .times = 1},
	    {.kind = RESPOND_DROP, .body = "{\"a\":\"0123456789\"}", .times = 1}, {.body = "{\"fine\":1}"},
	    {.method = ""}};
	struct trial trial = {.rules = rules, .attempts = 5};

	(void)state;
	assert_int_equal(attempt(&trial), 0);
	assert_string_equal((char *)trial.answer.data, "{\"fine\":1}"); /* nothing is left of the half answer */
	assert_int_equal(rules[3].hits, 1);
	end(&trial);
}

static void gives_up(void **state)
{
	struct rule rules[] = {{.kind = RESPOND_DROP, .body = "{\"a\":\"0123456789\"}"}, {.method = ""}};
	struct trial trial = {.rules = rules, .attempts = 3};

	(void)state;
	assert_int_equal(attempt(&trial), QOSID_ERR_OFFLINE);
	assert_int_equal(rules[0].hits, 3);
	end(&trial);
}

static void heeds_retry_after(void **state)
{
	struct rule rules[] = {
	    {.status = 503, .headers = "Retry-After: 1\r\n", .times = 1}, {.method = NULL}, {.method = ""}};
	struct trial trial = {.rules = rules, .attempts = 2};
	struct timespec before, after;

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
	assert_int_equal(attempt(&trial), 0);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 990);
	end(&trial);
}

static void refuses_bad_json(void **state)
{
	static const char *const bodies[] = {
	    "{\"a\":[1,2", "", "no", "{\"a\":1}{\"b\":2}", "\xff\xfe", "{\"a\":1,\"a\":2}"};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct rule rules[] = {{.body = bodies[i]}, {.method = ""}};
		struct trial trial = {.rules = rules, .attempts = 3};

		assert_int_equal(attempt(&trial), QOSID_ERR_INVALID);
		assert_int_equal(rules[0].hits, 1);
		end(&trial);
	}
}

static void cuts_a_huge_answer(void **state)
{
	struct rule rules[] = {{.kind = RESPOND_HUGE}, {.method = ""}};
	struct trial trial = {.rules = rules, .request = {.limit = 100000}, .attempts = 3};

	(void)state;
	assert_int_equal(attempt(&trial), QOSID_ERR_LIMIT);
	assert_int_equal(rules[0].hits, 1);
	assert_true(trial.answer.len <= 100000);
	end(&trial);
}

static void does_not_hang(void **state)
{
	struct rule rules[] = {{.kind = RESPOND_HANG}, {.method = ""}};
	struct trial trial = {.rules = rules, .idle = 1};

	(void)state;
	assert_int_equal(attempt(&trial), QOSID_ERR_OFFLINE);
	end(&trial);
}

static void *cancel_soon(void *context)
{
	(void)couch_wait(NULL, 100);
	atomic_store((atomic_bool *)context, true);
	return NULL;
}

static void can_be_cancelled(void **state)
{
	struct rule rules[] = {{.kind = RESPOND_HANG}, {.method = ""}};
	atomic_bool cancel = false;
	struct trial trial = {.rules = rules, .idle = 30, .cancel = &cancel};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	assert_int_equal(attempt(&trial), QOSID_ERR_FAILED);
	assert_non_null(strstr(trial.err.what, "cancelled"));
	assert_int_equal(pthread_join(thread, NULL), 0);
	end(&trial);
}

static void needs_real_tls(void **state)
{
	struct rule rules[] = {{.method = NULL}, {.method = ""}};
	struct trial trial = {.rules = rules, .scheme = "https", .idle = 1};
	struct trial no_file = {.rules = rules, .scheme = "https", .ca_file = "/nonexistent/ca.pem", .idle = 1};

	(void)state;
	assert_int_equal(attempt(&trial), QOSID_ERR_OFFLINE);
	assert_int_equal(attempt(&no_file), QOSID_ERR_USAGE);
	end(&trial);
}

static void nobody_listens(void **state)
{
	struct couch_peer peer = {.url = "http://127.0.0.1:1/db", .proxy = "", .attempts = 2, .backoff_ms = 4};
	struct couch_request request = {.method = "GET", .path = ""};
	struct couch_response response;
	struct qosid_errbuf err = {0};
	struct couch_http *http;

	(void)state;
	assert_int_equal(couch_http_open(&http, &peer, NULL, &err), 0);
	assert_int_equal(couch_http_request(http, &request, &response, &err), QOSID_ERR_OFFLINE);
	couch_http_close(http);
}

static int read_pattern(
    void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	return sink->write(sink->context, (const char *)context + offset, len, err);
}

/* A body in pieces, one of them streamed and as base64 across its internal pieces. */
static void streams_a_body(void **state)
{
	enum { SIZE = 150001 };
	struct rule rules[] = {{.method = "POST"}, {.method = ""}};
	uint8_t *pattern = malloc(SIZE), *back = malloc(SIZE);
	struct couch_segment segments[] = {{.data = "{\"data\":\"", .len = 9},
	    {.len = SIZE, .read = read_pattern, .context = pattern, .base64 = true}, {.data = "", .len = 0},
	    {.data = "\"}", .len = 2}};
	struct trial trial = {.rules = rules, .request = {.method = "POST", .body = segments, .body_count = 4}};
	size_t got = 0;

	(void)state;
	randombytes_buf_deterministic(pattern, SIZE, (const unsigned char[32]){1});
	assert_int_equal(attempt(&trial), 0);
	assert_int_equal(rules[0].got.len, 11 + (SIZE + 2) / 3 * 4);
	assert_int_equal(sodium_base642bin(back, SIZE, (char *)rules[0].got.data + 9, rules[0].got.len - 11, NULL, &got,
			     NULL, sodium_base64_VARIANT_ORIGINAL),
	    0);
	assert_int_equal(got, SIZE);
	assert_memory_equal(back, pattern, SIZE);
	free(pattern);
	free(back);
	end(&trial);
}

static void takes_addresses_apart(void **state)
{
	static const char *const bad[] = {"http://host", "http://host/", "ftp://host/db", "file:///etc/passwd",
	    "host/db", "http:///db", "http://host/db?x=1", "http://host/db#x", "", "http://ho st/db",
	    "http://host/a%0ab", "http://host/a%00b"};
	struct couch_address address;
	struct qosid_buf shown = {0};
	struct qosid_errbuf err = {0};

	(void)state;
	assert_int_equal(couch_address_parse(&address, "https://us%40er:p%3Aw@host.example:6984/a/b%2Fc/", &err), 0);
	assert_string_equal(address.server, "https://host.example:6984/a/");
	assert_string_equal(address.database, "b%2Fc");
	assert_string_equal(address.name, "host.example/b/c");
	assert_string_equal(address.user, "us@er");
	assert_string_equal(address.password, "p:w");
	couch_address_free(&address);
	assert_int_equal(couch_format_address("http://u:secret@h/db", &shown, &err), 0);
	assert_string_equal((char *)shown.data, "http://h/db");
	qosid_buf_free(&shown);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(couch_address_parse(&address, bad[i], &err), QOSID_ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_json),
	    cmocka_unit_test(judges_statuses),
	    cmocka_unit_test(tries_again),
	    cmocka_unit_test(gives_up),
	    cmocka_unit_test(heeds_retry_after),
	    cmocka_unit_test(refuses_bad_json),
	    cmocka_unit_test(cuts_a_huge_answer),
	    cmocka_unit_test(does_not_hang),
	    cmocka_unit_test(can_be_cancelled),
	    cmocka_unit_test(needs_real_tls),
	    cmocka_unit_test(nobody_listens),
	    cmocka_unit_test(streams_a_body),
	    cmocka_unit_test(takes_addresses_apart),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
