/*
 * OpenSSH's encodings. See ssh_wire.h.
 */
#include "crypto/ssh_wire.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "crypto/base64.h"

#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)
#define WRITE_COLUMNS 70 /* as ssh-keygen writes */
#define READ_COLUMNS 76  /* as PROTOCOL.sshsig allows */

void ssh_write_bytes(struct ssh_writer *writer, const void *data, size_t len)
{
	if (writer->failed || len > sizeof(writer->data) - writer->len) {
		writer->failed = 1;
		return;
	}
	if (len > 0)
		memcpy(writer->data + writer->len, data, len);
	writer->len += len;
}

void ssh_write_u32(struct ssh_writer *writer, uint32_t value)
{
	uint8_t bytes[4] = {value >> 24 & 0xff, value >> 16 & 0xff, value >> 8 & 0xff, value & 0xff};

	ssh_write_bytes(writer, bytes, sizeof(bytes));
}

void ssh_write_string(struct ssh_writer *writer, const void *data, size_t len)
{
	ssh_write_u32(writer, (uint32_t)len);
	ssh_write_bytes(writer, data, len);
}

void ssh_write_text(struct ssh_writer *writer, const char *text)
{
	ssh_write_string(writer, text, strlen(text));
}

int ssh_read_u32(struct ssh_reader *reader, uint32_t *value)
{
	const uint8_t *at = reader->data;

	if (reader->len < 4)
		return -1;
	*value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	reader->data += 4;
	reader->len -= 4;
	return 0;
}

int ssh_read_string(struct ssh_reader *reader, struct ssh_reader *string)
{
	uint32_t len;

	if (ssh_read_u32(reader, &len) != 0 || len > reader->len)
		return -1;
	*string = (struct ssh_reader){reader->data, len};
	reader->data += len;
	reader->len -= len;
	return 0;
}

int ssh_expect_text(struct ssh_reader *reader, const char *text)
{
	struct ssh_reader string;

	if (ssh_read_string(reader, &string) != 0 || string.len != strlen(text) ||
	    memcmp(string.data, text, string.len) != 0)
		return -1;
	return 0;
}

int ssh_read_fixed(struct ssh_reader *reader, uint8_t *out, size_t len)
{
	struct ssh_reader string;

	if (ssh_read_string(reader, &string) != 0 || string.len != len)
		return -1;
	memcpy(out, string.data, len);
	return 0;
}

int ssh_armor(struct qosid_buf *out, const char *name, const uint8_t *data, size_t len, struct qosid_errbuf *err)
{
	char text[BASE64_SIZE(SSH_BLOB_MAX)];
	size_t text_len, left;
	int rc;

	if (len > SSH_BLOB_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "%zu bytes are too many for an OpenSSH key or signature", len);
	sodium_bin2base64(text, sizeof(text), data, len, sodium_base64_VARIANT_ORIGINAL);
	text_len = strlen(text);
	rc = qosid_buf_reserve(out, text_len + text_len / WRITE_COLUMNS + 2 * strlen(name) + 64, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "-----BEGIN %s-----\n", name);
	for (size_t at = 0; rc == 0 && at < text_len; at += WRITE_COLUMNS) {
		left = text_len - at;
		rc = qosid_buf_append(out, text + at, left < WRITE_COLUMNS ? left : WRITE_COLUMNS, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(out, '\n', err);
	}
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "-----END %s-----\n", name);
	sodium_memzero(text, sizeof(text));
	return rc;
}

int ssh_unarmor(uint8_t *data, size_t size, size_t *data_len, const char *name, const char *armor, size_t armor_len)
{
	char text[BASE64_SIZE(SSH_BLOB_MAX)], begin[64], end[64];
	size_t begin_len, end_len, text_len = 0, column = 0;

	begin_len = (size_t)snprintf(begin, sizeof(begin), "-----BEGIN %s-----\n", name);
	end_len = (size_t)snprintf(end, sizeof(end), "-----END %s-----\n", name);
	if (armor_len > 0 && armor[armor_len - 1] != '\n')
		end_len--; /* git keeps signatures without their last newline */
	if (armor_len < begin_len + end_len || memcmp(armor, begin, begin_len) != 0 ||
	    memcmp(armor + armor_len - end_len, end, end_len) != 0)
		return -1;
	armor += begin_len;
	armor_len -= begin_len + end_len;
	for (size_t i = 0; i < armor_len; i++) {
		if (armor[i] == '\n') {
			if (column == 0)
				return -1;
			column = 0;
			continue;
		}
		if (text_len == sizeof(text) || ++column > READ_COLUMNS)
			return -1;
		text[text_len++] = armor[i];
	}
	if (text_len == 0 || column != 0)
		return -1;
	return base64_decode(data, size, data_len, BASE64_PADDED, text, text_len);
}
