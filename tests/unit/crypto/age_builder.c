/*
 * See age_builder.h.
 */
#include "tests/unit/crypto/age_builder.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int ok)
{
	if (!ok)
		abort();
}

static void hmac(uint8_t out[32], const void *key, size_t key_len, const void *data, size_t len)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_len);
	crypto_auth_hmacsha256_update(&state, data, len);
	crypto_auth_hmacsha256_final(&state, out);
}

static void hkdf(
    uint8_t out[32], const void *secret, size_t secret_len, const void *salt, size_t salt_len, const char *label)
{
	uint8_t extracted[32], info[64];
	size_t len = strlen(label);

	memcpy(info, label, len);
	info[len++] = 1;
	hmac(extracted, salt, salt_len, secret, secret_len);
	hmac(out, extracted, sizeof(extracted), info, len);
}

static void to_base64(char *out, size_t size, const void *data, size_t len)
{
	sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

static void wrap(const struct builder *builder, const uint8_t key[32], char body_text[BUILDER_BODY_TEXT])
{
	static const uint8_t nonce[12] = {0};
	uint8_t wrapped[sizeof(builder->file_key) + 16];

	crypto_aead_chacha20poly1305_ietf_encrypt(
	    wrapped, NULL, builder->file_key, builder->file_key_len, NULL, 0, NULL, nonce, key);
	to_base64(body_text, BUILDER_BODY_TEXT, wrapped, builder->file_key_len + 16);
}

void builder_start(struct builder *builder)
{
	qosid_buf_reset(&builder->file);
	for (size_t i = 0; i < sizeof(builder->file_key); i++)
		builder->file_key[i] = (uint8_t)(0xa0 + i);
	builder->file_key_len = 16;
	builder_text(builder, "age-encryption.org/v1\n");
}

void builder_free(struct builder *builder)
{
	qosid_buf_free(&builder->file);
}

void builder_text(struct builder *builder, const char *text)
{
	builder_bytes(builder, text, strlen(text));
}

void builder_bytes(struct builder *builder, const void *data, size_t len)
{
	require(qosid_buf_append(&builder->file, data, len, NULL) == 0);
}

void builder_format(struct builder *builder, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	require(len >= 0 && (size_t)len < sizeof(text));
	builder_text(builder, text);
}

void builder_x25519_parts(const struct builder *builder, const uint8_t public_key[32], const uint8_t *share,
    char share_text[BUILDER_SHARE_TEXT], char body_text[BUILDER_BODY_TEXT])
{
	static const uint8_t ephemeral[32] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
	uint8_t salt[64], shared[32] = {0}, key[32];

	if (share == NULL) {
		require(crypto_scalarmult_base(salt, ephemeral) == 0);
		require(crypto_scalarmult(shared, ephemeral, public_key) == 0);
	} else {
		memcpy(salt, share, 32);
	}
	memcpy(salt + 32, public_key, 32);
	hkdf(key, shared, sizeof(shared), salt, sizeof(salt), "age-encryption.org/v1/X25519");
	to_base64(share_text, BUILDER_SHARE_TEXT, salt, 32);
	wrap(builder, key, body_text);
}

void builder_x25519(struct builder *builder, const uint8_t public_key[32])
{
	char share[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	builder_x25519_parts(builder, public_key, NULL, share, body);
	builder_format(builder, "-> X25519 %s\n%s\n", share, body);
}

void builder_scrypt_body(const struct builder *builder, const char *passphrase, const uint8_t *salt, size_t salt_len,
    int work_factor, char body_text[BUILDER_BODY_TEXT])
{
	static const char label[] = "age-encryption.org/v1/scrypt";
	uint8_t labelled[128], key[32];
	size_t label_len = strlen(label);

	memcpy(labelled, label, label_len);
	memcpy(labelled + label_len, salt, salt_len);
	require(crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase, strlen(passphrase), labelled,
		    label_len + salt_len, UINT64_C(1) << work_factor, 8, 1, key, sizeof(key)) == 0);
	wrap(builder, key, body_text);
}

void builder_mac_text(struct builder *builder, char mac_text[BUILDER_SHARE_TEXT])
{
	uint8_t key[32], mac[32];

	hkdf(key, builder->file_key, builder->file_key_len, "", 0, "header");
	builder_text(builder, "---");
	hmac(mac, key, sizeof(key), builder->file.data, builder->file.len);
	builder->file.len -= 3;
	to_base64(mac_text, BUILDER_SHARE_TEXT, mac, sizeof(mac));
}

void builder_mac(struct builder *builder)
{
	char mac[BUILDER_SHARE_TEXT];

	builder_mac_text(builder, mac);
	builder_format(builder, "--- %s\n", mac);
}

void builder_nonce(struct builder *builder)
{
	static const uint8_t nonce[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

	hkdf(builder->payload_key, builder->file_key, builder->file_key_len, nonce, sizeof(nonce), "payload");
	builder_bytes(builder, nonce, sizeof(nonce));
}

void builder_chunk(struct builder *builder, uint64_t counter, int last, char fill, size_t len)
{
	uint8_t nonce[12] = {0}, *plain = malloc(len + 1), *sealed = malloc(len + 16);

	require(plain != NULL && sealed != NULL);
	memset(plain, fill, len);
	for (int i = 0; i < 8; i++)
		nonce[10 - i] = counter >> 8 * i & 0xff;
	nonce[11] = last != 0;
	crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, len, NULL, 0, NULL, nonce, builder->payload_key);
	builder_bytes(builder, sealed, len + 16);
	free(plain);
	free(sealed);
}

void builder_spoil(struct builder *builder)
{
	builder->file.data[builder->file.len - 1] ^= 1;
}
