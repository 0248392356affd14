/*
 * Replications against a scripted peer that lies, forgets, refuses and sends rubbish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/couch/couch.h"
#include "tests/unit/couch/responder.h"

/* A replica in a scratch folder and one replication of it. */
struct scene {
	char folder[64];
	struct replica *replica;
	struct couch_options options;
	struct couch_report report;
	struct qosid_errbuf err;
	struct qosid_errbuf refused; /* the last one */
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	char path[96];

	if (scene == NULL)
		return -1;
	(void)snprintf(scene->folder, sizeof(scene->folder), "/tmp/qosid-couch-XXXXXX");
	if (mkdtemp(scene->folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/replica.db", scene->folder);
	*state = scene;
	return replica_open(&scene->replica, path, REPLICA_CREATE, &scene->err);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"replica.db", "replica.db-wal", "replica.db-shm"};
	struct scene *scene = *state;
	char path[96];

	replica_close(scene->replica);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", scene->folder, names[i]);
		(void)unlink(path); /* not all of them are there */
	}
	couch_report_free(&scene->report);
	(void)rmdir(scene->folder);
	free(scene);
	return 0;
}

static void note_refused(void *context, const char *id, const char *rev, const struct qosid_errbuf *reason)
{
	(void)id;
	(void)rev;
	((struct scene *)context)->refused = *reason;
}

static int replicate(struct scene *scene, struct rule *rules, bool push)
{
	struct responder *responder = responder_start(rules);
	struct couch_peer peer = {
	    .url = responder_url(responder), .proxy = "", .attempts = 1, .idle_timeout_s = 3, .backoff_ms = 4};
	struct couch_end here = {.replica = scene->replica}, there = {.peer = &peer};
	int code;

	couch_report_free(&scene->report);
	scene->options.source = push ? here : there;
	scene->options.target = push ? there : here;
	scene->options.scratch = scene->folder;
	scene->options.listener.refused = note_refused;
	scene->options.listener.context = scene;
	code = couch_replicate(&scene->options, &scene->report, &scene->err);
	responder_stop(responder);
	rules_free(rules);
	return code;
}

/* What every healthy source and target answer beside the rules of a test. */
#define RULE_DATABASE                                                                                                  \
	{                                                                                                              \
		.method = "GET", .path = "=/db/", .body = "{\"db_name\":\"db\",\"update_seq\":\"3-x\"}"                \
	}
#define RULE_SERVER                                                                                                    \
	{                                                                                                              \
		.method = "GET", .path = "=/", .body = "{\"couchdb\":\"Welcome\",\"uuid\":\"u1\"}"                     \
	}
#define RULE_NO_CHECKPOINT                                                                                             \
	{                                                                                                              \
		.method = "GET", .path = "/_local/", .status = 404                                                     \
	}
#define RULE_NOTE_CHECKPOINT                                                                                           \
	{                                                                                                              \
		.method = "PUT", .path = "/_local/", .status = 201, .body = "{\"ok\":true,\"rev\":\"0-1\"}"            \
	}
#define RULE_COMMIT                                                                                                    \
	{                                                                                                              \
		.method = "POST", .path = "_ensure_full_commit", .status = 201                                         \
	}
#define RULE_END                                                                                                       \
	{                                                                                                              \
		.method = ""                                                                                           \
	}
#define HEALTHY RULE_DATABASE, RULE_SERVER, RULE_NO_CHECKPOINT, RULE_NOTE_CHECKPOINT, RULE_COMMIT, RULE_END

#define CHANGES_AB                                                                                                     \
	"{\"results\":[{\"seq\":\"1-x\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-aa\"}]},{\"seq\":\"2-x\",\"id\":\"b\"," \
	"\"changes\":[{\"rev\":\"2-bb\"}],\"deleted\":true}],\"last_seq\":\"2-x\",\"pending\":0}"
#define DOC_A "{\"_id\":\"a\",\"_rev\":\"1-aa\",\"_revisions\":{\"start\":1,\"ids\":[\"aa\"]},\"n\":1.0}"
#define DOC_B "{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_deleted\":true,\"_revisions\":{\"start\":2,\"ids\":[\"bb\",\"b1\"]}}"
#define BULK(A, B) "{\"results\":[{\"id\":\"a\",\"docs\":[" A "]},{\"id\":\"b\",\"docs\":[" B "]}]}"

static int64_t documents(struct scene *scene)
{
	struct replica_info info;

	assert_int_equal(replica_read_info(scene->replica, &info, &scene->err), 0);
	return info.documents + info.deleted;
}

static void pulls(void **state)
{
	struct scene *scene = *state;
	struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB},
	    {.path = "/_bulk_get", .body = BULK("{\"ok\":" DOC_A "}", "{\"ok\":" DOC_B "}")}, HEALTHY};
	struct replica_record record = {0};

	assert_int_equal(replicate(scene, rules, false), 0);
	assert_int_equal(scene->report.written, 2);
	assert_int_equal(scene->report.failed, 0);
	assert_string_equal((char *)scene->report.through.data, "\"2-x\"");
	assert_int_equal(replica_read_document(scene->replica, "a", NULL, &record, &scene->err), 0);
	assert_string_equal((char *)record.body.data, "{\"n\":1.0}");
	assert_string_equal((char *)record.user.data, "couchdb:127.0.0.1/db");
	replica_record_free(&record);
}

/* What has been read is known the next time, by both ends' notes, and asked for from there. */
static void resumes(void **state)
{
	struct scene *scene = *state;
	struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB},
	    {.path = "/_bulk_get", .body = BULK("{\"ok\":" DOC_A "}", "{\"ok\":" DOC_B "}")}, RULE_DATABASE,
	    RULE_SERVER, RULE_NO_CHECKPOINT, {.method = "PUT", .path = "/_local/", .status = 201}, RULE_END};
	struct qosid_buf noted = {0};
	char session[33], name[96];
	struct rule again[] = {{.path = "since=2-x", .body = "{\"results\":[],\"last_seq\":\"2-x\",\"pending\":0}"},
	    RULE_DATABASE, RULE_SERVER, {.method = "GET", .path = "/_local/"}, RULE_END};
	struct rule foreign[] = {{.path = "since=0", .body = "{\"results\":[],\"last_seq\":\"2-x\",\"pending\":0}"},
	    RULE_DATABASE, RULE_SERVER,
	    {.method = "GET",
		.path = "/_local/",
		.body = "{\"session_id\":\"other\",\"source_last_seq\":9,\"history\":[]}"},
	    RULE_NOTE_CHECKPOINT, RULE_END};

	assert_int_equal(replicate(scene, rules, false), 0);
	memcpy(session, scene->report.session, sizeof(session));
	(void)snprintf(name, sizeof(name), "_local/%s", scene->report.id);
	assert_int_equal(replica_read_local(scene->replica, name, &noted, &scene->err), 0);
	again[3].body = (const char *)noted.data;
	assert_int_equal(replicate(scene, again, false), 0);
	assert_int_equal(again[0].hits, 1);
	assert_int_equal(scene->report.checked, 0);
	/* An end that knows nothing of the session makes it begin anew. */
	assert_int_equal(replicate(scene, foreign, false), 0);
	assert_int_equal(foreign[0].hits, 1);
	qosid_buf_free(&noted);
}

/* A source that may only be read: the note on this side counts alone. */
static void resumes_from_a_read_only_source(void **state)
{
	struct scene *scene = *state;
	struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB},
	    {.path = "/_bulk_get", .body = BULK("{\"ok\":" DOC_A "}", "{\"ok\":" DOC_B "}")}, RULE_DATABASE,
	    RULE_SERVER, RULE_NO_CHECKPOINT, {.method = "PUT", .path = "/_local/", .status = 403}, RULE_END};
	struct rule again[] = {{.path = "since=2-x", .body = "{\"results\":[],\"last_seq\":\"2-x\"}"}, RULE_DATABASE,
	    RULE_SERVER, RULE_NO_CHECKPOINT, RULE_END};

	assert_int_equal(replicate(scene, rules, false), 0);
	assert_int_equal(replicate(scene, again, false), 0);
	assert_int_equal(again[0].hits, 1);
}

static void refuses_malformed_changes(void **state)
{
	static const char *const bodies[] = {"[]", "{}", "{\"results\":{},\"last_seq\":1}", "{\"results\":[]}",
	    "{\"results\":[1],\"last_seq\":1}", "{\"results\":[{\"id\":1,\"changes\":[]}],\"last_seq\":1}",
	    "{\"results\":[{\"id\":\"a\"}],\"last_seq\":1}",
	    "{\"results\":[{\"id\":\"a\",\"changes\":{}}],\"last_seq\":1}",
	    "{\"results\":[{\"id\":\"a\",\"changes\":[{\"rev\":7}]}],\"last_seq\":1}",
	    "{\"results\":[{\"id\":\"a\",\"changes\":[]}],\"last_seq\":0}", /* it never moves */
	    "{\"results\":[{\"id\":\"a\",\"changes\":[]},", "null"};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct rule rules[] = {{.path = "/_changes", .body = bodies[i]}, HEALTHY};

		assert_int_equal(replicate(scene, rules, false), QOSID_ERR_INVALID);
		assert_int_equal(documents(scene), 0);
	}
}

/* A row or document that breaks the rules is left out; the others arrive. */
static void leaves_out_bad_documents(void **state)
{
	static const char *const bad[] = {"{\"ok\":7}", "{\"error\":{\"reason\":\"gone\"}}", "null",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"nonsense\"}}", "{\"ok\":{\"_id\":\"b\"}}",
	    "{\"ok\":{\"_id\":\"other\",\"_rev\":\"2-bb\"}}", "{\"ok\":{\"_id\":\"_local/x\",\"_rev\":\"2-bb\"}}",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_strange\":1}}",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_revisions\":{\"start\":9,\"ids\":[\"cc\"]}}}",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_attachments\":[]}}",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_attachments\":{\"x\":{\"data\":\"***\"}}}}",
	    "{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-bb\",\"_attachments\":{\"_x\":{\"data\":\"\"}}}}"};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char body[1024];
		struct rule rules[] = {
		    {.path = "/_changes", .body = CHANGES_AB}, {.path = "/_bulk_get", .body = body}, HEALTHY};

		/* Once the good one is here, only the bad one is asked for. */
		if (i == 0)
			(void)snprintf(body, sizeof(body), BULK("{\"ok\":" DOC_A "}", "%s"), bad[i]);
		else
			(void)snprintf(body, sizeof(body), "{\"results\":[{\"id\":\"b\",\"docs\":[%s]}]}", bad[i]);
		assert_int_equal(replicate(scene, rules, false), 0);
		assert_int_equal(scene->report.failed, 1);
		assert_int_equal(documents(scene), 1);
		assert_int_not_equal(scene->refused.code, 0);
	}
}

static void refuses_malformed_bulk_get(void **state)
{
	static const char *const bodies[] = {"[]", "{}", "{\"results\":7}", "{\"results\":[7]}",
	    "{\"results\":[{\"id\":\"wrong\",\"docs\":[]}]}", "{\"results\":[{\"id\":\"a\",\"docs\":7}]}"};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct rule rules[] = {
		    {.path = "/_changes", .body = CHANGES_AB}, {.path = "/_bulk_get", .body = bodies[i]}, HEALTHY};

		assert_int_equal(replicate(scene, rules, false), QOSID_ERR_INVALID);
		assert_int_equal(documents(scene), 0);
	}
}

static void does_without_bulk_get(void **state)
{
	struct scene *scene = *state;
	struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB}, {.path = "/_bulk_get", .status = 404},
	    {.path = "/db/a?revs=true&open_revs=%5B%221-aa%22%5D", .body = "[{\"ok\":" DOC_A "}]"},
	    {.path = "/db/b?", .body = "[{\"missing\":\"2-bb\"}]"}, HEALTHY};

	assert_int_equal(replicate(scene, rules, false), 0);
	assert_int_equal(scene->report.written, 1);
	assert_int_equal(scene->report.failed, 1);
	assert_int_equal(rules[1].hits, 1);
}

#define DOC_WITH_STUB                                                                                                  \
	"{\"_id\":\"a\",\"_rev\":\"1-aa\",\"_attachments\":{\"x y/z\":{\"content_type\":\"text/plain\",\"stub\":true," \
	"\"revpos\":1,\"length\":5,\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\"}}}"

static void fetches_attachments(void **state)
{
	struct scene *scene = *state;
	struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB},
	    {.path = "/_bulk_get", .body = BULK("{\"ok\":" DOC_WITH_STUB "}", "{\"ok\":" DOC_B "}")},
	    {.path = "/db/a/x%20y/z?rev=1-aa", .body = "hello"}, HEALTHY};
	struct replica_record record = {0};

	assert_int_equal(replicate(scene, rules, false), 0);
	assert_int_equal(scene->report.written, 2);
	assert_int_equal(scene->report.attachments, 1);
	assert_int_equal(replica_read_document(scene->replica, "a", NULL, &record, &scene->err), 0);
	assert_non_null(strstr((char *)record.attachments.data, "\"digest\":\"blake2b-256:"));
	assert_null(strstr((char *)record.attachments.data, "md5"));
	replica_record_free(&record);
}

static void refuses_other_attachments(void **state)
{
	struct scene *scene = *state;
	static const struct {
		int status;
		const char *body;
	} cases[] = {{200, "hello, longer"}, {200, "hell"}, {404, NULL}};

	for (size_t i = 0; i < 3; i++) {
		struct rule rules[] = {{.path = "/_changes", .body = CHANGES_AB},
		    {.path = "/_bulk_get",
			.body = i == 0 ? BULK("{\"ok\":" DOC_WITH_STUB "}", "{\"ok\":" DOC_B "}")
				       : "{\"results\":[{\"id\":\"a\",\"docs\":[{\"ok\":" DOC_WITH_STUB "}]}]}"},
		    {.path = "/db/a/", .status = cases[i].status, .body = cases[i].body}, HEALTHY};

		assert_int_equal(replicate(scene, rules, false), 0);
		assert_int_equal(scene->report.failed, 1);
		assert_int_equal(documents(scene), 1);
	}
}

/* Statuses that a pull must not take for an empty source. */
static void fails_on_refusals(void **state)
{
	static const struct {
		int status, code;
	} cases[] = {{401, QOSID_ERR_REFUSED}, {403, QOSID_ERR_REFUSED}, {404, QOSID_ERR_NOTFOUND},
	    {500, QOSID_ERR_OFFLINE}, {301, QOSID_ERR_REFUSED}};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rule whole[] = {{.status = cases[i].status}, RULE_END};
		struct rule changes[] = {{.path = "/_changes", .status = cases[i].status}, HEALTHY};

		assert_int_equal(replicate(scene, whole, false), cases[i].code);
		assert_int_equal(replicate(scene, changes, false), cases[i].code);
	}
}

/* ---- push ---- */

static void store(struct scene *scene, const char *id, const char *attachments)
{
	struct replica_edit edit = {.id = id, .body = {"{\"n\":1}", 7}, .user = "u", .time = 1};
	struct revision written;

	if (attachments != NULL)
		edit.attachments = (struct json_slice){attachments, strlen(attachments)};
	assert_int_equal(replica_begin(scene->replica, &scene->err), 0);
	assert_int_equal(replica_put_edit(scene->replica, &edit, &written, &scene->err), 0);
	assert_int_equal(replica_commit(scene->replica, &scene->err), 0);
}

#define REV "1-d6ea97bd6a35e08b54d7d2ba7b3e1d0b" /* of nothing that is stored */

static void revs_diff_for(struct scene *scene, const char *const *ids, struct qosid_buf *out)
{
	struct replica_record record = {0};
	char rev[REVISION_TEXT_SIZE];

	for (size_t i = 0; ids[i] != NULL; i++) {
		assert_int_equal(replica_read_document(scene->replica, ids[i], NULL, &record, &scene->err), 0);
		revision_format(rev, &record.rev);
		assert_int_equal(qosid_buf_append_format(
				     out, NULL, "%s\"%s\":{\"missing\":[\"%s\"]}", i == 0 ? "{" : ",", ids[i], rev),
		    0);
	}
	assert_int_equal(qosid_buf_append_text(out, "}", NULL), 0);
	replica_record_free(&record);
}

static void pushes(void **state)
{
	static const char *const ids[] = {"a", "b", "c", NULL};
	struct scene *scene = *state;
	struct qosid_buf diff = {0};
	struct rule rules[] = {{.path = "/_revs_diff"}, {.path = "/_bulk_docs", .status = 413, .times = 1},
	    {.path = "/_bulk_docs", .status = 201, .body = "[]", .times = 1},
	    {.path = "/_bulk_docs",
		.status = 201,
		.body = "[{\"id\":\"b\",\"rev\":\"1-x\",\"error\":\"forbidden\",\"reason\":\"no\"},{\"ok\":true,\"id\":"
			"\"c\"}]"},
	    HEALTHY};

	for (size_t i = 0; ids[i] != NULL; i++)
		store(scene, ids[i], NULL);
	revs_diff_for(scene, ids, &diff);
	rules[0].body = (const char *)diff.data;
	assert_int_equal(replicate(scene, rules, true), 0);
	assert_int_equal(rules[1].hits + rules[2].hits + rules[3].hits, 3); /* too much at once was halved */
	assert_int_equal(scene->report.written, 2);
	assert_int_equal(scene->report.denied, 1);
	assert_int_equal(scene->report.failed, 1);
	assert_string_equal((char *)scene->report.through.data, "3");
	qosid_buf_free(&diff);
}

/* Whatever is not a refusal of that one document must not be passed over: the checkpoint stays. */
static void push_stops_on_trouble(void **state)
{
	static const char *const ids[] = {"a", NULL};
	static const struct {
		const char *body;
		int status, code;
	} cases[] = {
	    {"[{\"id\":\"a\",\"error\":\"internal_server_error\",\"reason\":\"disk\"}]", 201, QOSID_ERR_OFFLINE},
	    {"[{\"id\":\"unknown\",\"error\":\"forbidden\"}]", 201, QOSID_ERR_OFFLINE}, {"{}", 201, QOSID_ERR_INVALID},
	    {"{}", 401, QOSID_ERR_REFUSED}, {"{}", 507, QOSID_ERR_INVALID}, {"{}", 503, QOSID_ERR_OFFLINE},
	    {"[{\"id\":\"a\",", 201, QOSID_ERR_INVALID}};
	struct scene *scene = *state;
	struct qosid_buf diff = {0};

	store(scene, "a", NULL);
	revs_diff_for(scene, ids, &diff);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rule rules[] = {{.path = "/_revs_diff", .body = (const char *)diff.data},
		    {.path = "/_bulk_docs", .status = cases[i].status, .body = cases[i].body}, HEALTHY};

		assert_int_equal(replicate(scene, rules, true), cases[i].code);
		assert_int_equal(rules[5].hits, 0);
	}
	qosid_buf_free(&diff);
}

static void refuses_malformed_revs_diff(void **state)
{
	static const char *const harmless[] = {"{\"a\":7}", "{\"a\":{}}", "{\"a\":{\"missing\":{}}}",
	    "{\"a\":{\"missing\":[7,\"" REV "\"]}}", "{\"zz\":{\"missing\":[\"" REV "\"]}}"};
	struct scene *scene = *state;
	struct rule array[] = {{.path = "/_revs_diff", .body = "[]"}, HEALTHY};

	store(scene, "a", NULL);
	assert_int_equal(replicate(scene, array, true), QOSID_ERR_INVALID);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		struct rule rules[] = {{.path = "/_revs_diff", .body = harmless[i]}, HEALTHY};

		scene->options.no_checkpoints = true;
		assert_int_equal(replicate(scene, rules, true), 0);
		assert_int_equal(scene->report.missing, 0);
	}
}

/* A CouchDB gets large attachments as parts, and one that does not take them, or another server, as base64. */
static void sends_attachments(void **state)
{
	static const char *const ids[] = {"a", NULL};
	struct scene *scene = *state;
	struct qosid_buf diff = {0}, text = {0};
	struct rule parts[] = {{.path = "/_revs_diff"}, {.path = "/db/a?new_edits=false", .status = 201}, HEALTHY};
	struct rule refused[] = {{.path = "/_revs_diff"}, {.path = "/db/a?new_edits=false", .status = 415},
	    {.path = "/_bulk_docs", .status = 201, .body = "[]"}, HEALTHY};
	struct rule edits[] = {{.path = "/_revs_diff"},
	    {.path = "/db/a?new_edits=false", .status = 201, .body = "{\"rev\":\"2-x\"}"}, HEALTHY};
	struct rule other[] = {{.path = "/_revs_diff"}, {.path = "/_bulk_docs", .status = 201, .body = "[]"},
	    {.method = "GET", .path = "=/", .body = "{\"express-pouchdb\":\"Welcome!\"}"}, HEALTHY};
	char answer[256];

	/* 90,000 zero bytes */
	assert_int_equal(qosid_buf_append_text(&text, "{\"x\":{\"content_type\":\"text/plain\",\"data\":\"", NULL), 0);
	for (int i = 0; i < 30000; i++)
		assert_int_equal(qosid_buf_append_text(&text, "AAAA", NULL), 0);
	assert_int_equal(qosid_buf_append_text(&text, "\"}}", NULL), 0);
	store(scene, "a", (const char *)text.data);
	revs_diff_for(scene, ids, &diff);
	parts[0].body = refused[0].body = edits[0].body = other[0].body = (const char *)diff.data;
	scene->options.no_checkpoints = true;
	(void)snprintf(answer, sizeof(answer), "{\"ok\":true,\"rev\":%.36s}", strstr((char *)diff.data, "\"1-"));
	parts[1].body = answer;
	assert_int_equal(replicate(scene, parts, true), 0);
	assert_int_equal(scene->report.written, 1);
	assert_int_equal(scene->report.attachments, 1);
	assert_int_equal(replicate(scene, refused, true), 0);
	assert_int_equal(refused[2].hits, 1);
	assert_int_equal(replicate(scene, other, true), 0);
	assert_int_equal(other[1].hits, 1);
	/* One that makes an edit of it is noticed. */
	assert_int_equal(replicate(scene, edits, true), QOSID_ERR_INVALID);
	qosid_buf_free(&diff);
	qosid_buf_free(&text);
}

static void needs_the_database(void **state)
{
	struct scene *scene = *state;
	struct rule none[] = {{.method = "GET", .path = "=/db/", .status = 404},
	    {.method = "PUT", .path = "=/db/", .status = 201}, HEALTHY};
	struct rule made[] = {{.method = "PUT", .path = "=/db/", .status = 412}, HEALTHY};
	struct rule other[] = {{.method = "GET", .path = "=/db/", .body = "<html>"}, HEALTHY};

	assert_int_equal(replicate(scene, none, true), QOSID_ERR_NOTFOUND);
	assert_int_equal(none[1].hits, 0);
	scene->options.create_target = true;
	assert_int_equal(replicate(scene, made, true), 0);
	assert_int_equal(made[0].hits, 1);
	scene->options.create_target = false;
	assert_int_equal(replicate(scene, other, true), QOSID_ERR_INVALID);
}

static void checks_options(void **state)
{
	struct scene *scene = *state;
	struct couch_options options = {.source.replica = scene->replica, .target.replica = scene->replica};
	struct couch_report report = {0};

	assert_int_equal(couch_replicate(&options, &report, &scene->err), QOSID_ERR_USAGE);
	options.target.replica = NULL;
	assert_int_equal(couch_replicate(&options, &report, &scene->err), QOSID_ERR_USAGE);
	couch_report_free(&report);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(pulls),
	    TEST(resumes),
	    TEST(resumes_from_a_read_only_source),
	    TEST(refuses_malformed_changes),
	    TEST(leaves_out_bad_documents),
	    TEST(refuses_malformed_bulk_get),
	    TEST(does_without_bulk_get),
	    TEST(fetches_attachments),
	    TEST(refuses_other_attachments),
	    TEST(fails_on_refusals),
	    TEST(pushes),
	    TEST(push_stops_on_trouble),
	    TEST(refuses_malformed_revs_diff),
	    TEST(sends_attachments),
	    TEST(needs_the_database),
	    TEST(checks_options),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
