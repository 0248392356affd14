/*
 * Membership as a steward changes it; see space.h. What an operation may do is decided in roster/, by everybody alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/space_internal.h"

static int find_steward_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	struct roster_invitation *invitation = context;

	(void)name;
	if (strlen(url) >= sizeof(invitation->remote))
		return qosid_error(err, QOSID_ERR_LIMIT, "the remote's path is too long for an invitation");
	(void)snprintf(invitation->remote, sizeof(invitation->remote), "%s", url);
	return 1; /* the first one will do */
}

static int check_steward(struct space *space, struct qosid_errbuf *err)
{
	const struct roster_member *me = roster_find_member(space->exchange.roster, -1, space->config.office);

	if (me != NULL && (me->roles & ROLE_STEWARD) != 0)
		return 0;
	(void)qosid_error(err, QOSID_ERR_REFUSED, "%s is not a steward of this space", space->config.office);
	qosid_error_hint(err, "ask %s, who is", space->config.steward);
	return QOSID_ERR_REFUSED;
}

int space_invite(struct space *space, struct roster_invitation *out, struct qosid_errbuf *err)
{
	int rc;

	*out = (struct roster_invitation){0};
	if ((rc = check_steward(space, err)) != 0)
		return rc;
	(void)snprintf(out->space, sizeof(out->space), "%s", space->config.id);
	(void)snprintf(out->steward, sizeof(out->steward), "%s", space->config.steward);
	memcpy(out->root, space->config.root, DIGEST_BYTES);
	rc = space_visit_remotes(space, find_steward_remote, out, err);
	return rc > 0 ? 0 : rc;
}

/* ---- epochs ---- */

enum epoch_need {
	EPOCH_NONE,
	EPOCH_NEW,  /* somebody must not read what comes */
	EPOCH_GIVE, /* somebody gets the keys there are */
};

/* An operation under way. */
struct plan {
	struct roster_change change;
	struct roster_epoch epoch;
	struct qosid_buf wrapped, operation;
	char subject[LIMIT_SLUG_BYTES * 2 + 128];
};

static void plan_free(struct plan *plan)
{
	qosid_buf_free(&plan->wrapped);
	qosid_buf_free(&plan->operation);
}

/* The first epoch that everybody who reads may read. */
static int64_t find_common(const struct roster *roster)
{
	int64_t first = 1;

	for (size_t i = 0; i < roster_member_count(roster, -1); i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);

		if (roster_is_entitled(member->roles) && member->first_epoch > first)
			first = member->first_epoch;
	}
	return first;
}

/* Put the keys of the epochs down to first, newest first, after those that are in keys. One that this office has not
 * been given itself is left out, unless it is the newest. */
static int collect_keys(
    struct space *space, int64_t first, const struct age_key **keys, size_t *count, struct qosid_errbuf *err)
{
	int64_t newest = roster_epoch_count(space->exchange.roster, -1);
	int rc;

	for (int64_t number = newest; number >= first; number--) {
		rc = keyring_find(&space->exchange, -1, number, &keys[*count], err);
		if (rc == 0)
			(*count)++;
		else if (rc != QOSID_ERR_REFUSED || (number == newest && *count == 0))
			return rc;
		else
			qosid_error_clear(err);
	}
	return 0;
}

/* Wrap the keys that the operation's commit carries. member is whom it is about as it will be, or NULL; joins: it is to
 * read what comes only. A new epoch's file holds, besides its key, those that all its readers may have, so that nobody
 * whom stewards acting at once have left without one stays without. */
static int wrap_epoch(struct space *space, struct plan *plan, enum epoch_need need, const struct roster_member *member,
    bool joins, struct qosid_errbuf *err)
{
	const struct roster *roster = space->exchange.roster;
	int64_t newest = roster_epoch_count(roster, -1), common = find_common(roster);
	const char **recipients = calloc(roster_member_count(roster, -1) + 2, sizeof(*recipients));
	const struct age_key **keys = calloc((size_t)newest + 2, sizeof(struct age_key *));
	struct age_key *fresh = NULL;
	size_t recipient_count, key_count = 0;
	int rc = 0;

	if (recipients == NULL || keys == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		goto out;
	}
	recipient_count = epoch_list_recipients(roster, -1, member, recipients);
	plan->epoch.number = newest;
	if (need == EPOCH_NEW) {
		if ((rc = age_key_create(&fresh, err)) != 0)
			goto out;
		keys[key_count++] = fresh;
		plan->epoch.number = newest + 1;
		common = joins ? newest + 1 : common;
	} else if (common > 1) { /* more than what some others may have */
		recipients[0] = member->recipient;
		recipient_count = 1;
		common = member->first_epoch > 0 ? member->first_epoch : 1;
	}
	if ((rc = collect_keys(space, common, keys, &key_count, err)) != 0 ||
	    (rc = epoch_wrap(&plan->wrapped, recipients, recipient_count, keys, key_count, plan->epoch.number, err)) !=
		0)
		goto out;
	memcpy(plan->epoch.recipient, age_key_recipient(keys[0]), AGE_RECIPIENT_SIZE);
	digest_compute(plan->epoch.file_digest, plan->wrapped.data, plan->wrapped.len);
	plan->change.epoch = &plan->epoch;
out:
	age_key_free(fresh);
	free(keys);
	free(recipients);
	return rc;
}

/* ---- operations ---- */

/* Ask for the passphrase, then take the lock: people take their time. */
static int begin(struct space *space, struct qosid_errbuf *err)
{
	int rc;

	if ((rc = check_steward(space, err)) != 0 || (rc = space_identity(space, NULL, err)) != 0 ||
	    (rc = space_hold(space, err)) != 0)
		return rc;
	exchange_choose_identity(&space->exchange);
	if ((rc = check_steward(space, err)) != 0)
		space_release(space);
	return rc;
}

static void find_outcome(const struct space *space, const struct plan *plan, struct space_outcome *out)
{
	struct roster_pending pending;

	*out = (struct space_outcome){0};
	digest_compute(out->operation, plan->operation.data, plan->operation.len);
	for (size_t i = 0; roster_pending_at(space->exchange.roster, -1, i, &pending); i++) {
		const uint8_t *about = plan->change.kind == ROSTER_ENDORSE ? plan->change.endorses : out->operation;

		if (memcmp(pending.entry.digest, about, DIGEST_BYTES) != 0)
			continue;
		out->waits = true;
		out->endorsed = pending.endorsed;
		out->needed = pending.needed;
	}
	if (plan->change.epoch != NULL && plan->epoch.number > 0)
		out->epoch = plan->epoch.number;
}

/* Write the operation that plan describes. The lock is held. */
static int write_operation(
    struct space *space, struct plan *plan, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct log_point point;
	int rc;

	roster_log_read_point(&space->exchange, space->config.office, &point);
	if ((rc = roster_format_change(&plan->operation, space->exchange.roster, space->config.office,
		 point.sequence + 1, &plan->change, (int64_t)time(NULL) * 1000, err)) != 0 ||
	    (rc = roster_log_append(
		 &space->exchange, &plan->operation, &plan->wrapped, plan->epoch.number, plan->subject, err)) != 0)
		return rc;
	if (outcome != NULL)
		find_outcome(space, plan, outcome);
	return 0;
}

int space_admit(struct space *space, const struct roster_member *member, unsigned roles, bool from_now,
    struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_ADD, .member = *member}};
	struct qosid_buf text = {0};
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	plan.change.member.roles = roles;
	plan.change.member.first_epoch = 0;
	if ((rc = roster_format_roles(roles, &text, err)) != 0)
		goto out;
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: add %s (%.100s)", space->config.office, member->office,
	    (const char *)text.data);
	if (roster_is_entitled(roles))
		rc = wrap_epoch(space, &plan, from_now ? EPOCH_NEW : EPOCH_GIVE, &plan.change.member, from_now, err);
	if (rc == 0)
		rc = write_operation(space, &plan, outcome, err);
out:
	space_release(space);
	plan_free(&plan);
	qosid_buf_free(&text);
	return rc;
}

/* The member as it is now. */
static int find_target(struct space *space, const char *office, struct roster_member *out, struct qosid_errbuf *err)
{
	const struct roster_member *member = roster_find_member(space->exchange.roster, -1, office);

	if (member == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "there is no office %s in this space", office);
	*out = *member;
	return 0;
}

int space_set_roles(struct space *space, const char *office, unsigned roles, bool from_now,
    struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_SET_ROLES}};
	struct roster_member *member = &plan.change.member;
	struct qosid_buf text = {0};
	bool before, after;
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	if ((rc = find_target(space, office, member, err)) != 0 || (rc = roster_format_roles(roles, &text, err)) != 0)
		goto out;
	before = roster_is_entitled(member->roles);
	after = roster_is_entitled(roles);
	member->roles = roles;
	member->first_epoch = before ? member->first_epoch : 0;
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: %s becomes %.100s", space->config.office, office,
	    (const char *)text.data);
	if (before && !after)
		rc = wrap_epoch(space, &plan, EPOCH_NEW, member, false, err);
	else if (after && !before)
		rc = wrap_epoch(space, &plan, from_now ? EPOCH_NEW : EPOCH_GIVE, member, from_now, err);
	if (rc == 0)
		rc = write_operation(space, &plan, outcome, err);
out:
	space_release(space);
	plan_free(&plan);
	qosid_buf_free(&text);
	return rc;
}

int space_remove(struct space *space, const char *office, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_REMOVE}};
	struct roster_member *member = &plan.change.member;
	struct log_point point;
	bool entitled;
	struct log log;
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	if ((rc = find_target(space, office, member, err)) != 0)
		goto out;
	log_init(&log, LOG_OFFICE, office);
	if ((rc = log_read_point(space->exchange.replica, &log, &point, err)) != 0)
		goto out;
	plan.change.until = point.sequence;
	entitled = roster_is_entitled(member->roles);
	member->roles = 0;
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: remove %s", space->config.office, office);
	if (entitled)
		rc = wrap_epoch(space, &plan, EPOCH_NEW, member, false, err);
	if (rc == 0)
		rc = write_operation(space, &plan, outcome, err);
out:
	space_release(space);
	plan_free(&plan);
	return rc;
}

int space_rotate(struct space *space, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_ROTATE}};
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: new epoch", space->config.office);
	if ((rc = wrap_epoch(space, &plan, EPOCH_NEW, NULL, false, err)) == 0)
		rc = write_operation(space, &plan, outcome, err);
	space_release(space);
	plan_free(&plan);
	return rc;
}

int space_replace_keys(struct space *space, const struct roster_member *member, const char *proof,
    struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_ROLL_KEY, .proof = proof}};
	struct roster_member *target = &plan.change.member;
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	if ((rc = find_target(space, member->office, target, err)) != 0)
		goto out;
	memcpy(target->signing_public, member->signing_public, SIGNING_PUBLIC_BYTES);
	memcpy(target->recipient, member->recipient, AGE_RECIPIENT_SIZE);
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: new keys of %s", space->config.office, member->office);
	if (roster_is_entitled(target->roles))
		rc = wrap_epoch(space, &plan, EPOCH_GIVE, target, false, err);
	if (rc == 0)
		rc = write_operation(space, &plan, outcome, err);
	if (rc == 0)
		rc = space_adopt_keys(space, err);
out:
	space_release(space);
	plan_free(&plan);
	return rc;
}

/* Those that need neither a member's keys nor an epoch. */
static int write_plain(struct space *space, struct plan *plan, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	int rc = write_operation(space, plan, outcome, err);

	space_release(space);
	plan_free(plan);
	return rc;
}

int space_set_threshold(struct space *space, int64_t threshold, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_THRESHOLD, .threshold = threshold}};
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: %lld stewards must agree", space->config.office,
	    (long long)threshold);
	return write_plain(space, &plan, outcome, err);
}

/* The one operation that waits and whose digest begins so. */
static int find_pending(
    const struct space *space, const char *digits, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	size_t prefix = strncmp(digits, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) == 0 ? sizeof(DIGEST_PREFIX) - 1 : 0;
	struct roster_pending pending;
	size_t found = 0;

	digits += prefix;
	if (strlen(digits) < 8)
		return qosid_error(err, QOSID_ERR_USAGE, "name the operation by 8 of its digits or more");
	for (size_t i = 0; roster_pending_at(space->exchange.roster, -1, i, &pending); i++) {
		char text[DIGEST_TEXT_SIZE];

		digest_format(text, pending.entry.digest);
		if (strncmp(text + sizeof(DIGEST_PREFIX) - 1, digits, strlen(digits)) != 0)
			continue;
		memcpy(out, pending.entry.digest, DIGEST_BYTES);
		found++;
	}
	if (found == 1)
		return 0;
	(void)qosid_error(err, QOSID_ERR_NOTFOUND, "%s operation that waits begins with %.70s",
	    found == 0 ? "no" : "more than one", digits);
	qosid_error_hint(err, "qosid members --pending lists them");
	return QOSID_ERR_NOTFOUND;
}

int space_endorse(struct space *space, const char *digits, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_ENDORSE}};
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	if ((rc = find_pending(space, digits, plan.change.endorses, err)) != 0) {
		space_release(space);
		return rc;
	}
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: endorse", space->config.office);
	return write_plain(space, &plan, outcome, err);
}

int space_revoke(
    struct space *space, const char *office, int64_t since, struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct plan plan = {.change = {.kind = ROSTER_REVOKE, .since = since}};
	int rc;

	if ((rc = begin(space, err)) != 0)
		return rc;
	if ((rc = find_target(space, office, &plan.change.member, err)) != 0) {
		space_release(space);
		return rc;
	}
	(void)snprintf(plan.subject, sizeof(plan.subject), "%s: revoke %s from %lld on", space->config.office, office,
	    (long long)since);
	return write_plain(space, &plan, outcome, err);
}
