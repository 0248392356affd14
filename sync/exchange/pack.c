/*
 * Git packs written directly (pack.h). Objects stream to a temporary file as they come; the count in the header, which
 * the trailing SHA-1 covers, is only known at the end, so the finished file is read once more to hash it.
 */
#define ZLIB_CONST
#include "sync/exchange/pack.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "crypto/buf.h"
#include "sync/exchange/newfile.h"
#include "sync/exchange/oidmap.h"

#define PACK_BUFFER_BYTES (256u << 10)
#define PACK_PROBE_BYTES 4096u
#define PACK_HEADER_BYTES 12

struct pack_entry {
	uint64_t offset;
	uint32_t crc;
};

enum { DEFLATE_STORE, DEFLATE_FAST, DEFLATE_DEFAULT, DEFLATE_COUNT };

struct pack_writer {
	char *directory;
	struct sharing sharing;
	struct newfile pack;
	uint8_t *buffer; /* what is not in the file yet */
	size_t used;
	uint64_t offset; /* of the next byte, buffered ones included */
	z_stream deflate[DEFLATE_COUNT];
	bool deflate_ready[DEFLATE_COUNT];
	struct oidmap ids;
	struct pack_entry *entries; /* by index in ids */
	size_t entries_cap;
	bool failed; /* the file holds half an object: never to be finished */
};

/* ---- writing ---- */

int pack_writer_open(
    struct pack_writer **out, const char *directory, const struct sharing *sharing, struct qosid_errbuf *err)
{
	/* Version 2; the count is filled in by pack_writer_finish(). */
	static const uint8_t header[PACK_HEADER_BYTES] = {'P', 'A', 'C', 'K', 0, 0, 0, 2};
	struct pack_writer *writer = calloc(1, sizeof(*writer));
	int rc;

	*out = NULL;
	if (writer == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a pack");
	writer->pack.fd = -1;
	writer->sharing = *sharing;
	writer->directory = strdup(directory);
	writer->buffer = malloc(PACK_BUFFER_BYTES);
	if (writer->directory == NULL || writer->buffer == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a pack");
		goto fail;
	}
	newfile_clean(directory);
	rc = newfile_create(&writer->pack, directory, err);
	if (rc != 0)
		goto fail;
	memcpy(writer->buffer, header, sizeof(header));
	writer->used = PACK_HEADER_BYTES;
	writer->offset = PACK_HEADER_BYTES;
	*out = writer;
	return 0;
fail:
	pack_writer_free(writer);
	return rc;
}

static int writer_drain(struct pack_writer *writer, struct qosid_errbuf *err)
{
	size_t used = writer->used;

	writer->used = 0;
	return newfile_write(&writer->pack, writer->buffer, used, err);
}

/* A stream of this kind, ready for a new object; NULL when there is no memory for one. */
static z_stream *writer_stream(struct pack_writer *writer, int kind)
{
	static const int levels[DEFLATE_COUNT] = {0, 1, Z_DEFAULT_COMPRESSION};
	z_stream *stream = &writer->deflate[kind];

	if ((writer->deflate_ready[kind] ? deflateReset(stream) : deflateInit(stream, levels[kind])) != Z_OK)
		return NULL;
	writer->deflate_ready[kind] = true;
	return stream;
}

/* Whether compression is worth its time: a piece from the middle must shrink by a sixteenth. Encrypted payloads do not.
 */
static int writer_probe(
    struct pack_writer *writer, const uint8_t *data, size_t len, bool *shrinks, struct qosid_errbuf *err)
{
	uint8_t scratch[PACK_PROBE_BYTES];
	size_t piece = len < PACK_PROBE_BYTES ? len : PACK_PROBE_BYTES;
	z_stream *stream = writer_stream(writer, DEFLATE_FAST);

	if (stream == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for compression");
	stream->next_in = data + (len - piece) / 2;
	stream->avail_in = (uInt)piece;
	stream->next_out = scratch;
	stream->avail_out = (uInt)(piece - piece / 16);
	*shrinks = deflate(stream, Z_FINISH) == Z_STREAM_END;
	return 0;
}

/* Append len bytes as a zlib stream, and carry their CRC on. */
static int writer_deflate(
    struct pack_writer *writer, int kind, const void *data, size_t len, uint32_t *crc, struct qosid_errbuf *err)
{
	z_stream *stream = writer_stream(writer, kind);
	int status, rc;

	if (stream == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for compression");
	stream->next_in = data;
	stream->avail_in = (uInt)len;
	do {
		uint8_t *at = writer->buffer + writer->used;
		size_t room = PACK_BUFFER_BYTES - writer->used;
		size_t made;

		stream->next_out = at;
		stream->avail_out = (uInt)room;
		status = deflate(stream, Z_FINISH);
		if (status == Z_STREAM_ERROR)
			return qosid_error(err, QOSID_ERR_FAILED, "cannot compress a git object");
		made = room - stream->avail_out;
		*crc = (uint32_t)crc32(*crc, at, (uInt)made);
		writer->used += made;
		writer->offset += made;
		if (writer->used == PACK_BUFFER_BYTES) {
			rc = writer_drain(writer, err);
			if (rc != 0)
				return rc;
		}
	} while (status != Z_STREAM_END);
	return 0;
}

/* The type and size in front of an object, as gitformat-pack has it. */
static int writer_object_header(
    struct pack_writer *writer, git_object_t type, size_t len, uint32_t *crc, struct qosid_errbuf *err)
{
	uint8_t header[16];
	size_t used = 0;
	int rc;

	header[used] = (uint8_t)((unsigned)type << 4 | (len & 15));
	for (len >>= 4; len > 0; len >>= 7) {
		header[used++] |= 0x80;
		header[used] = (uint8_t)(len & 0x7f);
	}
	used++;
	if (PACK_BUFFER_BYTES - writer->used < sizeof(header)) {
		rc = writer_drain(writer, err);
		if (rc != 0)
			return rc;
	}
	memcpy(writer->buffer + writer->used, header, used);
	writer->used += used;
	writer->offset += used;
	*crc = (uint32_t)crc32(0, header, (uInt)used);
	return 0;
}

static int writer_reserve(struct pack_writer *writer, struct qosid_errbuf *err)
{
	size_t cap = writer->entries_cap == 0 ? 64 : writer->entries_cap * 2;
	struct pack_entry *entries;

	if (writer->ids.count < writer->entries_cap)
		return 0;
	entries = realloc(writer->entries, cap * sizeof(*entries));
	if (entries == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a pack of %zu objects", cap);
	writer->entries = entries;
	writer->entries_cap = cap;
	return 0;
}

int pack_writer_add(
    struct pack_writer *writer, git_object_t type, const void *data, size_t len, git_oid *id, struct qosid_errbuf *err)
{
	struct pack_entry entry = {.offset = writer->offset};
	git_oid computed;
	uint32_t index;
	bool added, shrinks = true;
	int rc;

	if (writer->failed)
		return qosid_error(err, QOSID_ERR_FAILED, "the pack in %s has failed before", writer->directory);
	if (len > INT32_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "a git object of %zu bytes is too large for a pack", len);
	rc = pack_object_id(&computed, type, data, len, err);
	if (rc != 0)
		return rc;
	if (id != NULL)
		git_oid_cpy(id, &computed);
	rc = writer_reserve(writer, err);
	if (rc == 0)
		rc = oidmap_add(&writer->ids, &computed, &index, &added, err);
	if (rc != 0 || !added)
		return rc;

	writer->failed = true;
	rc = writer_object_header(writer, type, len, &entry.crc, err);
	if (rc == 0 && type == GIT_OBJECT_BLOB)
		rc = writer_probe(writer, data, len, &shrinks, err);
	if (rc == 0)
		rc = writer_deflate(writer, shrinks ? DEFLATE_DEFAULT : DEFLATE_STORE, data, len, &entry.crc, err);
	if (rc != 0)
		return rc;
	writer->entries[index] = entry;
	writer->failed = false;
	return 0;
}

size_t pack_writer_count(const struct pack_writer *writer)
{
	return writer->ids.count;
}

/* ---- hashing ---- */

int pack_object_id(git_oid *id, git_object_t type, const void *data, size_t len, struct qosid_errbuf *err)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	char header[64];
	int header_len = snprintf(header, sizeof(header), "%s %zu", git_object_type2string(type), len);
	bool done;

	done = sha != NULL && EVP_DigestInit_ex(sha, EVP_sha1(), NULL) == 1 &&
	       EVP_DigestUpdate(sha, header, (size_t)header_len + 1) == 1 && EVP_DigestUpdate(sha, data, len) == 1 &&
	       EVP_DigestFinal_ex(sha, id->id, NULL) == 1;
	EVP_MD_CTX_free(sha);
	return done ? 0 : qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
}

/* The SHA-1 of the whole file so far. */
static int writer_hash(struct pack_writer *writer, uint8_t out[GIT_OID_RAWSZ], struct qosid_errbuf *err)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint64_t at = 0;
	int rc = 0;

	if (sha == NULL || EVP_DigestInit_ex(sha, EVP_sha1(), NULL) != 1)
		goto fail;
	while (at < writer->offset) {
		ssize_t got = pread(writer->pack.fd, writer->buffer, PACK_BUFFER_BYTES, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			rc = qosid_error_errno(err, got < 0 ? errno : EIO, "cannot read back %s", writer->pack.path);
			goto done;
		}
		if (EVP_DigestUpdate(sha, writer->buffer, (size_t)got) != 1)
			goto fail;
		at += (uint64_t)got;
	}
	if (EVP_DigestFinal_ex(sha, out, NULL) == 1)
		goto done;
fail:
	rc = qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
done:
	EVP_MD_CTX_free(sha);
	return rc;
}

/* ---- the index ---- */

static int compare_order(const void *left, const void *right, void *context)
{
	const git_oid *ids = context;

	return git_oid_cmp(&ids[*(const uint32_t *)left], &ids[*(const uint32_t *)right]);
}

static int append_u32(struct qosid_buf *out, uint32_t value, struct qosid_errbuf *err)
{
	uint32_t wire = htobe32(value);

	return qosid_buf_append(out, &wire, sizeof(wire), err);
}

/* The tables of an index: fan-out, ids, CRCs, offsets, and offsets of 2 GiB and more. */
static int writer_format_tables(
    const struct pack_writer *writer, const uint32_t *order, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint32_t count = writer->ids.count, below = 0, large = 0;
	int rc = 0;

	for (unsigned first = 0; first < 256 && rc == 0; first++) {
		while (below < count && writer->ids.ids[order[below]].id[0] <= first)
			below++;
		rc = append_u32(out, below, err);
	}
	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = qosid_buf_append(out, writer->ids.ids[order[i]].id, GIT_OID_RAWSZ, err);
	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = append_u32(out, writer->entries[order[i]].crc, err);
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		uint64_t offset = writer->entries[order[i]].offset;

		rc = append_u32(out, offset > INT32_MAX ? 0x80000000u | large++ : (uint32_t)offset, err);
	}
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		uint64_t wire = htobe64(writer->entries[order[i]].offset);

		if (be64toh(wire) > INT32_MAX)
			rc = qosid_buf_append(out, &wire, sizeof(wire), err);
	}
	return rc;
}

static int writer_format_index(const struct pack_writer *writer, const uint8_t pack_hash[GIT_OID_RAWSZ],
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint32_t count = writer->ids.count;
	uint32_t *order = malloc((size_t)count * sizeof(*order));
	uint8_t hash[GIT_OID_RAWSZ];
	int rc;

	if (order == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the index of %u git objects", count);
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	qsort_r(order, count, sizeof(*order), compare_order, writer->ids.ids);
	rc = qosid_buf_reserve(out, (size_t)count * 36 + 2048, err);
	if (rc == 0)
		rc = qosid_buf_append(out, "\377tOc\0\0\0\2", 8, err);
	if (rc == 0)
		rc = writer_format_tables(writer, order, out, err);
	if (rc == 0)
		rc = qosid_buf_append(out, pack_hash, GIT_OID_RAWSZ, err);
	if (rc == 0 && EVP_Digest(out->data, out->len, hash, NULL, EVP_sha1(), NULL) != 1)
		rc = qosid_error(err, QOSID_ERR_FAILED, "cannot compute a SHA-1");
	if (rc == 0)
		rc = qosid_buf_append(out, hash, sizeof(hash), err);
	free(order);
	return rc;
}

/* ---- the end ---- */

/* Write the count and the trailer, and make the pack durable under its temporary name. */
static int writer_complete(struct pack_writer *writer, uint8_t hash[GIT_OID_RAWSZ], struct qosid_errbuf *err)
{
	uint32_t count = htobe32(writer->ids.count);
	int rc = writer_drain(writer, err);

	if (rc != 0)
		return rc;
	if (pwrite(writer->pack.fd, &count, sizeof(count), 8) != (ssize_t)sizeof(count))
		return qosid_error_errno(err, errno, "cannot write %s", writer->pack.path);
	rc = writer_hash(writer, hash, err);
	if (rc == 0)
		rc = newfile_write(&writer->pack, hash, GIT_OID_RAWSZ, err);
	if (rc == 0)
		rc = newfile_seal(&writer->pack, &writer->sharing, SHARING_READ_ONLY, err);
	return rc;
}

static int writer_name(const struct pack_writer *writer, struct newfile *file, const char *hash, const char *suffix,
    struct qosid_errbuf *err)
{
	char *path;
	int rc;

	if (asprintf(&path, "%s/pack-%s%s", writer->directory, hash, suffix) < 0)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a file name");
	rc = newfile_rename(file, path, err);
	free(path);
	return rc;
}

int pack_writer_finish(struct pack_writer *writer, struct qosid_errbuf *err)
{
	struct newfile index = {.fd = -1};
	struct qosid_buf bytes = {0};
	git_oid hash;
	char name[GIT_OID_HEXSZ + 1];
	int rc;

	if (writer->failed)
		return qosid_error(err, QOSID_ERR_FAILED, "the pack in %s has failed before", writer->directory);
	writer->failed = true; /* finished or broken: nothing more may be added */
	if (writer->ids.count == 0) {
		newfile_remove(&writer->pack);
		return 0;
	}
	rc = writer_complete(writer, hash.id, err);
	if (rc == 0)
		rc = writer_format_index(writer, hash.id, &bytes, err);
	if (rc == 0)
		rc = newfile_create(&index, writer->directory, err);
	if (rc == 0)
		rc = newfile_write(&index, bytes.data, bytes.len, err);
	if (rc == 0)
		rc = newfile_seal(&index, &writer->sharing, SHARING_READ_ONLY, err);
	/* Git sees a pack when its index appears, so that comes last. */
	git_oid_tostr(name, sizeof(name), &hash);
	if (rc == 0)
		rc = writer_name(writer, &writer->pack, name, ".pack", err);
	if (rc == 0)
		rc = writer_name(writer, &index, name, ".idx", err);
	if (rc == 0)
		rc = newfile_fsync_folder(writer->directory, err);
	newfile_remove(&index);
	qosid_buf_free(&bytes);
	return rc;
}

void pack_writer_free(struct pack_writer *writer)
{
	if (writer == NULL)
		return;
	newfile_remove(&writer->pack);
	for (int kind = 0; kind < DEFLATE_COUNT; kind++) {
		if (writer->deflate_ready[kind])
			(void)deflateEnd(&writer->deflate[kind]); /* Z_DATA_ERROR says that data was left, as known */
	}
	oidmap_free(&writer->ids);
	free(writer->entries);
	free(writer->buffer);
	free(writer->directory);
	free(writer);
}
