/*
 * Roster operations as bytes: making them and taking them apart. They are canonical JSON (json_canonicalize()), so one
 * operation has one form and one digest.
 */
#include "sync/roster/operation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/replica/timestamp.h"

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

int roster_format_epochs(
    struct qosid_buf *out, const struct roster_epoch *epochs, size_t count, struct qosid_errbuf *err)
{
	char digest[DIGEST_TEXT_SIZE];
	int rc = qosid_buf_append_byte(out, '[', err);

	for (size_t i = 0; i < count && rc == 0; i++) {
		digest_format(digest, epochs[i].file_digest);
		rc =
		    qosid_buf_append_format(out, err, "%s{\"file\":\"%s\",\"number\":%" PRId64 ",\"recipient\":\"%s\"}",
			i == 0 ? "" : ",", digest, epochs[i].number, epochs[i].recipient);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, ']', err);
}

/* ---- making ---- */

static int check_member(const struct roster_member *member, struct qosid_errbuf *err)
{
	int rc = slug_check(member->office, err);

	return rc != 0 ? rc : age_recipient_check(member->recipient, err);
}

/* Append the operation, and read it back: nothing leaves here that another office would refuse as malformed. On failure
 * out is as it was. */
static int format_operation(struct qosid_buf *out, const struct operation *operation, struct qosid_errbuf *err)
{
	char time[TIMESTAMP_SIZE], seen[DIGEST_TEXT_SIZE];
	struct operation again = {0};
	size_t start = out->len;
	bool adds = operation->kind == OPERATION_ADD;
	int rc = timestamp_format(time, operation->time, err);

	if (rc == 0)
		rc = qosid_buf_append_text(out, "{\"epochs\":", err);
	if (rc == 0)
		rc = roster_format_epochs(out, operation->epochs, operation->epoch_count, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, ",\"format\":%d,\"member\":", ROSTER_FORMAT);
	if (rc == 0)
		rc = roster_format_member(out, &operation->member, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, ",\"operation\":\"%s\"", adds ? "add" : "create");
	if (rc == 0 && adds) {
		digest_format(seen, operation->seen);
		rc = qosid_buf_append_format(out, err, ",\"seen\":\"%s\"", seen);
	}
	if (rc == 0)
		rc = qosid_buf_append_format(out, err,
		    ",\"sequence\":%" PRId64 ",\"space\":\"%s\",\"steward\":\"%s\",\"time\":\"%s\"}",
		    operation->sequence, operation->space, operation->steward, time);
	if (rc == 0)
		rc = operation_parse(&again, out->data + start, out->len - start, err);
	operation_free(&again);
	if (rc != 0)
		qosid_buf_cut(out, start);
	return rc;
}

int roster_format_create(struct qosid_buf *out, const char *space, const struct roster_member *steward,
    const struct roster_epoch *epoch, int64_t time, struct qosid_errbuf *err)
{
	struct operation operation = {
	    .kind = OPERATION_CREATE, .sequence = 1, .time = time, .member = *steward, .epoch_count = 1};
	struct roster_epoch first = *epoch;
	int rc = space_id_check(space, err);

	if (rc == 0)
		rc = check_member(steward, err);
	if (rc != 0)
		return rc;
	memcpy(operation.space, space, sizeof(operation.space));
	memcpy(operation.steward, steward->office, sizeof(operation.steward));
	operation.epochs = &first;
	return format_operation(out, &operation, err);
}

int roster_format_add(struct qosid_buf *out, const struct roster *roster, const char *steward, int64_t sequence,
    const struct roster_member *member, const struct roster_epoch *epochs, size_t epoch_count, int64_t time,
    struct qosid_errbuf *err)
{
	struct operation operation = {
	    .kind = OPERATION_ADD, .sequence = sequence, .time = time, .member = *member, .epoch_count = epoch_count};
	struct roster_epoch *copy;
	int rc = roster_state_digest(roster, -1, operation.seen, err);

	if (rc == 0)
		rc = slug_check(steward, err);
	if (rc == 0)
		rc = check_member(member, err);
	if (rc != 0)
		return rc;
	copy = calloc(epoch_count + 1, sizeof(*copy));
	if (copy == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu epochs", epoch_count);
	if (epoch_count > 0)
		memcpy(copy, epochs, epoch_count * sizeof(*copy));
	operation.epochs = copy;
	memcpy(operation.space, roster_space(roster), sizeof(operation.space));
	memcpy(operation.steward, steward, strlen(steward) + 1);
	rc = format_operation(out, &operation, err);
	free(copy);
	return rc;
}

/* ---- taking apart ---- */

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

static int parse_epoch(struct roster_epoch *out, int64_t number, struct json_slice value, struct qosid_errbuf *err)
{
	static const char *const names[] = {"file", "number", "recipient"};
	struct json_slice values[3] = {0};
	int rc = fields_read(value, "the epoch", names, values, 3, err);

	if (rc == 0)
		rc = fields_digest(values[0], "file", out->file_digest, err);
	if (rc == 0)
		rc = fields_number(values[1], "number", &out->number, err);
	if (rc == 0)
		rc = fields_recipient(values[2], out->recipient, err);
	if (rc == 0 && out->number != number)
		rc = qosid_error(err, QOSID_ERR_INVALID, "epoch number %" PRId64 " stands where %" PRId64 " must be",
		    out->number, number);
	return rc;
}

static int parse_epochs(struct operation *out, struct json_slice value, struct qosid_errbuf *err)
{
	struct json_slice name, item;
	size_t position = 0, count = 0;

	if (json_slice_kind(value) != JSON_ARRAY)
		return qosid_error(err, QOSID_ERR_INVALID, "\"epochs\" is not an array");
	while (json_next(value, &position, &name, &item))
		count++;
	if (count == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "\"epochs\" is empty");
	out->epochs = calloc(count, sizeof(*out->epochs));
	if (out->epochs == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu epochs", count);
	position = 0;
	while (json_next(value, &position, &name, &item)) {
		int rc = parse_epoch(&out->epochs[out->epoch_count], (int64_t)out->epoch_count + 1, item, err);
		if (rc != 0)
			return rc;
		out->epoch_count++;
	}
	return 0;
}

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
	if (json_find(object, "operation", &kind) && json_string_equal(kind, "create"))
		out->kind = OPERATION_CREATE;
	else if (json_find(object, "operation", &kind) && json_string_equal(kind, "add"))
		out->kind = OPERATION_ADD;
	else
		return qosid_error(err, QOSID_ERR_INVALID, "the roster operation is neither \"create\" nor \"add\"");
	return 0;
}

static int parse_members(struct operation *out, struct json_slice object, struct qosid_errbuf *err)
{
	static const char *const create_names[] = {
	    "epochs", "format", "member", "operation", "sequence", "space", "steward", "time"};
	static const char *const add_names[] = {
	    "epochs", "format", "member", "operation", "seen", "sequence", "space", "steward", "time"};
	bool adds = out->kind == OPERATION_ADD;
	struct json_slice values[9] = {0};
	struct json_slice *rest = adds ? values + 5 : values + 4;
	char time[TIMESTAMP_SIZE];
	int rc =
	    fields_read(object, "the roster operation", adds ? add_names : create_names, values, adds ? 9 : 8, err);

	if (rc == 0)
		rc = parse_epochs(out, values[0], err);
	if (rc == 0)
		rc = parse_member(&out->member, values[2], err);
	if (rc == 0 && adds)
		rc = fields_digest(values[4], "seen", out->seen, err);
	if (rc == 0)
		rc = fields_number(rest[0], "sequence", &out->sequence, err);
	if (rc == 0)
		rc = fields_space(rest[1], out->space, err);
	if (rc == 0)
		rc = fields_slug(rest[2], "steward", out->steward, err);
	if (rc == 0)
		rc = fields_text(rest[3], "time", time, sizeof(time), err);
	if (rc == 0)
		rc = timestamp_parse(&out->time, time, strlen(time), err);
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
		rc = parse_members(out, object, err);
out:
	qosid_buf_free(&canonical);
	return rc;
}

void operation_free(struct operation *operation)
{
	free(operation->epochs);
	operation->epochs = NULL;
	operation->epoch_count = 0;
}
