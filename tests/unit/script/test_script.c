/* The child that runs design functions: a real one, with what people write by mistake and what they write on purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>

#include "sync/script/script.h"

static int setup(void **state)
{
	const char *folder = getenv("QOSID_BUILD");
	struct script_limits limits = {.answer_seconds = 1, .memory_mib = 64};
	struct script *script;
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/qosid-script", folder ? folder : "build");
	limits.program = path;
	if (script_open(&script, &limits, NULL) != 0)
		return -1;
	*state = script;
	return 0;
}

static int teardown(void **state)
{
	script_close(*state);
	return 0;
}

static int call(struct script *script, const char *request, struct qosid_buf *answer)
{
	qosid_buf_reset(answer);
	return script_call(script, request, strlen(request), answer, NULL);
}

static void expect(struct script *script, const char *request, const char *expected)
{
	struct qosid_buf answer = {0};

	assert_int_equal(call(script, request, &answer), 0);
	assert_string_equal((const char *)answer.data, expected);
	qosid_buf_free(&answer);
}

static void expect_part(struct script *script, const char *request, const char *expected)
{
	struct qosid_buf answer = {0};

	assert_int_equal(call(script, request, &answer), 0);
	if (!strstr((const char *)answer.data, expected))
		fail_msg("%s: %s", request, (const char *)answer.data);
	qosid_buf_free(&answer);
}

static void expect_failure(struct script *script, const char *request, int code)
{
	struct qosid_buf answer = {0};

	assert_int_equal(call(script, request, &answer), code);
	assert_int_equal(script_pid(script), 0);
	qosid_buf_free(&answer);
}

static void test_views(void **state)
{
	expect(*state, "[\"reset\"]", "true");
	expect(*state,
	    "[\"add_lib\",{\"n\":\"exports.two = 2; exports.at = require('./m').at\",\"m\":\"exports.at = 7\"}]",
	    "true");
	expect(*state,
	    "[\"add_fun\",\"function (doc) { const l = require('views/lib/n'); emit(doc.a ?? l.two, `${l.at}`) };\"]",
	    "true");
	expect(*state, "[\"add_fun\",\"doc => { log('x'); if (doc.a) emit(...[doc.a, sum([1, 2])]) }\"]", "true");
	expect(*state, "[\"map_doc\",{\"_id\":\"x\",\"a\":1}]", "[[[1,\"7\"]],[[1,3]]]");
	expect(*state, "[\"map_doc\",{\"_id\":\"x\"}]", "[[[2,\"7\"]],[]]");
	expect(*state, "[\"reduce\",[\"(k, v) => [k, sum(v)]\"],[[[\"k\",\"id\"],1],[[\"l\",\"id\"],2]]]",
	    "[true,[[[[\"k\",\"id\"],[\"l\",\"id\"]],3]]]");
	expect(*state, "[\"rereduce\",[\"(k, v, again) => [k, again, sum(v)]\"],[1,2]]", "[true,[[null,true,3]]]");
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"map_doc\",{\"_id\":\"x\"}]", "[]");
}

static void test_a_map_that_throws_emits_nothing(void **state)
{
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"function (doc) { emit(1, 1); doc.a.b.c; }\"]", "true");
	expect(*state, "[\"map_doc\",{\"_id\":\"x\"}]", "[[]]");
	expect_part(*state, "[\"add_fun\",\"function (doc) {\"]", "[\"error\",\"compilation_error\"");
	expect_part(*state, "[\"add_fun\",\"42\"]", "[\"error\",\"compilation_error\"");
	expect_part(
	    *state, "[\"reduce\",[\"(k, v) => v.join('x'.repeat(3000))\"],[[1,1],[2,2],[3,3]]]", "reduce_overflow");
	expect_part(*state, "[\"nothing\"]", "[\"error\",\"unknown_command\"");
	expect_part(*state, "no json", "[\"error\",\"SyntaxError\"");
}

static void test_design_functions(void **state)
{
	expect(*state,
	    "[\"ddoc\",\"new\",\"_design/d\",{\"_id\":\"_design/d\",\"lib\":{\"a\":\"exports.word = 'type'\"},"
	    "\"validate_doc_update\":\"function (doc, old, user, security) { if (!user.name) throw({unauthorized: "
	    "'who'}); "
	    "if (!doc.type) throw({forbidden: require('lib/a').word}); doc.a.b; }\","
	    "\"filters\":{\"f\":\"(doc, req) => doc.a == req.query.a\"},"
	    "\"updates\":{\"u\":\"(doc, req) => [{_id: req.uuid}, {code: 201, body: 'ok'}]\"},"
	    "\"views\":{\"v\":{\"map\":\"doc => { if (doc.a) emit(1) }\"}}}]",
	    "true");
	expect(*state, "[\"ddoc\",\"_design/d\",[\"validate_doc_update\"],[{},null,{\"name\":null},{}]]",
	    "{\"unauthorized\":\"who\"}");
	expect(*state, "[\"ddoc\",\"_design/d\",[\"validate_doc_update\"],[{},null,{\"name\":\"n\"},{}]]",
	    "{\"forbidden\":\"type\"}");
	expect(*state,
	    "[\"ddoc\",\"_design/d\",[\"validate_doc_update\"],[{\"type\":1,\"a\":1},null,{\"name\":\"n\"},{}]]", "1");
	expect_part(*state,
	    "[\"ddoc\",\"_design/d\",[\"validate_doc_update\"],[{\"type\":1},null,{\"name\":\"n\"},{}]]",
	    "[\"error\",\"TypeError\"");
	expect(*state, "[\"ddoc\",\"_design/d\",[\"filters\",\"f\"],[[{\"a\":1},{}],{\"query\":{\"a\":\"1\"}}]]",
	    "[true,[true,false]]");
	expect(*state, "[\"ddoc\",\"_design/d\",[\"views\",\"v\",\"map\"],[[{\"a\":1},{}]]]", "[true,[true,false]]");
	expect(*state, "[\"ddoc\",\"_design/d\",[\"updates\",\"u\"],[null,{\"uuid\":\"k\",\"method\":\"POST\"}]]",
	    "[\"up\",{\"_id\":\"k\"},{\"code\":201,\"body\":\"ok\"}]");
	expect_part(
	    *state, "[\"ddoc\",\"_design/d\",[\"filters\",\"constructor\"],[[],{}]]", "[\"error\",\"not_found\"");
	expect_part(*state, "[\"ddoc\",\"_design/e\",[\"filters\",\"f\"],[[],{}]]", "[\"error\",\"uncached_ddoc\"");
}

static void test_design_documents_do_not_meet(void **state)
{
	expect(*state,
	    "[\"ddoc\",\"new\",\"_design/a\",{\"filters\":{\"f\":\"() => { JSON.stringify = () => '1'; "
	    "Object.prototype.a = 1; Array.prototype.map = () => []; return true }\"}}]",
	    "true");
	expect(*state, "[\"ddoc\",\"new\",\"_design/b\",{\"filters\":{\"f\":\"doc => doc.a === 1\"}}]", "true");
	expect(*state, "[\"ddoc\",\"_design/a\",[\"filters\",\"f\"],[[{}],{}]]", "[true,[true]]");
	expect(*state, "[\"ddoc\",\"_design/b\",[\"filters\",\"f\"],[[{}],{}]]", "[true,[false]]");
}

static void test_no_clock_and_no_chance_in_views(void **state)
{
	struct qosid_buf first = {0};
	static const char map[] = "[\"map_doc\",{}]";

	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => emit(Date.now() + new Date().getTime(), Math.random())\"]", "true");
	assert_int_equal(call(*state, map, &first), 0);
	assert_memory_equal(first.data, "[[[0,", 5);
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => emit(Date.now() + new Date().getTime(), Math.random())\"]", "true");
	expect(*state, map, (const char *)first.data);
	qosid_buf_free(&first);
}

static void test_nothing_to_escape_with(void **state)
{
	expect(*state, "[\"reset\"]", "true");
	expect(*state,
	    "[\"add_fun\",\"() => emit(typeof std + typeof os + typeof process + typeof fetch + typeof load + typeof "
	    "print + "
	    "typeof WebAssembly + typeof Worker, null)\"]",
	    "true");
	expect(*state, "[\"map_doc\",{}]",
	    "[[[\"undefinedundefinedundefinedundefinedundefinedundefinedundefinedundefined\",null]]]");
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => { import('std').then(s => { throw s }); require('fs') }\"]", "true");
	expect(*state, "[\"map_doc\",{}]", "[[]]");
}

/* What the kernel says of it: a seccomp filter, and no new privileges. */
static void test_sealed(void **state)
{
	char path[64], line[256];
	bool filtered = false, confined = false;
	FILE *file;

	expect(*state, "[\"reset\"]", "true");
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)script_pid(*state));
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		filtered = filtered || strcmp(line, "Seccomp:\t2\n") == 0;
		confined = confined || strcmp(line, "NoNewPrivs:\t1\n") == 0;
	}
	(void)fclose(file);
	assert_true(filtered && confined);
}

static void test_loops_end(void **state)
{
	static const char *const loops[] = {"() => { for (;;); }",
	    "() => { for (;;) try { for (;;); } finally { continue } }", "() => /^(a+)+$/.test('a'.repeat(60) + 'b')"};
	char request[256];

	for (size_t i = 0; i < 3; i++) {
		unsigned long before = script_generation(*state);

		expect(*state, "[\"reset\"]", "true");
		(void)snprintf(request, sizeof(request), "[\"add_fun\",\"%s\"]", loops[i]);
		expect(*state, request, "true");
		expect_failure(*state, "[\"map_doc\",{}]", QOSID_ERR_LIMIT);
		expect(*state, "[\"reset\"]", "true");
		assert_true(script_generation(*state) > before);
	}
}

static void test_hogs_end(void **state)
{
	expect(*state, "[\"add_fun\",\"() => { const a = []; for (;;) a.push(new Array(1000).fill(1)) }\"]", "true");
	expect_failure(*state, "[\"map_doc\",{}]", QOSID_ERR_LIMIT);
	expect(*state,
	    "[\"add_fun\",\"() => { const a = []; for (;;) try { a.push(new Uint8Array(1e6)) } catch (e) { throw e } "
	    "}\"]",
	    "true");
	expect_failure(*state, "[\"map_doc\",{}]", QOSID_ERR_LIMIT);
	expect(*state, "[\"reset\"]", "true");
}

static void test_deep_recursion(void **state)
{
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => { function f(n) { return f([n]) + 1 } f(0) }\"]", "true");
	expect(*state, "[\"add_fun\",\"() => { new RegExp('('.repeat(1e3)) }\"]", "true");
	expect(*state, "[\"map_doc\",{}]", "[[],[]]");
}

static void test_huge_answers(void **state)
{
	struct qosid_buf answer = {0};

	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => emit('x'.repeat(5e6))\"]", "true");
	assert_int_equal(call(*state, "[\"map_doc\",{}]", &answer), 0);
	assert_int_equal(answer.len, 5000000 + strlen("[[[\"\",null]]]"));
	qosid_buf_free(&answer);
	/* Logs are cut, so that they cannot be the way around. */
	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"() => { for (let i = 0; i < 1e3; i++) log('x'.repeat(1e4)) }\"]", "true");
	expect(*state, "[\"map_doc\",{}]", "[[]]");
}

static void test_bad_text(void **state)
{
	struct qosid_buf answer = {0};

	expect(*state, "[\"reset\"]", "true");
	expect(*state, "[\"add_fun\",\"doc => emit(doc.a + '\\\\ud800', null)\"]", "true");
	expect(*state, "[\"map_doc\",{\"a\":\"\xff\xfe\"}]", "[[[\"\xef\xbf\xbd\xef\xbf\xbd\\ud800\",null]]]");
	assert_int_equal(script_call(*state, "[1]\n[2]", 7, &answer, NULL), QOSID_ERR_USAGE);
	qosid_buf_free(&answer);
}

static void test_killed(void **state)
{
	unsigned long before;

	expect(*state, "[\"reset\"]", "true");
	before = script_generation(*state);
	assert_int_equal(kill(script_pid(*state), SIGKILL), 0);
	expect_failure(*state, "[\"reset\"]", QOSID_ERR_FAILED);
	expect(*state, "[\"reset\"]", "true");
	assert_int_equal(script_generation(*state), before + 1);
}

static void test_no_program(void **state)
{
	struct script_limits limits = {.program = "/nonexistent/qosid-script"};
	struct script *script;
	struct qosid_buf answer = {0};

	(void)state;
	assert_int_equal(script_open(&script, &limits, NULL), 0);
	assert_true(call(script, "[\"reset\"]", &answer) < 0);
	assert_int_equal(script_pid(script), 0);
	qosid_buf_free(&answer);
	script_close(script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_views),
	    cmocka_unit_test(test_a_map_that_throws_emits_nothing),
	    cmocka_unit_test(test_design_functions),
	    cmocka_unit_test(test_design_documents_do_not_meet),
	    cmocka_unit_test(test_no_clock_and_no_chance_in_views),
	    cmocka_unit_test(test_nothing_to_escape_with),
	    cmocka_unit_test(test_sealed),
	    cmocka_unit_test(test_loops_end),
	    cmocka_unit_test(test_hogs_end),
	    cmocka_unit_test(test_deep_recursion),
	    cmocka_unit_test(test_huge_answers),
	    cmocka_unit_test(test_bad_text),
	    cmocka_unit_test(test_killed),
	    cmocka_unit_test(test_no_program),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
