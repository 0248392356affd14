/*
 * Bookmarks: where the last page ended, in the client's keeping. Nothing is stored here, so a bookmark is good for
 * ever; a forged one at worst begins a walk elsewhere in the same index.
 *
 * URL-safe base64 of: version, 16 bytes of hash over the index's name, length of the key, key, document id.
 */
#include <sodium.h>
#include <string.h>

#include "sync/limits.h"
#include "sync/replica/mango_internal.h"

#define VERSION 1
#define HASH_BYTES 16 /* the shortest that the hash function makes */
#define HEAD_BYTES (1 + HASH_BYTES + 4)

void mango_place_free(struct mango_place *place)
{
	qosid_buf_wipe(&place->key);
	qosid_buf_wipe(&place->id);
	place->set = false;
}

static void write_head(uint8_t head[HEAD_BYTES], const struct mango_index *index, size_t key_len)
{
	static const char all[] = "_all_docs";
	crypto_generichash_state state;

	head[0] = VERSION;
	/* These fail on bad lengths only. */
	(void)crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
	if (index != NULL) {
		(void)crypto_generichash_update(&state, index->ddoc.data, index->ddoc.len + 1);
		(void)crypto_generichash_update(&state, index->name.data, index->name.len + 1);
		(void)crypto_generichash_update(&state, index->fields.data, index->fields.len);
	} else {
		(void)crypto_generichash_update(&state, (const uint8_t *)all, sizeof(all));
	}
	(void)crypto_generichash_final(&state, head + 1, HASH_BYTES);
	for (int i = 0; i < 4; i++)
		head[1 + HASH_BYTES + i] = (uint8_t)(key_len >> (24 - 8 * i));
}

int mango_bookmark_render(
    const struct mango_place *place, const struct mango_index *index, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf bytes = {0};
	uint8_t head[HEAD_BYTES];
	size_t room;
	int rc;

	write_head(head, index, place->key.len);
	rc = qosid_buf_append(&bytes, head, sizeof(head), err);
	if (rc == 0)
		rc = qosid_buf_append(&bytes, place->key.data, place->key.len, err);
	if (rc == 0)
		rc = qosid_buf_append(&bytes, place->id.data, place->id.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '"', err);
	room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	if (rc == 0)
		rc = qosid_buf_reserve(out, room, err);
	if (rc == 0) {
		(void)sodium_bin2base64((char *)out->data + out->len, room, bytes.data, bytes.len,
		    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		out->len += room - 1;
		rc = qosid_buf_append_byte(out, '"', err);
	}
	qosid_buf_wipe(&bytes);
	return rc;
}

static bool decode(struct json_slice text, const struct mango_index *index, uint8_t *bytes, size_t size,
    struct mango_place *place, int *rc, struct qosid_errbuf *err)
{
	uint8_t head[HEAD_BYTES];
	size_t len;
	size_t key_len = 0;

	if (sodium_base642bin(
		bytes, size, text.text, text.len, NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    len <= HEAD_BYTES)
		return false;
	for (int i = 0; i < 4; i++)
		key_len = key_len << 8 | bytes[1 + HASH_BYTES + i];
	write_head(head, index, key_len);
	if (memcmp(head, bytes, HEAD_BYTES) != 0 || key_len >= len - HEAD_BYTES || (key_len > 0) != (index != NULL) ||
	    memchr(bytes + HEAD_BYTES + key_len, '\0', len - HEAD_BYTES - key_len) != NULL)
		return false;
	*rc = qosid_buf_append(&place->key, bytes + HEAD_BYTES, key_len, err);
	if (*rc == 0)
		*rc = qosid_buf_append(&place->id, bytes + HEAD_BYTES + key_len, len - HEAD_BYTES - key_len, err);
	place->set = *rc == 0;
	return true;
}

int mango_bookmark_parse(
    struct json_slice bookmark, const struct mango_index *index, struct mango_place *place, struct qosid_errbuf *err)
{
	struct json_slice text = {bookmark.text + 1, bookmark.len - 2};
	struct qosid_buf bytes = {0};
	int rc;

	if (bookmark.len <= 2 || json_string_equal(bookmark, "nil"))
		return 0;
	rc = qosid_buf_reserve(&bytes, text.len, err);
	if (rc == 0 && !decode(text, index, bytes.data, text.len, place, &rc, err))
		rc = mango_refuse(err, "invalid_bookmark", "Invalid bookmark value: %.*s",
		    bookmark.len > 200 ? 200 : (int)bookmark.len, bookmark.text);
	qosid_buf_wipe(&bytes);
	return rc;
}
