/*
 * Generations: whatever was edited, deleted, restarted, kept or dropped, by whom and in whatever order, all replicas
 * are equal in the end, also those of offices that join late and take current generations only; and a restart cannot
 * hide a fork or a rewind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

#define OFFICES 4
#define DOCUMENTS 8
#define STEPS 120

static const uint64_t seeds[] = {3, 20261125, 0x9e3779b97f4a7c15};

/* Admit an office, and let origin know of it. */
static struct space *add(struct offices *offices, const char *office, const char *roles)
{
	struct space *space = offices_add(offices, office, roles);

	(void)meet(offices->steward, "origin");
	return space;
}

static void restart(struct space *space)
{
	struct qosid_errbuf err = {0};

	must(space_restart(space, NULL, NULL, &err), &err);
}

static void settle_rules(struct space *space, bool keep, bool fetch)
{
	struct exchange_generations settings;
	struct qosid_errbuf err = {0};

	must(space_read_generations(space, &settings, &err), &err);
	settings.keep = keep;
	settings.fetch = fetch;
	must(space_write_generations(space, &settings, &err), &err);
}

static int find_log(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	struct space_log *wanted = context;

	(void)err;
	if (strcmp(log->name, wanted->name) == 0) {
		wanted->generation = log->generation;
		wanted->begins = log->begins;
		wanted->sequence = log->sequence;
		wanted->archives = log->archives;
	}
	return 0;
}

static struct space_log look(struct space *space, const char *name)
{
	struct space_log log = {.name = name};
	struct qosid_errbuf err = {0};

	must(space_visit_logs(space, find_log, &log, &err), &err);
	return log;
}

static int print_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	print_error("%s %s: %s\n", finding->log, finding->cause, finding->detail);
	(*(size_t *)context)++;
	return 0;
}

static size_t verify(struct space *space)
{
	struct exchange_proof proof;
	struct qosid_errbuf err = {0};
	size_t findings = 0;

	must(space_verify(space, true, NULL, print_finding, &findings, &proof, &err), &err);
	assert_int_equal(findings, 0);
	return proof.partial;
}

/* ---- the rule of what a snapshot carries ---- */

/* The leaves with their whole ancestry, not only what replica_compute_digest() covers. */
static bool add_hash(void *context, uint32_t generation, const char *hash)
{
	struct qosid_buf *out = context;

	return qosid_buf_append_format(out, NULL, " %u-%s", generation, hash) == 0;
}

static int describe(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct qosid_buf *out = context;
	struct revtree_leaf leaf;
	int rc = qosid_buf_append_format(out, err, "%s", (const char *)record->id.data);

	for (size_t i = 0; rc == 0 && revtree_leaf_at(record->tree, i, &leaf); i++) {
		rc = qosid_buf_append_format(out, err, leaf.deleted ? " deleted" : " live");
		(void)revtree_walk_path(record->tree, &leaf.revision, add_hash, out);
	}
	return rc != 0 ? rc : qosid_buf_append_format(out, err, "\n%s\n", (const char *)record->body.data);
}

static void assert_same(struct space *a, struct space *b)
{
	struct replica_range all = {.with_deleted = true};
	struct qosid_buf text[2] = {{0}, {0}};
	struct qosid_errbuf err = {0};

	assert_equal_replicas(a, b);
	must(replica_visit_documents(space_replica(a), &all, describe, &text[0], &err), &err);
	must(replica_visit_documents(space_replica(b), &all, describe, &text[1], &err), &err);
	assert_string_equal((char *)text[0].data, (char *)text[1].data);
	qosid_buf_free(&text[0]);
	qosid_buf_free(&text[1]);
}

static void read_attachment(struct space *space, const char *id, const char *expected)
{
	struct replica_record record = {0};
	struct qosid_errbuf err = {0};
	struct qosid_buf content = {0};
	struct qosid_buf_sink target = {&content, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	uint8_t digest[DIGEST_BYTES];
	const char *at;

	must(replica_read_document(space_replica(space), id, NULL, &record, &err), &err);
	at = strstr((const char *)record.attachments.data, "blake2b-256:");
	assert_non_null(at);
	must(digest_parse(digest, at, DIGEST_TEXT_SIZE - 1, &err), &err);
	must(attachment_read(space_replica(space), digest, 0, -1, &sink, &err), &err);
	assert_int_equal(content.len, strlen(expected));
	assert_memory_equal(content.data, expected, content.len);
	qosid_buf_free(&content);
	replica_record_free(&record);
}

/* A document passes from office to office; each drops what the next one carries on. */
static void test_handed_on(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = add(offices, "khujand", "writer,reader"), *late;

	settle_rules(offices->steward, false, false);
	settle_rules(khujand, false, false);
	put(offices->steward, "passed", "{\"n\":1}");
	put(offices->steward, "kept", "{\"n\":1}");
	put_attachment(offices->steward, "photo", "a.txt", "the content", 11);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	put(khujand, "passed", "{\"n\":2}");
	put(khujand, "photo", "{\"title\":\"without\"}");
	(void)meet(khujand, "origin");
	(void)meet(offices->steward, "origin");
	/* Brought back in the new generation, its content must be carried again. */
	put_attachment(offices->steward, "again", "a.txt", "the content", 11);
	restart(offices->steward);
	put_attachment(offices->steward, "more", "a.txt", "the content", 11);
	(void)meet(offices->steward, "origin");
	assert_int_equal(look(offices->steward, "office/dushanbe").generation, 2);
	(void)meet(khujand, "origin");
	assert_int_equal(look(khujand, "office/dushanbe").generation, 2);

	late = add(offices, "geneva", "reader");
	(void)meet(late, "origin");
	assert_same(late, offices->steward);
	assert_same(late, khujand);
	assert_string_equal(get(late, "passed"), "{\"n\":2}");
	read_attachment(late, "again", "the content");
	read_attachment(late, "more", "the content");
	assert_int_equal(look(late, "office/dushanbe").generation, 2);
	assert_true(look(late, "office/dushanbe").begins > 1);
	assert_true(verify(late) > 0);
	assert_int_equal(count_findings(late, NULL) + count_findings(khujand, NULL), 0);
	space_close(late);
	space_close(khujand);
}

/* khujand gives a revision whose ancestry another peer had cut off; the ancestry that dushanbe published must not go.
 */
static void put_path(struct space *space, const char *id, uint32_t generation, size_t count)
{
	static const char *const hashes[] = {"e5", "d4", "c3", "b2", "a1"};
	struct replica_revision revision = {.id = id,
	    .path = {.generation = generation, .hashes = hashes + (5 - generation), .count = count},
	    .body = {"{}", 2},
	    .user = "",
	    .time = 1764000000000,
	    .pending = true};
	struct qosid_errbuf err = {0};

	must(replica_begin(space_replica(space), &err), &err);
	must(replica_put_revision(space_replica(space), &revision, NULL, &err), &err);
	must(replica_commit(space_replica(space), &err), &err);
}

static void test_gaps(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = add(offices, "khujand", "writer,reader");
	struct space *bokhtar = add(offices, "bokhtar", "writer,reader"), *late;

	settle_rules(offices->steward, false, false);
	put_path(bokhtar, "doc", 2, 2); /* 2-b2, 1-a1: an ancestor of all that follows */
	put_path(offices->steward, "doc", 4, 4);
	put_path(khujand, "doc", 5, 2);
	for (int i = 0; i < 2; i++) {
		(void)meet(bokhtar, "origin");
		(void)meet(khujand, "origin");
		(void)meet(offices->steward, "origin");
	}
	/* dushanbe's own revision is no leaf any more. */
	restart(offices->steward);
	(void)meet(offices->steward, "origin");
	late = add(offices, "geneva", "reader");
	(void)meet(late, "origin");
	assert_same(late, offices->steward);
	space_close(late);
	space_close(khujand);
	space_close(bokhtar);
}

/* ---- what a snapshot must not show ---- */

static void purge(struct space *space, const char *id)
{
	struct replica_record record = {0};
	struct qosid_errbuf err = {0};
	bool done = false;

	must(replica_begin(space_replica(space), &err), &err);
	must(replica_read_document(space_replica(space), id, NULL, &record, &err), &err);
	must(replica_purge(space_replica(space), id, &record.rev, 1, &done, &err), &err);
	must(replica_commit(space_replica(space), &err), &err);
	assert_true(done);
	replica_record_free(&record);
}

/* What was purged is in no later generation; who had it keeps it. */
static void test_purged(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = add(offices, "khujand", "writer,reader"), *late;

	settle_rules(offices->steward, false, false);
	put(offices->steward, "secret", "{\"n\":1}");
	put(offices->steward, "other", "{\"n\":1}");
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	purge(offices->steward, "secret");
	restart(offices->steward);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	assert_non_null(get(khujand, "secret"));
	late = add(offices, "geneva", "reader");
	(void)meet(late, "origin");
	assert_null(get(late, "secret"));
	assert_string_equal(get(late, "other"), "{\"n\":1}");
	assert_int_equal(verify(offices->steward), 1);
	assert_int_equal(verify(khujand), 0);
	assert_int_equal(count_findings(late, NULL) + count_findings(khujand, NULL), 0);
	space_close(late);
	space_close(khujand);
}

/* Who was admitted to what comes from now on only is not shown the rest by a snapshot. */
static void test_from_now(void **state)
{
	struct offices *offices = *state;
	struct space *newcomer = offices_add(offices, "geneva", NULL);
	const struct identity *identity;
	struct exchange_generations settings;
	struct qosid_buf request = {0};
	struct roster_member member;
	struct qosid_errbuf err = {0};

	put(offices->steward, "old", "{\"n\":1}");
	(void)meet(offices->steward, "origin");
	must(space_identity(newcomer, &identity, &err), &err);
	must(request_format(&request, space_id(newcomer), "geneva", identity, &err), &err);
	must(request_parse(&member, space_id(newcomer), (const char *)request.data, request.len, &err), &err);
	must(space_admit(offices->steward, &member, ROLE_READER, true, NULL, &err), &err);
	assert_int_equal(space_restart(offices->steward, NULL, NULL, &err), QOSID_ERR_REFUSED);
	qosid_error_clear(&err);

	/* Neither when it is due by itself. */
	must(space_read_generations(offices->steward, &settings, &err), &err);
	settings.bytes = 1;
	must(space_write_generations(offices->steward, &settings, &err), &err);
	put(offices->steward, "new", "{\"n\":1}");
	(void)meet(offices->steward, "origin");
	(void)meet(newcomer, "origin");
	assert_int_equal(look(offices->steward, "office/dushanbe").generation, 1);
	assert_null(get(newcomer, "old"));
	assert_non_null(get(newcomer, "new"));

	must(space_set_roles(offices->steward, "geneva", ROLE_WITNESS, false, NULL, &err), &err);
	(void)meet(offices->steward, "origin");
	assert_int_equal(look(offices->steward, "office/dushanbe").generation, 2);
	qosid_buf_free(&request);
	space_close(newcomer);
}

/* ---- anything at any time ---- */

static uint32_t pick(uint64_t *random, size_t count)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)((*random >> 16) % count);
}

static void edit(struct space *space, uint64_t *random, int step)
{
	struct replica_record record = {0};
	struct qosid_errbuf err = {0};
	struct revision written;
	char id[16], body[64];
	struct replica_edit edit = {.id = id, .user = space_office(space), .time = 1764000000000};
	struct revtree_leaf leaf;
	uint32_t what = pick(random, 8);

	(void)snprintf(id, sizeof(id), "doc-%u", pick(random, DOCUMENTS));
	(void)snprintf(body, sizeof(body), "{\"n\":%d,\"by\":\"%s\"}", step, space_office(space));
	if (what == 0) {
		put_attachment(space, id, "note.txt", body, strlen(body) - pick(random, 3));
		return;
	}
	edit.body = (struct json_slice){body, strlen(body)};
	must(replica_begin(space_replica(space), &err), &err);
	(void)replica_read_document(space_replica(space), id, NULL, &record, NULL);
	if (record.tree != NULL) {
		/* Any live leaf, so that losing branches grow, too. */
		size_t live = 0;

		while (revtree_leaf_at(record.tree, live, &leaf) && !leaf.deleted)
			live++;
		if (live > 0) {
			assert_true(revtree_leaf_at(record.tree, pick(random, live), &leaf));
			edit.parent = &leaf.revision;
			edit.deleted = what == 1;
			if (edit.deleted)
				edit.body = (struct json_slice){"{}", 2};
		}
	}
	must(replica_put_edit(space_replica(space), &edit, &written, &err), &err);
	must(replica_commit(space_replica(space), &err), &err);
	replica_record_free(&record);
}

static void exchange(struct space *space, const char *remote, uint64_t seed)
{
	if (meet(space, remote).findings != 0) {
		size_t findings = 0;

		(void)replica_visit_findings(space_replica(space), print_finding, &findings, NULL);
		fail_msg("seed %llu: %s found something at %s", (unsigned long long)seed, space_office(space), remote);
	}
}

/* One run; the offices and their remotes are the same with and without generations. */
static void run(struct offices *offices, uint64_t seed, bool generations, uint8_t digest[DIGEST_BYTES])
{
	static const char *const names[OFFICES] = {"dushanbe", "khujand", "bokhtar", "london"};
	static const char *const remotes[] = {"origin", "stick"};
	struct space *spaces[OFFICES] = {offices->steward}, *late;
	struct qosid_errbuf err = {0};
	uint64_t random = seed;

	for (size_t i = 0; i < OFFICES; i++) {
		if (i > 0)
			spaces[i] = add(offices, names[i], "writer,reader");
		must(space_add_remote(spaces[i], "stick", offices_path(offices, "stick"), i == 0, &err), &err);
		settle_rules(spaces[i], i % 2 == 0, i == 2);
	}
	for (int step = 0; step < STEPS; step++) {
		struct space *space = spaces[pick(&random, OFFICES)];
		uint32_t what = pick(&random, 20), where = pick(&random, 2);

		if (what < 12)
			edit(space, &random, step);
		else if (what < 17)
			exchange(space, remotes[where], seed);
		else if (generations && what < 19)
			(void)space_restart(space, NULL, NULL, &err); /* USAGE: nothing was published */
	}
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < OFFICES; i++)
			exchange(spaces[i], "origin", seed);
	}
	for (size_t i = 0; i < OFFICES; i++) {
		assert_same(spaces[0], spaces[i]);
		(void)verify(spaces[i]);
	}
	late = add(offices, "geneva", "reader");
	exchange(late, "origin", seed);
	assert_same(spaces[0], late);
	assert_true((verify(late) > 0) == generations);
	must(replica_compute_digest(space_replica(late), digest, &err), &err);
	space_close(late);
	for (size_t i = 1; i < OFFICES; i++)
		space_close(spaces[i]);
}

static void test_anything(void **state)
{
	uint8_t with[DIGEST_BYTES], without[DIGEST_BYTES];

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		run(*state, seeds[i], false, without);
		offices_teardown(state);
		offices_setup(state);
		run(*state, seeds[i], true, with);
		assert_memory_equal(with, without, DIGEST_BYTES);
		offices_teardown(state);
		offices_setup(state);
	}
}

/* ---- limits ---- */

static void test_limits(void **state)
{
	struct offices *offices = *state;
	struct exchange_generations settings;
	struct qosid_errbuf err = {0};
	char id[16];

	must(space_read_generations(offices->steward, &settings, &err), &err);
	assert_int_equal(settings.bytes, EXCHANGE_GENERATION_BYTES);
	settings.bytes = 2000; /* about five change sets */
	must(space_write_generations(offices->steward, &settings, &err), &err);
	for (int i = 1; i <= 24; i++) {
		(void)snprintf(id, sizeof(id), "doc-%d", i % 3);
		put(offices->steward, id, i % 2 ? "{\"n\":1}" : "{\"n\":2}");
		(void)meet(offices->steward, "origin");
		if (i == 3)
			assert_int_equal(look(offices->steward, "office/dushanbe").generation, 1);
	}
	assert_in_range(look(offices->steward, "office/dushanbe").generation, 3, 8);
}

/* ---- archives ---- */

static void test_archives(void **state)
{
	struct offices *offices = *state;
	struct space *auditor = add(offices, "geneva", "reader,auditor");
	struct space_log log;

	settle_rules(auditor, true, true);
	for (int i = 0; i < 3; i++) {
		put(offices->steward, "doc", i % 2 ? "{\"n\":1}" : "{\"n\":0}");
		(void)meet(offices->steward, "origin");
		restart(offices->steward);
		(void)meet(offices->steward, "origin");
	}
	assert_int_equal(verify(offices->steward), 0);
	(void)meet(auditor, "origin");
	log = look(auditor, "office/dushanbe");
	assert_int_equal(log.generation, 4);
	assert_int_equal(log.archives, 3);
	assert_int_equal(verify(auditor), 0);
	/* Changed its mind: the archives go, the current generation is enough. */
	settle_rules(offices->steward, false, false);
	put(offices->steward, "doc", "{\"n\":7}");
	(void)meet(offices->steward, "origin");
	assert_int_equal(look(offices->steward, "office/dushanbe").archives, 0);
	assert_int_equal(verify(offices->steward), 1);
	(void)meet(auditor, "origin");
	assert_int_equal(verify(auditor), 0);
	assert_same(auditor, offices->steward);
	space_close(auditor);
}

/* ---- what a restart cannot hide ---- */

/* Two copies of one office, as when a backup is put back and the old machine runs on. */
static void test_two_restarts(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = add(offices, "khujand", "writer,reader"), *twin;
	struct space *london = add(offices, "london", "writer,reader");
	struct qosid_errbuf err = {0};

	put(khujand, "one", "{\"n\":1}");
	(void)meet(khujand, "origin");
	(void)meet(london, "origin");
	copy_folder(offices_path(offices, "khujand"), offices_path(offices, "twin"));
	must(space_open(&twin, offices_path(offices, "twin"), false, NULL, &err), &err);
	must(space_add_remote(twin, "other", offices_path(offices, "other"), true, &err), &err);
	must(space_add_remote(london, "other", offices_path(offices, "other"), false, &err), &err);

	put(khujand, "two", "{\"n\":2}");
	restart(khujand);
	(void)meet(khujand, "origin");
	put(twin, "two", "{\"n\":3}");
	put(twin, "three", "{\"n\":3}");
	restart(twin);
	(void)meet(twin, "other");

	(void)meet(london, "origin");
	assert_int_equal(count_findings(london, NULL), 0);
	(void)meet(london, "other");
	assert_int_equal(count_findings(london, "fork"), 1);
	assert_null(get(london, "three"));
	space_close(twin);
	space_close(london);
	space_close(khujand);
}

/* A generation that begins behind what was verified: history rewritten. */
static void test_restart_behind(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = add(offices, "khujand", "writer,reader"), *twin;
	struct space *london = add(offices, "london", "writer,reader");
	struct space *late;
	struct qosid_errbuf err = {0};

	put(khujand, "one", "{\"n\":1}");
	(void)meet(khujand, "origin");
	copy_folder(offices_path(offices, "khujand"), offices_path(offices, "twin"));
	must(space_open(&twin, offices_path(offices, "twin"), false, NULL, &err), &err);
	must(space_add_remote(twin, "other", offices_path(offices, "other"), true, &err), &err);
	must(space_add_remote(london, "other", offices_path(offices, "other"), false, &err), &err);
	for (int i = 0; i < 4; i++) {
		put(khujand, "one", i % 2 ? "{\"n\":3}" : "{\"n\":2}");
		(void)meet(khujand, "origin");
	}
	(void)meet(london, "origin");
	put(london, "witness", "{}");
	(void)meet(london, "origin"); /* says what it has seen of khujand */
	put(twin, "two", "{\"n\":2}");
	restart(twin);
	(void)meet(twin, "other");
	(void)meet(london, "other");
	assert_int_equal(count_findings(london, "fork"), 1);
	assert_null(get(london, "two"));

	/* A fresh office that sees only the rewritten log, and what london has witnessed, is warned. */
	settle_rules(offices->steward, true, false);
	must(space_add_remote(offices->steward, "other", offices_path(offices, "other"), false, &err), &err);
	late = add(offices, "geneva", "reader");
	must(space_add_remote(late, "other", offices_path(offices, "other"), false, &err), &err);
	(void)meet(offices->steward, "other"); /* brings the roster with geneva */
	(void)meet(late, "other");
	(void)meet(late, "other");
	assert_true(count_findings(late, "witness") > 0);
	space_close(late);
	space_close(twin);
	space_close(london);
	space_close(khujand);
}

/* Forged first commits of a generation, each wrong in one thing. */
static void test_forged(void **state)
{
	static const struct {
		const char *name, *generation, *snapshot, *sequence, *causes;
		bool parent, good_archive;
	} cases[] = {
	    {"skips a generation", "3", "whole", "3", "generation", false, true},
	    {"links to another commit", "2", "whole", "3", "fork|chain|generation", false, false},
	    {"begins in the past", "2", "whole", "2", "fork|chain|generation", false, true},
	    {"has a parent", "2", "whole", "3", "form", true, true},
	    {"is a part without beginning", "2", "last", "3", "generation|form|fork|chain", true, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char lines[400], hex[GIT_OID_HEXSZ + 1], other[GIT_OID_HEXSZ + 1];
		const struct identity *identity;
		struct qosid_errbuf err = {0};
		struct forgery forgery;
		struct stage stage;
		git_oid id;

		stage_open(&stage, *state);
		(void)meet(stage.victim, "origin"); /* now it holds what a generation must link to */
		must(space_identity(stage.rogue, &identity, &err), &err);
		git_oid_tostr(hex, sizeof(hex), &stage.commits[2]);
		git_oid_tostr(other, sizeof(other), &stage.commits[1]);
		forge_begin(&stage, &forgery);
		if (!cases[i].parent)
			forge_replace(&forgery, "parent ", NULL);
		(void)snprintf(lines, sizeof(lines), "Qosid-Sequence: %s\nQosid-Generation: %s\nQosid-Snapshot: %s%s%s",
		    cases[i].sequence, cases[i].generation, cases[i].snapshot,
		    strcmp(cases[i].snapshot, "whole") == 0 ? "\nQosid-Archive: " : "",
		    strcmp(cases[i].snapshot, "whole") != 0 ? ""
		    : cases[i].good_archive                 ? hex
							    : other);
		forge_replace(&forgery, "Qosid-Sequence: ", lines);
		forge_finish(&stage, &forgery, identity, "refs/heads/office/khujand", &id);
		(void)meet(stage.victim, "origin");
		if (get(stage.victim, "evil") != NULL)
			fail_msg("%s: it was applied", cases[i].name);
		if (count_findings(stage.victim, NULL) == 0)
			fail_msg("%s: nothing was found", cases[i].name);
		forge_free(&forgery);
		stage_close(&stage);
		offices_teardown(state);
		offices_setup(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_handed_on, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_gaps, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_purged, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_from_now, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_limits, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_archives, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_two_restarts, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_restart_behind, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_forged, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_anything, offices_setup, offices_teardown),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
