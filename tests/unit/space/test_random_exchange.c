/*
 * Offices that do anything at any time: whatever the order of edits, conflicts, resolutions and meetings, once
 * everybody has met everybody all replicas are equal and nothing that was stored is missing. Each run is told by its
 * seed alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "offices.h"

#define OFFICES_MAX 5
#define REMOTES_MAX 3
#define DOCUMENTS 12
#define STEPS 150
#define WRITTEN_MAX 400

static const uint64_t seeds[] = {1, 2, 20261125, 77952, 26857, 0x9e3779b97f4a7c15};

struct world {
	struct offices *offices;
	uint64_t seed, random;
	size_t office_count, remote_count, written_count;
	struct space *spaces[OFFICES_MAX];
	struct {
		char id[16];
		struct revision rev;
		char text[160];
	} written[WRITTEN_MAX];
};

static uint32_t pick(struct world *world, size_t count)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (uint32_t)((world->random >> 16) % count);
}

static void check(struct world *world, int rc, const struct qosid_errbuf *err)
{
	if (rc != 0)
		fail_msg("seed %llu: %s: %s (%s)", (unsigned long long)world->seed, qosid_error_name(rc), err->what,
		    err->where);
}

static void open_world(struct world *world, struct offices *offices, uint64_t seed)
{
	static const char *const names[] = {"dushanbe", "khujand", "bokhtar", "london", "geneva"};
	struct qosid_errbuf err = {0};
	char remote[32];

	*world = (struct world){.offices = offices, .seed = seed, .random = seed};
	world->office_count = 3 + pick(world, 3);
	world->remote_count = 2 + pick(world, 2);
	world->spaces[0] = offices->steward;
	for (size_t i = 1; i < world->office_count; i++)
		world->spaces[i] = offices_add(offices, names[i], "writer,reader");
	for (size_t r = 1; r < world->remote_count; r++) {
		for (size_t i = 0; i < world->office_count; i++) {
			(void)snprintf(remote, sizeof(remote), "stick%zu", r);
			check(world,
			    space_add_remote(world->spaces[i], remote, offices_path(offices, remote), i == 0, &err),
			    &err);
		}
	}
}

static void close_world(struct world *world)
{
	for (size_t i = 1; i < world->office_count; i++)
		space_close(world->spaces[i]);
}

/* ---- steps ---- */

static void write_edit(
    struct world *world, struct space *space, const char *id, const struct revision *parent, bool deleted)
{
	char body[64], text[160];
	struct qosid_errbuf err = {0};
	struct revision written;
	struct replica_edit edit = {
	    .id = id, .parent = parent, .deleted = deleted, .user = space_office(space), .time = 1764000000000};

	assert_true(world->written_count < WRITTEN_MAX);
	(void)snprintf(body, sizeof(body), deleted ? "{}" : "{\"n\":%zu,\"by\":\"%s\"}", world->written_count,
	    space_office(space));
	edit.body = (struct json_slice){body, strlen(body)};
	check(world, replica_put_edit(space_replica(space), &edit, &written, &err), &err);
	(void)snprintf(text, sizeof(text), "%u-%s", written.generation, written.hash);
	(void)snprintf(world->written[world->written_count].id, sizeof(world->written[0].id), "%s", id);
	(void)snprintf(world->written[world->written_count].text, sizeof(world->written[0].text), "%s", text);
	world->written[world->written_count++].rev = written;
}

/* Every third time a tombstone; with several live leaves sometimes all but the winner are deleted. */
static void edit(struct world *world, struct space *space)
{
	struct replica_record record = {0};
	struct qosid_errbuf err = {0};
	struct revtree_leaf leaf;
	char id[16];
	int rc;

	(void)snprintf(id, sizeof(id), "doc-%u", pick(world, DOCUMENTS));
	check(world, replica_begin(space_replica(space), &err), &err);
	rc = replica_read_document(space_replica(space), id, NULL, &record, NULL);
	if (rc != 0) {
		write_edit(world, space, id, NULL, false);
	} else if (pick(world, 3) == 0) {
		size_t live = 0;

		while (revtree_leaf_at(record.tree, live, &leaf) && !leaf.deleted)
			live++;
		for (size_t i = live; i-- > (live > 1 ? 1u : 0u);) {
			assert_true(revtree_leaf_at(record.tree, i, &leaf));
			write_edit(world, space, id, &leaf.revision, true);
		}
	} else
		write_edit(world, space, id, &record.rev, false);
	check(world, replica_commit(space_replica(space), &err), &err);
	replica_record_free(&record);
}

static void exchange(struct world *world, size_t office, size_t remote)
{
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	char name[32];

	(void)snprintf(name, sizeof(name), remote == 0 ? "origin" : "stick%zu", remote);
	check(world, space_exchange(world->spaces[office], name, NULL, &report, &err), &err);
	if (report.findings != 0)
		fail_msg("seed %llu: %s found something at %s", (unsigned long long)world->seed,
		    space_office(world->spaces[office]), name);
}

static void reopen(struct world *world, size_t office)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s", space_office(world->spaces[office]));
	space_close(world->spaces[office]);
	world->spaces[office] = offices_open(world->offices, name);
	if (office == 0)
		world->offices->steward = world->spaces[0];
}

static void step(struct world *world)
{
	size_t office = pick(world, world->office_count);
	uint32_t what = pick(world, 20);

	if (what == 0)
		reopen(world, office);
	else if (what < 13)
		edit(world, world->spaces[office]);
	else
		exchange(world, office, pick(world, world->remote_count));
}

/* ---- the end ---- */

static int count_any(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)finding;
	(void)err;
	(*(size_t *)context)++;
	return 0;
}

static void check_written(struct world *world, struct space *space)
{
	for (size_t i = 0; i < world->written_count; i++) {
		struct replica_record record = {0};

		(void)replica_read_document(space_replica(space), world->written[i].id, NULL, &record, NULL);
		if (record.tree == NULL || revtree_find(record.tree, &world->written[i].rev, NULL) == REVTREE_ABSENT)
			fail_msg("seed %llu: %s has lost %s of %s", (unsigned long long)world->seed,
			    space_office(space), world->written[i].text, world->written[i].id);
		replica_record_free(&record);
	}
}

static void check_world(struct world *world)
{
	uint8_t first[DIGEST_BYTES], digest[DIGEST_BYTES];
	struct qosid_errbuf err = {0};

	check(world, replica_compute_digest(space_replica(world->spaces[0]), first, &err), &err);
	for (size_t i = 0; i < world->office_count; i++) {
		struct replica_info info;
		struct exchange_proof proof;
		size_t findings = 0;

		check(world, replica_compute_digest(space_replica(world->spaces[i]), digest, &err), &err);
		if (memcmp(first, digest, DIGEST_BYTES) != 0)
			fail_msg(
			    "seed %llu: %s differs", (unsigned long long)world->seed, space_office(world->spaces[i]));
		check_written(world, world->spaces[i]);
		check(world, replica_read_info(space_replica(world->spaces[i]), &info, &err), &err);
		check(world, space_verify(world->spaces[i], true, NULL, count_any, &findings, &proof, &err), &err);
		if (findings + count_findings(world->spaces[i], NULL) != 0 || info.pending != 0)
			fail_msg("seed %llu: %s has %zu findings and %lld pending revisions",
			    (unsigned long long)world->seed, space_office(world->spaces[i]), findings,
			    (long long)info.pending);
	}
}

static void test_random_exchange(void **state)
{
	struct world *world = malloc(sizeof(*world));

	assert_non_null(world);
	for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
		open_world(world, *state, seeds[s]);
		for (int i = 0; i < STEPS; i++)
			step(world);
		for (int round = 0; round < 2; round++) {
			for (size_t i = 0; i < world->office_count; i++)
				exchange(world, i, 0);
		}
		check_world(world);
		close_world(world);
		offices_teardown(state);
		offices_setup(state);
	}
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_random_exchange, offices_setup, offices_teardown),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
