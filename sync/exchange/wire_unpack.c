/*
 * Reading a pack as it comes over the wire (wire_unpack.h; the format is gitformat-pack's).
 */
#define ZLIB_CONST
#include "sync/exchange/wire_unpack.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "sync/exchange/pack.h"
#include "sync/exchange/transfer.h"
#include "sync/limits.h"

#define KIND_OFS_DELTA 6u
#define KIND_REF_DELTA 7u

struct wire_unpack {
	struct wire *wire;
	struct wire_objects *objects;
	const uint8_t *at; /* of the piece that is being read */
	size_t left;
	EVP_MD_CTX *sha;
	uint64_t offset;
	uint32_t count, done;
	bool over; /* the trailer has been read */
	z_stream inflate;
	bool inflate_ready;
	struct qosid_buf delta;
	/* the object that was looked at */
	uint64_t start;
	unsigned kind;
	size_t size;
};

/* ---- objects in memory ---- */

void wire_objects_free(struct wire_objects *objects)
{
	oidmap_free(&objects->ids);
	free(objects->items);
	qosid_buf_free(&objects->bytes);
	*objects = (struct wire_objects){0};
}

int wire_objects_read(const struct wire_objects *objects, const git_oid *id, git_object_t type, size_t limit,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct wire_object *object;
	char hex[GIT_OID_HEXSZ + 1];
	uint32_t index;

	git_oid_tostr(hex, sizeof(hex), id);
	if (!oidmap_find(&objects->ids, id, &index))
		return qosid_error(err, QOSID_ERR_NOTFOUND, "object %s is not among what the remote sent", hex);
	object = &objects->items[index];
	if (object->type != type)
		return qosid_error(err, QOSID_ERR_INVALID, "object %s of the remote is a %s where a %s belongs", hex,
		    git_object_type2string(object->type), git_object_type2string(type));
	if (object->len > limit)
		return qosid_error(err, QOSID_ERR_LIMIT,
		    "object %s of the remote has %zu bytes, more than the %zu allowed", hex, object->len, limit);
	return qosid_buf_append(out, objects->bytes.data + object->at, object->len, err);
}

/* How large an object of this type may be; 0: there are none of this type in a log. */
static size_t largest(git_object_t type)
{
	switch (type) {
	case GIT_OBJECT_COMMIT:
		return LIMIT_COMMIT_BYTES;
	case GIT_OBJECT_TREE:
		return TRANSFER_TREE_BYTES_MAX;
	case GIT_OBJECT_BLOB:
		return LIMIT_CHANGESET_BYTES;
	default:
		return 0;
	}
}

/* Whether an object of this type and size may be taken in. */
static int check_size(const struct wire_objects *objects, git_object_t type, size_t size, struct qosid_errbuf *err)
{
	if (largest(type) == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the remote's pack has a %s in it, which no log has",
		    git_object_type2string(type));
	if (size > largest(type))
		return qosid_error(err, QOSID_ERR_LIMIT,
		    "the remote's pack has a %s of %zu bytes in it, more than the %zu allowed",
		    git_object_type2string(type), size, largest(type));
	if (size > WIRE_OBJECTS_BYTES_MAX - objects->bytes.len)
		return qosid_error(err, QOSID_ERR_LIMIT,
		    "the remote's pack has more than the %zu bytes of objects that are taken at once",
		    WIRE_OBJECTS_BYTES_MAX);
	return 0;
}

/* Name the object whose bytes were put at the end. */
static int objects_add(
    struct wire_objects *objects, git_object_t type, uint64_t offset, size_t len, struct qosid_errbuf *err)
{
	struct wire_object object = {.type = type, .offset = offset, .at = objects->bytes.len - len, .len = len};
	uint32_t index;
	git_oid id;
	bool added;
	int rc = pack_object_id(&id, type, objects->bytes.data + object.at, len, err);

	if (rc == 0 && objects->ids.count == objects->cap) {
		size_t cap = objects->cap == 0 ? 64 : objects->cap * 2;
		struct wire_object *items = realloc(objects->items, cap * sizeof(*items));

		if (items == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for %zu git objects", cap);
		objects->items = items;
		objects->cap = cap;
	}
	if (rc == 0)
		rc = oidmap_add(&objects->ids, &id, &index, &added, err);
	if (rc != 0)
		return rc;
	if (!added)
		return qosid_error(err, QOSID_ERR_INVALID, "the remote's pack has an object in it twice");
	objects->items[index] = object;
	return 0;
}

/* ---- bytes ---- */

static int damaged(const char *why, struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_CORRUPT, "the remote's pack is damaged: %s", why);
}

/* Have something to read. */
static int refill(struct wire_unpack *unpack, struct qosid_errbuf *err)
{
	int rc = 0;

	if (unpack->left == 0)
		rc = wire_read_band(unpack->wire, &unpack->at, &unpack->left, err);
	return rc == 0 && unpack->left == 0 ? damaged("it ends in the middle", err) : rc;
}

/* Go over len bytes of the piece. */
static int consume(struct wire_unpack *unpack, size_t len, struct qosid_errbuf *err)
{
	if (EVP_DigestUpdate(unpack->sha, unpack->at, len) != 1)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
	unpack->at += len;
	unpack->left -= len;
	unpack->offset += len;
	return 0;
}

static int take_bytes(struct wire_unpack *unpack, void *out, size_t len, struct qosid_errbuf *err)
{
	uint8_t *to = out;

	while (len > 0) {
		int rc = refill(unpack, err);
		size_t piece = len < unpack->left ? len : unpack->left;

		if (rc != 0)
			return rc;
		memcpy(to, unpack->at, piece);
		if ((rc = consume(unpack, piece, err)) != 0)
			return rc;
		to += piece;
		len -= piece;
	}
	return 0;
}

/* Inflate an object of exactly size bytes and append it. */
static int take_inflated(struct wire_unpack *unpack, struct qosid_buf *out, size_t size, struct qosid_errbuf *err)
{
	z_stream *stream = &unpack->inflate;
	uint8_t beyond;
	int rc = qosid_buf_reserve(out, size, err), status = Z_OK;

	if (rc != 0)
		return rc;
	if ((unpack->inflate_ready ? inflateReset(stream) : inflateInit(stream)) != Z_OK)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for inflating");
	unpack->inflate_ready = true;
	stream->next_out = out->data + out->len;
	stream->avail_out = (uInt)size;
	while (status != Z_STREAM_END) {
		bool is_full = stream->avail_out == 0;
		size_t before;

		if ((rc = refill(unpack, err)) != 0)
			return rc;
		if (is_full) { /* the end of the stream must come without another byte */
			stream->next_out = &beyond;
			stream->avail_out = 1;
		}
		before = unpack->left;
		stream->next_in = unpack->at;
		stream->avail_in = (uInt)before;
		status = inflate(stream, Z_NO_FLUSH);
		if (is_full && stream->avail_out == 0)
			return damaged("an object is larger than it says", err);
		if (is_full)
			stream->avail_out = 0;
		if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
			return damaged("an object cannot be inflated", err);
		if ((rc = consume(unpack, before - stream->avail_in, err)) != 0)
			return rc;
	}
	if (stream->avail_out != 0)
		return damaged("an object is smaller than it says", err);
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
}

/* ---- deltas ---- */

/* A size in front of a delta, seven bits a byte, the lowest first. */
static bool delta_size(const uint8_t **at, const uint8_t *end, size_t *out)
{
	unsigned shift = 0;
	uint8_t byte;

	*out = 0;
	do {
		if (*at == end || shift > 35)
			return false;
		byte = *(*at)++;
		*out |= (size_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return true;
}

/* The little-endian number whose bytes the bits of flags say are there. */
static bool delta_number(const uint8_t **at, const uint8_t *end, unsigned flags, unsigned bytes, size_t *out)
{
	*out = 0;
	for (unsigned i = 0; i < bytes; i++) {
		if ((flags & (1u << i)) == 0)
			continue;
		if (*at == end)
			return false;
		*out |= (size_t) * (*at)++ << (8 * i);
	}
	return true;
}

/* Make len bytes at out from base and the instructions from at on; false when they do not do so exactly. */
static bool delta_apply(
    const uint8_t *at, const uint8_t *end, const uint8_t *base, size_t base_len, uint8_t *out, size_t len)
{
	while (at < end) {
		unsigned op = *at++;
		const uint8_t *from;
		size_t offset, size = op;

		if (op & 0x80) {
			if (!delta_number(&at, end, op & 15, 4, &offset) ||
			    !delta_number(&at, end, op >> 4 & 7, 3, &size))
				return false;
			size = size == 0 ? 0x10000 : size;
			if (offset > base_len || size > base_len - offset)
				return false;
			from = base + offset;
		} else {
			if (size == 0 || size > (size_t)(end - at))
				return false;
			from = at;
			at += size;
		}
		if (size > len)
			return false;
		memcpy(out, from, size);
		out += size;
		len -= size;
	}
	return len == 0;
}

/* Where the base of a delta begins, from the bytes in front of it. */
static int find_base(struct wire_unpack *unpack, uint32_t *index, struct qosid_errbuf *err)
{
	const struct wire_objects *objects = unpack->objects;
	uint64_t back = 0;
	uint8_t byte;
	git_oid id;
	int rc;

	if (unpack->kind == KIND_REF_DELTA) {
		rc = take_bytes(unpack, id.id, GIT_OID_RAWSZ, err);
		if (rc == 0 && !oidmap_find(&objects->ids, &id, index))
			rc = damaged("a delta comes before what it builds on", err);
		return rc;
	}
	for (unsigned i = 0;; i++) {
		if ((rc = take_bytes(unpack, &byte, 1, err)) != 0)
			return rc;
		back = (i == 0 ? 0 : (back + 1) << 7) | (byte & 0x7f);
		if ((byte & 0x80) == 0)
			break;
		if (i == 7)
			return damaged("a delta builds on nothing", err);
	}
	for (uint32_t low = 0, high = objects->ids.count; low < high;) {
		uint32_t middle = low + (high - low) / 2;

		if (objects->items[middle].offset == unpack->start - back) {
			*index = middle;
			return 0;
		}
		if (objects->items[middle].offset < unpack->start - back)
			low = middle + 1;
		else
			high = middle;
	}
	return damaged("a delta builds on nothing", err);
}

static int take_delta(struct wire_unpack *unpack, struct qosid_errbuf *err)
{
	struct wire_objects *objects = unpack->objects;
	struct wire_object base;
	const uint8_t *at, *end;
	size_t base_len, len;
	uint32_t index;
	int rc = find_base(unpack, &index, err);

	qosid_buf_reset(&unpack->delta);
	if (rc != 0 || (rc = take_inflated(unpack, &unpack->delta, unpack->size, err)) != 0)
		return rc;
	at = unpack->delta.data;
	end = at + unpack->delta.len;
	base = objects->items[index];
	if (!delta_size(&at, end, &base_len) || !delta_size(&at, end, &len) || base_len != base.len)
		return damaged("a delta does not fit what it builds on", err);
	if ((rc = check_size(objects, base.type, len, err)) != 0 ||
	    (rc = qosid_buf_reserve(&objects->bytes, len, err)) != 0)
		return rc;
	if (!delta_apply(
		at, end, objects->bytes.data + base.at, base.len, objects->bytes.data + objects->bytes.len, len))
		return damaged("a delta does not fit what it builds on", err);
	objects->bytes.len += len;
	return objects_add(objects, base.type, unpack->start, len, err);
}

/* ---- the pack ---- */

int wire_unpack_open(struct wire_unpack **out, struct wire *wire, struct wire_objects *objects, uint32_t *count,
    struct qosid_errbuf *err)
{
	struct wire_unpack *unpack = calloc(1, sizeof(*unpack));
	uint8_t head[12];
	int rc;

	*out = NULL;
	if (unpack == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a pack");
	unpack->wire = wire;
	unpack->objects = objects;
	unpack->sha = EVP_MD_CTX_new();
	if (unpack->sha == NULL || EVP_DigestInit_ex(unpack->sha, EVP_sha1(), NULL) != 1)
		rc = qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
	else
		rc = take_bytes(unpack, head, sizeof(head), err);
	if (rc == 0 && (memcmp(head, "PACK\0\0\0", 7) != 0 || head[7] < 2 || head[7] > 3))
		rc = damaged("it does not begin as one", err);
	if (rc != 0) {
		wire_unpack_close(unpack);
		return rc;
	}
	unpack->count = (uint32_t)head[8] << 24 | (uint32_t)head[9] << 16 | (uint32_t)head[10] << 8 | head[11];
	*count = unpack->count;
	*out = unpack;
	return 0;
}

void wire_unpack_close(struct wire_unpack *unpack)
{
	if (unpack == NULL)
		return;
	EVP_MD_CTX_free(unpack->sha);
	if (unpack->inflate_ready)
		(void)inflateEnd(&unpack->inflate); /* Z_DATA_ERROR says that data was left, as known */
	qosid_buf_free(&unpack->delta);
	free(unpack);
}

/* Compare the checksum, and read on to the flush. */
static int finish(struct wire_unpack *unpack, struct qosid_errbuf *err)
{
	uint8_t computed[GIT_OID_RAWSZ], said[GIT_OID_RAWSZ];
	int rc;

	if (EVP_DigestFinal_ex(unpack->sha, computed, NULL) != 1 ||
	    EVP_DigestInit_ex(unpack->sha, EVP_sha1(), NULL) != 1)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
	if ((rc = take_bytes(unpack, said, sizeof(said), err)) != 0)
		return rc;
	if (memcmp(computed, said, sizeof(said)) != 0)
		return damaged("its checksum is wrong", err);
	if (unpack->left == 0)
		rc = wire_read_band(unpack->wire, &unpack->at, &unpack->left, err);
	if (rc == 0 && unpack->left != 0)
		rc = damaged("it goes on after its end", err);
	unpack->over = rc == 0;
	return rc;
}

int wire_unpack_peek(struct wire_unpack *unpack, git_object_t *type, size_t *size, struct qosid_errbuf *err)
{
	unsigned shift = 4;
	uint8_t byte;
	int rc;

	if (unpack->over)
		return 0;
	if (unpack->done == unpack->count)
		return finish(unpack, err);
	unpack->start = unpack->offset;
	if ((rc = take_bytes(unpack, &byte, 1, err)) != 0)
		return rc;
	unpack->kind = byte >> 4 & 7;
	unpack->size = byte & 15;
	for (; byte & 0x80; shift += 7) {
		if (shift > 32)
			return damaged("an object's size cannot be", err);
		if ((rc = take_bytes(unpack, &byte, 1, err)) != 0)
			return rc;
		unpack->size |= (size_t)(byte & 0x7f) << shift;
	}
	*type = unpack->kind >= KIND_OFS_DELTA ? GIT_OBJECT_ANY : (git_object_t)unpack->kind;
	*size = unpack->size;
	return 1;
}

int wire_unpack_take(struct wire_unpack *unpack, struct qosid_errbuf *err)
{
	struct wire_objects *objects = unpack->objects;
	bool is_delta = unpack->kind >= KIND_OFS_DELTA;
	int rc;

	if (unpack->kind == 0 || unpack->kind == 5)
		return damaged("an object of no known type", err);
	if (objects->ids.count >= WIRE_OBJECTS_MAX)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the remote's pack has more than %u objects", WIRE_OBJECTS_MAX);
	rc = check_size(objects, is_delta ? GIT_OBJECT_BLOB : (git_object_t)unpack->kind, unpack->size, err);
	if (rc == 0 && is_delta)
		rc = take_delta(unpack, err);
	else if (rc == 0 && (rc = take_inflated(unpack, &objects->bytes, unpack->size, err)) == 0)
		rc = objects_add(objects, (git_object_t)unpack->kind, unpack->start, unpack->size, err);
	unpack->done++;
	return rc;
}
