/*
 * The roster's states: what each accepted operation made of the one before.
 *
 * Members are kept once, sorted by office, with the state that admitted them; a state is what it adds: its digest, its
 * number of members and its epochs. So a thousand states of a thousand members take no more room than a thousand
 * members. Leaving a space will be a second number beside `since`.
 */
#include "sync/roster/roster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/roster/operation.h"

#define MEMBER_TEXT_BYTES 320 /* most members take less in a state's text */

struct state {
	uint8_t digest[DIGEST_BYTES];
	size_t member_count;
	struct roster_epoch *epochs;
	size_t epoch_count;
};

struct roster {
	char space[SPACE_ID_HEX + 1];
	char creator[LIMIT_SLUG_BYTES + 1]; /* the steward who may change the roster */
	struct roster_member *members;      /* sorted by office; room for one more than there are */
	char **texts;                       /* each member as it stands in the text that a state's digest covers */
	size_t member_count;
	struct state *states;
	size_t state_count;
};

/* ---- roles ---- */

static const struct {
	const char *name;
	unsigned role;
} role_names[] = {
    /* in alphabetical order, which is the order they are written in */
    {"auditor", ROLE_AUDITOR},
    {"reader", ROLE_READER},
    {"steward", ROLE_STEWARD},
    {"witness", ROLE_WITNESS},
    {"writer", ROLE_WRITER},
};
#define ROLE_COUNT (sizeof(role_names) / sizeof(role_names[0]))

bool roster_is_entitled(unsigned roles)
{
	return (roles & (ROLE_STEWARD | ROLE_WRITER | ROLE_READER | ROLE_AUDITOR)) != 0;
}

static int check_roles(unsigned roles, struct qosid_errbuf *err)
{
	unsigned known = 0;

	for (size_t i = 0; i < ROLE_COUNT; i++)
		known |= role_names[i].role;
	if (roles == 0 || (roles & ~known) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "a member needs at least one known role");
	if ((roles & ROLE_WITNESS) != 0 && roster_is_entitled(roles))
		return qosid_error(
		    err, QOSID_ERR_INVALID, "a witness never reads records, so it cannot have another role");
	if ((roles & ROLE_AUDITOR) != 0 && (roles & ROLE_WRITER) != 0)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "an auditor never publishes, so it cannot be a writer as well");
	return 0;
}

static int parse_role(unsigned *roles, const char *word, size_t len, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		if (strlen(role_names[i].name) != len || memcmp(role_names[i].name, word, len) != 0)
			continue;
		if ((*roles & role_names[i].role) != 0)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "the role \"%s\" is named twice", role_names[i].name);
		*roles |= role_names[i].role;
		return 0;
	}
	(void)qosid_error(err, QOSID_ERR_INVALID, "there is no role \"%.*s\"", (int)(len < 40 ? len : 40), word);
	qosid_error_hint(err, "The roles are steward, writer, reader, auditor and witness, separated by commas.");
	return QOSID_ERR_INVALID;
}

int roster_parse_roles(unsigned *out, const char *text, struct qosid_errbuf *err)
{
	unsigned roles = 0;
	const char *word = text;

	for (;;) {
		size_t len = strcspn(word, ",");
		int rc = parse_role(&roles, word, len, err);
		if (rc != 0)
			return rc;
		if (word[len] == '\0')
			break;
		word += len + 1;
	}
	int rc = check_roles(roles, err);
	if (rc == 0)
		*out = roles;
	return rc;
}

int roster_format_roles(unsigned roles, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const char *comma = "";
	int rc = check_roles(roles, err);

	for (size_t i = 0; i < ROLE_COUNT && rc == 0; i++) {
		if ((roles & role_names[i].role) == 0)
			continue;
		rc = qosid_buf_append_format(out, err, "%s%s", comma, role_names[i].name);
		comma = ",";
	}
	return rc;
}

/* ---- the roster ---- */

int roster_create(struct roster **out, struct qosid_errbuf *err)
{
	struct roster *roster = calloc(1, sizeof(*roster));

	if (roster == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a roster");
	*out = roster;
	return 0;
}

void roster_free(struct roster *roster)
{
	if (roster == NULL)
		return;
	for (size_t i = 0; i < roster->member_count; i++)
		free(roster->texts[i]);
	for (size_t i = 0; i < roster->state_count; i++)
		free(roster->states[i].epochs);
	free(roster->texts);
	free(roster->members);
	free(roster->states);
	free(roster);
}

/* The place of the first member whose office is not before this one. */
static size_t find_place(const struct roster *roster, const char *office)
{
	size_t low = 0, high = roster->member_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(roster->members[middle].office, office) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct state *get_state(const struct roster *roster, int64_t state)
{
	if (state == -1)
		state = (int64_t)roster->state_count - 1;
	if (state < 0 || (uint64_t)state >= roster->state_count)
		return NULL;
	return &roster->states[state];
}

/* ---- judging operations ---- */

static int check_first(
    const struct operation *operation, const uint8_t signer[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	if (operation->kind != OPERATION_CREATE)
		return qosid_error(err, QOSID_ERR_REFUSED, "the first roster operation does not create a space");
	if (strcmp(operation->steward, operation->member.office) != 0 || (operation->member.roles & ROLE_STEWARD) == 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the first roster operation does not make its author steward");
	if (operation->epoch_count != 1)
		return qosid_error(err, QOSID_ERR_REFUSED, "a new space has %zu epochs", operation->epoch_count);
	if (memcmp(signer, operation->member.signing_public, SIGNING_PUBLIC_BYTES) != 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the first roster operation is not signed by the key that it names");
	return 0;
}

/* NULL, and err says so, when this office may not change the roster. */
static const struct roster_member *find_steward(
    const struct roster *roster, const char *steward, struct qosid_errbuf *err)
{
	const struct roster_member *member = roster_find_member(roster, -1, steward);

	if (member != NULL && (member->roles & ROLE_STEWARD) != 0 && strcmp(member->office, roster->creator) == 0)
		return member;
	(void)qosid_error(err, QOSID_ERR_REFUSED, "%.63s is not a steward of the space", steward);
	return NULL;
}

static int check_newcomer(const struct roster *roster, const struct roster_member *newcomer, struct qosid_errbuf *err)
{
	char skeleton[LIMIT_SLUG_BYTES + 1], other[LIMIT_SLUG_BYTES + 1];

	if ((newcomer->roles & ROLE_STEWARD) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%s cannot be admitted as a steward: a space has one, who created it", newcomer->office);
	if (roster->member_count >= LIMIT_MEMBERS)
		return qosid_error(err, QOSID_ERR_LIMIT, "the space has %u members, which is the most", LIMIT_MEMBERS);
	slug_skeleton(skeleton, newcomer->office);
	for (size_t i = 0; i < roster->member_count; i++) {
		const struct roster_member *member = &roster->members[i];
		slug_skeleton(other, member->office);
		if (strcmp(member->office, newcomer->office) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "%s is a member already", newcomer->office);
		if (strcmp(other, skeleton) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED,
			    "the name %s looks like that of the member %s and would be taken for it", newcomer->office,
			    member->office);
		if (memcmp(member->signing_public, newcomer->signing_public, SIGNING_PUBLIC_BYTES) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "%s has the signing key of the member %s",
			    newcomer->office, member->office);
		if (strcmp(member->recipient, newcomer->recipient) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "%s has the encryption key of the member %s",
			    newcomer->office, member->office);
	}
	return 0;
}

/* An addition writes the keys of all epochs anew; it starts none. */
static int check_epochs(const struct state *before, const struct operation *operation, struct qosid_errbuf *err)
{
	if (operation->epoch_count != before->epoch_count)
		return qosid_error(err, QOSID_ERR_REFUSED, "the operation names %zu epochs of %zu",
		    operation->epoch_count, before->epoch_count);
	for (size_t i = 0; i < before->epoch_count; i++) {
		if (strcmp(operation->epochs[i].recipient, before->epochs[i].recipient) != 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "the operation changes the key of epoch %" PRId64,
			    before->epochs[i].number);
	}
	return 0;
}

static int check_next(const struct roster *roster, const struct operation *operation,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	const struct state *before = &roster->states[roster->state_count - 1];
	const struct roster_member *steward = find_steward(roster, operation->steward, err);
	int rc;

	if (steward == NULL)
		return QOSID_ERR_REFUSED;
	if (operation->kind != OPERATION_ADD)
		return qosid_error(err, QOSID_ERR_REFUSED, "the space has been created already");
	if (strcmp(operation->space, roster->space) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the roster operation belongs to another space");
	if (memcmp(signer, steward->signing_public, SIGNING_PUBLIC_BYTES) != 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the roster operation is not signed by the steward %s", steward->office);
	if (memcmp(operation->seen, before->digest, DIGEST_BYTES) != 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the roster operation was made on another state than the one before it");
	rc = check_epochs(before, operation, err);
	return rc != 0 ? rc : check_newcomer(roster, &operation->member, err);
}

static int check_operation(const struct roster *roster, const char *steward, int64_t sequence,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], const struct operation *operation, struct qosid_errbuf *err)
{
	int64_t next = (int64_t)roster->state_count + 1;

	if (strcmp(operation->steward, steward) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation is by %s, but stands in the log of %.63s", operation->steward, steward);
	if (operation->sequence != sequence)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation has sequence %" PRId64 ", its commit %" PRId64, operation->sequence,
		    sequence);
	if (sequence != next)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation has sequence %" PRId64 ", expected is %" PRId64, sequence, next);
	return roster->state_count == 0 ? check_first(operation, signer, err)
					: check_next(roster, operation, signer, err);
}

/* ---- taking effect ---- */

/* A state's text: the canonical JSON of {"epochs":[..],"members":[.. by office ..],"space":".."}, with the newcomer in
 * its place. */
static int compute_digest(const struct roster *roster, const struct operation *operation, size_t place,
    const char *newcomer, uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = qosid_buf_reserve(&text, (roster->member_count + operation->epoch_count + 1) * MEMBER_TEXT_BYTES, err);

	if (rc == 0)
		rc = qosid_buf_append_text(&text, "{\"epochs\":", err);
	if (rc == 0)
		rc = roster_format_epochs(&text, operation->epochs, operation->epoch_count, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&text, ",\"members\":[", err);
	for (size_t i = 0; i <= roster->member_count && rc == 0; i++) {
		const char *member = i == place ? newcomer : roster->texts[i < place ? i : i - 1];
		if (i > 0)
			rc = qosid_buf_append_byte(&text, ',', err);
		if (rc == 0)
			rc = qosid_buf_append_text(&text, member, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_format(&text, err, "],\"space\":\"%s\"}", operation->space);
	if (rc == 0)
		digest_compute(digest, text.data, text.len);
	qosid_buf_free(&text);
	return rc;
}

/* Room for one more, so that taking effect cannot fail halfway. */
static int make_room(struct roster *roster, struct qosid_errbuf *err)
{
	size_t members = roster->member_count + 1, states = roster->state_count + 1;
	void *grown;

	grown = reallocarray(roster->members, members, sizeof(*roster->members));
	if (grown == NULL)
		goto nomem;
	roster->members = grown;
	grown = reallocarray(roster->texts, members, sizeof(*roster->texts));
	if (grown == NULL)
		goto nomem;
	roster->texts = grown;
	grown = reallocarray(roster->states, states, sizeof(*roster->states));
	if (grown == NULL)
		goto nomem;
	roster->states = grown;
	return 0;
nomem:
	return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu members", members);
}

static int take_effect(struct roster *roster, struct operation *operation, struct qosid_errbuf *err)
{
	size_t place = find_place(roster, operation->member.office);
	size_t after = roster->member_count - place;
	struct qosid_buf text = {0};
	struct state state = {.member_count = roster->member_count + 1, .epoch_count = operation->epoch_count};
	int rc = make_room(roster, err);

	if (rc == 0)
		rc = roster_format_member(&text, &operation->member, err);
	if (rc == 0)
		rc = compute_digest(roster, operation, place, (const char *)text.data, state.digest, err);
	if (rc != 0) {
		qosid_buf_free(&text);
		return rc;
	}
	memmove(&roster->members[place + 1], &roster->members[place], after * sizeof(*roster->members));
	memmove(&roster->texts[place + 1], &roster->texts[place], after * sizeof(*roster->texts));
	roster->members[place] = operation->member;
	roster->members[place].since = (int64_t)roster->state_count;
	roster->texts[place] = (char *)text.data;
	roster->member_count++;
	state.epochs = operation->epochs;
	operation->epochs = NULL;
	if (roster->state_count == 0) {
		memcpy(roster->space, operation->space, sizeof(roster->space));
		memcpy(roster->creator, operation->steward, sizeof(roster->creator));
	}
	roster->states[roster->state_count++] = state;
	return 0;
}

int roster_add_operation(struct roster *roster, const char *steward, int64_t sequence,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], const void *operation, size_t len, struct qosid_errbuf *err)
{
	struct operation parsed;
	int rc = operation_parse(&parsed, operation, len, err);

	if (rc == 0)
		rc = check_operation(roster, steward, sequence, signer, &parsed, err);
	if (rc == 0)
		rc = take_effect(roster, &parsed, err);
	operation_free(&parsed);
	return rc;
}

int roster_expected_signer(const struct roster *roster, const char *steward, const void *operation, size_t len,
    uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	const struct roster_member *member;
	struct operation parsed;
	int rc;

	if (roster->state_count > 0) {
		member = find_steward(roster, steward, err);
		if (member == NULL)
			return QOSID_ERR_REFUSED;
		memcpy(out, member->signing_public, SIGNING_PUBLIC_BYTES);
		return 0;
	}
	rc = operation_parse(&parsed, operation, len, err);
	if (rc == 0) {
		/* It vouches for itself here; what makes it the right one is the root that a joiner pins. */
		rc = strcmp(parsed.steward, steward) != 0
			 ? qosid_error(err, QOSID_ERR_REFUSED,
			       "the roster operation is by %s, but stands in the log of %.63s", parsed.steward, steward)
			 : check_first(&parsed, parsed.member.signing_public, err);
	}
	if (rc == 0)
		memcpy(out, parsed.member.signing_public, SIGNING_PUBLIC_BYTES);
	operation_free(&parsed);
	return rc;
}

/* ---- reading states ---- */

int64_t roster_state_count(const struct roster *roster)
{
	return (int64_t)roster->state_count;
}

int roster_state_digest(const struct roster *roster, int64_t state, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	const struct state *found = get_state(roster, state);

	if (found == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster has no state %" PRId64, state);
	memcpy(out, found->digest, DIGEST_BYTES);
	return 0;
}

int roster_find_state(
    const struct roster *roster, const uint8_t digest[DIGEST_BYTES], int64_t *state, struct qosid_errbuf *err)
{
	for (size_t i = roster->state_count; i-- > 0;) {
		if (memcmp(roster->states[i].digest, digest, DIGEST_BYTES) == 0) {
			*state = (int64_t)i;
			return 0;
		}
	}
	return qosid_error(err, QOSID_ERR_WAITING, "the roster state that it names has not arrived");
}

const char *roster_space(const struct roster *roster)
{
	return roster->space;
}

const struct roster_member *roster_find_member(const struct roster *roster, int64_t state, const char *office)
{
	const struct state *found = get_state(roster, state);
	size_t place = find_place(roster, office);

	if (found == NULL || place == roster->member_count || strcmp(roster->members[place].office, office) != 0)
		return NULL;
	return roster->members[place].since <= found - roster->states ? &roster->members[place] : NULL;
}

size_t roster_member_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : found->member_count;
}

const struct roster_member *roster_member_at(const struct roster *roster, int64_t state, size_t index)
{
	const struct state *found = get_state(roster, state);

	if (found == NULL || index >= found->member_count)
		return NULL;
	if (found->member_count == roster->member_count)
		return &roster->members[index];
	for (size_t i = 0; i < roster->member_count; i++) {
		if (roster->members[i].since <= found - roster->states && index-- == 0)
			return &roster->members[i];
	}
	return NULL;
}

size_t roster_epoch_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : found->epoch_count;
}

const struct roster_epoch *roster_epoch_at(const struct roster *roster, int64_t state, size_t index)
{
	const struct state *found = get_state(roster, state);

	return found == NULL || index >= found->epoch_count ? NULL : &found->epochs[index];
}

int roster_format_allowed_signers(const struct roster *roster, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; i < roster->member_count && rc == 0; i++)
		rc = sshsig_format_allowed_signer(
		    out, roster->members[i].office, roster->members[i].signing_public, err);
	return rc;
}
