/*
 * A set of ids: see idset.h. Open addressing with linear probing, at most two thirds full.
 */
#include "cli/idset.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define IDSET_FIRST_CAPACITY 1024

/* The slot that holds key, or the free one where it belongs. */
static struct idset_slot *find_slot(struct idset_slot *slots, size_t capacity, const uint8_t key[IDSET_KEY_BYTES])
{
	uint64_t start;
	size_t at;

	memcpy(&start, key, sizeof(start));
	at = (size_t)start & (capacity - 1);
	while (slots[at].line != 0 && memcmp(slots[at].key, key, IDSET_KEY_BYTES) != 0)
		at = (at + 1) & (capacity - 1);
	return &slots[at];
}

static int grow(struct idset *set, struct qosid_errbuf *err)
{
	size_t capacity = set->capacity == 0 ? IDSET_FIRST_CAPACITY : set->capacity * 2;
	struct idset_slot *slots = calloc(capacity, sizeof(*slots));

	if (slots == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->slots[i].line != 0)
			*find_slot(slots, capacity, set->slots[i].key) = set->slots[i];
	}
	free(set->slots);
	set->slots = slots;
	set->capacity = capacity;
	return 0;
}

int idset_add(struct idset *set, const char *id, size_t line, size_t *earlier, struct qosid_errbuf *err)
{
	uint8_t key[IDSET_KEY_BYTES];
	struct idset_slot *slot;

	if (set->count >= set->capacity / 3 * 2) {
		int code = grow(set, err);

		if (code != 0)
			return code;
	}
	(void)crypto_generichash(key, sizeof(key), (const unsigned char *)id, strlen(id), NULL, 0);
	slot = find_slot(set->slots, set->capacity, key);
	*earlier = slot->line;
	if (slot->line != 0)
		return 0;
	memcpy(slot->key, key, sizeof(key));
	slot->line = line;
	set->count++;
	return 0;
}

void idset_free(struct idset *set)
{
	free(set->slots);
	*set = (struct idset){0};
}
