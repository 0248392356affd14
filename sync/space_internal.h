/*
 * What the files of sync/ (space.c, space_config.c, membership.c, history.c) share.
 */
#ifndef QOSID_SYNC_SPACE_INTERNAL_H
#define QOSID_SYNC_SPACE_INTERNAL_H

#include <git2.h>

#include "sync/space.h"

/* What the config file says. */
struct space_config {
	char id[SPACE_ID_HEX + 1];
	char office[LIMIT_SLUG_BYTES + 1];
	char steward[LIMIT_SLUG_BYTES + 1];
	uint8_t root[DIGEST_BYTES];
	struct exchange_settings settings;
	char *identity_file;           /* absolute, or relative to the folder */
	char signing[SSH_PUBLIC_SIZE]; /* public halves, readable without the passphrase */
	char recipient[AGE_RECIPIENT_SIZE];
	char *next_file; /* of new keys that the stewards have been asked for, or NULL */
	char next_signing[SSH_PUBLIC_SIZE];
	char next_recipient[AGE_RECIPIENT_SIZE];
};
void space_config_free(struct space_config *config);
int space_config_read(struct space_config *out, const char *dir, struct qosid_errbuf *err);
int space_config_write(const struct space_config *in, const char *dir, struct qosid_errbuf *err);

int space_config_open(git_config **out, const char *dir, struct qosid_errbuf *err);
/* An error with what libgit2 says about it. */
int space_config_failure(struct qosid_errbuf *err, int code, const char *what);

/* Change the config: on a copy that is put on disk before it takes the config's place, so that power loss leaves one or
 * the other. Two at once are kept apart by the space's lock. end: put it in place when rc is 0, and free all. */
struct space_config_edit {
	git_config *config;
	char *path, *copy;
};
int space_config_begin_edit(struct space_config_edit *edit, const char *dir, struct qosid_errbuf *err);
int space_config_end_edit(struct space_config_edit *edit, const char *dir, int rc, struct qosid_errbuf *err);

/* Add a remote to the config of a folder (space_remote.c). */
int space_config_put_remote(const char *dir, const char *name, const char *url, struct qosid_errbuf *err);

struct space {
	char *dir;
	struct space_config config;
	struct space_unlock unlock;
	struct identity *identity; /* NULL until needed */
	struct identity *next;     /* the same, of new keys */
	struct exchange exchange;  /* owns replica, repo, roster, keyring here */
	int lock;                  /* of DIR/lock, or -1 */
};

/* "DIR/name" in a new string, or NULL without memory. */
char *space_path(const char *dir, const char *name);

/* Make the new keys this office's own, once the roster names them. */
int space_adopt_keys(struct space *space, struct qosid_errbuf *err);

/* Take and release the space's lock, waiting for another process for a while (QOSID_ERR_BUSY then), and bring the
 * roster up to what that process may have added. They do not nest. */
int space_hold(struct space *space, struct qosid_errbuf *err);
void space_release(struct space *space);

/* Around an exchange: lock, unlock the identity, read the settings, start a fresh report; release, and give the report
 * (which may be NULL). */
int space_begin_exchange(struct space *space, const struct exchange_progress *progress, struct qosid_errbuf *err);
void space_end_exchange(struct space *space, struct exchange_report *report);

#endif
