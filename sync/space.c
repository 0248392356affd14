/*
 * Spaces: making, joining, opening; see space.h.
 *
 * A new space is built in a folder beside the wanted one and renamed into place, so that a failure half way leaves
 * nothing.
 */
#include "sync/space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/fingerprint.h"
#include "crypto/sshsig.h"
#include "sync/exchange/newfile.h"
#include "sync/space_internal.h"

#define LOCK_TRIES 100
#define LOCK_PAUSE_MS 100

char *space_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) >= 0 ? path : NULL;
}

static int no_memory(struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
}

/* ---- opening ---- */

static bool has_entry(const char *dir, const char *name)
{
	char *path = space_path(dir, name);
	bool found = path != NULL && access(path, F_OK) == 0;

	free(path);
	return found;
}

static bool is_space(const char *dir)
{
	return has_entry(dir, "config") && has_entry(dir, "replica.db") && has_entry(dir, "log.git");
}

/* The folder that holds the space: dir, or the nearest parent of it when search is true. */
static int find_dir(char **out, const char *dir, bool search, struct qosid_errbuf *err)
{
	char *found = realpath(dir, NULL), *slash;

	*out = NULL;
	if (found == NULL)
		return qosid_error_errno(err, errno, "cannot open %s", dir);
	while (!is_space(found)) {
		slash = strrchr(found, '/');
		if (!search || slash == NULL || found[1] == '\0') {
			free(found);
			(void)qosid_error(err, QOSID_ERR_NOTFOUND, "%s is not the folder of a space%s", dir,
			    search ? ", nor is any folder above it" : "");
			qosid_error_hint(err, "name it with -C, or make one with `qosid init` or `qosid join`");
			return QOSID_ERR_NOTFOUND;
		}
		slash[slash == found ? 1 : 0] = '\0';
	}
	*out = found;
	return 0;
}

/* Open the parts of an existing folder. */
static int open_parts(struct space *space, unsigned replica_flags, bool create_repo, struct qosid_errbuf *err)
{
	struct exchange *exchange = &space->exchange;
	char *replica = space_path(space->dir, "replica.db"), *log = space_path(space->dir, "log.git");
	int rc;

	if (replica == NULL || log == NULL)
		rc = no_memory(err);
	else if ((rc = replica_open(&exchange->replica, replica, replica_flags, err)) == 0 &&
		 (rc = repo_open(&exchange->repo, log, create_repo, err)) == 0 &&
		 (rc = roster_create(&exchange->roster, err)) == 0 &&
		 (rc = roster_logs_create(&exchange->logs, err)) == 0)
		rc = keyring_create(&exchange->keyring, err);
	exchange->office = space->config.office;
	exchange->space = space->config.id;
	exchange->steward = space->config.steward;
	exchange->settings = space->config.settings;
	memcpy(exchange->root, space->config.root, DIGEST_BYTES);
	free(replica);
	free(log);
	return rc;
}

int space_open(
    struct space **out, const char *dir, bool search, const struct space_unlock *unlock, struct qosid_errbuf *err)
{
	struct space *space = calloc(1, sizeof(*space));
	int rc;

	*out = NULL;
	if (space == NULL)
		return no_memory(err);
	space->lock = -1;
	if (unlock != NULL)
		space->unlock = *unlock;
	if ((rc = find_dir(&space->dir, dir, search, err)) != 0 ||
	    (rc = space_config_read(&space->config, space->dir, err)) != 0 ||
	    (rc = open_parts(space, 0, false, err)) != 0) {
		space_close(space);
		return rc;
	}
	/* A damaged roster must not lock people out of their records. Whatever needs the roster takes the lock first,
	 * which loads the rest of it, and fails there with the reason. */
	(void)exchange_load(&space->exchange, NULL);
	*out = space;
	return 0;
}

void space_close(struct space *space)
{
	if (space == NULL)
		return;
	space_release(space);
	keyring_free(space->exchange.keyring);
	roster_free(space->exchange.roster);
	roster_logs_free(space->exchange.logs);
	repo_free(space->exchange.repo);
	replica_close(space->exchange.replica);
	identity_free(space->identity);
	identity_free(space->next);
	space_config_free(&space->config);
	free(space->dir);
	free(space);
}

const char *space_dir(const struct space *space)
{
	return space->dir;
}

const char *space_office(const struct space *space)
{
	return space->config.office;
}

const char *space_id(const struct space *space)
{
	return space->config.id;
}

struct replica *space_replica(struct space *space)
{
	return space->exchange.replica;
}

const struct roster *space_roster(struct space *space)
{
	return space->exchange.roster;
}

int space_public_keys(struct space *space, struct qosid_buf *ssh, struct qosid_buf *recipient, struct qosid_buf *words,
    struct qosid_errbuf *err)
{
	uint8_t key[SIGNING_PUBLIC_BYTES];
	int rc;

	if ((rc = sshkey_parse_public(key, space->config.signing, strlen(space->config.signing), err)) != 0 ||
	    (rc = qosid_buf_append_text(ssh, space->config.signing, err)) != 0 ||
	    (rc = qosid_buf_append_text(recipient, space->config.recipient, err)) != 0)
		return rc;
	return fingerprint_format(words, key, space->config.recipient, err);
}

int space_hold(struct space *space, struct qosid_errbuf *err)
{
	const struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};
	char *path = space_path(space->dir, "lock");
	int rc = 0;

	if (path == NULL)
		return no_memory(err);
	space->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (space->lock < 0)
		rc = qosid_error_errno(err, errno, "cannot open the lock %s", path);
	for (int i = 0; rc == 0 && flock(space->lock, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			rc = qosid_error_errno(err, errno, "cannot lock %s", path);
		else if (i == LOCK_TRIES) {
			rc = qosid_error(err, QOSID_ERR_BUSY, "another process is exchanging in this space");
			qosid_error_hint(err, "it is probably qosidd; try again in a minute");
		} else
			(void)nanosleep(&pause, NULL); /* cut short by a signal: the next try comes sooner */
	}
	free(path);
	if (rc == 0)
		rc = exchange_load(&space->exchange, err);
	if (rc != 0)
		space_release(space);
	return rc;
}

void space_release(struct space *space)
{
	if (space->lock >= 0)
		(void)close(space->lock); /* releases the lock whatever close() says */
	space->lock = -1;
}

/* ---- making ---- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void remove_folder(const char *dir)
{
	/* A folder that nobody knows of yet: what cannot be removed is only litter. */
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The place must be free, or an empty folder, which the new one takes the place of. */
static int check_empty(const char *dir, struct qosid_errbuf *err)
{
	struct dirent *entry;
	DIR *folder = opendir(dir);
	bool empty = true;

	if (folder == NULL && errno == ENOENT)
		return 0;
	if (folder == NULL && errno != ENOTDIR)
		return qosid_error_errno(err, errno, "cannot look into %s", dir);
	while (folder != NULL && (entry = readdir(folder)) != NULL)
		empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
	if (folder != NULL) {
		(void)closedir(folder); /* opened for reading only */
		if (empty)
			return 0;
	}
	(void)qosid_error(err, QOSID_ERR_EXISTS, "%s is there already and is not an empty folder", dir);
	qosid_error_hint(err, "choose another folder; nothing was changed");
	return QOSID_ERR_EXISTS;
}

/* Make the folder space->dir and hold a lock on it. One that a killed program left there, keys and all, is removed
 * first: nobody holds its lock. */
static int make_scratch(struct space *space, struct qosid_errbuf *err)
{
	for (int tries = 0; tries < 2; tries++) {
		if (mkdir(space->dir, 0700) != 0 && errno != EEXIST)
			return qosid_error_errno(err, errno, "cannot make the folder %s", space->dir);
		space->lock = open(space->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (space->lock < 0)
			return qosid_error_errno(err, errno, "cannot open the folder %s", space->dir);
		if (flock(space->lock, LOCK_EX | LOCK_NB) != 0)
			return qosid_error(err, QOSID_ERR_BUSY, "another process is making %s", space->dir);
		if (check_empty(space->dir, NULL) == 0)
			return 0;
		remove_folder(space->dir);
		space_release(space);
	}
	return qosid_error(err, QOSID_ERR_EXISTS, "%s is in the way and cannot be removed", space->dir);
}

/* What is common to making and joining: the folder, identity, replica and repository, under a temporary name. */
static int build_parts(
    struct space *space, const char *dir, const char *office, const char *passphrase, struct qosid_errbuf *err)
{
	size_t len = strlen(dir);
	char *path = NULL;
	int rc;

	if ((rc = slug_check(office, err)) != 0)
		return rc;
	while (len > 1 && dir[len - 1] == '/')
		len--;
	(void)snprintf(space->config.office, sizeof(space->config.office), "%s", office);
	if ((rc = check_empty(dir, err)) != 0)
		return rc;
	if (asprintf(&space->dir, "%.*s.qosid-new", (int)len, dir) < 0) {
		space->dir = NULL;
		return no_memory(err);
	}
	if ((rc = make_scratch(space, err)) != 0) {
		space->dir[0] = '\0'; /* not ours to remove */
		return rc;
	}
	space->config.identity_file = strdup("identity");
	path = space_path(space->dir, "identity");
	if (space->config.identity_file == NULL || path == NULL) {
		rc = no_memory(err);
		goto out;
	}
	if ((rc = identity_create(&space->identity, err)) != 0 ||
	    (rc = identity_save(space->identity, path, passphrase, err)) != 0)
		goto out;
	(void)snprintf(
	    space->config.signing, sizeof(space->config.signing), "%s", identity_ssh_public(space->identity));
	(void)snprintf(
	    space->config.recipient, sizeof(space->config.recipient), "%s", identity_recipient(space->identity));
	space->exchange.identity = space->identity;
	rc = open_parts(space, REPLICA_CREATE, true, err);
out:
	free(path);
	return rc;
}

/* Write the config and move the finished folder to its place. Closes space in any case. */
static int finish_parts(struct space *space, const char *dir, int rc, struct qosid_errbuf *err)
{
	char *built = space->dir != NULL ? strdup(space->dir) : NULL, *parent = NULL;

	if (rc == 0)
		rc = space_config_write(&space->config, space->dir, err);
	space_close(space);
	if (built == NULL)
		rc = rc != 0 ? rc : no_memory(err);
	else if (rc == 0 && (rc = newfile_fsync_folder(built, err)) == 0 && rename(built, dir) != 0)
		rc = qosid_error_errno(err, errno, "cannot put the folder %s in place", dir);
	if (rc == 0) {
		parent = space_path(dir, "..");
		rc = parent == NULL ? no_memory(err) : newfile_fsync_folder(parent, err);
	}
	if (rc != 0 && built != NULL && built[0] != '\0')
		remove_folder(built);
	free(parent);
	free(built);
	return rc;
}

static void fill_member(const struct space *space, struct roster_member *member)
{
	(void)snprintf(member->office, sizeof(member->office), "%s", space->config.office);
	memcpy(member->signing_public, identity_signing_public(space->identity), SIGNING_PUBLIC_BYTES);
	(void)snprintf(member->recipient, sizeof(member->recipient), "%s", space->config.recipient);
}

/* The first roster commit, which all else rests on. */
static int found_space(struct space *space, struct qosid_errbuf *err)
{
	struct roster_member steward = {.roles = ROLE_STEWARD | ROLE_WRITER | ROLE_READER};
	struct qosid_buf operation = {0}, wrapped = {0};
	struct roster_epoch epoch = {.number = 1};
	struct age_key *key = NULL;
	const struct age_key *first;
	const char *own;
	char subject[128];
	uint8_t id[SPACE_ID_HEX / 2];
	int rc;

	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(space->config.id, sizeof(space->config.id), id, sizeof(id));
	(void)snprintf(space->config.steward, sizeof(space->config.steward), "%s", space->config.office);
	fill_member(space, &steward);
	own = steward.recipient;
	(void)snprintf(subject, sizeof(subject), "%s: new space", space->config.office);
	if ((rc = age_key_create(&key, err)) != 0)
		goto out;
	first = key;
	if ((rc = epoch_wrap(&wrapped, &own, 1, &first, 1, epoch.number, err)) != 0)
		goto out;
	(void)snprintf(epoch.recipient, sizeof(epoch.recipient), "%s", age_key_recipient(key));
	digest_compute(epoch.file_digest, wrapped.data, wrapped.len);
	if ((rc = roster_format_create(
		 &operation, space->config.id, &steward, &epoch, (int64_t)time(NULL) * 1000, err)) != 0 ||
	    (rc = roster_log_append(&space->exchange, &operation, &wrapped, epoch.number, subject, err)) != 0)
		goto out;
	memcpy(space->config.root, space->exchange.root, DIGEST_BYTES);
out:
	age_key_free(key);
	qosid_buf_free(&operation);
	qosid_buf_free(&wrapped);
	return rc;
}

int space_create(const char *dir, const char *office, const char *passphrase, struct qosid_errbuf *err)
{
	struct space *space = calloc(1, sizeof(*space));
	int rc;

	if (space == NULL)
		return no_memory(err);
	space->lock = -1;
	if ((rc = build_parts(space, dir, office, passphrase, err)) == 0)
		rc = found_space(space, err);
	return finish_parts(space, dir, rc, err);
}

int space_join(const char *dir, const char *office, const struct roster_invitation *invitation, const char *passphrase,
    struct qosid_buf *request, struct qosid_errbuf *err)
{
	struct space *space = calloc(1, sizeof(*space));
	int rc;

	if (space == NULL)
		return no_memory(err);
	space->lock = -1;
	(void)snprintf(space->config.id, sizeof(space->config.id), "%s", invitation->space);
	(void)snprintf(space->config.steward, sizeof(space->config.steward), "%s", invitation->steward);
	memcpy(space->config.root, invitation->root, DIGEST_BYTES);
	if (strcmp(office, invitation->steward) == 0) {
		free(space);
		return qosid_error(err, QOSID_ERR_CONFLICT, "%s is the steward's own name", office);
	}
	if ((rc = build_parts(space, dir, office, passphrase, err)) == 0 &&
	    (rc = request_format(request, invitation->space, office, space->identity, err)) == 0 &&
	    invitation->remote[0] != '\0')
		rc = space_config_put_remote(space->dir, "origin", invitation->remote, err);
	return finish_parts(space, dir, rc, err);
}
