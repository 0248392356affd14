/*
 * The total order in which operations take effect: a function of the set alone.
 *
 * Causal order comes first. As far as it leaves a choice, an operation that takes something away goes, with all that it
 * had seen, before everything concurrent that gives; among those of one kind goes that of the steward admitted earlier,
 * then that of the smaller digest.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/roster/roster_internal.h"

int set_create(struct set *set, size_t bits, struct qosid_errbuf *err)
{
	set->count = bits / 64 + 1;
	set->words = calloc(set->count, sizeof(*set->words));
	if (set->words == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu roster operations", bits);
	return 0;
}

bool set_contains(const struct set *outer, const struct set *inner)
{
	for (size_t i = 0; i < inner->count; i++) {
		uint64_t has = i < outer->count ? outer->words[i] : 0;

		if ((inner->words[i] & ~has) != 0)
			return false;
	}
	return true;
}

bool set_equal(const struct set *a, const struct set *b)
{
	return set_contains(a, b) && set_contains(b, a);
}

/* Which of two goes first, as far as causality does not say. */
static bool goes_before(const struct node *a, const struct node *b)
{
	int order;

	if (a->rank != b->rank)
		return a->rank < b->rank;
	order = memcmp(a->rank_digest, b->rank_digest, DIGEST_BYTES);
	if (order == 0)
		order = memcmp(a->digest, b->digest, DIGEST_BYTES);
	return order < 0;
}

struct sorter {
	const struct roster *roster;
	struct set left; /* to be placed */
	size_t *list;    /* the nodes of the cut, for walking */
	size_t list_count;
	size_t *out;
	size_t count;
};

/* Whether nothing of among that node had seen is left. */
static bool is_ready(const struct sorter *sorter, size_t node, bool only_takers)
{
	const struct set *past = &sorter->roster->nodes[node]->past;

	for (size_t w = 0; w < past->count; w++) {
		uint64_t bits = past->words[w] & sorter->left.words[w];

		for (; bits != 0; bits &= bits - 1) {
			size_t other = w * 64 + (size_t)__builtin_ctzll(bits);

			if (other != node && (!only_takers || sorter->roster->nodes[other]->takes))
				return false;
		}
	}
	return true;
}

/* The first of those left that are within past (NULL: all) and ready. */
static size_t find_first(const struct sorter *sorter, const struct set *past, bool only_takers)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < sorter->list_count; i++) {
		size_t node = sorter->list[i];

		if (!set_has(&sorter->left, node) || (past != NULL && !set_has(past, node)) ||
		    (only_takers && !sorter->roster->nodes[node]->takes))
			continue;
		if (best != SIZE_MAX && !goes_before(sorter->roster->nodes[node], sorter->roster->nodes[best]))
			continue;
		if (is_ready(sorter, node, only_takers))
			best = node;
	}
	return best;
}

static void place(struct sorter *sorter, size_t node)
{
	sorter->out[sorter->count++] = node;
	sorter->left.words[node / 64] &= ~(UINT64_C(1) << (node % 64));
}

int order_list(const struct roster *roster, const struct set *cut, const struct set *done, size_t *out, size_t *count,
    struct qosid_errbuf *err)
{
	struct sorter sorter = {.roster = roster, .out = out};
	size_t taker, node;
	int rc = set_create(&sorter.left, roster->node_count, err);

	if (rc != 0)
		return rc;
	sorter.list = calloc(roster->node_count + 1, sizeof(*sorter.list));
	if (sorter.list == NULL) {
		free(sorter.left.words);
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu roster operations", roster->node_count);
	}
	for (size_t i = 0; i < roster->node_count; i++) {
		if (!set_has(cut, i) || (done != NULL && set_has(done, i)))
			continue;
		sorter.left.words[i / 64] |= UINT64_C(1) << (i % 64);
		sorter.list[sorter.list_count++] = i;
	}
	/* Each one that takes, with what it had seen of those that give before it; then the rest. */
	while ((taker = find_first(&sorter, NULL, true)) != SIZE_MAX) {
		while ((node = find_first(&sorter, &roster->nodes[taker]->past, false)) != SIZE_MAX)
			place(&sorter, node);
	}
	while ((node = find_first(&sorter, NULL, false)) != SIZE_MAX)
		place(&sorter, node);
	*count = sorter.count;
	free(sorter.list);
	free(sorter.left.words);
	return 0;
}
