/*
 * The passphrase of an office's key files: set, changed or removed, without ever being between two.
 *
 * An office may have several such files: the keys in use, new ones that wait for the stewards, and those that have been
 * replaced, which still open what was sealed to them. All are opened before the first is written, so that a wrong
 * passphrase changes nothing. Then each is replaced by rename. A call that was killed on the way is finished by the
 * same one again: files that open with the new passphrase already are passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/space_internal.h"

#define KEY_FILES 64 /* more than anybody will roll keys */

struct key_file {
	char *path;
	bool in_use, wrapped;
	struct identity *identity; /* NULL: nothing to do with it */
};

struct key_files {
	struct key_file files[KEY_FILES];
	size_t count;
};

static void free_files(struct key_files *list)
{
	for (size_t i = 0; i < list->count; i++) {
		identity_free(list->files[i].identity);
		free(list->files[i].path);
	}
}

static int add_file(
    struct key_files *list, const struct space *space, const char *name, bool in_use, struct qosid_errbuf *err)
{
	char *path = name[0] == '/' ? strdup(name) : space_path(space->dir, name);
	struct key_file *file = &list->files[list->count];
	int rc = 0;

	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->files[i].path, path) == 0)
			goto out;
	if (!in_use && access(path, F_OK) != 0 && errno == ENOENT)
		goto out; /* taken away, which is a person's right */
	if (list->count == KEY_FILES) {
		rc = qosid_error(err, QOSID_ERR_LIMIT, "%s holds more than %d identity files", space->dir, KEY_FILES);
		goto out;
	}
	*file = (struct key_file){.path = path, .in_use = in_use};
	rc = identity_file_is_wrapped(&file->wrapped, path, err);
	if (rc != 0)
		goto out;
	list->count++;
	path = NULL;
out:
	free(path);
	return rc;
}

/* The files in use, then those that space_roll_keys() has made since the beginning. */
static int find_files(struct key_files *list, const struct space *space, struct qosid_errbuf *err)
{
	const struct space_config *config = &space->config;
	char name[32];
	int rc = add_file(list, space, config->identity_file, true, err);

	if (rc == 0 && config->next_file != NULL)
		rc = add_file(list, space, config->next_file, true, err);
	if (rc == 0)
		rc = add_file(list, space, "identity", false, err);
	for (int i = 2; rc == 0 && i <= KEY_FILES; i++) {
		(void)snprintf(name, sizeof(name), "identity-%d", i);
		rc = add_file(list, space, name, false, err);
	}
	return rc;
}

static int check_action(const struct key_files *list, enum space_passphrase action, struct qosid_errbuf *err)
{
	size_t wrapped = 0;
	int rc;

	for (size_t i = 0; i < list->count; i++)
		wrapped += list->files[i].wrapped ? 1 : 0;
	if (action == SPACE_PASSPHRASE_SET && wrapped == list->count) {
		rc = qosid_error(err, QOSID_ERR_EXISTS, "this office's keys have a passphrase already");
		qosid_error_hint(err, "qosid passphrase change");
		return rc;
	}
	if (action != SPACE_PASSPHRASE_SET && wrapped == 0) {
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "no passphrase protects this office's keys");
		qosid_error_hint(err, "qosid passphrase set");
		return rc;
	}
	return 0;
}

int space_check_passphrase(struct space *space, enum space_passphrase action, struct qosid_errbuf *err)
{
	struct key_files list = {0};
	int rc = find_files(&list, space, err);

	if (rc == 0)
		rc = check_action(&list, action, err);
	free_files(&list);
	return rc;
}

struct given {
	const char *passphrase;
};

static int answer(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	const struct given *given = context;

	(void)path;
	return qosid_buf_append_text(buf, given->passphrase, err);
}

/* Open a file with a passphrase; opened is false when it is another one's. */
static int try_passphrase(
    bool *opened, struct identity **out, const char *path, const char *passphrase, struct qosid_errbuf *err)
{
	struct given given = {passphrase};
	int rc;

	*opened = false;
	*out = NULL;
	if (passphrase == NULL)
		return 0;
	rc = identity_load(out, path, answer, &given, err);
	*opened = rc == 0;
	if (rc != QOSID_ERR_REFUSED)
		return rc;
	qosid_error_clear(err);
	return 0;
}

/* Open what is to be written; a file that is as it shall be already stays closed. */
static int open_file(struct key_file *file, const char *old, const char *passphrase,
    struct space_passphrase_result *result, struct qosid_errbuf *err)
{
	struct identity *done = NULL;
	bool opened;
	int rc;

	if (!file->wrapped)
		return passphrase == NULL ? 0 : identity_load(&file->identity, file->path, NULL, NULL, err);
	rc = try_passphrase(&opened, &file->identity, file->path, old, err);
	if (rc != 0 || opened)
		return rc;
	rc = try_passphrase(&opened, &done, file->path, passphrase, err);
	identity_free(done);
	if (rc != 0 || opened)
		return rc;
	if (file->in_use)
		return qosid_error(err, QOSID_ERR_REFUSED, "the passphrase of %s is not the one given", file->path);
	result->foreign++;
	return 0;
}

int space_change_passphrase(struct space *space, enum space_passphrase action, const char *old, const char *passphrase,
    struct space_passphrase_result *result, struct qosid_errbuf *err)
{
	struct key_files list = {0};
	int rc = space_hold(space, err);

	*result = (struct space_passphrase_result){0};
	if (rc != 0)
		return rc;
	rc = find_files(&list, space, err);
	if (rc == 0)
		rc = check_action(&list, action, err);
	for (size_t i = 0; rc == 0 && i < list.count; i++)
		rc = open_file(&list.files[i], old, passphrase, result, err);
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		if (list.files[i].identity == NULL)
			continue;
		rc = identity_replace(list.files[i].identity, list.files[i].path, passphrase, err);
		if (rc == 0)
			result->changed++;
	}
	space_release(space);
	free_files(&list);
	return rc;
}
