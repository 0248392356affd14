/*
 * Roster operations as bytes: making them and taking them apart. They are canonical JSON (json_canonicalize()), so one
 * operation has one form and one digest. One table says which members each kind has, for both ways.
 */
#include "sync/roster/operation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/replica/timestamp.h"

static const char *const kind_names[] = {
    [ROSTER_CREATE] = "create",
    [ROSTER_ADD] = "add",
    [ROSTER_SET_ROLES] = "set-roles",
    [ROSTER_REMOVE] = "remove",
    [ROSTER_ROTATE] = "rotate",
    [ROSTER_ROLL_KEY] = "roll-key",
    [ROSTER_THRESHOLD] = "threshold",
    [ROSTER_ENDORSE] = "endorse",
    [ROSTER_REVOKE] = "revoke",
};
#define KIND_COUNT (sizeof(kind_names) / sizeof(kind_names[0]))

const char *operation_kind_name(enum roster_kind kind)
{
	return kind_names[kind];
}

int roster_format_member(struct qosid_buf *out, const struct roster_member *member, struct qosid_errbuf *err)
{
	char signing[SSH_PUBLIC_SIZE];
	int rc;

	sshkey_format_public(signing, member->signing_public);
	rc = qosid_buf_append_format(
	    out, err, "{\"encryption\":\"%s\",\"office\":\"%s\",\"roles\":\"", member->recipient, member->office);
	if (rc == 0)
		rc = roster_format_roles(member->roles, out, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "\",\"signing\":\"%s\"}", signing);
	return rc;
}

int roll_format_text(struct qosid_buf *out, const char *space, const char *office,
    const uint8_t signing_public[SIGNING_PUBLIC_BYTES], const char *recipient, struct qosid_errbuf *err)
{
	char signing[SSH_PUBLIC_SIZE];

	sshkey_format_public(signing, signing_public);
	return qosid_buf_append_format(out, err,
	    "{\"encryption\":\"%s\",\"format\":%d,\"office\":\"%s\",\"qosid\":\"roll\",\"signing\":\"%s\",\"space\":"
	    "\"%s\"}",
	    recipient, ROSTER_FORMAT, office, signing, space);
}

/* ---- each member, read and written ---- */

static int parse_roles(unsigned *out, struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf sorted = {0};
	char text[64];
	int rc = fields_text(value, "roles", text, sizeof(text), err);

	if (rc == 0)
		rc = roster_parse_roles(out, text, err);
	if (rc == 0)
		rc = roster_format_roles(*out, &sorted, err);
	if (rc == 0 && strcmp((const char *)sorted.data, text) != 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "\"roles\" are not in alphabetical order");
	qosid_buf_free(&sorted);
	return rc;
}

static int parse_member(struct roster_member *out, struct json_slice value, struct qosid_errbuf *err)
{
	static const char *const names[] = {"encryption", "office", "roles", "signing"};
	struct json_slice values[4] = {0};
	int rc = fields_read(value, "the member", names, values, 4, err);

	if (rc == 0)
		rc = fields_recipient(values[0], out->recipient, err);
	if (rc == 0)
		rc = fields_slug(values[1], "office", out->office, err);
	if (rc == 0)
		rc = parse_roles(&out->roles, values[2], err);
	if (rc == 0)
		rc = fields_signing_key(values[3], out->signing_public, err);
	return rc;
}

/* [] or the one epoch whose key the commit carries. */
static int parse_epochs(struct roster_epoch *out, struct json_slice value, struct qosid_errbuf *err)
{
	static const char *const names[] = {"file", "number", "recipient"};
	struct json_slice name, item, values[3] = {0};
	size_t position = 0;
	int rc;

	if (json_slice_kind(value) != JSON_ARRAY)
		return qosid_error(err, QOSID_ERR_INVALID, "\"epochs\" is not an array");
	if (!json_next(value, &position, &name, &item))
		return 0;
	rc = fields_read(item, "the epoch", names, values, 3, err);
	if (rc == 0)
		rc = fields_digest(values[0], "file", out->file_digest, err);
	if (rc == 0)
		rc = fields_number(values[1], "number", &out->number, err);
	if (rc == 0)
		rc = fields_recipient(values[2], out->recipient, err);
	if (rc == 0 && json_next(value, &position, &name, &item))
		rc = qosid_error(err, QOSID_ERR_INVALID, "\"epochs\" has more than one");
	return rc;
}

static int parse_seen(struct operation *out, struct json_slice value, struct qosid_errbuf *err)
{
	struct json_slice name, item;
	size_t position = 0;
	int rc = 0;

	if (json_slice_kind(value) != JSON_ARRAY)
		return qosid_error(err, QOSID_ERR_INVALID, "\"seen\" is not an array");
	while (rc == 0 && json_next(value, &position, &name, &item)) {
		if (out->seen_count == LIMIT_ROSTER_HEADS)
			return qosid_error(
			    err, QOSID_ERR_LIMIT, "\"seen\" names more than %u operations", LIMIT_ROSTER_HEADS);
		rc = fields_digest(item, "seen", out->seen[out->seen_count], err);
		if (rc == 0 && out->seen_count > 0 &&
		    memcmp(out->seen[out->seen_count - 1], out->seen[out->seen_count], DIGEST_BYTES) >= 0)
			rc = qosid_error(err, QOSID_ERR_INVALID, "\"seen\" is not sorted");
		out->seen_count++;
	}
	if (rc == 0 && out->seen_count == 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "\"seen\" is empty");
	return rc;
}

static int parse_time(int64_t *out, struct json_slice value, struct qosid_errbuf *err)
{
	char time[TIMESTAMP_SIZE];
	int rc = fields_text(value, "time", time, sizeof(time), err);

	return rc != 0 ? rc : timestamp_parse(out, time, strlen(time), err);
}

enum field {
	FIELD_ENCRYPTION,
	FIELD_ENDORSES,
	FIELD_EPOCHS,
	FIELD_FORMAT,
	FIELD_MEMBER,
	FIELD_OFFICE,
	FIELD_OPERATION,
	FIELD_PROOF,
	FIELD_ROLES,
	FIELD_SEEN,
	FIELD_SEQUENCE,
	FIELD_SIGNING,
	FIELD_SINCE,
	FIELD_SPACE,
	FIELD_STEWARD,
	FIELD_THRESHOLD,
	FIELD_TIME,
	FIELD_UNTIL,
	FIELD_COUNT
};

#define IN(kind) (1u << (kind))
#define IN_ALL ((1u << KIND_COUNT) - 1)

/* In the order of canonical JSON. */
static const struct {
	const char *name;
	unsigned kinds;
} fields[FIELD_COUNT] = {
    [FIELD_ENCRYPTION] = {"encryption", IN(ROSTER_ROLL_KEY)},
    [FIELD_ENDORSES] = {"endorses", IN(ROSTER_ENDORSE)},
    [FIELD_EPOCHS] = {"epochs", IN(ROSTER_CREATE) | IN(ROSTER_ADD) | IN(ROSTER_SET_ROLES) | IN(ROSTER_REMOVE) |
				    IN(ROSTER_ROTATE) | IN(ROSTER_ROLL_KEY)},
    [FIELD_FORMAT] = {"format", IN_ALL},
    [FIELD_MEMBER] = {"member", IN(ROSTER_CREATE) | IN(ROSTER_ADD)},
    [FIELD_OFFICE] = {"office", IN(ROSTER_SET_ROLES) | IN(ROSTER_REMOVE) | IN(ROSTER_ROLL_KEY) | IN(ROSTER_REVOKE)},
    [FIELD_OPERATION] = {"operation", IN_ALL},
    [FIELD_PROOF] = {"proof", IN(ROSTER_ROLL_KEY)},
    [FIELD_ROLES] = {"roles", IN(ROSTER_SET_ROLES)},
    [FIELD_SEEN] = {"seen", IN_ALL & ~IN(ROSTER_CREATE)},
    [FIELD_SEQUENCE] = {"sequence", IN_ALL},
    [FIELD_SIGNING] = {"signing", IN(ROSTER_ROLL_KEY)},
    [FIELD_SINCE] = {"since", IN(ROSTER_REVOKE)},
    [FIELD_SPACE] = {"space", IN_ALL},
    [FIELD_STEWARD] = {"steward", IN_ALL},
    [FIELD_THRESHOLD] = {"threshold", IN(ROSTER_THRESHOLD)},
    [FIELD_TIME] = {"time", IN_ALL},
    [FIELD_UNTIL] = {"until", IN(ROSTER_REMOVE)},
};

static int parse_field(struct operation *out, enum field field, struct json_slice value, struct qosid_errbuf *err)
{
	switch (field) {
	case FIELD_ENCRYPTION:
		return fields_recipient(value, out->member.recipient, err);
	case FIELD_ENDORSES:
		return fields_digest(value, "endorses", out->endorses, err);
	case FIELD_EPOCHS:
		return parse_epochs(&out->epoch, value, err);
	case FIELD_MEMBER:
		return parse_member(&out->member, value, err);
	case FIELD_OFFICE:
		return fields_slug(value, "office", out->member.office, err);
	case FIELD_PROOF:
		return fields_armor(value, "proof", out->proof, sizeof(out->proof), err);
	case FIELD_ROLES:
		return parse_roles(&out->member.roles, value, err);
	case FIELD_SEEN:
		return parse_seen(out, value, err);
	case FIELD_SEQUENCE:
		return fields_number(value, "sequence", &out->sequence, err);
	case FIELD_SIGNING:
		return fields_signing_key(value, out->member.signing_public, err);
	case FIELD_SINCE:
		return fields_number(value, "since", &out->since, err);
	case FIELD_SPACE:
		return fields_space(value, out->space, err);
	case FIELD_STEWARD:
		return fields_slug(value, "steward", out->steward, err);
	case FIELD_THRESHOLD:
		return fields_number(value, "threshold", &out->threshold, err);
	case FIELD_TIME:
		return parse_time(&out->time, value, err);
	case FIELD_UNTIL:
		return fields_count(value, "until", &out->until, err);
	default: /* format and operation have been read */
		return 0;
	}
}

/* ---- making ---- */

static int append_quoted(struct qosid_buf *out, const char *text, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "\"%s\"", text);
}

static int append_number(struct qosid_buf *out, int64_t number, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "%" PRId64, number);
}

static int append_digest(struct qosid_buf *out, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(text, digest);
	return append_quoted(out, text, err);
}

static int append_epochs(struct qosid_buf *out, const struct roster_epoch *epoch, struct qosid_errbuf *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (epoch->number == 0)
		return qosid_buf_append_text(out, "[]", err);
	digest_format(digest, epoch->file_digest);
	return qosid_buf_append_format(out, err, "[{\"file\":\"%s\",\"number\":%" PRId64 ",\"recipient\":\"%s\"}]",
	    digest, epoch->number, epoch->recipient);
}

static int append_seen(struct qosid_buf *out, const struct operation *operation, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(out, '[', err);

	for (size_t i = 0; i < operation->seen_count && rc == 0; i++) {
		if (i > 0)
			rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = append_digest(out, operation->seen[i], err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, ']', err);
}

static int append_roles(struct qosid_buf *out, unsigned roles, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(out, '"', err);

	if (rc == 0)
		rc = roster_format_roles(roles, out, err);
	return rc != 0 ? rc : qosid_buf_append_byte(out, '"', err);
}

static int append_field(
    struct qosid_buf *out, const struct operation *operation, enum field field, struct qosid_errbuf *err)
{
	char time[TIMESTAMP_SIZE], key[SSH_PUBLIC_SIZE];
	int rc;

	switch (field) {
	case FIELD_ENCRYPTION:
		return append_quoted(out, operation->member.recipient, err);
	case FIELD_ENDORSES:
		return append_digest(out, operation->endorses, err);
	case FIELD_EPOCHS:
		return append_epochs(out, &operation->epoch, err);
	case FIELD_FORMAT:
		return append_number(out, ROSTER_FORMAT, err);
	case FIELD_MEMBER:
		return roster_format_member(out, &operation->member, err);
	case FIELD_OFFICE:
		return append_quoted(out, operation->member.office, err);
	case FIELD_OPERATION:
		return append_quoted(out, kind_names[operation->kind], err);
	case FIELD_PROOF:
		return json_string_encode(out, operation->proof, strlen(operation->proof), err);
	case FIELD_ROLES:
		return append_roles(out, operation->member.roles, err);
	case FIELD_SEEN:
		return append_seen(out, operation, err);
	case FIELD_SEQUENCE:
		return append_number(out, operation->sequence, err);
	case FIELD_SIGNING:
		sshkey_format_public(key, operation->member.signing_public);
		return append_quoted(out, key, err);
	case FIELD_SINCE:
		return append_number(out, operation->since, err);
	case FIELD_SPACE:
		return append_quoted(out, operation->space, err);
	case FIELD_STEWARD:
		return append_quoted(out, operation->steward, err);
	case FIELD_THRESHOLD:
		return append_number(out, operation->threshold, err);
	case FIELD_TIME:
		rc = timestamp_format(time, operation->time, err);
		return rc != 0 ? rc : append_quoted(out, time, err);
	default:
		return append_number(out, operation->until, err);
	}
}

int operation_format(struct qosid_buf *out, const struct operation *operation, struct qosid_errbuf *err)
{
	struct operation again;
	size_t start = out->len;
	int rc = 0;

	for (int i = 0; i < FIELD_COUNT && rc == 0; i++) {
		if ((fields[i].kinds & IN(operation->kind)) == 0)
			continue;
		rc = qosid_buf_append_format(out, err, "%c\"%s\":", out->len == start ? '{' : ',', fields[i].name);
		if (rc == 0)
			rc = append_field(out, operation, (enum field)i, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '}', err);
	if (rc == 0)
		rc = operation_parse(&again, out->data + start, out->len - start, err);
	if (rc != 0)
		qosid_buf_cut(out, start);
	return rc;
}

/* ---- taking apart ---- */

/* The kind decides which members there must be, so it is looked at first. */
static int parse_kind(struct operation *out, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice kind, format;
	int64_t number;

	if (!json_find(object, "format", &format) || fields_number(format, "format", &number, NULL) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the roster operation names no format");
	if (number != ROSTER_FORMAT) {
		(void)qosid_error(err, QOSID_ERR_INVALID, "the roster operation has format %" PRId64 ", known is %d",
		    number, ROSTER_FORMAT);
		qosid_error_hint(err, "Upgrade Qosid: the steward uses a newer one.");
		return QOSID_ERR_INVALID;
	}
	if (json_find(object, "operation", &kind) && json_slice_kind(kind) == JSON_STRING) {
		for (size_t i = 0; i < KIND_COUNT; i++) {
			if (json_string_equal(kind, kind_names[i])) {
				out->kind = (enum roster_kind)i;
				return 0;
			}
		}
	}
	return qosid_error(err, QOSID_ERR_INVALID, "the roster operation is of no known kind");
}

static int parse_fields(struct operation *out, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice values[FIELD_COUNT] = {0};
	const char *names[FIELD_COUNT];
	enum field order[FIELD_COUNT];
	size_t count = 0;
	int rc;

	for (int i = 0; i < FIELD_COUNT; i++) {
		if ((fields[i].kinds & IN(out->kind)) == 0)
			continue;
		names[count] = fields[i].name;
		order[count++] = (enum field)i;
	}
	rc = fields_read(object, "the roster operation", names, values, count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = parse_field(out, order[i], values[i], err);
	return rc;
}

int operation_parse(struct operation *out, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf canonical = {0};
	struct json_slice object;
	int rc;

	*out = (struct operation){0};
	if (len > ROSTER_OPERATION_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the roster operation is larger than %u bytes", ROSTER_OPERATION_BYTES);
	rc = json_check_object(data, len, &object, err);
	if (rc != 0)
		return rc;
	rc = json_canonicalize(object, &canonical, err);
	if (rc != 0)
		goto out;
	if (canonical.len != len || memcmp(canonical.data, data, len) != 0) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the roster operation is not canonical JSON");
		goto out;
	}
	rc = parse_kind(out, object, err);
	if (rc == 0)
		rc = parse_fields(out, object, err);
out:
	qosid_buf_free(&canonical);
	return rc;
}
