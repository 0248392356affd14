/*
 * OpenSSH signatures (OpenSSH's PROTOCOL.sshsig): Ed25519 over SHA-512, armoured, as `ssh-keygen -Y sign` writes them
 * and git puts into `gpgsig`; ssh-ed25519 public key lines; allowed_signers lines.
 */
#ifndef QOSID_CRYPTO_SSHSIG_H
#define QOSID_CRYPTO_SSHSIG_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"
#include "crypto/keys.h"

#define SSHSIG_NAMESPACE_GIT "git"
#define SSHSIG_NAMESPACE_FILE "file"
#define SSHSIG_ARMOR_MAX 1024 /* an armoured Ed25519 signature is about 300 bytes */

/* Append the armoured signature ("-----BEGIN SSH SIGNATURE-----" .. "-----END SSH SIGNATURE-----\n"). */
int sshsig_sign(struct qosid_buf *armor, const struct identity *identity, const char *name_space, const void *message,
    size_t len, struct qosid_errbuf *err);

/* Check that armor is a signature over message in name_space by exactly this Ed25519 key. Strict: version 1, empty
 * reserved field, sha512, ssh-ed25519, no trailing bytes, canonical base64 and Ed25519 encodings. Anything else is
 * QOSID_ERR_REFUSED (well-formed, does not hold), QOSID_ERR_INVALID (malformed) or QOSID_ERR_LIMIT (over
 * SSHSIG_ARMOR_MAX). A namespace of no or over 64 bytes is QOSID_ERR_USAGE. */
int sshsig_verify(const char *armor, size_t armor_len, const char *name_space, const void *message, size_t len,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

/* The key that a signature claims to be by; nothing is verified. */
int sshsig_parse_signer(
    const char *armor, size_t armor_len, uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

/* "ssh-ed25519 AAAA..." (a comment after it is allowed when reading, never written). Low-order keys are refused. */
int sshkey_parse_public(
    uint8_t public_key[SIGNING_PUBLIC_BYTES], const char *text, size_t len, struct qosid_errbuf *err);
void sshkey_format_public(char out[SSH_PUBLIC_SIZE], const uint8_t public_key[SIGNING_PUBLIC_BYTES]);

/* The same with bounds, Unix seconds: the key counts for what says that it was signed from after and before before. 0:
 * no such bound. */
int sshsig_format_allowed_between(struct qosid_buf *out, const char *principal,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], int64_t after, int64_t before, struct qosid_errbuf *err);

/* Append one allowed_signers line: `<principal> namespaces="git,file" ssh-ed25519 AAAA...\n`. The principal must be a
 * slug. */
int sshsig_format_allowed_signer(struct qosid_buf *out, const char *principal,
    const uint8_t public_key[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

#endif
