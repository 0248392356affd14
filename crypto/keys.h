/*
 * Keys: an age X25519 identity (age_key), and an office's identity, which is an Ed25519 signing key and an age_key.
 *
 * Secret halves live in sodium_malloc memory (guard pages, mlock, no core dump), read-only while idle, and are wiped on
 * free. A file that holds an identity is text that the stock `age` accepts as an identity file:
 *
 *     # qosid identity 1
 *     # signing-public: ssh-ed25519 AAAA...
 *     # encryption-public: age1...
 *     # signing-secret: <base64 of the 32-byte Ed25519 seed>
 *     AGE-SECRET-KEY-1...
 *
 * With a passphrase that text is wrapped in an age v1 file with one scrypt recipient, so `age -d FILE` opens it.
 */
#ifndef QOSID_CRYPTO_KEYS_H
#define QOSID_CRYPTO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"

#define AGE_RECIPIENT_SIZE 63 /* "age1" + 58 characters + NUL */
#define AGE_SECRET_SIZE 75    /* "AGE-SECRET-KEY-1" + 58 characters + NUL */
#define SIGNING_PUBLIC_BYTES 32
#define SSH_PUBLIC_SIZE 96 /* "ssh-ed25519 " + base64 of 51 bytes + NUL, rounded up */

struct age_key;

/* A new random key; the caller frees it. */
int age_key_create(struct age_key **out, struct qosid_errbuf *err);

/* Read "AGE-SECRET-KEY-1..." (upper case, as age writes it) of exactly len bytes. */
int age_key_parse(struct age_key **out, const char *text, size_t len, struct qosid_errbuf *err);

/* Read the first secret key of an age identity file (comments and blank lines skipped). */
int age_key_parse_file(struct age_key **out, const char *text, size_t len, struct qosid_errbuf *err);

/* The public half, "age1...". Lives as long as key. */
const char *age_key_recipient(const struct age_key *key);

/* Append "AGE-SECRET-KEY-1..." to buf; the caller wipes buf. */
int age_key_format_secret(const struct age_key *key, struct qosid_buf *buf, struct qosid_errbuf *err);

/* Whether text is a well-formed age X25519 recipient (bech32, 32 bytes, not a low-order point). */
int age_recipient_check(const char *text, struct qosid_errbuf *err);

void age_key_free(struct age_key *key);

struct identity;

/* A new random identity; the caller frees it. */
int identity_create(struct identity **out, struct qosid_errbuf *err);

/* A passphrase wanted: fill buf (the caller of the callback wipes it). Called only when the file is wrapped. */
typedef int (*identity_passphrase_fn)(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err);

/* Load from a file. ask may be NULL: then a wrapped file is QOSID_ERR_REFUSED. A file that others can read is refused,
 * with a hint to chmod it. A wrong passphrase is QOSID_ERR_REFUSED. */
int identity_load(
    struct identity **out, const char *path, identity_passphrase_fn ask, void *context, struct qosid_errbuf *err);

/* Parse the clear text form (see above). */
int identity_parse(struct identity **out, const char *text, size_t len, struct qosid_errbuf *err);

/* Write to a new file of mode 0600, fsync'd; QOSID_ERR_EXISTS when path is there. passphrase NULL: in clear. */
int identity_save(const struct identity *identity, const char *path, const char *passphrase, struct qosid_errbuf *err);

/* The same in the place of a file that is there, which keeps its owner: after a crash the old file is there or the new
 * one, whole. A symbolic link is followed. Nobody else may replace a file of the same folder at the same time; what a
 * killed one has left there is removed. */
int identity_replace(
    const struct identity *identity, const char *path, const char *passphrase, struct qosid_errbuf *err);

/* Whether a passphrase protects the identity in a file. */
int identity_file_is_wrapped(bool *out, const char *path, struct qosid_errbuf *err);

/* Append the clear text form; the caller wipes buf. */
int identity_format_secret(const struct identity *identity, struct qosid_buf *buf, struct qosid_errbuf *err);

/* Append the signing key as an unencrypted OpenSSH private key file (openssh-key-v1), for stock `ssh-keygen -Y sign`.
 */
int identity_format_openssh(const struct identity *identity, struct qosid_buf *buf, struct qosid_errbuf *err);

/* Public halves; they live as long as identity. */
const uint8_t *identity_signing_public(const struct identity *identity); /* SIGNING_PUBLIC_BYTES */
const char *identity_ssh_public(const struct identity *identity);        /* "ssh-ed25519 AAAA..." without a comment */
const char *identity_recipient(const struct identity *identity);         /* "age1..." */
const struct age_key *identity_age_key(const struct identity *identity);

/* Ed25519 signature (64 bytes) over data, by the signing key. For sshsig.c; others use sshsig_sign(). */
int identity_sign(
    const struct identity *identity, uint8_t signature[64], const void *data, size_t len, struct qosid_errbuf *err);

void identity_free(struct identity *identity);

#endif
