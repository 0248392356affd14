/*
 * A set of object ids (oidmap.h): open addressing over the ids' own first bytes, which are a hash already.
 */
#include "sync/exchange/oidmap.h"

#include <stdlib.h>
#include <string.h>

#define OIDMAP_COUNT_MAX (1u << 30)

/* The slot where id is, or the empty one where it belongs. At most half of the slots are in use, so there is one. */
static uint32_t *oidmap_slot(const struct oidmap *map, const git_oid *id)
{
	uint32_t mask = map->slot_count - 1;
	uint32_t at;

	memcpy(&at, id->id, sizeof(at));
	for (at &= mask; map->slots[at] != 0; at = (at + 1) & mask) {
		if (git_oid_equal(&map->ids[map->slots[at] - 1], id))
			break;
	}
	return &map->slots[at];
}

static int oidmap_grow(struct oidmap *map, struct qosid_errbuf *err)
{
	uint32_t cap = map->cap == 0 ? 64 : map->cap * 2;
	git_oid *ids;
	uint32_t *slots;

	if (cap > OIDMAP_COUNT_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "more than %u git objects at once", OIDMAP_COUNT_MAX);
	ids = realloc(map->ids, (size_t)cap * sizeof(*ids));
	if (ids == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the ids of %u git objects", cap);
	map->ids = ids;
	slots = calloc((size_t)cap * 2, sizeof(*slots));
	if (slots == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the ids of %u git objects", cap);
	free(map->slots);
	map->slots = slots;
	map->slot_count = cap * 2;
	map->cap = cap;
	for (uint32_t i = 0; i < map->count; i++)
		*oidmap_slot(map, &map->ids[i]) = i + 1;
	return 0;
}

int oidmap_add(struct oidmap *map, const git_oid *id, uint32_t *index, bool *added, struct qosid_errbuf *err)
{
	uint32_t *slot;
	int rc;

	*added = !oidmap_find(map, id, index);
	if (!*added)
		return 0;
	if (map->count == map->cap) {
		rc = oidmap_grow(map, err);
		if (rc != 0)
			return rc;
	}
	slot = oidmap_slot(map, id);
	*index = map->count;
	git_oid_cpy(&map->ids[map->count++], id);
	*slot = map->count;
	return 0;
}

bool oidmap_find(const struct oidmap *map, const git_oid *id, uint32_t *index)
{
	uint32_t found;

	if (map->count == 0)
		return false;
	found = *oidmap_slot(map, id);
	if (found == 0)
		return false;
	if (index != NULL)
		*index = found - 1;
	return true;
}

void oidmap_reset(struct oidmap *map)
{
	if (map->slots != NULL)
		memset(map->slots, 0, (size_t)map->slot_count * sizeof(*map->slots));
	map->count = 0;
}

void oidmap_free(struct oidmap *map)
{
	free(map->ids);
	free(map->slots);
	*map = (struct oidmap){0};
}
