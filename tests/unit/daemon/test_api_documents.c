/* The CouchDB API over real loopback connections: what curl scripts cannot show well. Writers that race, databases that
 * vanish, bodies that are cut, and what the replica has in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <ftw.h>
#include <git2.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api/api.h"
#include "daemon/http/http.h"
#include "sync/space.h"

#define WORKERS 4
#define WRITERS 8
#define ROUNDS 10

static char scratch[] = "/tmp/qosid-api-XXXXXX";
static char register_dir[128];
static struct config config;
static struct api *api;
static struct http_server *server;

/* ---- a client ---- */

struct answer {
	long status;
	struct qosid_buf body;
};

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	return qosid_buf_append(context, data, size * count, NULL) == 0 ? size * count : 0;
}

static void ask_as(
    struct answer *answer, const char *method, const char *path, const char *type, const void *body, size_t len)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = NULL;
	char url[512], header[256];

	assert_non_null(curl);
	qosid_buf_reset(&answer->body);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(server), path);
	(void)snprintf(header, sizeof(header), "Content-Type: %s", type);
	headers = curl_slist_append(headers, header);
	headers = curl_slist_append(headers, "Accept: application/json");
	headers = curl_slist_append(headers, "Expect:");
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (body) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)len);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body);
	assert_int_equal(curl_easy_perform(curl), CURLE_OK);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
}

static void ask(struct answer *answer, const char *method, const char *path, const char *body)
{
	ask_as(answer, method, path, "application/json", body, body ? strlen(body) : 0);
}

static void expect(struct answer *answer, long status, const char *part)
{
	const char *text = answer->body.data ? (const char *)answer->body.data : "";

	if (answer->status != status || (part && !strstr(text, part)))
		print_message("status %ld, body %s\n", answer->status, text);
	assert_int_equal(answer->status, status);
	if (part)
		assert_non_null(strstr(text, part));
}

static void does(const char *method, const char *path, const char *body, long status, const char *part)
{
	struct answer answer = {0};

	ask(&answer, method, path, body);
	expect(&answer, status, part);
	qosid_buf_free(&answer.body);
}

/* The first value of this member in the last answer. */
static void member(const struct answer *answer, const char *name, char *out, size_t size)
{
	char pattern[64];
	const char *at;
	size_t len;

	(void)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
	at = strstr((const char *)answer->body.data, pattern);
	assert_non_null(at);
	at += strlen(pattern);
	len = strcspn(at, "\"");
	assert_true(len < size);
	memcpy(out, at, len);
	out[len] = '\0';
}

/* ---- tests ---- */

struct racer {
	const char *path;
	long status;
};

static void *race(void *context)
{
	struct racer *racer = context;
	struct answer answer = {0};

	ask(&answer, "PUT", racer->path, "{\"same\":true}");
	racer->status = answer.status;
	qosid_buf_free(&answer.body);
	return NULL;
}

static void test_one_writer_wins(void **state)
{
	struct racer racers[WRITERS];
	pthread_t threads[WRITERS];

	(void)state;
	does("PUT", "/race", NULL, 201, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		char path[64];
		int won = 0, lost = 0;

		(void)snprintf(path, sizeof(path), "/race/doc%d", round);
		for (int i = 0; i < WRITERS; i++) {
			racers[i] = (struct racer){.path = path};
			assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
		}
		for (int i = 0; i < WRITERS; i++) {
			(void)pthread_join(threads[i], NULL);
			won += racers[i].status == 201;
			lost += racers[i].status == 409;
		}
		assert_int_equal(won, 1);
		assert_int_equal(lost, WRITERS - 1);
	}
	does("GET", "/race", NULL, 200, "\"doc_count\":10,");
	does("GET", "/race", NULL, 200, "\"update_seq\":\"10-");
}

static void test_refused_bulk_stores_nothing(void **state)
{
	(void)state;
	does("PUT", "/bulk", NULL, 201, NULL);
	does("POST", "/bulk/_bulk_docs", "{\"docs\":[{\"_id\":\"a\"},{\"_id\":\"b\",\"_bad\":1}]}", 400,
	    "doc_validation");
	does("POST", "/bulk/_bulk_docs",
	    "{\"new_edits\":false,\"docs\":[{\"_id\":\"a\",\"_rev\":\"1-a\"},{\"_id\":\"b\",\"_rev\":\"1-b\","
	    "\"_attachments\":{\"x\":{\"stub\":true}}}]}",
	    412, "missing_stub");
	does("GET", "/bulk/a", NULL, 404, "missing");
	does("GET", "/bulk", NULL, 200, "\"update_seq\":\"0-");
}

static void *wait_for_change(void *context)
{
	ask(context, "GET", "/gone/_changes?feed=longpoll&since=now&heartbeat=1000", NULL);
	return NULL;
}

/* A feed of a database that is deleted ends; a new one of that name begins its sequences anew. */
static void test_database_vanishes(void **state)
{
	struct answer waiting = {0}, answer = {0};
	char sequence[64], path[160];
	struct http_stats stats;
	pthread_t thread;

	(void)state;
	does("PUT", "/gone", NULL, 201, NULL);
	does("PUT", "/gone/a", "{}", 201, NULL);
	does("PUT", "/gone/b", "{}", 201, NULL);
	ask(&answer, "GET", "/gone/_changes", NULL);
	member(&answer, "last_seq", sequence, sizeof(sequence));
	assert_int_equal(pthread_create(&thread, NULL, wait_for_change, &waiting), 0);
	do {
		(void)usleep(10000);
		http_server_read_stats(server, &stats);
	} while (stats.feeds == 0);
	does("DELETE", "/gone", NULL, 200, "true");
	(void)pthread_join(thread, NULL);
	assert_int_equal(waiting.status, 200);
	does("GET", "/gone", NULL, 404, "Database does not exist.");
	does("PUT", "/gone", NULL, 201, NULL);
	does("GET", "/gone/a", NULL, 404, "missing");
	does("PUT", "/gone/c", "{}", 201, NULL);
	(void)snprintf(path, sizeof(path), "/gone/_changes?since=%s", sequence);
	does("GET", path, NULL, 200, "\"id\":\"c\"");
	qosid_buf_free(&waiting.body);
	qosid_buf_free(&answer.body);
}

/* However a multipart body is cut, it is refused and nothing of it is stored. */
static void test_cut_multipart(void **state)
{
	static const char whole[] =
	    "preamble\r\n--b\r\nContent-Type: application/json\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true,"
	    "\"content_type\":\"text/plain\",\"length\":5},\"e\":{\"follows\":true}}}\r\n--b\r\n"
	    "Content-Disposition: attachment; filename=\"a\"\r\n\r\nhello\r\n--b\r\n\r\n\r\n--b--";
	struct answer answer = {0};
	char path[64];

	(void)state;
	does("PUT", "/cut", NULL, 201, NULL);
	for (size_t len = 1; len < strlen(whole); len++) {
		(void)snprintf(path, sizeof(path), "/cut/doc%zu", len);
		ask_as(&answer, "PUT", path, "multipart/related; boundary=b", whole, len);
		/* Cut after the last part's delimiter it is complete but for the two hyphens. */
		if (len + 2 <= strlen(whole))
			expect(&answer, 400, "bad_request");
	}
	does("GET", "/cut", NULL, 200, "\"doc_count\":0,");
	ask_as(&answer, "PUT", "/cut/whole", "multipart/related; boundary=b", whole, strlen(whole));
	expect(&answer, 201, "whole");
	does("GET", "/cut/whole/a", NULL, 200, "hello");
	does("GET", "/cut/whole?attachments=true", NULL, 200, "\"data\":\"aGVsbG8=\"");
	does("GET", "/cut/whole?attachments=true", NULL, 200, "\"data\":\"\"");
	qosid_buf_free(&answer.body);
}

/* A part longer than what is kept in memory, with the delimiter anywhere around the places where reading is divided. */
static void test_long_parts(void **state)
{
	static const char head[] =
	    "--b\r\nContent-Type: application/json\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true}}}"
	    "\r\n--b\r\n\r\n";
	struct answer answer = {0};
	struct qosid_buf body = {0};
	char path[64];

	(void)state;
	does("PUT", "/long", NULL, 201, NULL);
	for (size_t length = 65536 - sizeof(head) - 6; length < 65536 - sizeof(head) + 6; length++) {
		char expected[64];

		qosid_buf_reset(&body);
		assert_int_equal(qosid_buf_append_text(&body, head, NULL), 0);
		for (size_t i = 0; i < length; i++)
			assert_int_equal(qosid_buf_append_byte(&body, "\r\n--"[i % 4], NULL), 0);
		assert_int_equal(qosid_buf_append_text(&body, "\r\n--b--", NULL), 0);
		(void)snprintf(path, sizeof(path), "/long/doc%zu", length);
		ask_as(&answer, "PUT", path, "multipart/related; boundary=b", body.data, body.len);
		expect(&answer, 201, NULL);
		(void)snprintf(expected, sizeof(expected), "\"length\":%zu,", length);
		does("GET", path, NULL, 200, expected);
	}
	qosid_buf_free(&body);
	qosid_buf_free(&answer.body);
}

/* A space of the configuration is a database: it cannot be deleted, and what clients write waits for publication. */
static void test_configured_space(void **state)
{
	struct replica *replica = NULL;
	struct replica_record record = {0};
	struct replica_info info;
	char path[256];

	(void)state;
	does("GET", "/register", NULL, 200, "\"doc_count\":0,");
	does("GET", "/_all_dbs", NULL, 200, "\"register\"");
	does("PUT", "/register", NULL, 412, "file_exists");
	does("DELETE", "/register", NULL, 403, "forbidden");
	does("PUT", "/register/a", "{\"n\":1}", 201, NULL);
	does("POST", "/register/_bulk_docs",
	    "{\"new_edits\":false,\"docs\":[{\"_id\":\"b\",\"_rev\":\"7-x\",\"n\":2}]}", 201, "[]");
	(void)snprintf(path, sizeof(path), "%s/replica.db", register_dir);
	assert_int_equal(replica_open(&replica, path, 0, NULL), 0);
	assert_int_equal(replica_read_info(replica, &info, NULL), 0);
	assert_int_equal(info.pending, 2);
	assert_int_equal(replica_read_document(replica, "b", NULL, &record, NULL), 0);
	assert_int_equal(record.rev.generation, 7);
	assert_string_equal((const char *)record.body.data, "{\"n\":2}");
	assert_true(record.time > 1600000000000);

	/* What another program writes is seen. */
	assert_int_equal(replica_begin(replica, NULL), 0);
	struct replica_edit edit = {.id = "c", .body = {"{}", 2}, .user = "cli", .time = 1};
	struct revision rev;
	assert_int_equal(replica_put_edit(replica, &edit, &rev, NULL), 0);
	assert_int_equal(replica_commit(replica, NULL), 0);
	does("GET", "/register/c", NULL, 200, "\"_id\":\"c\"");
	does("GET", "/register/_changes?since=2", NULL, 200, "\"id\":\"c\"");
	replica_record_free(&record);
	replica_close(replica);
}

/* ---- the server ---- */

static int set_up(void **state)
{
	struct qosid_errbuf err = {0};
	struct api_options options = {.workers = WORKERS, .open = true, .config = &config};
	struct http_options http = {.address = "127.0.0.1", .workers = WORKERS, .handler = api_handle};
	char data[128];

	(void)state;
	if (sodium_init() < 0 || git_libgit2_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
	    !mkdtemp(scratch))
		return -1;
	(void)snprintf(data, sizeof(data), "%s/data", scratch);
	(void)snprintf(register_dir, sizeof(register_dir), "%s/space", scratch);
	config.spaces = calloc(1, sizeof(*config.spaces));
	if (!config.spaces || space_create(register_dir, "khujand", NULL, &err) != 0)
		return -1;
	config.count = 1;
	(void)snprintf(config.spaces[0].name, sizeof(config.spaces[0].name), "register");
	(void)snprintf(config.spaces[0].path, sizeof(config.spaces[0].path), "%s", register_dir);
	options.data_dir = data;
	if (api_create(&api, &options, &err) != 0)
		return -1;
	http.context = api;
	if (http_server_start(&server, &http, &err) != 0)
		return -1;
	api_set_server(api, server);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status, (void)type, (void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	http_server_stop(server);
	api_free(api);
	free(config.spaces);
	curl_global_cleanup();
	return nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_writer_wins),
	    cmocka_unit_test(test_refused_bulk_stores_nothing),
	    cmocka_unit_test(test_database_vanishes),
	    cmocka_unit_test(test_cut_multipart),
	    cmocka_unit_test(test_long_parts),
	    cmocka_unit_test(test_configured_space),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
