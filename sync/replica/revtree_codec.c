/*
 * The stored form of a revision tree.
 *
 *   byte     version, 1
 *   number   2 * nodes, + 1 when some node has several parents
 *   number   (only then) how many parents there are beyond the first of each node
 *   node...  by generation, then hash by bytes:
 *     byte     bit 0     deleted
 *              bit 1     the hash is text, not 16 bytes
 *              bits 2-3  parents: 0 none, 1 the node before, 2 one, 3 several
 *              bits 4-5  generation: 0 that of the node before (0 for the first), 1 the next, 2 a number follows
 *              bits 6-7  0
 *     number   (generation 2) how far beyond the generation of the node before, from 2
 *     number   (parents 3) their count, from 2
 *     number   (parents 2 and 3, each) how many nodes back the parent is, from 2 when it is the only one; falling
 *     16 bytes (bit 1 clear) what a hash of 32 lower-case hex digits stands for
 *     byte, text (bit 1 set) the length and characters of any other hash
 *
 * A number is a base-128 varint, low part first, as short as it can be. Each tree has one stored form: what could be
 * written in another way is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/replica/revtree.h"
#include "sync/replica/revtree_internal.h"

#define VERSION 1
#define NODE_MIN_BYTES 3
#define NUMBER_MAX_BYTES 5

enum node_flags {
	NODE_DELETED = 0x01,
	NODE_TEXT = 0x02,
	NODE_PARENT_PREVIOUS = 0x04,
	NODE_PARENT_ONE = 0x08,
	NODE_PARENT_SEVERAL = 0x0c,
	NODE_PARENT_MASK = 0x0c,
	NODE_GENERATION_NEXT = 0x10,
	NODE_GENERATION_FAR = 0x20,
	NODE_GENERATION_MASK = 0x30,
	NODE_UNKNOWN_MASK = 0xc0,
};

/* ---- encoding ---- */

static size_t put_number(uint8_t *out, uint32_t number)
{
	size_t len = 0;

	while (number >= 0x80) {
		out[len++] = (uint8_t)(number | 0x80);
		number >>= 7;
	}
	out[len++] = (uint8_t)number;
	return len;
}

static uint8_t flags_of(const struct revtree_store *store, uint32_t index, uint32_t further)
{
	const struct revtree_node *node = &store->nodes[index];
	unsigned flags = further == 0 ? 0 : further == 1 ? NODE_GENERATION_NEXT : NODE_GENERATION_FAR;

	if (node->deleted)
		flags |= NODE_DELETED;
	if (node->hash.text_len > 0)
		flags |= NODE_TEXT;
	if (node->parent_count > 1)
		flags |= NODE_PARENT_SEVERAL;
	else if (node->parent_count == 1)
		flags |= store->parents[node->parent] + 1 == index ? NODE_PARENT_PREVIOUS : NODE_PARENT_ONE;
	return (uint8_t)flags;
}

static int encode_node(
    const struct revtree_store *store, uint32_t index, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct revtree_node *node = &store->nodes[index];
	uint32_t further = node->generation - (index > 0 ? store->nodes[index - 1].generation : 0);
	uint8_t record[1 + 2 * NUMBER_MAX_BYTES];
	size_t len = 1;
	int rc;

	record[0] = flags_of(store, index, further);
	if (further > 1)
		len += put_number(record + len, further);
	if (node->parent_count > 1)
		len += put_number(record + len, node->parent_count);
	rc = qosid_buf_append(out, record, len, err);
	if ((record[0] & NODE_PARENT_MASK) != NODE_PARENT_PREVIOUS) {
		for (uint32_t i = 0; rc == 0 && i < node->parent_count; i++) {
			len = put_number(record, index - store->parents[node->parent + i]);
			rc = qosid_buf_append(out, record, len, err);
		}
	}
	if (rc != 0)
		return rc;
	if (node->hash.text_len == 0)
		return qosid_buf_append(out, node->hash.u.raw, REVTREE_RAW_BYTES, err);
	rc = qosid_buf_append_byte(out, node->hash.text_len, err);
	return rc != 0 ? rc : qosid_buf_append(out, node->hash.u.text, node->hash.text_len, err);
}

int revtree_encode(const struct revtree *tree, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct revtree_store *store = &tree->store;
	uint8_t head[1 + 2 * NUMBER_MAX_BYTES] = {VERSION};
	uint32_t further = 0;
	size_t before = out->len;
	size_t len = 1;
	int rc;

	for (size_t i = 0; i < store->count; i++) {
		if (store->nodes[i].parent_count > 1)
			further += store->nodes[i].parent_count - 1;
	}
	len += put_number(head + len, (uint32_t)store->count * 2 + (further > 0));
	if (further > 0)
		len += put_number(head + len, further);
	rc = qosid_buf_reserve(out, len + store->count * (REVTREE_RAW_BYTES + 2), err);
	if (rc == 0)
		rc = qosid_buf_append(out, head, len, err);
	for (uint32_t i = 0; rc == 0 && i < store->count; i++)
		rc = encode_node(store, i, out, err);
	if (rc != 0)
		qosid_buf_cut(out, before);
	return rc;
}

/* ---- decoding ---- */

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	struct revtree_store *store;
	uint32_t further; /* parents beyond the first of each node that are still to come */
	bool no_memory;
};

static bool take_number(struct reader *r, uint32_t *out)
{
	uint64_t number = 0;

	for (unsigned shift = 0; shift < 7 * NUMBER_MAX_BYTES && r->at < r->end; shift += 7) {
		uint8_t byte = *r->at++;

		number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*out = (uint32_t)number;
			return number <= UINT32_MAX && (byte != 0 || shift == 0);
		}
	}
	return false;
}

static bool take_generation(struct reader *r, uint8_t flags, uint32_t *generation)
{
	const struct revtree_store *store = r->store;
	uint32_t before = store->count > 0 ? store->nodes[store->count - 1].generation : 0;
	uint32_t further = 0;

	switch (flags & NODE_GENERATION_MASK) {
	case 0:
		break;
	case NODE_GENERATION_NEXT:
		further = 1;
		break;
	case NODE_GENERATION_FAR:
		if (take_number(r, &further) && further >= 2)
			break;
		return false;
	default:
		return false;
	}
	if (further > UINT32_MAX - before)
		return false;
	*generation = before + further;
	return *generation > 0;
}

/* The parents' numbers come before the hash, so the node is added first and its hash filled in later. */
static bool take_parents(struct reader *r, uint8_t flags, struct revtree_node *node)
{
	uint32_t index = (uint32_t)r->store->count - 1;
	unsigned form = flags & NODE_PARENT_MASK;
	uint32_t previous = UINT32_MAX;
	uint32_t count = form == 0 ? 0 : 1;

	if (form == NODE_PARENT_SEVERAL) {
		if (!take_number(r, &count) || count < 2 || count - 1 > r->further)
			return false;
		r->further -= count - 1;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t back = 1;

		if (form != NODE_PARENT_PREVIOUS && !take_number(r, &back))
			return false;
		if (back == 0 || back > index || back >= previous || (form == NODE_PARENT_ONE && back == 1))
			return false;
		previous = back;
		if (r->store->nodes[index - back].generation + 1 != node->generation)
			return false;
		revtree_store_link(r->store, node, index - back);
	}
	return true;
}

static bool take_hash(struct reader *r, uint8_t flags, struct revtree_hash *hash)
{
	size_t len = REVTREE_RAW_BYTES;
	char *text;

	if ((flags & NODE_TEXT) == 0) {
		if ((size_t)(r->end - r->at) < len)
			return false;
		memcpy(hash->u.raw, r->at, len);
		r->at += len;
		return true;
	}
	if (r->at == r->end)
		return false;
	len = *r->at++;
	if (len == 0 || (size_t)(r->end - r->at) < len)
		return false;
	/* The text to come is part of the bytes to come. */
	if (r->store->text == NULL && (r->store->text = malloc((size_t)(r->end - r->at))) == NULL) {
		r->no_memory = true;
		return false;
	}
	text = memcpy(r->store->text + r->store->text_len, r->at, len);
	r->at += len;
	if (!revtree_hash_read(hash, text, len) || hash->text_len == 0)
		return false;
	r->store->text_len += len;
	return true;
}

static bool take_node(struct reader *r)
{
	static const struct revtree_hash unknown;
	struct revtree_node *node;
	uint32_t generation;
	uint8_t flags;

	if (r->at == r->end)
		return false;
	flags = *r->at++;
	if ((flags & NODE_UNKNOWN_MASK) != 0 || !take_generation(r, flags, &generation))
		return false;
	node = revtree_store_add(r->store, generation, &unknown, (flags & NODE_DELETED) != 0);
	if (!take_parents(r, flags, node) || !take_hash(r, flags, &node->hash))
		return false;
	return r->store->count == 1 || revtree_node_compare(node - 1, node) < 0;
}

static int corrupt(struct qosid_errbuf *err, const char *what)
{
	return qosid_error(err, QOSID_ERR_CORRUPT, "a stored revision tree is damaged: %s", what);
}

int revtree_decode(struct revtree **out, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct reader r = {.at = data, .end = (const uint8_t *)data + len};
	struct revtree *tree = NULL;
	uint32_t count;
	int rc;

	if (len == 0 || *r.at++ != VERSION)
		return corrupt(err, "its version is not known");
	if (!take_number(&r, &count) || ((count & 1) != 0 && (!take_number(&r, &r.further) || r.further == 0)))
		return corrupt(err, "its head makes no sense");
	count /= 2;
	if (count > (size_t)(r.end - r.at) / NODE_MIN_BYTES || r.further > (size_t)(r.end - r.at))
		return corrupt(err, "it is shorter than its head says");
	rc = revtree_create(&tree, err);
	if (rc != 0)
		return rc;
	r.store = &tree->store;
	rc = revtree_store_open(r.store, count, (size_t)count + r.further, 0, err);
	if (rc != 0)
		goto out;
	while (r.store->count < count) {
		if (!take_node(&r)) {
			rc = r.no_memory ? qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a revision tree")
					 : corrupt(err, "a revision in it makes no sense");
			goto out;
		}
	}
	if (r.at != r.end || r.further != 0) {
		rc = corrupt(err, "it is longer than its head says");
		goto out;
	}
	revtree_store_finish(r.store);
	*out = tree;
	tree = NULL;
out:
	revtree_free(tree);
	return rc;
}
