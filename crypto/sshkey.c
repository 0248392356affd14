/*
 * Ed25519 keys as OpenSSH writes them: public key lines, and openssh-key-v1 private key files (PROTOCOL.key).
 */
#include <sodium.h>
#include <string.h>

#include "crypto/base64.h"
#include "crypto/keys_internal.h"
#include "crypto/ssh_wire.h"
#include "crypto/sshsig.h"

#define LINE_PREFIX SSH_KEY_TYPE " "
#define BLOB_BASE64_LEN 68 /* no padding */
#define PRIVATE_MAGIC "openssh-key-v1"
#define PRIVATE_ALIGNMENT 8
#define PRIVATE_COMMENT "qosid"

static int bad_key(struct qosid_errbuf *err, const char *why)
{
	return qosid_error(err, QOSID_ERR_INVALID, "not an Ed25519 public key line of OpenSSH: %s", why);
}

/* A comment is anything after one space, on the same line. */
static int is_comment(const char *text, size_t len)
{
	if (len == 0)
		return 1;
	if (text[0] != ' ')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 127)
			return 0;
	}
	return 1;
}

int sshkey_parse_public(
    uint8_t public_key[SIGNING_PUBLIC_BYTES], const char *text, size_t len, struct qosid_errbuf *err)
{
	size_t prefix_len = strlen(LINE_PREFIX), blob_len = 0;
	uint8_t blob[SSH_PUBLIC_BLOB_BYTES], key[SIGNING_PUBLIC_BYTES];
	struct ssh_reader reader = {blob, sizeof(blob)};
	int rc;

	rc = keys_ready(err);
	if (rc != 0)
		return rc;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len < prefix_len || memcmp(text, LINE_PREFIX, prefix_len) != 0)
		return bad_key(err, "it does not start with \"" LINE_PREFIX "\"");
	text += prefix_len;
	len -= prefix_len;
	if (len < BLOB_BASE64_LEN ||
	    base64_decode(blob, sizeof(blob), &blob_len, BASE64_PADDED, text, BLOB_BASE64_LEN) != 0 ||
	    blob_len != sizeof(blob))
		return bad_key(err, "the key is not 68 characters of base64");
	if (!is_comment(text + BLOB_BASE64_LEN, len - BLOB_BASE64_LEN))
		return bad_key(err, "something other than a comment follows the key");
	if (ssh_expect_text(&reader, SSH_KEY_TYPE) != 0 || ssh_read_fixed(&reader, key, sizeof(key)) != 0 ||
	    reader.len != 0)
		return bad_key(err, "the key inside is of another kind");
	/* On the curve, canonical, of the prime order: what every key that was made from a seed is. */
	if (crypto_core_ed25519_is_valid_point(key) != 1)
		return bad_key(err, "it is a weak key, or not a point of the curve");
	memcpy(public_key, key, sizeof(key));
	return 0;
}

static void write_public_blob(struct ssh_writer *writer, const uint8_t public_key[SIGNING_PUBLIC_BYTES])
{
	ssh_write_text(writer, SSH_KEY_TYPE);
	ssh_write_string(writer, public_key, SIGNING_PUBLIC_BYTES);
}

void sshkey_format_public(char out[SSH_PUBLIC_SIZE], const uint8_t public_key[SIGNING_PUBLIC_BYTES])
{
	struct ssh_writer blob = {.len = 0};
	size_t prefix_len = strlen(LINE_PREFIX);

	write_public_blob(&blob, public_key);
	memcpy(out, LINE_PREFIX, sizeof(LINE_PREFIX));
	sodium_bin2base64(
	    out + prefix_len, SSH_PUBLIC_SIZE - prefix_len, blob.data, blob.len, sodium_base64_VARIANT_ORIGINAL);
}

int identity_format_openssh(const struct identity *identity, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct ssh_writer public_blob = {.len = 0}, private_part = {.len = 0}, file = {.len = 0};
	uint32_t check = randombytes_random();
	int rc;

	write_public_blob(&public_blob, identity_signing_public(identity));

	/* The same number twice tells a reader that it decrypted rightly; the format has it even without encryption. */
	ssh_write_u32(&private_part, check);
	ssh_write_u32(&private_part, check);
	write_public_blob(&private_part, identity_signing_public(identity));
	ssh_write_string(&private_part, identity_signing_secret(identity), SIGNING_SECRET_BYTES);
	ssh_write_text(&private_part, PRIVATE_COMMENT);
	for (uint8_t pad = 1; private_part.len % PRIVATE_ALIGNMENT != 0; pad++)
		ssh_write_bytes(&private_part, &pad, 1);

	ssh_write_bytes(&file, PRIVATE_MAGIC, sizeof(PRIVATE_MAGIC)); /* with its NUL */
	ssh_write_text(&file, "none");                                /* cipher */
	ssh_write_text(&file, "none");                                /* key derivation */
	ssh_write_text(&file, "");                                    /* its options */
	ssh_write_u32(&file, 1);                                      /* keys */
	ssh_write_string(&file, public_blob.data, public_blob.len);
	ssh_write_string(&file, private_part.data, private_part.len);

	if (private_part.failed || file.failed)
		rc = qosid_error(err, QOSID_ERR_FAILED, "the signing key cannot be written as an OpenSSH key");
	else
		rc = ssh_armor(buf, "OPENSSH PRIVATE KEY", file.data, file.len, err);
	sodium_memzero(&private_part, sizeof(private_part));
	sodium_memzero(&file, sizeof(file));
	return rc;
}
