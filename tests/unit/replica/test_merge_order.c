/*
 * Convergence: replicas that receive the same revisions in any order, some of them more than once and with shortened
 * ancestry, end up equal: the same digest, winners, and bodies of all leaves.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"

#define REPLICAS 4
#define DOCUMENTS 12
#define REVISIONS 240
#define EMPTY_DIGEST "blake2b-256:0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" /* of "" */

struct made {
	char id[8];
	char path[400]; /* as try_merge() wants it */
	char body[64];
	bool deleted;
	bool attached;
	int parent;
	unsigned generation;
};

static void make_revisions(struct made *made, uint64_t *seed)
{
	int by_document[DOCUMENTS][REVISIONS], count[DOCUMENTS] = {0};

	for (int i = 0; i < REVISIONS; i++) {
		unsigned document = random_next(seed) % DOCUMENTS;
		struct made *m = &made[i];

		m->parent = -1;
		m->generation = 1;
		if (count[document] > 0 && random_next(seed) % 12 != 0) {
			/* Mostly one of the newest, so that branches get long. */
			int back = 1 + (int)(random_next(seed) % (count[document] < 3 ? (unsigned)count[document] : 3));

			m->parent = by_document[document][count[document] - back];
			m->generation = made[m->parent].generation + 1;
		}
		by_document[document][count[document]++] = i;
		(void)snprintf(m->id, sizeof(m->id), "d%u", document);
		(void)snprintf(m->path, sizeof(m->path), "%u-h%x.%d", m->generation, random_next(seed) % 997, i);
		if (m->parent >= 0)
			(void)snprintf(m->path + strlen(m->path), sizeof(m->path) - strlen(m->path), " %s",
			    strchr(made[m->parent].path, '-') + 1);
		assert_true(strlen(m->path) < sizeof(m->path) - 1);
		(void)snprintf(m->body, sizeof(m->body), "{\"revision\":%d}", i);
		m->deleted = random_next(seed) % 6 == 0;
		m->attached = random_next(seed) % 5 == 0;
	}
}

static void deliver(struct scratch *s, const struct made *made, bool cut, bool with_data, bool pending)
{
	char path[400];
	const char *attachments = NULL;

	strcpy(path, made->path);
	if (cut && strchr(path, ' '))
		*strrchr(path, ' ') = '\0';
	if (made->attached)
		attachments = with_data ? "{\"t\":{\"digest\":\"" EMPTY_DIGEST "\",\"length\":0,\"data\":\"\"}}"
					: "{\"t\":{\"digest\":\"" EMPTY_DIGEST "\",\"length\":0,\"stub\":true}}";
	assert_rc(s, try_merge(s, made->id, path, made->deleted, made->body, attachments, pending, NULL), 0);
}

/* Everything once in random order, in random batches, with repeats thrown in. */
static void deliver_all(struct scratch *s, const struct made *made, uint64_t *seed, bool pending)
{
	int order[REVISIONS];
	bool open = false;

	for (int i = 0; i < REVISIONS; i++) {
		int j = (int)(random_next(seed) % (unsigned)(i + 1));

		order[i] = order[j];
		order[j] = i;
	}
	for (int i = 0; i < REVISIONS; i++) {
		if (!open)
			assert_rc(s, replica_begin(s->replica, &s->err), 0);
		open = true;
		if (random_next(seed) % 4 == 0)
			deliver(s, &made[order[random_next(seed) % REVISIONS]], true, false, pending);
		deliver(s, &made[order[i]], false, random_next(seed) % 2, pending);
		if (random_next(seed) % 4 == 0)
			deliver(s, &made[order[random_next(seed) % (unsigned)(i + 1)]], false, true, pending);
		if (random_next(seed) % 8 == 0 || i == REVISIONS - 1) {
			assert_rc(s, replica_commit(s->replica, &s->err), 0);
			open = false;
		}
	}
}

/* All leaves with their bodies, in winning order. */
static int list_leaves(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct scratch *s = ((void **)context)[0];
	struct qosid_buf *list = ((void **)context)[1];
	struct replica_record other = {0};
	struct revtree_leaf leaf;
	int rc = 0;

	for (size_t i = 0; rc == 0 && revtree_leaf_at(record->tree, i, &leaf); i++) {
		rc = replica_read_document(s->replica, (const char *)record->id.data, &leaf.revision, &other, err);
		if (rc == 0)
			rc = list_record(list, &other, err);
		if (rc == 0)
			rc = qosid_buf_append_format(list, err, " %s%s", (const char *)other.body.data,
			    other.attachments.len ? (const char *)other.attachments.data : "");
		assert_int_equal(other.deleted, leaf.deleted);
	}
	replica_record_free(&other);
	return rc;
}

static void list_replica(struct scratch *s, struct qosid_buf *list)
{
	struct replica_range all = {.with_deleted = true};
	void *context[2] = {s, list};

	assert_rc(s, replica_visit_documents(s->replica, &all, list_leaves, context, &s->err), 0);
}

static void run_once(uint64_t seed)
{
	struct made *made = calloc(REVISIONS, sizeof(*made));
	struct scratch *scratch[REPLICAS];
	struct qosid_buf first = {0};
	uint8_t digest[DIGEST_BYTES], other[DIGEST_BYTES];

	print_message("# seed %llu\n", (unsigned long long)seed);
	assert_non_null(made);
	make_revisions(made, &seed);
	for (int i = 0; i < REPLICAS; i++) {
		struct replica_info facts;
		struct qosid_buf list = {0};

		assert_int_equal(scratch_setup((void **)&scratch[i]), 0);
		deliver_all(scratch[i], made, &seed, i == 1);
		scratch_reopen(scratch[i]);
		list_replica(scratch[i], i == 0 ? &first : &list);
		assert_rc(scratch[i], replica_compute_digest(scratch[i]->replica, other, &scratch[i]->err), 0);
		facts = info(scratch[i]);
		assert_true(facts.documents + facts.deleted <= DOCUMENTS);
		if (i == 0) {
			memcpy(digest, other, sizeof(digest));
			assert_true(facts.conflicts > 0);
		} else {
			assert_string_equal((const char *)list.data, (const char *)first.data);
			assert_memory_equal(digest, other, sizeof(digest));
			assert_int_equal(facts.documents, info(scratch[0]).documents);
			assert_int_equal(facts.conflicts, info(scratch[0]).conflicts);
		}
		qosid_buf_free(&list);
	}
	for (int i = 0; i < REPLICAS; i++)
		scratch_teardown((void **)&scratch[i]);
	qosid_buf_free(&first);
	free(made);
}

static void test_any_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		run_once(seed);
}

static void expect_digest(struct scratch *s, const uint8_t before[DIGEST_BYTES], bool equal)
{
	uint8_t now[DIGEST_BYTES];

	assert_rc(s, replica_compute_digest(s->replica, now, &s->err), 0);
	assert_int_equal(memcmp(now, before, DIGEST_BYTES) == 0, equal);
}

static void test_digest_sees_every_leaf(void **state)
{
	struct scratch *s = *state;
	uint8_t before[DIGEST_BYTES];

	merge(s, "a", "2-b a", false, "{}", false);
	assert_rc(s, replica_compute_digest(s->replica, before, &s->err), 0);
	merge(s, "a", "2-b a", false, "{}", false);
	expect_digest(s, before, true);
	merge(s, "a", "1-0", true, "{}", false);
	expect_digest(s, before, false);
	assert_rc(s, replica_compute_digest(s->replica, before, &s->err), 0);
	merge(s, "b", "1-0", false, "{}", false);
	expect_digest(s, before, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_any_order),
	    TEST(test_digest_sees_every_leaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
