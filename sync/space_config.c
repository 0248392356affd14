/*
 * A space's settings: DIR/config in git-config syntax, read and written by libgit2.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/sink.h"
#include "crypto/sshsig.h"
#include "sync/exchange/newfile.h"
#include "sync/exchange/repo.h"
#include "sync/space_internal.h"

void space_config_free(struct space_config *config)
{
	free(config->identity_file);
	*config = (struct space_config){0};
}

static int config_failure(struct qosid_errbuf *err, int code, const char *what)
{
	const git_error *last = git_error_last();

	return qosid_error(err, code, "%s%s%s", what, last != NULL ? ": " : "", last != NULL ? last->message : "");
}

static int open_config(git_config **out, const char *dir, struct qosid_errbuf *err)
{
	char *path = space_path(dir, "config");
	int rc = 0;

	*out = NULL;
	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (git_config_open_ondisk(out, path) != 0)
		rc = config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	free(path);
	return rc;
}

/* ---- changing: on a copy that is put on disk before it takes the config's place, so that power loss leaves one or the
 * other. Two at once are kept apart by the space's lock. ---- */

struct config_edit {
	git_config *config;
	char *path, *copy;
};

/* What a killed program left of an edit, here or inside libgit2, is in nobody's way. */
static void clear_leftovers(const char *copy)
{
	char *lock;

	(void)unlink(copy); /* mostly there is nothing */
	if (asprintf(&lock, "%s.lock", copy) >= 0) {
		(void)unlink(lock);
		free(lock);
	}
}

static int copy_config(const char *from, const char *to, struct qosid_errbuf *err)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), rc = 0;
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct qosid_sink sink = qosid_sink_to_fd(&out);

	if (out < 0)
		rc = qosid_error_errno(err, errno, "cannot make %s", to);
	else if (in >= 0)
		rc = qosid_sink_pump_fd(in, &sink, err);
	else if (errno != ENOENT)
		rc = qosid_error_errno(err, errno, "cannot read %s", from);
	if (in >= 0)
		(void)close(in); /* opened for reading only */
	if (out >= 0 && close(out) != 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot write %s", to);
	return rc;
}

static int begin_edit(struct config_edit *edit, const char *dir, struct qosid_errbuf *err)
{
	int rc;

	*edit = (struct config_edit){.path = space_path(dir, "config"), .copy = space_path(dir, "config.new")};
	if (edit->path == NULL || edit->copy == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	clear_leftovers(edit->copy);
	if ((rc = copy_config(edit->path, edit->copy, err)) != 0)
		return rc;
	if (git_config_open_ondisk(&edit->config, edit->copy) != 0)
		return config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	return 0;
}

/* Put the edited copy in place when rc is 0, and free all. */
static int end_edit(struct config_edit *edit, const char *dir, int rc, struct qosid_errbuf *err)
{
	int fd = -1;

	git_config_free(edit->config);
	if (rc == 0 && ((fd = open(edit->copy, O_RDONLY | O_CLOEXEC)) < 0 || fsync(fd) != 0 ||
			   rename(edit->copy, edit->path) != 0))
		rc = qosid_error_errno(err, errno, "cannot write %s", edit->path);
	else if (rc == 0)
		rc = newfile_fsync_folder(dir, err);
	else if (edit->copy != NULL)
		(void)unlink(edit->copy); /* only litter, which the next edit overwrites */
	if (fd >= 0)
		(void)close(fd); /* opened for reading only */
	free(edit->path);
	free(edit->copy);
	return rc;
}

/* A fresh value that the caller frees. */
static int read_string(git_config *config, const char *key, char **out, struct qosid_errbuf *err)
{
	git_buf value = {0};
	int rc = 0;

	*out = NULL;
	if (git_config_get_string_buf(&value, config, key) != 0)
		return config_failure(err, QOSID_ERR_INVALID, "the space's config is incomplete");
	*out = strdup(value.ptr);
	if (*out == NULL)
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	git_buf_dispose(&value);
	return rc;
}

static int read_text(git_config *config, const char *key, char *out, size_t size, struct qosid_errbuf *err)
{
	char *value;
	int rc;

	if ((rc = read_string(config, key, &value, err)) != 0)
		return rc;
	if (snprintf(out, size, "%s", value) >= (int)size)
		rc = qosid_error(err, QOSID_ERR_INVALID, "%s in the space's config is too long", key);
	free(value);
	return rc;
}

int space_config_read(struct space_config *out, const char *dir, struct qosid_errbuf *err)
{
	git_config *config = NULL;
	char root[DIGEST_TEXT_SIZE];
	int rc;

	*out = (struct space_config){0};
	if ((rc = open_config(&config, dir, err)) != 0 ||
	    (rc = read_text(config, "space.id", out->id, sizeof(out->id), err)) != 0 ||
	    (rc = read_text(config, "space.office", out->office, sizeof(out->office), err)) != 0 ||
	    (rc = slug_check(out->office, err)) != 0 ||
	    (rc = read_text(config, "space.steward", out->steward, sizeof(out->steward), err)) != 0 ||
	    (rc = slug_check(out->steward, err)) != 0 ||
	    (rc = read_text(config, "space.root", root, sizeof(root), err)) != 0 ||
	    (rc = digest_parse(out->root, root, strlen(root), err)) != 0 ||
	    (rc = read_string(config, "identity.file", &out->identity_file, err)) != 0 ||
	    (rc = read_text(config, "identity.signing", out->signing, sizeof(out->signing), err)) != 0 ||
	    (rc = read_text(config, "identity.encryption", out->recipient, sizeof(out->recipient), err)) != 0) {
		space_config_free(out);
		(void)qosid_error_within(err, "%s/config", dir);
	}
	git_config_free(config);
	return rc;
}

int space_config_write(const struct space_config *in, const char *dir, struct qosid_errbuf *err)
{
	char root[DIGEST_TEXT_SIZE];
	struct config_edit edit;
	int rc;

	digest_format(root, in->root);
	rc = begin_edit(&edit, dir, err);
	git_config *config = edit.config;
	if (rc == 0 && (git_config_set_string(config, "space.id", in->id) != 0 ||
			   git_config_set_string(config, "space.office", in->office) != 0 ||
			   git_config_set_string(config, "space.steward", in->steward) != 0 ||
			   git_config_set_string(config, "space.root", root) != 0 ||
			   git_config_set_string(config, "identity.file", in->identity_file) != 0 ||
			   git_config_set_string(config, "identity.signing", in->signing) != 0 ||
			   git_config_set_string(config, "identity.encryption", in->recipient) != 0))
		rc = config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	return end_edit(&edit, dir, rc, err);
}

static int remote_key(char *out, size_t size, const char *name, struct qosid_errbuf *err)
{
	int rc = slug_check(name, err);

	if (rc != 0)
		(void)qosid_error_within(err, "remote name %s", name);
	(void)snprintf(out, size, "remote.%s.url", name);
	return rc;
}

int space_config_put_remote(const char *dir, const char *name, const char *url, struct qosid_errbuf *err)
{
	char key[LIMIT_SLUG_BYTES + 16];
	struct config_edit edit;
	int rc;

	if ((rc = remote_key(key, sizeof(key), name, err)) != 0)
		return rc;
	rc = begin_edit(&edit, dir, err);
	if (rc == 0 && git_config_set_string(edit.config, key, url) != 0)
		rc = config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	return end_edit(&edit, dir, rc, err);
}

int space_config_find_remote(const char *dir, const char *name, struct qosid_buf *url, struct qosid_errbuf *err)
{
	char key[LIMIT_SLUG_BYTES + 16];
	git_config *config = NULL;
	git_buf value = {0};
	int rc;

	if ((rc = remote_key(key, sizeof(key), name, err)) != 0 || (rc = open_config(&config, dir, err)) != 0)
		return rc;
	if (git_config_get_string_buf(&value, config, key) != 0) {
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no remote %s", name);
		qosid_error_hint(err, "`qosid remote ls` lists them, `qosid remote add %s FOLDER` adds it", name);
	} else
		rc = qosid_buf_append(url, value.ptr, strlen(value.ptr), err);
	git_buf_dispose(&value);
	git_config_free(config);
	return rc;
}

int space_add_remote(
    struct space *space, const char *name, const char *url, bool create_repository, struct qosid_errbuf *err)
{
	struct qosid_buf known = {0};
	struct repo *repo = NULL;
	char *absolute = NULL;
	int rc;

	rc = space_config_find_remote(space->dir, name, &known, err);
	if (rc == 0) {
		rc = qosid_error(err, QOSID_ERR_EXISTS, "the remote %s is there already: %s", name, (char *)known.data);
		qosid_error_hint(err, "remove it first with `qosid remote rm %s`", name);
	}
	if (rc != QOSID_ERR_NOTFOUND)
		goto out;
	if ((rc = repo_open(&repo, url, create_repository, err)) != 0) {
		if (!create_repository)
			qosid_error_hint(err, "to make a new repository there, add --create");
		goto out;
	}
	absolute = realpath(url, NULL);
	if (absolute == NULL) {
		rc = qosid_error_errno(err, errno, "the path of %s cannot be found out", url);
		goto out;
	}
	if ((rc = space_hold(space, err)) != 0)
		goto out;
	rc = space_config_put_remote(space->dir, name, absolute, err);
	space_release(space);
out:
	free(absolute);
	repo_free(repo);
	qosid_buf_free(&known);
	return rc;
}

static int delete_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	return repo_delete_ref(context, name, id, err);
}

struct found {
	const char *remote;
	struct qosid_buf logs; /* names, each with its NUL */
};

static int collect_found(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct found *found = context;
	const char *at = strrchr(finding->log, '@');

	if (at == NULL || strcmp(at + 1, found->remote) != 0)
		return 0;
	return qosid_buf_append(&found->logs, finding->log, strlen(finding->log) + 1, err);
}

/* What was found at a remote. */
static int forget_findings(struct replica *replica, const char *remote, struct qosid_errbuf *err)
{
	struct found found = {.remote = remote};
	int rc;

	if ((rc = replica_begin(replica, err)) != 0)
		return rc;
	rc = replica_visit_findings(replica, collect_found, &found, err);
	for (size_t at = 0; rc == 0 && at < found.logs.len; at += strlen((char *)found.logs.data + at) + 1)
		rc = replica_clear_findings(replica, (char *)found.logs.data + at, err);
	if (rc == 0)
		rc = replica_commit(replica, err);
	replica_rollback(replica);
	qosid_buf_free(&found.logs);
	return rc;
}

int space_remove_remote(struct space *space, const char *name, struct qosid_errbuf *err)
{
	char key[LIMIT_SLUG_BYTES + 16], prefix[LOG_REF_SIZE];
	struct qosid_buf url = {0};
	struct config_edit edit;
	int rc;

	if ((rc = space_config_find_remote(space->dir, name, &url, err)) != 0 ||
	    (rc = remote_key(key, sizeof(key), name, err)) != 0 || (rc = space_hold(space, err)) != 0)
		goto out;
	(void)snprintf(prefix, sizeof(prefix), "refs/remotes/%s/", name);
	/* The settings last: when this is cut short, it can be repeated. */
	if ((rc = repo_visit_refs(space->exchange.repo, prefix, delete_ref, space->exchange.repo, err)) == 0 &&
	    (rc = forget_findings(space->exchange.replica, name, err)) == 0) {
		rc = begin_edit(&edit, space->dir, err);
		if (rc == 0 && git_config_delete_entry(edit.config, key) != 0)
			rc = config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
		rc = end_edit(&edit, space->dir, rc, err);
	}
	space_release(space);
out:
	qosid_buf_free(&url);
	return rc;
}

int space_visit_remotes(struct space *space,
    int (*visit)(void *context, const char *name, const char *url, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	git_config_iterator *iterator = NULL;
	git_config_entry *entry;
	git_config *config = NULL;
	char name[LIMIT_SLUG_BYTES + 1];
	int rc;

	if ((rc = open_config(&config, space->dir, err)) != 0)
		return rc;
	/* Not the iterator with a pattern: in libgit2 1.5 it leaks memory for each entry that does not match. */
	if (git_config_iterator_new(&iterator, config) != 0) {
		rc = config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
		goto out;
	}
	while (rc == 0 && git_config_next(&entry, iterator) == 0) {
		const size_t prefix = sizeof("remote.") - 1, suffix = sizeof(".url") - 1, len = strlen(entry->name);

		if (len <= prefix + suffix || len - prefix - suffix >= sizeof(name) ||
		    strncmp(entry->name, "remote.", prefix) != 0 || strcmp(entry->name + len - suffix, ".url") != 0)
			continue;
		memcpy(name, entry->name + prefix, len - prefix - suffix);
		name[len - prefix - suffix] = '\0';
		rc = visit(context, name, entry->value, err);
	}
out:
	git_config_iterator_free(iterator);
	git_config_free(config);
	return rc;
}
