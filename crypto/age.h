/*
 * The age v1 file format (C2SP age.md): X25519 and scrypt recipients, streaming both ways with bounded memory.
 *
 * Encryption and decryption are pushed: bytes go in by *_write(), come out at the sink, and *_finish() says that there
 * are no more. The decryptor hands on a chunk only after its tag has been checked, and nothing at all after a chunk
 * that failed; what it has handed on before stays the caller's to discard unless *_finish() returned 0. Memory: one 64
 * KiB chunk and a header of at most AGE_HEADER_MAX bytes.
 */
#ifndef QOSID_CRYPTO_AGE_H
#define QOSID_CRYPTO_AGE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"
#include "crypto/keys.h"
#include "crypto/sink.h"

#define AGE_CHUNK_BYTES 65536
#define AGE_HEADER_MAX 262144     /* room for over 1,000 recipients */
#define AGE_SCRYPT_WORK_FACTOR 18 /* log2 N that the stock age writes */
#define AGE_SCRYPT_WORK_FACTOR_MAX 22

struct age_encryptor;

/* Encrypt to one or more "age1..." recipients. The sink is copied; its context must outlive the encryptor. */
int age_encryptor_open(struct age_encryptor **out, const char *const *recipients, size_t count,
    const struct qosid_sink *sink, struct qosid_errbuf *err);

/* Encrypt to a passphrase. work_factor is log2 of scrypt's N. */
int age_encryptor_open_passphrase(struct age_encryptor **out, const char *passphrase, int work_factor,
    const struct qosid_sink *sink, struct qosid_errbuf *err);

int age_encryptor_write(struct age_encryptor *encryptor, const void *data, size_t len, struct qosid_errbuf *err);
int age_encryptor_finish(struct age_encryptor *encryptor, struct qosid_errbuf *err);
void age_encryptor_free(struct age_encryptor *encryptor); /* wipes; accepts NULL */

/* What may open a file: keys, or a passphrase. All pointers stay the caller's and must outlive the decryptor. */
struct age_unlock {
	const struct age_key *const *keys;
	size_t key_count;
	const char *passphrase; /* NULL: none */
	int work_factor_max;    /* 0: AGE_SCRYPT_WORK_FACTOR_MAX */
};

struct age_decryptor;

/* QOSID_ERR_REFUSED (from write or finish): no key fits or a MAC is wrong. QOSID_ERR_INVALID: not an age file, or
 * malformed. QOSID_ERR_LIMIT: a header over AGE_HEADER_MAX or a work factor over the maximum. */
int age_decryptor_open(struct age_decryptor **out, const struct age_unlock *unlock, const struct qosid_sink *sink,
    struct qosid_errbuf *err);
int age_decryptor_write(struct age_decryptor *decryptor, const void *data, size_t len, struct qosid_errbuf *err);
int age_decryptor_finish(struct age_decryptor *decryptor, struct qosid_errbuf *err);
void age_decryptor_free(struct age_decryptor *decryptor); /* wipes; accepts NULL */

/* Whole buffers. out is appended to; after a failed decryption it is back at the length it came with, the rest wiped.
 */
int age_encrypt_buf(struct qosid_buf *out, const char *const *recipients, size_t count, const void *data, size_t len,
    struct qosid_errbuf *err);
int age_decrypt_buf(struct qosid_buf *out, const struct age_unlock *unlock, const void *data, size_t len, size_t limit,
    struct qosid_errbuf *err);

#endif
