/*
 * Readers for the values of control documents: strict, and with errors that name the member.
 */
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/roster/operation.h"

#define NUMBER_MAX ((1ull << 53) - 1) /* what every JSON reader holds exactly */

int fields_read(struct json_slice object, const char *what, const char *const *names, struct json_slice *values,
    size_t count, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0;

	if (json_slice_kind(object) != JSON_OBJECT)
		return qosid_error(err, QOSID_ERR_INVALID, "%s is not a JSON object", what);
	for (size_t i = 0; i < count; i++) {
		if (!json_next(object, &position, &name, &value) || !json_string_equal(name, names[i]))
			return qosid_error(err, QOSID_ERR_INVALID, "%s must have \"%s\" as member number %zu of %zu",
			    what, names[i], i + 1, count);
		values[i] = value;
	}
	if (json_next(object, &position, &name, &value))
		return qosid_error(err, QOSID_ERR_INVALID, "%s has a member too many: %.*s", what,
		    (int)(name.len < 80 ? name.len : 80), name.text);
	return 0;
}

static int read_text(
    struct json_slice value, const char *name, bool lines, char *out, size_t size, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc;

	if (json_slice_kind(value) != JSON_STRING)
		return qosid_error(err, QOSID_ERR_INVALID, "\"%s\" is not a string", name);
	rc = json_string_decode(value, &text, err);
	if (rc != 0)
		goto out;
	if (text.len >= size) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "\"%s\" is longer than %zu bytes", name, size - 1);
		goto out;
	}
	for (size_t i = 0; i < text.len; i++) {
		if ((text.data[i] < 0x20 && !(lines && text.data[i] == '\n')) || text.data[i] == 0x7f) {
			rc = qosid_error(err, QOSID_ERR_INVALID, "\"%s\" has a control character", name);
			goto out;
		}
	}
	if (text.len > 0)
		memcpy(out, text.data, text.len);
	out[text.len] = '\0';
out:
	qosid_buf_free(&text);
	return rc;
}

int fields_text(struct json_slice value, const char *name, char *out, size_t size, struct qosid_errbuf *err)
{
	return read_text(value, name, false, out, size, err);
}

int fields_armor(struct json_slice value, const char *name, char *out, size_t size, struct qosid_errbuf *err)
{
	return read_text(value, name, true, out, size, err);
}

int fields_count(struct json_slice value, const char *name, int64_t *out, struct qosid_errbuf *err)
{
	unsigned long long number;

	if (json_slice_kind(value) != JSON_NUMBER || json_parse_unsigned(value, NUMBER_MAX, &number, NULL) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "\"%s\" is not a whole number", name);
	*out = (int64_t)number;
	return 0;
}

int fields_number(struct json_slice value, const char *name, int64_t *out, struct qosid_errbuf *err)
{
	unsigned long long number;

	if (json_slice_kind(value) != JSON_NUMBER || json_parse_unsigned(value, NUMBER_MAX, &number, NULL) != 0 ||
	    number == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "\"%s\" is not a whole number from 1 up", name);
	*out = (int64_t)number;
	return 0;
}

int fields_digest(struct json_slice value, const char *name, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	char text[DIGEST_TEXT_SIZE];
	int rc = fields_text(value, name, text, sizeof(text), err);

	if (rc == 0 && digest_parse(out, text, strlen(text), NULL) != 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "\"%s\" is not a digest", name);
	return rc;
}

int space_id_check(const char *text, struct qosid_errbuf *err)
{
	if (strspn(text, "0123456789abcdef") != SPACE_ID_HEX || text[SPACE_ID_HEX] != '\0')
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the space's id is not %d lower-case hex digits", SPACE_ID_HEX);
	return 0;
}

int fields_space(struct json_slice value, char out[SPACE_ID_HEX + 1], struct qosid_errbuf *err)
{
	int rc = fields_text(value, "space", out, SPACE_ID_HEX + 1, err);

	return rc != 0 ? rc : space_id_check(out, err);
}

int fields_slug(struct json_slice value, const char *name, char out[LIMIT_SLUG_BYTES + 1], struct qosid_errbuf *err)
{
	int rc = fields_text(value, name, out, LIMIT_SLUG_BYTES + 1, err);

	return rc != 0 ? rc : slug_check(out, err);
}

int fields_recipient(struct json_slice value, char out[AGE_RECIPIENT_SIZE], struct qosid_errbuf *err)
{
	int rc = fields_text(value, "encryption key", out, AGE_RECIPIENT_SIZE, err);

	return rc != 0 ? rc : age_recipient_check(out, err);
}

int fields_signing_key(struct json_slice value, uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	char text[SSH_PUBLIC_SIZE], again[SSH_PUBLIC_SIZE];
	int rc = fields_text(value, "signing", text, sizeof(text), err);

	if (rc != 0)
		return rc;
	rc = sshkey_parse_public(out, text, strlen(text), err);
	if (rc != 0)
		return rc;
	sshkey_format_public(again, out);
	if (strcmp(text, again) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "\"signing\" is not a bare ssh-ed25519 public key");
	return 0;
}
