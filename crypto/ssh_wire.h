/*
 * OpenSSH's encodings (RFC 4251 section 5, PROTOCOL.key, PROTOCOL.sshsig): length-prefixed strings, and the armour of
 * "-----BEGIN X-----", base64 lines and "-----END X-----". Fixed buffers, because secret keys pass through here.
 */
#ifndef QOSID_CRYPTO_SSH_WIRE_H
#define QOSID_CRYPTO_SSH_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"

#define SSH_KEY_TYPE "ssh-ed25519"
#define SSH_PUBLIC_BLOB_BYTES 51 /* type and key, each with its length */
#define SSH_BLOB_MAX 768         /* more than any Ed25519 key or signature of ours takes */

/* Writes into data; a writer that ran out of room is not ok, and the rest is dropped. */
struct ssh_writer {
	uint8_t data[SSH_BLOB_MAX];
	size_t len;
	int failed;
};

void ssh_write_bytes(struct ssh_writer *writer, const void *data, size_t len);
void ssh_write_u32(struct ssh_writer *writer, uint32_t value);
void ssh_write_string(struct ssh_writer *writer, const void *data, size_t len);
void ssh_write_text(struct ssh_writer *writer, const char *text);

/* Reads from data, which stays the caller's. Each function returns 0, or -1 when what it wants is not there. */
struct ssh_reader {
	const uint8_t *data;
	size_t len;
};

int ssh_read_u32(struct ssh_reader *reader, uint32_t *value);
int ssh_read_string(struct ssh_reader *reader, struct ssh_reader *string);

/* Read a string that must be exactly this text, and one of exactly len bytes. */
int ssh_expect_text(struct ssh_reader *reader, const char *text);
int ssh_read_fixed(struct ssh_reader *reader, uint8_t *out, size_t len);

/* Append data armoured under name ("SSH SIGNATURE"). One allocation, so that secrets leave no copies. */
int ssh_armor(struct qosid_buf *out, const char *name, const uint8_t *data, size_t len, struct qosid_errbuf *err);

/* Undo it into data: lines of 1 to 76 characters ended by LF (the very last LF may be missing), canonical padded
 * base64, nothing before or after. 0 or -1. */
int ssh_unarmor(uint8_t *data, size_t size, size_t *data_len, const char *name, const char *armor, size_t armor_len);

#endif
