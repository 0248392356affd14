/* Git servers that lie: broken frames, too much of everything, packs that are not what they say. Whatever they send,
 * memory stays bounded, nothing of it is stored, and the failure has the right name. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "git_fixture.h"
#include "sync/exchange/pack.h"
#include "wire_fixture.h"

#define REF "refs/heads/office/khujand"
#define PROGRESS "refs/remotes/origin/office/khujand"
#define COMMIT 1u
#define TREE 2u
#define BLOB 3u
#define TAG 4u
#define OFS_DELTA 6u
#define REF_DELTA 7u

struct fixture {
	char *scratch;
	struct repo *own;
	struct wire_server server;
	struct qosid_buf script, pack;
	git_oid tip;
	uint32_t objects;
	struct qosid_errbuf err;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char *path;

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	path = fixture_path(fixture->scratch, "own.git");
	assert_int_equal(repo_open(&fixture->own, path, true, NULL), 0);
	free(path);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	repo_free(fixture->own);
	qosid_buf_free(&fixture->script);
	qosid_buf_free(&fixture->pack);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* ---- what the server says ---- */

static void say_raw(struct fixture *fixture, const void *data, size_t len)
{
	assert_int_equal(qosid_buf_append(&fixture->script, data, len, NULL), 0);
}

static void say(struct fixture *fixture, const void *data, size_t len)
{
	char head[5];

	(void)snprintf(head, sizeof(head), "%04zx", (len + 4) & 0xffffU);
	say_raw(fixture, head, 4);
	say_raw(fixture, data, len);
}

static void say_text(struct fixture *fixture, const char *text)
{
	say(fixture, text, strlen(text));
}

static void say_flush(struct fixture *fixture)
{
	say_raw(fixture, "0000", 4);
}

static void say_greeting(struct fixture *fixture)
{
	say_text(fixture, "version 2\n");
	say_text(fixture, "fetch=shallow filter\n");
	say_flush(fixture);
}

static void say_ref(struct fixture *fixture, const char *name)
{
	char line[1200], hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), &fixture->tip);
	(void)snprintf(line, sizeof(line), "%s %s\n", hex, name);
	say_text(fixture, line);
}

/* All that comes before a pack. */
static void say_prelude(struct fixture *fixture)
{
	say_greeting(fixture);
	say_ref(fixture, REF);
	say_flush(fixture);
	say_text(fixture, "packfile\n");
}

/* ---- packs ---- */

static void pack_raw(struct fixture *fixture, const void *data, size_t len)
{
	assert_int_equal(qosid_buf_append(&fixture->pack, data, len, NULL), 0);
}

static void pack_head(struct fixture *fixture, unsigned kind, uint64_t len)
{
	uint8_t byte = (uint8_t)(kind << 4 | (len & 15));

	if (fixture->pack.len == 0)
		pack_raw(fixture, "PACK\0\0\0\2\0\0\0\0", 12);
	fixture->objects++;
	for (len >>= 4; len > 0; len >>= 7) {
		byte |= 0x80;
		pack_raw(fixture, &byte, 1);
		byte = (uint8_t)(len & 0x7f);
	}
	pack_raw(fixture, &byte, 1);
}

static void pack_data(struct fixture *fixture, const void *data, size_t len)
{
	uLongf room = compressBound(len);
	uint8_t *out = malloc(room);

	assert_non_null(out);
	assert_int_equal(compress2(out, &room, data, len, 1), Z_OK);
	pack_raw(fixture, out, room);
	free(out);
}

static void pack_object(struct fixture *fixture, unsigned kind, const void *data, size_t len)
{
	pack_head(fixture, kind, len);
	pack_data(fixture, data, len);
}

/* A commit of its own tree with one payload, put at the front as git does; it becomes the tip. */
static void pack_log(struct fixture *fixture, const void *payload, size_t len)
{
	struct repo_entry entry = {.name = "changes.age"};
	struct qosid_buf tree = {0}, commit = {0};
	char hex[GIT_OID_HEXSZ + 1];
	git_oid id;

	assert_int_equal(pack_object_id(&entry.id, GIT_OBJECT_BLOB, payload, len, NULL), 0);
	assert_int_equal(repo_format_tree(&tree, &entry, 1, NULL), 0);
	assert_int_equal(pack_object_id(&id, GIT_OBJECT_TREE, tree.data, tree.len, NULL), 0);
	git_oid_tostr(hex, sizeof(hex), &id);
	assert_int_equal(qosid_buf_append_format(&commit, NULL, "tree %s\n\nx\n", hex), 0);
	assert_int_equal(pack_object_id(&fixture->tip, GIT_OBJECT_COMMIT, commit.data, commit.len, NULL), 0);
	pack_object(fixture, COMMIT, commit.data, commit.len);
	pack_object(fixture, TREE, tree.data, tree.len);
	qosid_buf_free(&commit);
	qosid_buf_free(&tree);
}

static void say_pack(struct fixture *fixture, bool right_sum, size_t cut)
{
	uint8_t sum[20], line[1001] = {1};

	for (unsigned i = 0; i < 4; i++)
		fixture->pack.data[8 + i] = (uint8_t)(fixture->objects >> (24 - 8 * i));
	assert_int_equal(EVP_Digest(fixture->pack.data, fixture->pack.len, sum, NULL, EVP_sha1(), NULL), 1);
	sum[0] ^= right_sum ? 0 : 1;
	pack_raw(fixture, sum, sizeof(sum));
	for (size_t at = 0; at + cut < fixture->pack.len;) {
		size_t len = fixture->pack.len - cut - at < 1000 ? fixture->pack.len - cut - at : 1000;

		memcpy(line + 1, fixture->pack.data + at, len);
		say(fixture, line, len + 1);
		at += len;
	}
	say_flush(fixture);
}

/* ---- meeting it ---- */

static int count_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	(void)id;
	(void)err;
	assert_string_equal(name, REF);
	++*(unsigned *)context;
	return 0;
}

static int open_peer(struct fixture *fixture, struct peer **peer)
{
	struct wire_dialer dialer = wire_server_dialer(&fixture->server);

	fixture->server.script = fixture->script.data;
	fixture->server.script_len = fixture->script.len;
	return peer_open_wire(peer, "test", &dialer, fixture->own, &fixture->err);
}

/* Opening fails so. */
static void check_open(struct fixture *fixture, int code, const char *words)
{
	struct peer *peer = NULL;

	assert_int_equal(open_peer(fixture, &peer), code);
	assert_null(peer);
	if (strstr(fixture->err.what, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fixture->err.what, words);
}

static int fetch(struct fixture *fixture)
{
	const git_oid nothing = {0};
	struct transfer_stats stats;
	struct peer *peer = NULL;
	bool whole;
	int rc = open_peer(fixture, &peer);

	assert_int_equal(rc, 0);
	rc = peer_fetch(peer, &fixture->tip, &nothing, PROGRESS, NULL, &stats, &whole, &fixture->err);
	peer_close(peer);
	return rc;
}

/* Fetching fails so, and nothing is stored. */
static void check_fetch(struct fixture *fixture, int code, const char *words)
{
	git_oid at;

	assert_int_equal(fetch(fixture), code);
	if (strstr(fixture->err.what, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", fixture->err.what, words);
	assert_false(repo_has(fixture->own, &fixture->tip));
	assert_int_equal(repo_read_ref(fixture->own, PROGRESS, &at, NULL), QOSID_ERR_NOTFOUND);
}

/* ---- greetings ---- */

static void test_greeting_cut(void **state)
{
	struct fixture *fixture = *state;

	say_text(fixture, "version 2\n");
	say_raw(fixture, "00", 2);
	check_open(fixture, QOSID_ERR_OFFLINE, "ended the conversation");
}

static void test_greeting_of_something_else(void **state)
{
	struct fixture *fixture = *state;

	say_raw(fixture, "Welcome to \033[1mhost\n", 21);
	check_open(fixture, QOSID_ERR_FAILED, "it says \"Welcome to [1mhost\"");
	qosid_buf_reset(&fixture->script);
	say_raw(fixture, "0003", 4);
	check_open(fixture, QOSID_ERR_FAILED, "does not speak git's protocol");
	qosid_buf_reset(&fixture->script);
	say_raw(fixture, "ffff", 4);
	check_open(fixture, QOSID_ERR_FAILED, "does not speak git's protocol");
	qosid_buf_reset(&fixture->script);
	say_text(fixture, "tree of life\n");
	check_open(fixture, QOSID_ERR_FAILED, "it says \"tree of life\"");
}

static void test_greeting_error(void **state)
{
	struct fixture *fixture = *state;

	say_text(fixture, "ERR no such repository\n");
	check_open(fixture, QOSID_ERR_FAILED, "the remote says: no such repository");
}

static void test_greeting_sha256(void **state)
{
	struct fixture *fixture = *state;

	say_text(fixture, "version 2\n");
	say_text(fixture, "object-format=sha256\n");
	say_flush(fixture);
	check_open(fixture, QOSID_ERR_INVALID, "sha256");
}

static void test_greeting_endless(void **state)
{
	struct fixture *fixture = *state;

	say_text(fixture, "version 2\n");
	fixture->server.endless = 1ull << 40;
	fixture->server.frame = "0010agent=evils\n";
	check_open(fixture, QOSID_ERR_LIMIT, "longer than it may be");
	assert_true(fixture->server.down <= WIRE_GREETING_BYTES_MAX);
}

static void test_refs_with_bad_names(void **state)
{
	struct fixture *fixture = *state;
	struct peer *peer = NULL;
	char longest[1000];
	unsigned count = 0;

	memset(fixture->tip.id, 0x42, sizeof(fixture->tip.id));
	say_greeting(fixture);
	say_ref(fixture, "refs/heads/office/../../config");
	say_ref(fixture, "refs/heads/office/Khujand");
	say_ref(fixture, "refs/heads/office/");
	say_ref(fixture, "refs/heads/office/a\033b");
	say_ref(fixture, "refs/heads/office/a/b");
	say_ref(fixture, "refs/heads/main");
	say_ref(fixture, "HEAD");
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "refs/heads/office/", 18);
	longest[sizeof(longest) - 1] = '\0';
	say_ref(fixture, longest);
	say_ref(fixture, REF);
	say_ref(fixture, REF); /* twice */
	say_flush(fixture);
	assert_int_equal(open_peer(fixture, &peer), 0);
	assert_int_equal(peer_visit_refs(peer, count_ref, &count, &fixture->err), 0);
	assert_int_equal(count, 1);
	peer_close(peer);
	qosid_buf_reset(&fixture->script);
	say_greeting(fixture);
	say_text(fixture, "4242 " REF "\n");
	check_open(fixture, QOSID_ERR_FAILED, "does not speak git's protocol");
}

static void test_too_many_refs(void **state)
{
	struct fixture *fixture = *state;

	memset(fixture->tip.id, 0x42, sizeof(fixture->tip.id));
	say_greeting(fixture);
	for (unsigned i = 0; i < 100000; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "refs/heads/office/o%06u", i);
		say_ref(fixture, name);
	}
	say_flush(fixture);
	check_open(fixture, QOSID_ERR_LIMIT, "more than 65536 logs");
}

/* ---- packs ---- */

/* So that the others fail for their own reason. */
static void test_pack_right(void **state)
{
	struct fixture *fixture = *state;
	git_oid at;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	assert_int_equal(fetch(fixture), 0);
	assert_int_equal(repo_read_ref(fixture->own, PROGRESS, &at, NULL), 0);
	assert_true(git_oid_equal(&at, &fixture->tip));
	assert_true(transfer_has_whole(fixture->own, &at));
}

static void test_pack_checksum(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	say_pack(fixture, false, 0);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "checksum");
}

static void test_pack_cut(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	say_pack(fixture, true, 21);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "it ends in the middle");
}

static void test_pack_goes_on(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	fixture->objects--;
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "damaged");
}

/* What was sent is sound, but not what was asked for; or a part of it is missing. */
static void test_pack_of_others(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	fixture->tip.id[0] ^= 1;
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "cannot be read");
	qosid_buf_reset(&fixture->script);
	qosid_buf_reset(&fixture->pack);
	fixture->objects = 0;
	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hullo", 5);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "cannot be read");
}

static void test_pack_tag(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, TAG, "hello", 5);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_INVALID, "has a tag in it");
}

static void test_pack_twice(void **state)
{
	struct fixture *fixture = *state;

	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_INVALID, "twice");
}

/* Gigabytes of zeros behind a small size, and a size that is no secret. */
static void test_pack_bomb(void **state)
{
	struct fixture *fixture = *state;
	size_t len = (size_t)256 << 20;
	uint8_t *zeros = calloc(1, len);

	assert_non_null(zeros);
	pack_log(fixture, "hello", 5);
	pack_head(fixture, BLOB, 100);
	pack_data(fixture, zeros, len);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_CORRUPT, "larger than it says");

	qosid_buf_reset(&fixture->script);
	qosid_buf_reset(&fixture->pack);
	fixture->objects = 0;
	pack_log(fixture, "hello", 5);
	pack_head(fixture, BLOB, 4ull << 30);
	pack_data(fixture, zeros, 100);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_LIMIT, "4294967296 bytes");

	/* Each alone is allowed; together they are more than is taken at once. */
	qosid_buf_reset(&fixture->script);
	qosid_buf_reset(&fixture->pack);
	fixture->objects = 0;
	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, zeros, 60u << 20);
	pack_object(fixture, BLOB, zeros, 59u << 20);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	check_fetch(fixture, QOSID_ERR_LIMIT, "that are taken at once");
	free(zeros);
}

/* ---- deltas ---- */

/* A delta with these instructions, on the blob "hello" (by offset) or on the object of this id. */
static void check_delta(
    struct fixture *fixture, const git_oid *base, const void *delta, size_t len, int code, const char *words)
{
	size_t blob;

	qosid_buf_reset(&fixture->script);
	qosid_buf_reset(&fixture->pack);
	fixture->objects = 0;
	pack_log(fixture, "hello!", 6);
	blob = fixture->pack.len;
	pack_object(fixture, BLOB, "hello", 5);
	if (base != NULL) {
		pack_head(fixture, REF_DELTA, len);
		pack_raw(fixture, base->id, sizeof(base->id));
	} else {
		uint8_t back = (uint8_t)(fixture->pack.len - blob);

		pack_head(fixture, OFS_DELTA, len);
		pack_raw(fixture, &back, 1);
	}
	pack_data(fixture, delta, len);
	say_prelude(fixture);
	say_pack(fixture, true, 0);
	if (code != 0)
		check_fetch(fixture, code, words);
	else
		assert_int_equal(fetch(fixture), 0);
}

static void test_deltas_wrong(void **state)
{
	static const char what[] = "does not fit";
	struct fixture *fixture = *state;
	git_oid base;

	/* sizes of base and result, then instructions */
	check_delta(fixture, NULL, "\x05\x06\x90\x06\x01!", 6, QOSID_ERR_CORRUPT, what); /* copies too much */
	check_delta(fixture, NULL, "\x05\x06\x91\x03\x05\x01!", 7, QOSID_ERR_CORRUPT, what);
	check_delta(fixture, NULL, "\x04\x06\x90\x05\x01!", 6, QOSID_ERR_CORRUPT, what); /* another base */
	check_delta(fixture, NULL, "\x05\x07\x90\x05\x01!", 6, QOSID_ERR_CORRUPT, what); /* too short */
	check_delta(fixture, NULL, "\x05\x05\x90\x05\x01!", 6, QOSID_ERR_CORRUPT, what); /* too long */
	check_delta(fixture, NULL, "\x05\x06\x90\x05\x00", 5, QOSID_ERR_CORRUPT, what);  /* reserved */
	check_delta(fixture, NULL, "\x05\x06\x90\x05\x02!", 6, QOSID_ERR_CORRUPT, what); /* inserts what is not there */
	check_delta(fixture, NULL, "\x05\x80", 2, QOSID_ERR_CORRUPT, what);
	check_delta(fixture, NULL, "\x05\x80\x80\x80\x80\x08\x90\x05", 8, QOSID_ERR_LIMIT, "2147483648 bytes");
	/* On what is not there; a loop would have to begin so. */
	memset(base.id, 0x13, sizeof(base.id));
	check_delta(fixture, &base, "\x05\x06\x90\x05\x01!", 6, QOSID_ERR_CORRUPT, "before what it builds on");
	/* Right ones, both ways. */
	check_delta(fixture, NULL, "\x05\x06\x90\x05\x01!", 6, 0, "");
}

static void test_delta_by_id(void **state)
{
	git_oid base;

	assert_int_equal(pack_object_id(&base, GIT_OBJECT_BLOB, "hello", 5, NULL), 0);
	check_delta(*state, &base, "\x05\x06\x90\x05\x01!", 6, 0, "");
}

/* ---- answers ---- */

static void test_fetch_endless(void **state)
{
	struct fixture *fixture = *state;
	static char frame[1001];

	memset(fixture->tip.id, 0x42, sizeof(fixture->tip.id));
	say_prelude(fixture);
	memset(frame, 'x', sizeof(frame) - 1);
	memcpy(frame, "03e8\002", 5);
	fixture->server.endless = 1ull << 40;
	fixture->server.frame = frame;
	check_fetch(fixture, QOSID_ERR_LIMIT, "longer than it may be");
}

static void test_fetch_errors(void **state)
{
	struct fixture *fixture = *state;

	memset(fixture->tip.id, 0x42, sizeof(fixture->tip.id));
	say_greeting(fixture);
	say_ref(fixture, REF);
	say_flush(fixture);
	say_text(fixture, "ERR upload-pack: not our ref\n");
	check_fetch(fixture, QOSID_ERR_CORRUPT, "the remote says: upload-pack: not our ref");
	qosid_buf_reset(&fixture->script);
	say_prelude(fixture);
	say_text(fixture, "\003out of memory");
	check_fetch(fixture, QOSID_ERR_CORRUPT, "the remote says: out of memory");
	qosid_buf_reset(&fixture->script);
	say_prelude(fixture);
	say_text(fixture, "\004what");
	check_fetch(fixture, QOSID_ERR_FAILED, "no band");
	qosid_buf_reset(&fixture->script);
	say_greeting(fixture);
	say_ref(fixture, REF);
	say_flush(fixture);
	say_flush(fixture);
	check_fetch(fixture, QOSID_ERR_FAILED, "without a pack");
}

/* Where each answer stands alone, nothing may come after its end. */
static void test_stateless_goes_on(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.is_stateless = true;
	say_greeting(fixture);
	say_text(fixture, "more");
	check_open(fixture, QOSID_ERR_FAILED, "goes on after the end");
}

/* ---- any byte wrong ---- */

static void test_any_byte_wrong(void **state)
{
	struct fixture *fixture = *state;
	uint64_t seed = 4711;
	size_t len;

	print_message("# seed %llu\n", (unsigned long long)seed);
	pack_log(fixture, "hello", 5);
	pack_object(fixture, BLOB, "hello", 5);
	say_prelude(fixture);
	len = fixture->script.len;
	say_pack(fixture, true, 0);
	for (unsigned round = 0; round < 2000; round++) {
		const git_oid nothing = {0};
		struct transfer_stats stats;
		struct peer *peer = NULL;
		uint32_t random[2];
		uint8_t *byte, was;
		bool whole;

		fixture_random(&seed, random, sizeof(random));
		byte = &fixture->script.data[round % 2 == 0 ? random[0] % fixture->script.len
							    : len + random[0] % (fixture->script.len - len)];
		was = *byte;
		*byte = (uint8_t)random[1];
		if (*byte != was && open_peer(fixture, &peer) == 0) {
			int rc =
			    peer_fetch(peer, &fixture->tip, &nothing, PROGRESS, NULL, &stats, &whole, &fixture->err);

			/* In some places a byte means nothing: the case of a length, a capability's name. */
			assert_true(rc != 0 || transfer_has_whole(fixture->own, &fixture->tip));
			if (rc == 0)
				assert_true(byte < fixture->script.data + len || (was ^ *byte) == 0x20);
		}
		peer_close(peer);
		*byte = was;
		if (repo_has(fixture->own, &fixture->tip)) { /* a new one for the next */
			assert_int_equal(fixture_shell("rm -rf '%s/own.git/objects/'?? '%s/own.git/refs/remotes'",
					     fixture->scratch, fixture->scratch),
			    0);
			assert_false(repo_has(fixture->own, &fixture->tip));
		}
	}
}

/* ---- pushing ---- */

static int push(struct fixture *fixture, const char *report, struct peer_update *update)
{
	char zeros[GIT_OID_HEXSZ + 1] = "";
	struct peer *peer = NULL;
	int rc;

	memset(zeros, '0', GIT_OID_HEXSZ);
	qosid_buf_reset(&fixture->script);
	(void)qosid_buf_append_format(
	    &fixture->script, NULL, "%04zx%s capabilities^{}", (size_t)(4 + 40 + 16 + 28), zeros);
	say_raw(fixture, "\0report-status side-band-64k", 28);
	say_flush(fixture);
	say_text(fixture, report);
	say_flush(fixture);
	assert_int_equal(open_peer(fixture, &peer), 0);
	*update = (struct peer_update){.ref = REF, .tip = fixture->tip};
	rc = peer_push(peer, update, 1, &fixture->err);
	peer_close(peer);
	return rc;
}

static void test_push_liars(void **state)
{
	struct fixture *fixture = *state;
	struct identity *identity;
	struct peer_update update;
	int64_t sequence = 0;

	assert_int_equal(identity_create(&identity, &fixture->err), 0);
	fixture_grow(fixture->own, identity, 2, 100, &fixture->tip, &sequence);
	assert_int_equal(repo_flush(fixture->own, &fixture->err), 0);
	identity_free(identity);
	assert_int_equal(push(fixture, "\001000eunpack ok\n0021ok " REF "\n", &update), 0);
	assert_int_equal(update.answer, PEER_TAKEN);
	assert_int_equal(push(fixture, "\001000eunpack ok\n0019ok refs/heads/others\n", &update), 0);
	assert_int_equal(update.answer, PEER_REFUSED);
	assert_non_null(strstr(update.fault.what, "gives no answer"));
	assert_int_equal(push(fixture, "\001000eunpack ok\n002bng " REF " hook said\n", &update), 0);
	assert_int_equal(update.answer, PEER_REFUSED);
	assert_int_equal(push(fixture, "\0010015unpack disk full\n", &update), QOSID_ERR_FAILED);
	assert_non_null(strstr(fixture->err.what, "disk full"));
	assert_int_equal(push(fixture, "\003dying", &update), QOSID_ERR_FAILED);
	assert_int_equal(push(fixture, "\001ffff", &update), 0); /* nonsense is no answer */
	assert_int_equal(update.answer, PEER_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_greeting_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_greeting_of_something_else, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_greeting_error, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_greeting_sha256, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_greeting_endless, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refs_with_bad_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_too_many_refs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_right, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_checksum, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_goes_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_of_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_tag, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_twice, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pack_bomb, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deltas_wrong, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_delta_by_id, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_endless, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_errors, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stateless_goes_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_any_byte_wrong, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push_liars, setup, teardown),
	};

	if (sodium_init() < 0 || git_libgit2_init() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
