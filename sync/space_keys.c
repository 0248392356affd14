/*
 * An office's own keys: loading them, and rolling them over.
 *
 * New keys are made and kept beside the old ones until the roster names them; from then on they sign, and the old ones
 * are left in their file, where they still open what was sealed to them. Until then the old ones do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/space_internal.h"

static int load(
    const struct space *space, const char *file, const char *recipient, struct identity **out, struct qosid_errbuf *err)
{
	char *path = file[0] == '/' ? strdup(file) : space_path(space->dir, file);
	int rc;

	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = identity_load(out, path, space->unlock.ask, space->unlock.context, err);
	free(path);
	if (rc == 0 && strcmp(identity_recipient(*out), recipient) != 0) {
		identity_free(*out);
		*out = NULL;
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "the identity in %s is not the one this space was made with", file);
	}
	return rc;
}

int space_identity(struct space *space, const struct identity **out, struct qosid_errbuf *err)
{
	int rc = 0;

	if (space->identity == NULL)
		rc = load(space, space->config.identity_file, space->config.recipient, &space->identity, err);
	if (rc == 0 && space->next == NULL && space->config.next_file != NULL)
		rc = load(space, space->config.next_file, space->config.next_recipient, &space->next, err);
	space->exchange.identity = space->identity;
	space->exchange.next = space->next;
	exchange_choose_identity(&space->exchange);
	if (out != NULL)
		*out = rc == 0 ? space->exchange.identity : NULL;
	return rc;
}

int space_adopt_keys(struct space *space, struct qosid_errbuf *err)
{
	struct space_config *config = &space->config;
	char *old = config->identity_file;
	int rc;

	exchange_choose_identity(&space->exchange);
	if (space->next == NULL || space->exchange.identity != space->next)
		return 0;
	config->identity_file = config->next_file;
	config->next_file = NULL;
	memcpy(config->signing, config->next_signing, sizeof(config->signing));
	memcpy(config->recipient, config->next_recipient, sizeof(config->recipient));
	rc = space_config_write(config, space->dir, err);
	free(old);
	identity_free(space->identity);
	space->identity = space->next;
	space->next = NULL;
	space->exchange.next = NULL;
	return rc;
}

/* A file name in the space's folder that is free: "identity-2", "identity-3"... */
static int choose_file(const struct space *space, char **name, char **path, struct qosid_errbuf *err)
{
	for (int i = 2; i < 10000; i++) {
		if (asprintf(name, "identity-%d", i) < 0) {
			*name = NULL;
			break;
		}
		*path = space_path(space->dir, *name);
		if (*path == NULL || access(*path, F_OK) != 0)
			break;
		free(*name);
		free(*path);
		*name = *path = NULL;
	}
	return *name == NULL || *path == NULL ? qosid_error(err, QOSID_ERR_NOMEM, "out of memory") : 0;
}

static int make_next(struct space *space, const char *passphrase, struct qosid_errbuf *err)
{
	struct space_config *config = &space->config;
	struct identity *identity = NULL;
	char *name = NULL, *path = NULL;
	int rc;

	if ((rc = choose_file(space, &name, &path, err)) != 0 || (rc = identity_create(&identity, err)) != 0 ||
	    (rc = identity_save(identity, path, passphrase, err)) != 0)
		goto out;
	config->next_file = name;
	name = NULL;
	(void)snprintf(config->next_signing, sizeof(config->next_signing), "%s", identity_ssh_public(identity));
	(void)snprintf(config->next_recipient, sizeof(config->next_recipient), "%s", identity_recipient(identity));
	if ((rc = space_config_write(config, space->dir, err)) != 0)
		goto out;
	space->exchange.next = space->next = identity;
	identity = NULL;
out:
	identity_free(identity);
	free(name);
	free(path);
	return rc;
}

int space_roll_keys(struct space *space, const char *passphrase, struct qosid_buf *request, struct qosid_errbuf *err)
{
	int rc;

	if ((rc = space_identity(space, NULL, err)) != 0 || (rc = space_hold(space, err)) != 0)
		return rc;
	if (roster_find_member(space->exchange.roster, -1, space->config.office) == NULL)
		rc = qosid_error(err, QOSID_ERR_WAITING, "%s has not been admitted yet", space->config.office);
	if (rc == 0 && space->next == NULL) /* otherwise the same request again */
		rc = make_next(space, passphrase, err);
	if (rc == 0)
		rc = roll_format(request, space->config.id, space->config.office, space->next, space->identity, err);
	space_release(space);
	return rc;
}
