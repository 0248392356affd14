/*
 * Writing age v1 files. The header goes to the sink when the encryptor is opened, each chunk when it is known whether
 * it is the last. After a failure nothing more is written.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age_internal.h"
#include "crypto/keys_internal.h"

struct age_encryptor {
	struct qosid_sink sink;
	uint8_t *payload_key; /* sodium_malloc, read-only */
	uint64_t counter;
	size_t filled; /* of plain */
	int failed;    /* the code of the first failure; nothing is written after it */
	int finished;
	uint8_t plain[AGE_CHUNK_BYTES];
	uint8_t sealed[AGE_SEALED_CHUNK_BYTES];
};

static int open_encryptor(struct age_encryptor **out, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	struct age_encryptor *encryptor;
	int rc;

	*out = NULL;
	rc = keys_ready(err);
	if (rc != 0)
		return rc;
	encryptor = calloc(1, sizeof(*encryptor));
	if (encryptor == NULL)
		return keys_no_memory(err, "encryption");
	encryptor->sink = *sink;
	encryptor->payload_key = sodium_malloc(AGE_KEY_BYTES);
	if (encryptor->payload_key == NULL) {
		age_encryptor_free(encryptor);
		return keys_no_memory(err, "encryption");
	}
	*out = encryptor;
	return 0;
}

static int append_body(struct qosid_buf *header, const uint8_t wrapped[AGE_WRAPPED_KEY_BYTES], struct qosid_errbuf *err)
{
	int rc;

	rc = age_append_base64(header, wrapped, AGE_WRAPPED_KEY_BYTES, err);
	return rc != 0 ? rc : qosid_buf_append_byte(header, '\n', err);
}

static int append_x25519_stanza(struct qosid_buf *header, const char *recipient,
    const uint8_t file_key[AGE_FILE_KEY_BYTES], struct qosid_errbuf *err)
{
	uint8_t public_key[X25519_BYTES], share[X25519_BYTES], wrapped[AGE_WRAPPED_KEY_BYTES];
	uint8_t ephemeral[X25519_BYTES], shared[X25519_BYTES], key[AGE_KEY_BYTES];
	int rc;

	rc = age_recipient_parse(public_key, recipient, err);
	if (rc != 0)
		return rc;
	randombytes_buf(ephemeral, sizeof(ephemeral));
	if (crypto_scalarmult_base(share, ephemeral) != 0 || crypto_scalarmult(shared, ephemeral, public_key) != 0) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the age recipient \"%.80s\" is a weak key", recipient);
		goto out;
	}
	age_x25519_wrap_key(key, shared, share, public_key);
	age_wrap_file_key(wrapped, file_key, key);
	rc = qosid_buf_append_text(header, "-> " AGE_TYPE_X25519 " ", err);
	if (rc == 0)
		rc = age_append_base64(header, share, sizeof(share), err);
	if (rc == 0)
		rc = qosid_buf_append_byte(header, '\n', err);
	if (rc == 0)
		rc = append_body(header, wrapped, err);
out:
	sodium_memzero(ephemeral, sizeof(ephemeral));
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(key, sizeof(key));
	return rc;
}

static int append_scrypt_stanza(struct qosid_buf *header, const char *passphrase, int work_factor,
    const uint8_t file_key[AGE_FILE_KEY_BYTES], struct qosid_errbuf *err)
{
	uint8_t salt[AGE_SALT_BYTES], wrapped[AGE_WRAPPED_KEY_BYTES], key[AGE_KEY_BYTES];
	int rc;

	randombytes_buf(salt, sizeof(salt));
	rc = age_scrypt_wrap_key(key, passphrase, salt, work_factor, err);
	if (rc != 0)
		return rc;
	age_wrap_file_key(wrapped, file_key, key);
	sodium_memzero(key, sizeof(key));
	rc = qosid_buf_append_text(header, "-> " AGE_TYPE_SCRYPT " ", err);
	if (rc == 0)
		rc = age_append_base64(header, salt, sizeof(salt), err);
	if (rc == 0)
		rc = qosid_buf_append_format(header, err, " %d\n", work_factor);
	if (rc == 0)
		rc = append_body(header, wrapped, err);
	return rc;
}

/* Close the header with its MAC, draw the payload's nonce, and push both. */
static int write_header(struct age_encryptor *encryptor, struct qosid_buf *header,
    const uint8_t file_key[AGE_FILE_KEY_BYTES], struct qosid_errbuf *err)
{
	uint8_t mac[AGE_MAC_BYTES], nonce[AGE_NONCE_BYTES];
	int rc;

	rc = qosid_buf_append_text(header, AGE_MAC_PREFIX, err);
	if (rc != 0)
		return rc;
	age_header_mac(mac, file_key, header->data, header->len);
	rc = qosid_buf_append_byte(header, ' ', err);
	if (rc == 0)
		rc = age_append_base64(header, mac, sizeof(mac), err);
	if (rc == 0)
		rc = qosid_buf_append_byte(header, '\n', err);
	if (rc != 0)
		return rc;
	if (header->len > AGE_HEADER_MAX)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "too many recipients: the age header would be over %d bytes", AGE_HEADER_MAX);

	randombytes_buf(nonce, sizeof(nonce));
	age_payload_key(encryptor->payload_key, file_key, nonce);
	if (sodium_mprotect_readonly(encryptor->payload_key) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "the memory of a key cannot be protected");
	rc = qosid_buf_append(header, nonce, sizeof(nonce), err);
	if (rc != 0)
		return rc;
	return encryptor->sink.write(encryptor->sink.context, header->data, header->len, err);
}

int age_encryptor_open(struct age_encryptor **out, const char *const *recipients, size_t count,
    const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	struct age_encryptor *encryptor;
	struct qosid_buf header = {0};
	uint8_t file_key[AGE_FILE_KEY_BYTES];
	int rc;

	*out = NULL;
	if (count == 0) {
		(void)qosid_error(err, QOSID_ERR_USAGE, "there is no recipient to encrypt to");
		return QOSID_ERR_USAGE;
	}
	rc = open_encryptor(&encryptor, sink, err);
	if (rc != 0)
		return rc;
	randombytes_buf(file_key, sizeof(file_key));
	rc = qosid_buf_append_text(&header, AGE_INTRO, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = append_x25519_stanza(&header, recipients[i], file_key, err);
	if (rc == 0)
		rc = write_header(encryptor, &header, file_key, err);
	sodium_memzero(file_key, sizeof(file_key));
	qosid_buf_free(&header);
	if (rc != 0) {
		age_encryptor_free(encryptor);
		return rc;
	}
	*out = encryptor;
	return 0;
}

int age_encryptor_open_passphrase(struct age_encryptor **out, const char *passphrase, int work_factor,
    const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	struct age_encryptor *encryptor;
	struct qosid_buf header = {0};
	uint8_t file_key[AGE_FILE_KEY_BYTES];
	int rc;

	*out = NULL;
	if (passphrase[0] == '\0')
		return qosid_error(err, QOSID_ERR_USAGE, "the passphrase is empty");
	if (work_factor < 1 || work_factor > AGE_SCRYPT_WORK_FACTOR_MAX)
		return qosid_error(err, QOSID_ERR_USAGE, "a scrypt work factor of %d is not between 1 and %d",
		    work_factor, AGE_SCRYPT_WORK_FACTOR_MAX);
	rc = open_encryptor(&encryptor, sink, err);
	if (rc != 0)
		return rc;
	randombytes_buf(file_key, sizeof(file_key));
	rc = qosid_buf_append_text(&header, AGE_INTRO, err);
	if (rc == 0)
		rc = append_scrypt_stanza(&header, passphrase, work_factor, file_key, err);
	if (rc == 0)
		rc = write_header(encryptor, &header, file_key, err);
	sodium_memzero(file_key, sizeof(file_key));
	qosid_buf_free(&header);
	if (rc != 0) {
		age_encryptor_free(encryptor);
		return rc;
	}
	*out = encryptor;
	return 0;
}

static int check_open(const struct age_encryptor *encryptor, struct qosid_errbuf *err)
{
	if (encryptor->failed < 0)
		return qosid_error(err, encryptor->failed, "this encryption has failed before");
	if (encryptor->finished)
		return qosid_error(err, QOSID_ERR_USAGE, "this encryption is finished already");
	return 0;
}

static int seal_chunk(struct age_encryptor *encryptor, int last, struct qosid_errbuf *err)
{
	uint8_t nonce[AGE_CHUNK_NONCE_BYTES];
	int rc;

	age_chunk_nonce(nonce, encryptor->counter++, last);
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    encryptor->sealed, NULL, encryptor->plain, encryptor->filled, NULL, 0, NULL, nonce, encryptor->payload_key);
	rc = encryptor->sink.write(encryptor->sink.context, encryptor->sealed, encryptor->filled + AGE_TAG_BYTES, err);
	if (rc != 0)
		encryptor->failed = rc;
	encryptor->filled = 0;
	return rc;
}

int age_encryptor_write(struct age_encryptor *encryptor, const void *data, size_t len, struct qosid_errbuf *err)
{
	const uint8_t *from = data;
	int rc;

	rc = check_open(encryptor, err);
	while (rc == 0 && len > 0) {
		size_t take;

		/* Only when more comes is it known that a full chunk is not the last. */
		if (encryptor->filled == AGE_CHUNK_BYTES) {
			rc = seal_chunk(encryptor, 0, err);
			if (rc != 0)
				return rc;
		}
		take = AGE_CHUNK_BYTES - encryptor->filled;
		if (take > len)
			take = len;
		memcpy(encryptor->plain + encryptor->filled, from, take);
		encryptor->filled += take;
		from += take;
		len -= take;
	}
	return rc;
}

int age_encryptor_finish(struct age_encryptor *encryptor, struct qosid_errbuf *err)
{
	int rc;

	rc = check_open(encryptor, err);
	if (rc != 0)
		return rc;
	rc = seal_chunk(encryptor, 1, err);
	encryptor->finished = 1;
	return rc;
}

void age_encryptor_free(struct age_encryptor *encryptor)
{
	if (encryptor == NULL)
		return;
	sodium_free(encryptor->payload_key);
	sodium_memzero(encryptor, sizeof(*encryptor));
	free(encryptor);
}

int age_encrypt_buf(struct qosid_buf *out, const char *const *recipients, size_t count, const void *data, size_t len,
    struct qosid_errbuf *err)
{
	struct qosid_buf_sink target = {out, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct age_encryptor *encryptor;
	size_t before = out->len;
	int rc;

	rc = age_encryptor_open(&encryptor, recipients, count, &sink, err);
	if (rc != 0)
		goto out;
	rc = age_encryptor_write(encryptor, data, len, err);
	if (rc == 0)
		rc = age_encryptor_finish(encryptor, err);
	age_encryptor_free(encryptor);
out:
	if (rc != 0)
		qosid_buf_cut(out, before);
	return rc;
}
