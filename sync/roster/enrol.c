/*
 * Enrolment: the steward's invitation and the joiner's request, each one line of JSON that survives being mailed, typed
 * into a chat or carried on paper.
 */
#include <string.h>

#include "crypto/digest.h"
#include "crypto/sshsig.h"
#include "sync/roster/operation.h"
#include "sync/roster/roster.h"

#define ENROL_BYTES (16u << 10)

/* Check that text is the wanted kind of document, and read its members in their order. The first two names are "qosid"
 * and "format". */
static int read_document(struct json_slice *values, const char *const *names, size_t count, const char *kind,
    const char *text, size_t len, struct qosid_errbuf *err)
{
	struct json_slice object, value;
	int rc;

	if (len > ENROL_BYTES)
		return qosid_error(err, QOSID_ERR_LIMIT, "the %s is larger than %u bytes", kind, ENROL_BYTES);
	rc = json_check_object(text, len, &object, err);
	if (rc == 0 && (!json_find(object, "qosid", &value) || !json_string_equal(value, kind)))
		rc = qosid_error(err, QOSID_ERR_INVALID, "this is not a Qosid %s", kind);
	if (rc == 0 && json_find(object, "format", &value) && (value.len != 1 || value.text[0] != '1')) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the %s has another format than the known one, 1", kind);
		qosid_error_hint(err, "Upgrade Qosid, or ask the other office to make it with the same version.");
	}
	return rc != 0 ? rc : fields_read(object, kind, names, values, count, err);
}

/* ---- invitation ---- */

int invitation_format(struct qosid_buf *out, const struct roster_invitation *invitation, struct qosid_errbuf *err)
{
	char root[DIGEST_TEXT_SIZE];
	size_t start = out->len;
	int rc = space_id_check(invitation->space, err);

	if (rc == 0)
		rc = slug_check(invitation->steward, err);
	if (rc != 0)
		return rc;
	digest_format(root, invitation->root);
	rc = qosid_buf_append_format(out, err,
	    "{\"qosid\":\"invitation\",\"format\":%d,\"space\":\"%s\",\"steward\":\"%s\",\"root\":\"%s\",\"remote\":",
	    ROSTER_FORMAT, invitation->space, invitation->steward, root);
	if (rc == 0)
		rc = json_string_encode(out, invitation->remote, strlen(invitation->remote), err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "}\n", err);
	if (rc != 0)
		qosid_buf_cut(out, start);
	return rc;
}

int invitation_parse(struct roster_invitation *out, const char *text, size_t len, struct qosid_errbuf *err)
{
	static const char *const names[] = {"qosid", "format", "space", "steward", "root", "remote"};
	struct json_slice values[6] = {0};
	int rc = read_document(values, names, 6, "invitation", text, len, err);

	if (rc == 0)
		rc = fields_space(values[2], out->space, err);
	if (rc == 0)
		rc = fields_slug(values[3], "steward", out->steward, err);
	if (rc == 0)
		rc = fields_digest(values[4], "root", out->root, err);
	if (rc == 0)
		rc = fields_text(values[5], "remote", out->remote, sizeof(out->remote), err);
	return rc;
}

/* ---- request ---- */

/* What the signature covers: the canonical JSON of the request without it. */
static int append_signed_text(struct qosid_buf *out, const char *space, const char *office, const char *recipient,
    const char *signing, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err,
	    "{\"encryption\":\"%s\",\"format\":%d,\"office\":\"%s\",\"qosid\":\"request\",\"signing\":\"%s\",\"space\":"
	    "\"%s\"}",
	    recipient, ROSTER_FORMAT, office, signing, space);
}

int request_format(struct qosid_buf *out, const char *space, const char *office, const struct identity *identity,
    struct qosid_errbuf *err)
{
	struct qosid_buf message = {0}, signature = {0};
	const char *recipient = identity_recipient(identity), *signing = identity_ssh_public(identity);
	size_t start = out->len;
	int rc = space_id_check(space, err);

	if (rc == 0)
		rc = slug_check(office, err);
	if (rc == 0)
		rc = append_signed_text(&message, space, office, recipient, signing, err);
	if (rc == 0)
		rc = sshsig_sign(&signature, identity, SSHSIG_NAMESPACE_FILE, message.data, message.len, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err,
		    "{\"qosid\":\"request\",\"format\":%d,\"space\":\"%s\",\"office\":\"%s\",\"signing\":\"%s\","
		    "\"encryption\":\"%s\",\"signature\":",
		    ROSTER_FORMAT, space, office, signing, recipient);
	if (rc == 0)
		rc = json_string_encode(out, (const char *)signature.data, signature.len, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "}\n", err);
	if (rc != 0)
		qosid_buf_cut(out, start);
	qosid_buf_free(&message);
	qosid_buf_free(&signature);
	return rc;
}

static int verify_request(
    const struct roster_member *member, const char *space, struct json_slice signature, struct qosid_errbuf *err)
{
	struct qosid_buf message = {0}, armor = {0};
	char signing[SSH_PUBLIC_SIZE];
	int rc;

	if (json_slice_kind(signature) != JSON_STRING)
		return qosid_error(err, QOSID_ERR_INVALID, "\"signature\" is not a string");
	sshkey_format_public(signing, member->signing_public);
	rc = append_signed_text(&message, space, member->office, member->recipient, signing, err);
	if (rc == 0)
		rc = json_string_decode(signature, &armor, err);
	if (rc == 0)
		rc = sshsig_verify((const char *)armor.data, armor.len, SSHSIG_NAMESPACE_FILE, message.data,
		    message.len, member->signing_public, err);
	qosid_buf_free(&message);
	qosid_buf_free(&armor);
	return rc;
}

int request_parse(struct roster_member *out, const char *space, const char *text, size_t len, struct qosid_errbuf *err)
{
	static const char *const names[] = {"qosid", "format", "space", "office", "signing", "encryption", "signature"};
	struct roster_member member = {0};
	struct json_slice values[7] = {0};
	char asked[SPACE_ID_HEX + 1];
	int rc = read_document(values, names, 7, "request", text, len, err);

	if (rc == 0)
		rc = fields_space(values[2], asked, err);
	if (rc == 0 && strcmp(asked, space) != 0)
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the request asks to join another space, %s", asked);
	if (rc == 0)
		rc = fields_slug(values[3], "office", member.office, err);
	if (rc == 0)
		rc = fields_signing_key(values[4], member.signing_public, err);
	if (rc == 0)
		rc = fields_recipient(values[5], member.recipient, err);
	if (rc == 0)
		rc = verify_request(&member, space, values[6], err);
	if (rc == 0)
		*out = member;
	return rc;
}

/* ---- new keys ---- */

static int sign_text(struct qosid_buf *out, const char *space, const char *office, const struct identity *identity,
    const struct identity *signer, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0}, signature = {0};
	int rc = roll_format_text(
	    &text, space, office, identity_signing_public(identity), identity_recipient(identity), err);

	if (rc == 0)
		rc = sshsig_sign(&signature, signer, SSHSIG_NAMESPACE_FILE, text.data, text.len, err);
	if (rc == 0)
		rc = json_string_encode(out, (const char *)signature.data, signature.len, err);
	qosid_buf_free(&text);
	qosid_buf_free(&signature);
	return rc;
}

int roll_format(struct qosid_buf *out, const char *space, const char *office, const struct identity *identity,
    const struct identity *old, struct qosid_errbuf *err)
{
	size_t start = out->len;
	int rc = space_id_check(space, err);

	if (rc == 0)
		rc = slug_check(office, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err,
		    "{\"qosid\":\"roll\",\"format\":%d,\"space\":\"%s\",\"office\":\"%s\",\"signing\":\"%s\","
		    "\"encryption\":\"%s\",\"signature\":",
		    ROSTER_FORMAT, space, office, identity_ssh_public(identity), identity_recipient(identity));
	if (rc == 0)
		rc = sign_text(out, space, office, identity, identity, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"proof\":", err);
	if (rc == 0)
		rc = sign_text(out, space, office, identity, old, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "}\n", err);
	if (rc != 0)
		qosid_buf_cut(out, start);
	return rc;
}

static int verify_roll(
    const struct roster_member *member, const char *space, const char *signature, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = roll_format_text(&text, space, member->office, member->signing_public, member->recipient, err);

	if (rc == 0)
		rc = sshsig_verify(signature, strlen(signature), SSHSIG_NAMESPACE_FILE, text.data, text.len,
		    member->signing_public, err);
	qosid_buf_free(&text);
	return rc;
}

int roll_parse(struct roster_member *out, struct qosid_buf *proof, const char *space, const char *text, size_t len,
    struct qosid_errbuf *err)
{
	static const char *const names[] = {
	    "qosid", "format", "space", "office", "signing", "encryption", "signature", "proof"};
	char asked[SPACE_ID_HEX + 1], signature[ROSTER_PROOF_BYTES], by_old[ROSTER_PROOF_BYTES];
	struct roster_member member = {0};
	struct json_slice values[8] = {0};
	int rc = read_document(values, names, 8, "roll", text, len, err);

	if (rc == 0)
		rc = fields_space(values[2], asked, err);
	if (rc == 0 && strcmp(asked, space) != 0)
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the new keys are for another space, %s", asked);
	if (rc == 0)
		rc = fields_slug(values[3], "office", member.office, err);
	if (rc == 0)
		rc = fields_signing_key(values[4], member.signing_public, err);
	if (rc == 0)
		rc = fields_recipient(values[5], member.recipient, err);
	if (rc == 0)
		rc = fields_armor(values[6], "signature", signature, sizeof(signature), err);
	if (rc == 0)
		rc = fields_armor(values[7], "proof", by_old, sizeof(by_old), err);
	if (rc == 0)
		rc = verify_roll(&member, space, signature, err);
	if (rc == 0)
		rc = qosid_buf_append_text(proof, by_old, err);
	if (rc == 0)
		*out = member;
	return rc;
}
