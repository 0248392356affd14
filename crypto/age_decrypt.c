/*
 * Reading age v1 files. What comes in passes through three states: the header, which is collected whole and judged when
 * its MAC line is complete; the payload's nonce; the payload's chunks. A chunk is opened when it is known whether it is
 * the last, and reaches the sink only when its tag holds. After a failure nothing more is read or written.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age_internal.h"
#include "crypto/keys_internal.h"

enum state { IN_HEADER, IN_NONCE, IN_PAYLOAD, FINISHED };

/* sodium_malloc; bytes only, because that memory's start is not aligned. */
struct decryptor_secrets {
	uint8_t file_key[AGE_FILE_KEY_BYTES];
	uint8_t payload_key[AGE_KEY_BYTES];
};

struct age_decryptor {
	struct age_unlock unlock;
	struct qosid_sink sink;
	enum state state;
	int failed; /* the code of the first failure */
	struct decryptor_secrets *secrets;
	struct qosid_buf header;
	size_t line_start; /* of the header's line that is not complete yet */
	uint64_t counter;
	size_t filled; /* of sealed, or of the nonce, which is collected there too */
	uint8_t sealed[AGE_SEALED_CHUNK_BYTES];
	uint8_t plain[AGE_CHUNK_BYTES];
};

/* A scrypt stanza, taken apart. */
struct scrypt_stanza {
	uint8_t salt[AGE_SALT_BYTES];
	uint8_t wrapped[AGE_WRAPPED_KEY_BYTES];
	int work_factor;
};

int age_decryptor_open(struct age_decryptor **out, const struct age_unlock *unlock, const struct qosid_sink *sink,
    struct qosid_errbuf *err)
{
	struct age_decryptor *decryptor;
	int rc;

	*out = NULL;
	rc = keys_ready(err);
	if (rc != 0)
		return rc;
	decryptor = calloc(1, sizeof(*decryptor));
	if (decryptor == NULL)
		return keys_no_memory(err, "decryption");
	decryptor->secrets = sodium_malloc(sizeof(*decryptor->secrets));
	if (decryptor->secrets == NULL) {
		age_decryptor_free(decryptor);
		return keys_no_memory(err, "decryption");
	}
	decryptor->unlock = *unlock;
	if (decryptor->unlock.work_factor_max == 0)
		decryptor->unlock.work_factor_max = AGE_SCRYPT_WORK_FACTOR_MAX;
	decryptor->sink = *sink;
	*out = decryptor;
	return 0;
}

static int bad_stanza(struct qosid_errbuf *err, const char *what)
{
	return qosid_error(err, QOSID_ERR_INVALID, "the age header holds a malformed stanza: %s", what);
}

/* 1: the file key is found; 0: no key fits. A stanza that comes after the one that fitted must still be well-formed. */
static int try_x25519(
    struct age_decryptor *decryptor, const struct age_stanza *stanza, int found, struct qosid_errbuf *err)
{
	uint8_t share[AGE_SHARE_BYTES], shared[X25519_BYTES], key[AGE_KEY_BYTES];

	if (stanza->argument_count != 2)
		return bad_stanza(err, "X25519 takes one argument");
	if (age_text_decode(&stanza->argument[1], share, sizeof(share)) != 0)
		return bad_stanza(err, "the X25519 share is not 32 bytes in canonical base64");
	if (stanza->body_len != AGE_WRAPPED_KEY_BYTES)
		return bad_stanza(err, "the wrapped X25519 file key is not 32 bytes");
	for (size_t i = 0; !found && i < decryptor->unlock.key_count; i++) {
		const struct age_key *candidate = decryptor->unlock.keys[i];

		if (age_key_agree(shared, candidate, share) != 0) {
			found = bad_stanza(err, "the X25519 share is a low-order point");
			break;
		}
		age_x25519_wrap_key(key, shared, share, age_key_public(candidate));
		found = age_unwrap_file_key(decryptor->secrets->file_key, stanza->body, key) == 0;
	}
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(key, sizeof(key));
	return found;
}

/* A decimal number without sign and leading zeros. Too large to be true comes back as INT32_MAX. */
static int parse_work_factor(const struct age_text *text, int *work_factor)
{
	if (text->len == 0 || text->data[0] == '0')
		return -1;
	*work_factor = 0;
	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] < '0' || text->data[i] > '9')
			return -1;
		*work_factor =
		    *work_factor > INT32_MAX / 10 - 1 ? INT32_MAX : *work_factor * 10 + (text->data[i] - '0');
	}
	return 0;
}

static int read_scrypt(
    struct scrypt_stanza *scrypt, const struct age_stanza *stanza, int work_factor_max, struct qosid_errbuf *err)
{
	if (stanza->argument_count != 3)
		return bad_stanza(err, "scrypt takes two arguments");
	if (age_text_decode(&stanza->argument[1], scrypt->salt, sizeof(scrypt->salt)) != 0)
		return bad_stanza(err, "the scrypt salt is not 16 bytes in canonical base64");
	if (parse_work_factor(&stanza->argument[2], &scrypt->work_factor) != 0)
		return bad_stanza(err, "the scrypt work factor is not a plain decimal number");
	if (stanza->body_len != AGE_WRAPPED_KEY_BYTES)
		return bad_stanza(err, "the wrapped scrypt file key is not 32 bytes");
	if (scrypt->work_factor > work_factor_max)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the scrypt work factor is over the %d that is allowed", work_factor_max);
	memcpy(scrypt->wrapped, stanza->body, sizeof(scrypt->wrapped));
	return 0;
}

/* 1: the file key is found; 0: the passphrase does not fit, or there is none. */
static int try_scrypt(struct age_decryptor *decryptor, const struct scrypt_stanza *scrypt, struct qosid_errbuf *err)
{
	uint8_t key[AGE_KEY_BYTES];
	int found, rc;

	if (decryptor->unlock.passphrase == NULL)
		return 0;
	rc = age_scrypt_wrap_key(key, decryptor->unlock.passphrase, scrypt->salt, scrypt->work_factor, err);
	if (rc != 0)
		return rc;
	found = age_unwrap_file_key(decryptor->secrets->file_key, scrypt->wrapped, key) == 0;
	sodium_memzero(key, sizeof(key));
	return found;
}

/* Read all stanzas, and find the file key: 1, or 0 when nothing fits. */
static int find_file_key(struct age_decryptor *decryptor, struct age_header_reader *reader, struct qosid_errbuf *err)
{
	struct scrypt_stanza scrypt;
	struct age_stanza stanza;
	size_t stanzas = 0, scrypts = 0;
	int found = 0, rc;

	while ((rc = age_header_next(reader, &stanza, err)) > 0) {
		stanzas++;
		if (age_text_is(&stanza.argument[0], AGE_TYPE_SCRYPT)) {
			scrypts++;
			rc = read_scrypt(&scrypt, &stanza, decryptor->unlock.work_factor_max, err);
		} else if (age_text_is(&stanza.argument[0], AGE_TYPE_X25519)) {
			found = rc = try_x25519(decryptor, &stanza, found, err);
		}
		if (rc < 0)
			return rc;
	}
	if (rc != 0)
		return rc;
	if (stanzas == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the age header names no recipient");
	if (scrypts == 0)
		return found;
	if (stanzas > 1)
		return bad_stanza(err, "scrypt must be the only one");
	return try_scrypt(decryptor, &scrypt, err);
}

static int open_header(struct age_decryptor *decryptor, struct qosid_errbuf *err)
{
	uint8_t mac[AGE_MAC_BYTES], expected[AGE_MAC_BYTES];
	struct age_header_reader reader;
	size_t covered;
	int found, rc;

	rc = age_header_open(&reader, decryptor->header.data, decryptor->header.len, err);
	if (rc != 0)
		return rc;
	found = find_file_key(decryptor, &reader, err);
	if (found < 0)
		return found;
	rc = age_header_read_mac(&reader, mac, &covered, err);
	if (rc != 0)
		return rc;
	if (!found)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    decryptor->unlock.passphrase != NULL ? "the passphrase does not open this age file"
							 : "none of the keys opens this age file");
	age_header_mac(expected, decryptor->secrets->file_key, decryptor->header.data, covered);
	rc = sodium_memcmp(mac, expected, sizeof(mac));
	sodium_memzero(expected, sizeof(expected));
	if (rc != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the age header's MAC is wrong: the header was changed");
	qosid_buf_free(&decryptor->header);
	return 0;
}

/* Refuse what cannot become a header as soon as that shows. */
static int check_intro(const struct age_decryptor *decryptor, struct qosid_errbuf *err)
{
	const struct qosid_buf *header = &decryptor->header;
	size_t len = header->len < strlen(AGE_INTRO) ? header->len : strlen(AGE_INTRO);

	if (memcmp(header->data, AGE_INTRO, len) == 0)
		return 0;
	if (header->len >= strlen(AGE_ARMOR_INTRO) &&
	    memcmp(header->data, AGE_ARMOR_INTRO, strlen(AGE_ARMOR_INTRO)) == 0) {
		(void)qosid_error(err, QOSID_ERR_INVALID, "this age file is armoured, and only binary ones are read");
		qosid_error_hint(err, "encrypt it without --armor");
		return QOSID_ERR_INVALID;
	}
	return qosid_error(err, QOSID_ERR_INVALID, "not an age v1 file: it does not start with age-encryption.org/v1");
}

/* Take the header's bytes from data, line by line. *taken is how many they were. */
static int collect_header(
    struct age_decryptor *decryptor, const uint8_t *data, size_t len, size_t *taken, struct qosid_errbuf *err)
{
	struct qosid_buf *header = &decryptor->header;
	const uint8_t *newline = memchr(data, '\n', len);
	size_t mac_prefix_len = strlen(AGE_MAC_PREFIX);
	int rc;

	*taken = newline == NULL ? len : (size_t)(newline - data) + 1;
	if (*taken > AGE_HEADER_MAX - header->len)
		return qosid_error(err, QOSID_ERR_LIMIT, "the age header is over %d bytes", AGE_HEADER_MAX);
	rc = qosid_buf_append(header, data, *taken, err);
	if (rc == 0)
		rc = check_intro(decryptor, err);
	if (rc != 0 || newline == NULL)
		return rc;
	if (header->len - decryptor->line_start > mac_prefix_len &&
	    memcmp(header->data + decryptor->line_start, AGE_MAC_PREFIX, mac_prefix_len) == 0) {
		rc = open_header(decryptor, err);
		decryptor->state = IN_NONCE;
		return rc;
	}
	decryptor->line_start = header->len;
	return 0;
}

static int take_nonce(struct age_decryptor *decryptor, struct qosid_errbuf *err)
{
	age_payload_key(decryptor->secrets->payload_key, decryptor->secrets->file_key, decryptor->sealed);
	sodium_memzero(decryptor->secrets->file_key, AGE_FILE_KEY_BYTES);
	if (sodium_mprotect_readonly(decryptor->secrets) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "the memory of a key cannot be protected");
	decryptor->state = IN_PAYLOAD;
	decryptor->filled = 0;
	return 0;
}

static int open_chunk(struct age_decryptor *decryptor, int last, struct qosid_errbuf *err)
{
	unsigned long long chunk = decryptor->counter + 1;
	size_t len = decryptor->filled - AGE_TAG_BYTES;
	uint8_t nonce[AGE_CHUNK_NONCE_BYTES];

	age_chunk_nonce(nonce, decryptor->counter, last);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(decryptor->plain, NULL, NULL, decryptor->sealed,
		decryptor->filled, NULL, 0, nonce, decryptor->secrets->payload_key) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "chunk %llu of the age file does not hold: it was changed, cut short or added to", chunk);
	if (len == 0 && decryptor->counter > 0)
		return qosid_error(err, QOSID_ERR_INVALID, "chunk %llu of the age file is empty", chunk);
	decryptor->counter++;
	decryptor->filled = 0;
	return decryptor->sink.write(decryptor->sink.context, decryptor->plain, len, err);
}

static int collect_payload(
    struct age_decryptor *decryptor, const uint8_t *data, size_t len, size_t *taken, struct qosid_errbuf *err)
{
	size_t room = decryptor->state == IN_NONCE ? AGE_NONCE_BYTES : AGE_SEALED_CHUNK_BYTES;
	int rc;

	*taken = 0;
	if (decryptor->filled == room) {
		/* More has come, so it is not the last. */
		rc = open_chunk(decryptor, 0, err);
		if (rc != 0)
			return rc;
	}
	*taken = room - decryptor->filled < len ? room - decryptor->filled : len;
	memcpy(decryptor->sealed + decryptor->filled, data, *taken);
	decryptor->filled += *taken;
	if (decryptor->state == IN_NONCE && decryptor->filled == room)
		return take_nonce(decryptor, err);
	return 0;
}

static int check_open(const struct age_decryptor *decryptor, struct qosid_errbuf *err)
{
	if (decryptor->failed < 0)
		return qosid_error(err, decryptor->failed, "this decryption has failed before");
	if (decryptor->state == FINISHED)
		return qosid_error(err, QOSID_ERR_USAGE, "this decryption is finished already");
	return 0;
}

int age_decryptor_write(struct age_decryptor *decryptor, const void *data, size_t len, struct qosid_errbuf *err)
{
	const uint8_t *from = data;
	int rc;

	rc = check_open(decryptor, err);
	if (rc != 0)
		return rc;
	while (len > 0) {
		size_t taken;

		if (decryptor->state == IN_HEADER)
			rc = collect_header(decryptor, from, len, &taken, err);
		else
			rc = collect_payload(decryptor, from, len, &taken, err);
		if (rc != 0) {
			decryptor->failed = rc;
			return rc;
		}
		from += taken;
		len -= taken;
	}
	return 0;
}

int age_decryptor_finish(struct age_decryptor *decryptor, struct qosid_errbuf *err)
{
	int rc;

	rc = check_open(decryptor, err);
	if (rc != 0)
		return rc;
	if (decryptor->state == IN_HEADER)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the age file ends inside its header");
	else if (decryptor->state == IN_NONCE)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the age file ends right after its header");
	else if (decryptor->filled < AGE_TAG_BYTES)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the age file ends without a final chunk");
	else
		rc = open_chunk(decryptor, 1, err);
	decryptor->failed = rc;
	decryptor->state = FINISHED;
	return rc;
}

void age_decryptor_free(struct age_decryptor *decryptor)
{
	if (decryptor == NULL)
		return;
	sodium_free(decryptor->secrets);
	qosid_buf_free(&decryptor->header);
	sodium_memzero(decryptor, sizeof(*decryptor));
	free(decryptor);
}

int age_decrypt_buf(struct qosid_buf *out, const struct age_unlock *unlock, const void *data, size_t len, size_t limit,
    struct qosid_errbuf *err)
{
	size_t before = out->len, expected = limit != 0 && limit < len ? limit : len;
	struct qosid_buf_sink target = {out, limit == 0 ? 0 : before + limit};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct age_decryptor *decryptor;
	int rc;

	/* In one go, so that growing leaves no copies of plaintext behind. */
	rc = qosid_buf_reserve(out, expected, err);
	if (rc != 0)
		return rc;
	rc = age_decryptor_open(&decryptor, unlock, &sink, err);
	if (rc != 0)
		return rc;
	rc = age_decryptor_write(decryptor, data, len, err);
	if (rc == 0)
		rc = age_decryptor_finish(decryptor, err);
	age_decryptor_free(decryptor);
	if (rc != 0) {
		sodium_memzero(out->data + before, out->len - before);
		qosid_buf_cut(out, before);
	}
	return rc;
}
