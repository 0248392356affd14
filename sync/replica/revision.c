/*
 * Revision ids: reading, writing, ordering, and the hash that makes them.
 */
#include "sync/replica/revision.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "sync/replica/json_internal.h"

#define REVISION_HASH_RAW (REVISION_HASH_HEX / 2)
#define REVISION_PREFIX "qosid-revision-1\n"

int revision_parse(struct revision *out, const char *text, size_t len, struct qosid_errbuf *err)
{
	uint64_t generation = 0;
	size_t at = 0;
	size_t hash;

	while (at < len && text[at] >= '0' && text[at] <= '9' && generation <= UINT32_MAX)
		generation = generation * 10 + (uint64_t)(text[at++] - '0');
	if (at == 0 || at == len || text[at] != '-' || text[0] == '0' || generation > UINT32_MAX)
		goto invalid;
	hash = len - ++at;
	if (hash == 0 || hash > LIMIT_REVISION_HASH_BYTES)
		goto invalid;
	for (size_t i = at; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			goto invalid;
	}
	out->generation = (uint32_t)generation;
	memcpy(out->hash, text + at, hash);
	out->hash[hash] = '\0';
	return 0;
invalid:
	return qosid_error(err, QOSID_ERR_INVALID, "\"%.*s\" is not a revision id, which looks like 3-0123abcd...",
	    json_shown(text, len, 80), text);
}

void revision_format(char out[REVISION_TEXT_SIZE], const struct revision *revision)
{
	(void)snprintf(out, REVISION_TEXT_SIZE, "%lu-%s", (unsigned long)revision->generation, revision->hash);
}

int revision_compare(const struct revision *a, const struct revision *b)
{
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	return strcmp(a->hash, b->hash);
}

static void hash_text(crypto_generichash_state *state, const char *text)
{
	(void)crypto_generichash_update(state, (const unsigned char *)text, strlen(text)); /* cannot fail */
}

/* Hash the canonical form of a value; scratch is reused. */
static int hash_value(
    crypto_generichash_state *state, struct json_slice value, struct qosid_buf *scratch, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(scratch);
	rc = json_canonicalize(value, scratch, err);
	if (rc != 0)
		return rc;
	(void)crypto_generichash_update(state, scratch->data, scratch->len);
	return 0;
}

/* A foreign hash may hold quotes and backslashes. */
static int hash_parent(
    crypto_generichash_state *state, const struct revision *parent, struct qosid_buf *scratch, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	int rc;

	revision_format(text, parent);
	qosid_buf_reset(scratch);
	rc = json_string_encode(scratch, text, strlen(text), err);
	if (rc != 0)
		return rc;
	(void)crypto_generichash_update(state, scratch->data, scratch->len);
	return 0;
}

int revision_compute(struct revision *out, const struct revision *parent, bool deleted, struct json_slice body,
    struct json_slice attachments, struct qosid_errbuf *err)
{
	static const struct json_slice nothing = {"{}", 2};
	uint8_t raw[REVISION_HASH_RAW];
	struct qosid_buf scratch = {0};
	crypto_generichash_state state;
	int rc;

	if (parent != NULL && parent->generation == UINT32_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "a revision of the last possible generation has no successor");
	(void)crypto_generichash_init(&state, NULL, 0, sizeof(raw));
	hash_text(&state, REVISION_PREFIX "{\"attachments\":");
	rc = hash_value(&state, attachments.len > 0 ? attachments : nothing, &scratch, err);
	if (rc != 0)
		goto out;
	hash_text(&state, ",\"body\":");
	rc = hash_value(&state, body.len > 0 ? body : nothing, &scratch, err);
	if (rc != 0)
		goto out;
	hash_text(&state, deleted ? ",\"deleted\":true,\"parent\":" : ",\"deleted\":false,\"parent\":");
	if (parent != NULL)
		rc = hash_parent(&state, parent, &scratch, err);
	else
		hash_text(&state, "null");
	if (rc != 0)
		goto out;
	hash_text(&state, "}");
	(void)crypto_generichash_final(&state, raw, sizeof(raw));
	out->generation = parent != NULL ? parent->generation + 1 : 1;
	memset(out->hash, 0, sizeof(out->hash));
	(void)sodium_bin2hex(out->hash, REVISION_HASH_HEX + 1, raw, sizeof(raw));
out:
	qosid_buf_wipe(&scratch);
	return rc;
}
