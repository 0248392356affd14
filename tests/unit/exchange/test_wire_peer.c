/* Logs to and from a real git over the wire protocol: new servers and old ones, whole, in steps, over wires that break.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "git_fixture.h"
#include "wire_fixture.h"

#define REF "refs/heads/office/khujand"
#define PROGRESS "refs/remotes/origin/office/khujand"

struct fixture {
	char *scratch;
	struct repo *there, *own;
	struct identity *identity;
	git_oid tip;
	int64_t sequence;
	struct wire_server server;
	struct peer *peer;
	struct qosid_errbuf err;
};

static struct repo *open_repo(const struct fixture *fixture, const char *name)
{
	char *path = fixture_path(fixture->scratch, name);
	struct repo *repo;

	assert_int_equal(repo_open(&repo, path, true, NULL), 0);
	free(path);
	return repo;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	fixture->there = open_repo(fixture, "there.git");
	fixture->own = open_repo(fixture, "own.git");
	assert_int_equal(identity_create(&fixture->identity, &fixture->err), 0);
	fixture->server = (struct wire_server){.repository = repo_path(fixture->there), .protocol = "version=2"};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	peer_close(fixture->peer);
	repo_free(fixture->there);
	repo_free(fixture->own);
	identity_free(fixture->identity);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* Commits in a repository, with a ref on the last one. */
static void grow(struct fixture *fixture, struct repo *repo, const char *ref, size_t count, size_t blob_bytes)
{
	git_oid old = fixture->tip;

	fixture_grow(repo, fixture->identity, count, blob_bytes, &fixture->tip, &fixture->sequence);
	assert_int_equal(
	    repo_update_ref(repo, ref, git_oid_is_zero(&old) ? NULL : &old, &fixture->tip, &fixture->err), 0);
}

static int open_peer(struct fixture *fixture)
{
	struct wire_dialer dialer = wire_server_dialer(&fixture->server);

	peer_close(fixture->peer);
	fixture->peer = NULL;
	return peer_open_wire(&fixture->peer, "test", &dialer, fixture->own, &fixture->err);
}

static int take_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	(void)err;
	if (strcmp(name, REF) == 0)
		*(git_oid *)context = *id;
	return 0;
}

/* A meeting that fetches. */
static int fetch(struct fixture *fixture, const struct transfer_watch *watch, struct transfer_stats *stats)
{
	git_oid tip = {0}, have = {0};
	bool whole;
	int rc = open_peer(fixture);

	*stats = (struct transfer_stats){0};
	if (rc != 0)
		return rc;
	assert_int_equal(peer_visit_refs(fixture->peer, take_ref, &tip, &fixture->err), 0);
	assert_true(git_oid_equal(&tip, &fixture->tip));
	(void)repo_read_ref(fixture->own, PROGRESS, &have, NULL); /* none at first */
	rc = peer_fetch(fixture->peer, &tip, &have, PROGRESS, watch, stats, &whole, &fixture->err);
	assert_true(rc != 0 || whole || watch != NULL);
	return rc;
}

static void check_log(struct fixture *fixture, struct repo *repo, const char *ref)
{
	char *number;
	git_oid at;

	assert_int_equal(repo_read_ref(repo, ref, &at, &fixture->err), 0);
	assert_true(git_oid_equal(&at, &fixture->tip));
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", repo_path(repo)), 0);
	number = fixture_output("git -C '%s' rev-list --count %s", repo_path(repo), ref);
	assert_int_equal(atoi(number), fixture->sequence);
	free(number);
}

static void check_fetch(struct fixture *fixture)
{
	struct transfer_stats stats;

	grow(fixture, fixture->there, REF, 3, 500);
	assert_int_equal(fetch(fixture, NULL, &stats), 0);
	assert_int_equal(stats.commits, 3);
	assert_int_equal(stats.objects, 9);
	assert_int_equal(fixture->server.dials, 1);
	check_log(fixture, fixture->own, PROGRESS);
	assert_int_equal(fetch(fixture, NULL, &stats), 0);
	assert_int_equal(stats.objects, 0);
	for (size_t i = 1; i < 4; i++) {
		grow(fixture, fixture->there, REF, i, 700);
		assert_int_equal(fetch(fixture, NULL, &stats), 0);
		assert_int_equal(stats.commits, i);
	}
	check_log(fixture, fixture->own, PROGRESS);
}

static void test_fetch(void **state)
{
	check_fetch(*state);
}

static void test_fetch_old(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.protocol = NULL;
	check_fetch(fixture);
}

static void test_fetch_v1(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.protocol = "version=1";
	check_fetch(fixture);
}

static void test_fetch_stateless(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.is_stateless = true;
	check_fetch(fixture);
}

static void test_fetch_stateless_old(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.is_stateless = true;
	fixture->server.protocol = NULL;
	check_fetch(fixture);
}

/* What is on the server came out of stock git's own repacking, with deltas. */
static void test_fetch_deltas(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;

	grow(fixture, fixture->there, REF, 50, 300);
	/* Payloads that resemble each other, of two commits. */
	assert_int_equal(
	    fixture_shell("cd '%s' && seq 1 5000 >\"$HOME/a\" && seq 1 5001 >\"$HOME/b\" && "
			  "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a "
			  "GIT_COMMITTER_EMAIL=a && "
			  "add() { b=$(git hash-object -w \"$1\") && t=$(printf '100644 blob %%s\\tchanges.age\\n' "
			  "$b | git mktree) && c=$(git commit-tree -p " REF " -m x $t) && git update-ref " REF
			  " $c; } && add \"$HOME/a\" && add \"$HOME/b\" && git repack -adf && "
			  "git verify-pack -v objects/pack/*.idx | grep -q 'chain length = 1'",
		repo_path(fixture->there)),
	    0);
	fixture->sequence += 2;
	assert_int_equal(repo_read_ref(fixture->there, REF, &fixture->tip, &fixture->err), 0);
	assert_int_equal(fetch(fixture, NULL, &stats), 0);
	check_log(fixture, fixture->own, PROGRESS);
}

/* ---- steps ---- */

struct watching {
	struct fixture *fixture;
	unsigned calls;
};

static int arrived(void *context, const git_oid *complete, struct qosid_errbuf *err)
{
	struct watching *watching = context;

	watching->calls++;
	assert_true(transfer_has_whole(watching->fixture->own, complete));
	(void)err;
	return 0;
}

/* More than is taken unverified comes in batches, each looked at. */
static void check_large(struct fixture *fixture)
{
	struct watching watching = {fixture, 0};
	struct transfer_watch watch = {.arrived = arrived, .context = &watching};
	struct transfer_stats stats;

	grow(fixture, fixture->there, REF, 25, 200000);
	assert_int_equal(fetch(fixture, &watch, &stats), 0);
	assert_int_equal(stats.commits, 25);
	assert_true(watching.calls >= 1);
	check_log(fixture, fixture->own, PROGRESS);
}

static void test_fetch_large(void **state)
{
	check_large(*state);
}

static void test_fetch_large_filter(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fixture_shell("git -C '%s' config uploadpack.allowFilter true", repo_path(fixture->there)), 0);
	check_large(fixture);
}

/* An old server gives only what its refs name: then the log comes at once. */
static void test_fetch_large_old(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;

	fixture->server.protocol = NULL;
	grow(fixture, fixture->there, REF, 25, 200000);
	assert_int_equal(fetch(fixture, NULL, &stats), 0);
	check_log(fixture, fixture->own, PROGRESS);
	assert_int_equal(fixture->server.dials, 1);
}

/* Many objects, each small. */
static void test_fetch_many(void **state)
{
	struct fixture *fixture = *state;
	struct watching watching = {fixture, 0};
	struct transfer_watch watch = {.arrived = arrived, .context = &watching};
	struct transfer_stats stats;

	grow(fixture, fixture->there, REF, 2100, 20);
	assert_int_equal(fetch(fixture, &watch, &stats), 0);
	assert_int_equal(stats.commits, 2100);
	assert_true(watching.calls >= 1);
	check_log(fixture, fixture->own, PROGRESS);
}

/* A link that always breaks after 200 KB. Returns the number of meetings. */
static unsigned fetch_through_cuts(struct fixture *fixture, uint64_t cut, unsigned most)
{
	struct transfer_stats stats;
	unsigned meetings = 0;
	int rc;

	do {
		assert_true(meetings++ < most);
		fixture->server.cut = fixture->server.up + fixture->server.down + cut;
		rc = fetch(fixture, NULL, &stats);
		assert_true(rc == 0 || rc == QOSID_ERR_OFFLINE);
	} while (rc != 0);
	return meetings;
}

static void test_fetch_drops(void **state)
{
	struct fixture *fixture = *state;
	unsigned meetings;
	uint64_t bytes;

	grow(fixture, fixture->there, REF, 500, 1000);
	meetings = fetch_through_cuts(fixture, 200000, 30);
	bytes = fixture->server.up + fixture->server.down;
	check_log(fixture, fixture->own, PROGRESS);
	print_message("# 500 change sets of 1,000 bytes over a wire that breaks every 200,000 bytes: %u meetings, "
		      "%llu bytes\n",
	    meetings, (unsigned long long)bytes);
}

/* ---- pushing ---- */

static void update_init(struct peer_update *update, const char *ref, const git_oid *old, const git_oid *tip)
{
	*update = (struct peer_update){.ref = ref, .tip = *tip};
	if (old != NULL)
		update->old = *old;
}

static int push(struct fixture *fixture, const git_oid *old, struct peer_update *update)
{
	int rc = open_peer(fixture);

	update_init(update, REF, old, &fixture->tip);
	return rc != 0 ? rc : peer_push(fixture->peer, update, 1, &fixture->err);
}

static void check_push(struct fixture *fixture)
{
	struct peer_update update;
	git_oid old;

	grow(fixture, fixture->own, REF, 3, 500);
	assert_int_equal(push(fixture, NULL, &update), 0);
	assert_int_equal(update.answer, PEER_TAKEN);
	assert_int_equal(update.stats.commits, 3);
	assert_int_equal(update.stats.objects, 9);
	check_log(fixture, fixture->there, REF);
	for (size_t i = 1; i < 4; i++) {
		old = fixture->tip;
		grow(fixture, fixture->own, REF, i, 700);
		assert_int_equal(push(fixture, &old, &update), 0);
		assert_int_equal(update.answer, PEER_TAKEN);
		assert_int_equal(update.stats.commits, i);
	}
	check_log(fixture, fixture->there, REF);
	/* The same once more: the server shows that it has it. */
	assert_int_equal(push(fixture, &old, &update), 0);
	assert_int_equal(update.answer, PEER_TAKEN);
	assert_int_equal(update.stats.commits, 0);
}

static void test_push(void **state)
{
	check_push(*state);
}

static void test_push_stateless(void **state)
{
	struct fixture *fixture = *state;

	fixture->server.is_stateless = true;
	check_push(fixture);
}

/* Somebody else moves the ref. */
static void test_push_moved(void **state)
{
	struct fixture *fixture = *state;
	struct peer_update update;
	git_oid first;

	grow(fixture, fixture->own, REF, 1, 500);
	first = fixture->tip;
	assert_int_equal(push(fixture, NULL, &update), 0);
	assert_int_equal(
	    fixture_shell("cd '%s' && git update-ref " REF " $(git -c user.name=a -c user.email=a commit-tree -m x "
			  "$(git mktree </dev/null))",
		repo_path(fixture->there)),
	    0);
	grow(fixture, fixture->own, REF, 1, 500);
	assert_int_equal(push(fixture, &first, &update), 0);
	assert_int_equal(update.answer, PEER_MOVED);
}

/* A hook says no to one log of three; a damaged copy of ours is none of the others' business. */
static void test_push_refused(void **state)
{
	static const char *const refs[] = {
	    "refs/heads/office/a", "refs/heads/office/b", "refs/heads/office/c", "refs/heads/office/d"};
	struct fixture *fixture = *state;
	struct peer_update updates[4];
	git_oid at;

	for (size_t i = 0; i < 4; i++) {
		fixture->tip = (git_oid){0};
		fixture->sequence = 0;
		fixture_grow(fixture->own, fixture->identity, i + 1, 400 + i, &fixture->tip, &fixture->sequence);
		assert_int_equal(repo_flush(fixture->own, &fixture->err), 0);
		update_init(&updates[i], refs[i], NULL, &fixture->tip);
	}
	memset(updates[2].tip.id, 0x77, sizeof(updates[2].tip.id));
	assert_int_equal(
	    fixture_shell("mkdir -p '%s/hooks' && cd '%s/hooks' && printf '#!/bin/sh\\n"
			  "[ \"$1\" != refs/heads/office/b ] || { echo no such office >&2; exit 1; }\\n' >update && "
			  "chmod +x update",
		repo_path(fixture->there), repo_path(fixture->there)),
	    0);
	assert_int_equal(open_peer(fixture), 0);
	assert_int_equal(peer_push(fixture->peer, updates, 4, &fixture->err), 0);
	assert_int_equal(fixture->server.pushes, 1);
	assert_int_equal(updates[0].answer, PEER_TAKEN);
	assert_int_equal(updates[1].answer, PEER_REFUSED);
	assert_non_null(strstr(updates[1].fault.what, "hook"));
	assert_int_equal(updates[2].answer, PEER_UNASKED);
	assert_int_equal(updates[2].fault.code, QOSID_ERR_NOTFOUND);
	assert_int_equal(updates[3].answer, PEER_TAKEN);
	assert_int_equal(repo_read_ref(fixture->there, refs[3], &at, &fixture->err), 0);
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", repo_path(fixture->there)), 0);
}

/* Pushes through a wire that breaks after so many bytes. Returns the number of meetings. */
static unsigned push_through_cuts(struct fixture *fixture, uint64_t cut, unsigned most)
{
	struct peer_update update;
	unsigned meetings = 0;
	git_oid old;
	int rc;

	do {
		bool is_there = repo_read_ref(fixture->there, REF, &old, NULL) == 0;

		assert_true(meetings++ < most);
		fixture->server.cut = fixture->server.up + fixture->server.down + cut;
		rc = push(fixture, is_there ? &old : NULL, &update);
		assert_true(rc == 0 || rc == QOSID_ERR_OFFLINE);
		assert_true(rc != 0 || update.answer == PEER_TAKEN);
	} while (rc != 0);
	return meetings;
}

static void test_push_drops(void **state)
{
	struct fixture *fixture = *state;
	unsigned meetings;

	grow(fixture, fixture->own, REF, 500, 1000);
	meetings = push_through_cuts(fixture, 200000, 30);
	check_log(fixture, fixture->there, REF);
	print_message("# pushing them: %u meetings, %llu bytes, %u connections to receive-pack\n", meetings,
	    (unsigned long long)(fixture->server.up + fixture->server.down), fixture->server.pushes);
}

/* Wherever the wire is cut, the next meeting goes on, and the end is the same. */
static void test_cut_anywhere(void **state)
{
	struct fixture *fixture = *state;
	uint64_t seed = 20261125;
	struct transfer_stats stats;
	struct peer_update update;

	print_message("# seed %llu\n", (unsigned long long)seed);
	grow(fixture, fixture->there, REF, 1, 300);
	for (unsigned round = 0; round < 20; round++) {
		uint32_t cut;
		git_oid old = fixture->tip;
		int rc;

		fixture_random(&seed, &cut, sizeof(cut));
		fixture->server.is_stateless = round % 4 == 3;
		fixture->server.protocol = round % 5 == 4 ? NULL : "version=2";
		fixture->server.cut = fixture->server.up + fixture->server.down + 1 + cut % 9000;
		if (round % 2 == 0) { /* fetch */
			grow(fixture, fixture->there, REF, 5, 600);
			rc = fetch(fixture, NULL, &stats);
			assert_true(rc == 0 || rc == QOSID_ERR_OFFLINE);
			fixture->server.cut = 0;
			assert_int_equal(fetch(fixture, NULL, &stats), 0);
		} else {
			fixture_grow(fixture->own, fixture->identity, 5, 600, &fixture->tip, &fixture->sequence);
			assert_int_equal(repo_flush(fixture->own, &fixture->err), 0);
			rc = push(fixture, &old, &update);
			assert_true(rc == 0 || rc == QOSID_ERR_OFFLINE);
			fixture->server.cut = 0;
			assert_int_equal(push(fixture, &old, &update), 0);
			assert_int_equal(update.answer, PEER_TAKEN);
		}
	}
	check_log(fixture, fixture->there, REF);
}

/* ---- beside stock git ---- */

/* The bytes that stock git moves for a command over the same two services. */
static unsigned long long stock_bytes(struct fixture *fixture, const char *repository, const char *command)
{
	char *text;
	unsigned long long bytes;

	assert_int_equal(
	    fixture_shell("cd '%s' && rm -f up down && printf '#!/bin/sh\nfor last; do :; done\n"
			  "tee %%s/up | sh -c \"$last\" | tee %%s/down\n' '%s' '%s' >ssh && chmod +x ssh && cd '%s' && "
			  "GIT_SSH_VARIANT=ssh GIT_SSH_COMMAND='%s/ssh' git -c protocol.version=2 %s",
		fixture->scratch, fixture->scratch, fixture->scratch, repository, fixture->scratch, command),
	    0);
	text = fixture_output("cat '%s/up' '%s/down' | wc -c", fixture->scratch, fixture->scratch);
	bytes = strtoull(text, NULL, 10);
	free(text);
	return bytes;
}

/* One change set of 1 KB in a space of 200 offices. */
static void test_bytes(void **state)
{
	struct fixture *fixture = *state;
	unsigned long long ours, stock;
	struct transfer_stats stats;
	struct peer_update update;
	char *stock_repository = fixture_path(fixture->scratch, "stock.git"), *command;
	git_oid old;

	grow(fixture, fixture->there, REF, 20, 1000);
	assert_int_equal(
	    fixture_shell("cd '%s' && for i in $(seq 199); do echo \"create refs/heads/office/office-$i " REF
			  "\"; done | git update-ref --stdin && git pack-refs --all && "
			  "git clone -q --mirror . '%s'",
		repo_path(fixture->there), stock_repository),
	    0);
	assert_int_equal(fetch(fixture, NULL, &stats), 0);

	grow(fixture, fixture->there, REF, 1, 1000);
	assert_true(
	    asprintf(&command, "fetch -q ssh://host%s '+refs/heads/*:refs/heads/*'", repo_path(fixture->there)) > 0);
	stock = stock_bytes(fixture, stock_repository, command);
	fixture->server.up = fixture->server.down = 0;
	assert_int_equal(fetch(fixture, NULL, &stats), 0);
	assert_int_equal(stats.commits, 1);
	ours = fixture->server.up + fixture->server.down;
	print_message(
	    "# fetching a change set of 1,000 bytes among 200 logs: %llu bytes, stock git %llu\n", ours, stock);
	assert_true(ours * 10 <= stock * 13);
	free(command);

	old = fixture->tip;
	fixture_grow(fixture->own, fixture->identity, 1, 1000, &fixture->tip, &fixture->sequence);
	assert_int_equal(repo_flush(fixture->own, &fixture->err), 0);
	assert_int_equal(open_peer(fixture), 0);
	fixture->server.up = fixture->server.down = 0;
	update_init(&update, REF, &old, &fixture->tip);
	assert_int_equal(peer_push(fixture->peer, &update, 1, &fixture->err), 0);
	assert_int_equal(update.answer, PEER_TAKEN);
	ours = fixture->server.up + fixture->server.down;
	/* Stock git pushes the same commit to the same refs, from the repository that has it. */
	assert_int_equal(
	    fixture_shell("cd '%s' && git update-ref " REF " %s && cd '%s' && git update-ref " REF " " REF "^",
		repo_path(fixture->own), git_oid_tostr_s(&fixture->tip), repo_path(fixture->there)),
	    0);
	assert_true(asprintf(&command, "push -q ssh://host%s " REF, repo_path(fixture->there)) > 0);
	stock = stock_bytes(fixture, repo_path(fixture->own), command);
	print_message("# pushing one: %llu bytes, stock git %llu\n", ours, stock);
	assert_true(ours * 10 <= stock * 13);
	free(command);
	free(stock_repository);
	check_log(fixture, fixture->there, REF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_fetch, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_old, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_v1, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_stateless, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_stateless_old, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_deltas, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_large, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_large_filter, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_large_old, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_many, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fetch_drops, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push_stateless, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push_moved, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_push_drops, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut_anywhere, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
	};

	if (sodium_init() < 0 || git_libgit2_init() < 0)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
