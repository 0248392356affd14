/*
 * OpenSSH signatures (PROTOCOL.sshsig), Ed25519 over SHA-512 only.
 *
 * The reader takes one form of each thing: there is no signature that two different sequences of fields could stand
 * for. The width of the armour's lines is free, as the protocol asks.
 */
#include "crypto/sshsig.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

#include "crypto/keys_internal.h"
#include "crypto/ssh_wire.h"

#define MAGIC "SSHSIG"
#define MAGIC_LEN 6
#define VERSION 1
#define HASH_NAME "sha512"
#define ARMOR_NAME "SSH SIGNATURE"
#define SIGNATURE_BYTES crypto_sign_BYTES
#define NAMESPACE_MAX 64
#define SLUG_MAX 63

/* A signature taken apart. */
struct parsed {
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	uint8_t signature[SIGNATURE_BYTES];
	char name_space[NAMESPACE_MAX + 1];
};

/* What is signed: the fields again, and the message's hash in its place. */
static void write_signed_data(struct ssh_writer *writer, const char *name_space, const void *message, size_t len)
{
	uint8_t hash[crypto_hash_sha512_BYTES];

	crypto_hash_sha512(hash, message, len);
	ssh_write_bytes(writer, MAGIC, MAGIC_LEN);
	ssh_write_text(writer, name_space);
	ssh_write_text(writer, ""); /* reserved */
	ssh_write_text(writer, HASH_NAME);
	ssh_write_string(writer, hash, sizeof(hash));
}

static void write_pair(struct ssh_writer *writer, const uint8_t *data, size_t len)
{
	struct ssh_writer pair = {.len = 0};

	ssh_write_text(&pair, SSH_KEY_TYPE);
	ssh_write_string(&pair, data, len);
	ssh_write_string(writer, pair.data, pair.len);
}

static int check_namespace(const char *name_space, struct qosid_errbuf *err)
{
	size_t len = strnlen(name_space, NAMESPACE_MAX + 1);

	if (len == 0 || len > NAMESPACE_MAX)
		return qosid_error(
		    err, QOSID_ERR_USAGE, "a signature's namespace must be of 1 to %d bytes", NAMESPACE_MAX);
	return 0;
}

int sshsig_sign(struct qosid_buf *armor, const struct identity *identity, const char *name_space, const void *message,
    size_t len, struct qosid_errbuf *err)
{
	struct ssh_writer data = {.len = 0}, blob = {.len = 0};
	uint8_t signature[SIGNATURE_BYTES];
	int rc;

	rc = check_namespace(name_space, err);
	if (rc != 0)
		return rc;
	write_signed_data(&data, name_space, message, len);
	rc = identity_sign(identity, signature, data.data, data.len, err);
	if (rc != 0)
		return rc;
	ssh_write_bytes(&blob, MAGIC, MAGIC_LEN);
	ssh_write_u32(&blob, VERSION);
	write_pair(&blob, identity_signing_public(identity), SIGNING_PUBLIC_BYTES);
	ssh_write_text(&blob, name_space);
	ssh_write_text(&blob, ""); /* reserved */
	ssh_write_text(&blob, HASH_NAME);
	write_pair(&blob, signature, sizeof(signature));
	return ssh_armor(armor, ARMOR_NAME, blob.data, blob.len, err);
}

static int malformed(struct qosid_errbuf *err, const char *why)
{
	return qosid_error(err, QOSID_ERR_INVALID, "malformed SSH signature: %s", why);
}

/* Read a string that holds the key type and exactly len bytes. */
static int read_pair(struct ssh_reader *reader, uint8_t *out, size_t len)
{
	struct ssh_reader pair;

	if (ssh_read_string(reader, &pair) != 0 || ssh_expect_text(&pair, SSH_KEY_TYPE) != 0 ||
	    ssh_read_fixed(&pair, out, len) != 0 || pair.len != 0)
		return -1;
	return 0;
}

static int parse(struct parsed *parsed, const char *armor, size_t armor_len, struct qosid_errbuf *err)
{
	uint8_t blob[SSH_BLOB_MAX];
	struct ssh_reader reader = {blob, 0}, name_space;
	uint32_t version;

	if (armor_len > SSHSIG_ARMOR_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "an SSH signature of %zu bytes is over the %d allowed",
		    armor_len, SSHSIG_ARMOR_MAX);
	if (ssh_unarmor(blob, sizeof(blob), &reader.len, ARMOR_NAME, armor, armor_len) != 0)
		return malformed(err, "its armour is not BEGIN and END lines around canonical base64");
	if (reader.len < MAGIC_LEN || memcmp(reader.data, MAGIC, MAGIC_LEN) != 0)
		return malformed(err, "it does not start with " MAGIC);
	reader.data += MAGIC_LEN;
	reader.len -= MAGIC_LEN;
	if (ssh_read_u32(&reader, &version) != 0 || version != VERSION)
		return malformed(err, "its version is not 1");
	if (read_pair(&reader, parsed->public_key, sizeof(parsed->public_key)) != 0)
		return malformed(err, "its key is not an Ed25519 key");
	if (ssh_read_string(&reader, &name_space) != 0 || name_space.len == 0 || name_space.len > NAMESPACE_MAX ||
	    memchr(name_space.data, '\0', name_space.len) != NULL)
		return malformed(err, "its namespace is empty, too long or holds a NUL byte");
	memcpy(parsed->name_space, name_space.data, name_space.len);
	parsed->name_space[name_space.len] = '\0';
	if (ssh_expect_text(&reader, "") != 0)
		return malformed(err, "its reserved field is not empty");
	if (ssh_expect_text(&reader, HASH_NAME) != 0)
		return malformed(err, "its hash is not " HASH_NAME);
	if (read_pair(&reader, parsed->signature, sizeof(parsed->signature)) != 0)
		return malformed(err, "the signature inside is not an Ed25519 signature");
	if (reader.len != 0)
		return malformed(err, "bytes follow its last field");
	return 0;
}

int sshsig_verify(const char *armor, size_t armor_len, const char *name_space, const void *message, size_t len,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	struct ssh_writer data = {.len = 0};
	struct parsed parsed;
	int rc;

	rc = keys_ready(err);
	if (rc == 0)
		rc = check_namespace(name_space, err);
	if (rc == 0)
		rc = parse(&parsed, armor, armor_len, err);
	if (rc != 0)
		return rc;
	if (sodium_memcmp(parsed.public_key, public_key, SIGNING_PUBLIC_BYTES) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the signature is by another key");
	if (strcmp(parsed.name_space, name_space) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the signature was made for another use: its namespace is not \"%s\"", name_space);
	write_signed_data(&data, name_space, message, len);
	if (crypto_sign_verify_detached(parsed.signature, data.data, data.len, public_key) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the signature does not hold: what it signs was changed");
	return 0;
}

int sshsig_parse_signer(
    const char *armor, size_t armor_len, uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	struct parsed parsed;
	int rc;

	rc = keys_ready(err);
	if (rc == 0)
		rc = parse(&parsed, armor, armor_len, err);
	if (rc == 0)
		memcpy(public_key, parsed.public_key, sizeof(parsed.public_key));
	return rc;
}

static int is_slug(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && len <= SLUG_MAX && text[len] == '\0' && text[0] != '-';
}

static int append_bound(struct qosid_buf *out, const char *name, int64_t at, struct qosid_errbuf *err)
{
	time_t seconds = (time_t)at;
	char text[32];
	struct tm utc;

	if (at == 0)
		return 0;
	if (gmtime_r(&seconds, &utc) == NULL || strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &utc) == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the time %lld has no calendar date", (long long)at);
	return qosid_buf_append_format(out, err, ",%s=\"%s\"", name, text);
}

int sshsig_format_allowed_between(struct qosid_buf *out, const char *principal,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], int64_t after, int64_t before, struct qosid_errbuf *err)
{
	char key[SSH_PUBLIC_SIZE];
	size_t start = out->len;
	int rc;

	if (!is_slug(principal))
		return qosid_error(err, QOSID_ERR_INVALID,
		    "\"%.80s\" cannot be a signer's name: it takes 1 to %d of a-z, 0-9 and -, not starting with -",
		    principal, SLUG_MAX);
	sshkey_format_public(key, public_key);
	rc = qosid_buf_append_format(
	    out, err, "%s namespaces=\"" SSHSIG_NAMESPACE_GIT "," SSHSIG_NAMESPACE_FILE "\"", principal);
	if (rc == 0)
		rc = append_bound(out, "valid-after", after, err);
	if (rc == 0)
		rc = append_bound(out, "valid-before", before, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, " %s\n", key);
	if (rc != 0)
		qosid_buf_cut(out, start);
	return rc;
}

int sshsig_format_allowed_signer(struct qosid_buf *out, const char *principal,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	return sshsig_format_allowed_between(out, principal, public_key, 0, 0, err);
}
