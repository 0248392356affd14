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

/* Wrap the key of every epoch for the members as they are, and the one who joins. */
static int wrap_epochs(struct space *space, const struct roster_member *joining, struct roster_epoch *epochs,
    struct qosid_buf *wrapped, int64_t *numbers, size_t count, struct qosid_errbuf *err)
{
	const struct age_key *key;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		epochs[i] = *roster_epoch_at(space->exchange.roster, -1, i);
		numbers[i] = epochs[i].number;
		if ((rc = keyring_find(&space->exchange, numbers[i], &key, err)) != 0 ||
		    (rc = epoch_wrap(&wrapped[i], space->exchange.roster, -1, joining, numbers[i], key, err)) != 0)
			break;
		digest_compute(epochs[i].file_digest, wrapped[i].data, wrapped[i].len);
	}
	return rc;
}

int space_admit(struct space *space, const struct roster_member *member, unsigned roles, struct qosid_errbuf *err)
{
	struct roster_epoch epochs[LIMIT_TREE_ENTRIES];
	struct qosid_buf operation = {0}, wrapped[LIMIT_TREE_ENTRIES] = {{0}}, roles_text = {0};
	struct roster_member joining = *member;
	int64_t numbers[LIMIT_TREE_ENTRIES];
	char subject[LIMIT_SLUG_BYTES * 2 + 128];
	size_t count = 0;
	int rc;

	/* The passphrase is asked for before the lock is taken: people take their time. */
	if ((rc = check_steward(space, err)) != 0 || (rc = space_identity(space, NULL, err)) != 0 ||
	    (rc = space_hold(space, err)) != 0)
		return rc;
	joining.roles = roles;
	if ((rc = check_steward(space, err)) != 0 || (rc = roster_format_roles(roles, &roles_text, err)) != 0)
		goto out;
	count = roster_epoch_count(space->exchange.roster, -1);
	if (count > LIMIT_TREE_ENTRIES) {
		count = 0;
		rc = qosid_error(err, QOSID_ERR_LIMIT, "more than %u epochs", LIMIT_TREE_ENTRIES);
		goto out;
	}
	if ((rc = wrap_epochs(space, &joining, epochs, wrapped, numbers, count, err)) != 0)
		goto out;
	(void)snprintf(subject, sizeof(subject), "%s: add %s (%.100s)", space->config.office, joining.office,
	    (const char *)roles_text.data);
	if ((rc = roster_format_add(&operation, space->exchange.roster, space->config.office,
		 space->exchange.roster_point.sequence + 1, &joining, epochs, count, (int64_t)time(NULL) * 1000,
		 err)) != 0)
		goto out;
	rc = roster_log_append(&space->exchange, &operation, wrapped, numbers, count, subject, err);
out:
	space_release(space);
	for (size_t i = 0; i < count; i++)
		qosid_buf_free(&wrapped[i]);
	qosid_buf_free(&operation);
	qosid_buf_free(&roles_text);
	return rc;
}
