/*
 * age v1: key derivation, and the header's grammar. The reader takes exactly what the specification's grammar allows
 * and nothing more: one space between arguments, canonical base64, a body's last line shorter than the others.
 */
#include <sodium.h>
#include <string.h>

#include "crypto/age_internal.h"
#include "crypto/base64.h"

#define X25519_INFO "age-encryption.org/v1/X25519"
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"
#define HEADER_INFO "header"
#define PAYLOAD_INFO "payload"
#define STANZA_PREFIX "-> "

void age_hkdf(uint8_t out[AGE_KEY_BYTES], const void *secret, size_t secret_len, const void *salt, size_t salt_len,
    const void *info, size_t info_len)
{
	static const uint8_t first_block = 1;
	crypto_auth_hmacsha256_state state;
	uint8_t extracted[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_init(&state, salt, salt_len);
	crypto_auth_hmacsha256_update(&state, secret, secret_len);
	crypto_auth_hmacsha256_final(&state, extracted);

	crypto_auth_hmacsha256_init(&state, extracted, sizeof(extracted));
	crypto_auth_hmacsha256_update(&state, info, info_len);
	crypto_auth_hmacsha256_update(&state, &first_block, 1);
	crypto_auth_hmacsha256_final(&state, out);

	sodium_memzero(extracted, sizeof(extracted));
	sodium_memzero(&state, sizeof(state));
}

void age_header_mac(
    uint8_t mac[AGE_MAC_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES], const void *header, size_t len)
{
	uint8_t key[AGE_KEY_BYTES];

	age_hkdf(key, file_key, AGE_FILE_KEY_BYTES, "", 0, HEADER_INFO, strlen(HEADER_INFO));
	crypto_auth_hmacsha256(mac, header, len, key);
	sodium_memzero(key, sizeof(key));
}

void age_payload_key(
    uint8_t key[AGE_KEY_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t nonce[AGE_NONCE_BYTES])
{
	age_hkdf(key, file_key, AGE_FILE_KEY_BYTES, nonce, AGE_NONCE_BYTES, PAYLOAD_INFO, strlen(PAYLOAD_INFO));
}

void age_chunk_nonce(uint8_t nonce[AGE_CHUNK_NONCE_BYTES], uint64_t counter, int last)
{
	memset(nonce, 0, AGE_CHUNK_NONCE_BYTES);
	for (int i = AGE_CHUNK_NONCE_BYTES - 2; counter != 0; i--, counter >>= 8)
		nonce[i] = counter & 0xff;
	nonce[AGE_CHUNK_NONCE_BYTES - 1] = last ? 1 : 0;
}

void age_x25519_wrap_key(uint8_t key[AGE_KEY_BYTES], const uint8_t shared[AGE_SHARE_BYTES],
    const uint8_t share[AGE_SHARE_BYTES], const uint8_t recipient[AGE_SHARE_BYTES])
{
	uint8_t salt[2 * AGE_SHARE_BYTES];

	memcpy(salt, share, AGE_SHARE_BYTES);
	memcpy(salt + AGE_SHARE_BYTES, recipient, AGE_SHARE_BYTES);
	age_hkdf(key, shared, AGE_SHARE_BYTES, salt, sizeof(salt), X25519_INFO, strlen(X25519_INFO));
}

int age_scrypt_wrap_key(uint8_t key[AGE_KEY_BYTES], const char *passphrase, const uint8_t salt[AGE_SALT_BYTES],
    int work_factor, struct qosid_errbuf *err)
{
	uint8_t labelled[sizeof(SCRYPT_LABEL) - 1 + AGE_SALT_BYTES];

	memcpy(labelled, SCRYPT_LABEL, sizeof(SCRYPT_LABEL) - 1);
	memcpy(labelled + sizeof(SCRYPT_LABEL) - 1, salt, AGE_SALT_BYTES);
	if (crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase, strlen(passphrase), labelled,
		sizeof(labelled), UINT64_C(1) << work_factor, 8, 1, key, AGE_KEY_BYTES) != 0)
		return qosid_error(err, QOSID_ERR_NOMEM,
		    "not enough memory to stretch the passphrase: a work factor of %d takes %llu KiB", work_factor,
		    1ULL << work_factor);
	return 0;
}

void age_wrap_file_key(uint8_t wrapped[AGE_WRAPPED_KEY_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES],
    const uint8_t key[AGE_KEY_BYTES])
{
	/* The specification fixes a zero nonce: each wrap key is used once. */
	static const uint8_t nonce[AGE_CHUNK_NONCE_BYTES] = {0};

	crypto_aead_chacha20poly1305_ietf_encrypt(
	    wrapped, NULL, file_key, AGE_FILE_KEY_BYTES, NULL, 0, NULL, nonce, key);
}

int age_unwrap_file_key(uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t wrapped[AGE_WRAPPED_KEY_BYTES],
    const uint8_t key[AGE_KEY_BYTES])
{
	static const uint8_t nonce[AGE_CHUNK_NONCE_BYTES] = {0};

	return crypto_aead_chacha20poly1305_ietf_decrypt(
	    file_key, NULL, NULL, wrapped, AGE_WRAPPED_KEY_BYTES, NULL, 0, nonce, key);
}

int age_text_is(const struct age_text *text, const char *word)
{
	return text->len == strlen(word) && memcmp(text->data, word, text->len) == 0;
}

int age_text_decode(const struct age_text *text, uint8_t *out, size_t len)
{
	size_t got = 0;

	if (base64_decode(out, len, &got, BASE64_UNPADDED, text->data, text->len) != 0 || got != len)
		return -1;
	return 0;
}

int age_append_base64(struct qosid_buf *buf, const uint8_t *data, size_t len, struct qosid_errbuf *err)
{
	char text[AGE_BODY_COLUMNS + 1];

	sodium_bin2base64(text, sizeof(text), data, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	return qosid_buf_append_text(buf, text, err);
}

static int bad_header(struct qosid_errbuf *err, const struct age_header_reader *reader, const char *what)
{
	size_t line = 1;

	for (size_t i = 0; i < reader->pos; i++)
		line += reader->data[i] == '\n';
	return qosid_error(err, QOSID_ERR_INVALID, "line %zu of the age header is malformed: %s", line, what);
}

/* Take the next line without its newline; pos stays, so that an error can name the line. */
static int peek_line(const struct age_header_reader *reader, struct age_text *line)
{
	const char *start = reader->data + reader->pos;
	const char *end = memchr(start, '\n', reader->len - reader->pos);

	if (end == NULL)
		return -1;
	*line = (struct age_text){start, (size_t)(end - start)};
	return 0;
}

static int starts_with(const struct age_text *line, const char *prefix)
{
	size_t len = strlen(prefix);

	return line->len >= len && memcmp(line->data, prefix, len) == 0;
}

int age_header_open(struct age_header_reader *reader, const void *header, size_t len, struct qosid_errbuf *err)
{
	*reader = (struct age_header_reader){header, len, 0};
	if (len < strlen(AGE_INTRO) || memcmp(header, AGE_INTRO, strlen(AGE_INTRO)) != 0)
		return bad_header(err, reader, "it must be \"age-encryption.org/v1\"");
	reader->pos = strlen(AGE_INTRO);
	return 0;
}

static int read_arguments(
    struct age_header_reader *reader, const struct age_text *line, struct age_stanza *stanza, struct qosid_errbuf *err)
{
	const char *end = line->data + line->len;

	for (const char *at = line->data + strlen(STANZA_PREFIX);; at++) {
		const char *start = at;

		while (at < end && *at >= 33 && *at <= 126)
			at++;
		if (at == start)
			return bad_header(err, reader, "an argument is empty or holds a character that is not allowed");
		if (stanza->argument_count < AGE_STANZA_ARGUMENTS)
			stanza->argument[stanza->argument_count] = (struct age_text){start, (size_t)(at - start)};
		stanza->argument_count++;
		if (at == end)
			return 0;
		if (*at != ' ')
			return bad_header(err, reader, "an argument holds a character that is not allowed");
	}
}

static int read_body(struct age_header_reader *reader, struct age_stanza *stanza, struct qosid_errbuf *err)
{
	uint8_t bytes[AGE_BODY_LINE_BYTES];
	struct age_text line;

	do {
		size_t len = 0;

		if (peek_line(reader, &line) != 0)
			return bad_header(err, reader, "a stanza's body ends too early");
		if (line.len > AGE_BODY_COLUMNS)
			return bad_header(err, reader, "a body line is longer than 64 characters");
		if (base64_decode(bytes, sizeof(bytes), &len, BASE64_UNPADDED, line.data, line.len) != 0)
			return bad_header(err, reader, "a body line is not canonical base64 without padding");
		if (stanza->body_len == 0)
			memcpy(stanza->body, bytes, len);
		stanza->body_len += len;
		reader->pos += line.len + 1;
	} while (line.len == AGE_BODY_COLUMNS);
	return 0;
}

int age_header_next(struct age_header_reader *reader, struct age_stanza *stanza, struct qosid_errbuf *err)
{
	struct age_text line;
	int rc;

	memset(stanza, 0, sizeof(*stanza));
	if (peek_line(reader, &line) != 0)
		return bad_header(err, reader, "the header ends too early");
	if (starts_with(&line, AGE_MAC_PREFIX))
		return 0;
	if (!starts_with(&line, STANZA_PREFIX))
		return bad_header(err, reader, "a stanza must start with \"-> \" and a type");
	rc = read_arguments(reader, &line, stanza, err);
	if (rc != 0)
		return rc;
	reader->pos += line.len + 1;
	rc = read_body(reader, stanza, err);
	return rc != 0 ? rc : 1;
}

int age_header_read_mac(
    struct age_header_reader *reader, uint8_t mac[AGE_MAC_BYTES], size_t *covered, struct qosid_errbuf *err)
{
	size_t skip = strlen(AGE_MAC_PREFIX) + 1;
	struct age_text line;

	if (peek_line(reader, &line) != 0 || !starts_with(&line, AGE_MAC_PREFIX " ") ||
	    reader->pos + line.len + 1 != reader->len)
		return bad_header(err, reader, "the last line must be \"--- \" and the MAC");
	line = (struct age_text){line.data + skip, line.len - skip};
	if (age_text_decode(&line, mac, AGE_MAC_BYTES) != 0)
		return bad_header(err, reader, "the MAC is not 32 bytes in canonical base64 without padding");
	*covered = reader->pos + strlen(AGE_MAC_PREFIX);
	return 0;
}
