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
	free(config->next_file);
	*config = (struct space_config){0};
}

int space_config_failure(struct qosid_errbuf *err, int code, const char *what)
{
	const git_error *last = git_error_last();

	return qosid_error(err, code, "%s%s%s", what, last != NULL ? ": " : "", last != NULL ? last->message : "");
}

int space_config_open(git_config **out, const char *dir, struct qosid_errbuf *err)
{
	char *path = space_path(dir, "config");
	int rc = 0;

	*out = NULL;
	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (git_config_open_ondisk(out, path) != 0)
		rc = space_config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	free(path);
	return rc;
}

/* ---- changing: on a copy that is put on disk before it takes the config's place, so that power loss leaves one or the
 * other. Two at once are kept apart by the space's lock. ---- */

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

int space_config_begin_edit(struct space_config_edit *edit, const char *dir, struct qosid_errbuf *err)
{
	int rc;

	*edit = (struct space_config_edit){.path = space_path(dir, "config"), .copy = space_path(dir, "config.new")};
	if (edit->path == NULL || edit->copy == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	clear_leftovers(edit->copy);
	if ((rc = copy_config(edit->path, edit->copy, err)) != 0)
		return rc;
	if (git_config_open_ondisk(&edit->config, edit->copy) != 0)
		return space_config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	return 0;
}

int space_config_end_edit(struct space_config_edit *edit, const char *dir, int rc, struct qosid_errbuf *err)
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
		return space_config_failure(err, QOSID_ERR_INVALID, "the space's config is incomplete");
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

/* New keys that the stewards have been asked for: none, or all three. */
static void read_next(git_config *config, struct space_config *out)
{
	if (read_string(config, "next.file", &out->next_file, NULL) != 0)
		out->next_file = NULL;
	else if (read_text(config, "next.signing", out->next_signing, sizeof(out->next_signing), NULL) != 0 ||
		 read_text(config, "next.encryption", out->next_recipient, sizeof(out->next_recipient), NULL) != 0) {
		free(out->next_file);
		out->next_file = NULL;
	}
}

static int write_next(git_config *config, const struct space_config *in, struct qosid_errbuf *err)
{
	static const char *const keys[] = {"next.file", "next.signing", "next.encryption"};
	const char *const values[] = {in->next_file, in->next_signing, in->next_recipient};

	for (size_t i = 0; i < 3; i++) {
		int status = in->next_file != NULL ? git_config_set_string(config, keys[i], values[i])
						   : git_config_delete_entry(config, keys[i]);
		if (status != 0 && status != GIT_ENOTFOUND)
			return space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	}
	return 0;
}

/* Settings that a person may add by hand; they are never written here. */
static int read_settings(git_config *config, struct exchange_settings *out, struct qosid_errbuf *err)
{
	char *dictionary = NULL, *padding = NULL;
	int64_t inline_max = 0;
	int rc = 0, code = git_config_get_int64(&inline_max, config, "space.attachment-inline");

	if ((code != 0 && code != GIT_ENOTFOUND) ||
	    (code == 0 && (inline_max < 1 || inline_max > LIMIT_ATTACHMENT_INLINE_BYTES)))
		rc = qosid_error(err, QOSID_ERR_INVALID, "space.attachment-inline is no number of bytes from 1 to %u",
		    LIMIT_ATTACHMENT_INLINE_BYTES);
	out->inline_max = (size_t)inline_max;
	/* What is absent stays as it comes. */
	(void)read_string(config, "space.compression-dictionary", &dictionary, NULL);
	(void)read_string(config, "space.padding", &padding, NULL);
	if (rc == 0 && dictionary != NULL) {
		out->no_dictionary = strcmp(dictionary, "off") == 0;
		if (!out->no_dictionary && strcmp(dictionary, "auto") != 0)
			rc =
			    qosid_error(err, QOSID_ERR_INVALID, "space.compression-dictionary is neither auto nor off");
	}
	if (rc == 0 && padding != NULL) {
		out->pad = strcmp(padding, "padme") == 0;
		if (!out->pad && strcmp(padding, "none") != 0)
			rc = qosid_error(err, QOSID_ERR_INVALID, "space.padding is neither none nor padme");
	}
	free(dictionary);
	free(padding);
	return rc;
}

int space_config_read(struct space_config *out, const char *dir, struct qosid_errbuf *err)
{
	git_config *config = NULL;
	char root[DIGEST_TEXT_SIZE];
	int rc;

	*out = (struct space_config){0};
	if ((rc = space_config_open(&config, dir, err)) != 0 ||
	    (rc = read_text(config, "space.id", out->id, sizeof(out->id), err)) != 0 ||
	    (rc = read_text(config, "space.office", out->office, sizeof(out->office), err)) != 0 ||
	    (rc = slug_check(out->office, err)) != 0 ||
	    (rc = read_text(config, "space.steward", out->steward, sizeof(out->steward), err)) != 0 ||
	    (rc = slug_check(out->steward, err)) != 0 ||
	    (rc = read_text(config, "space.root", root, sizeof(root), err)) != 0 ||
	    (rc = digest_parse(out->root, root, strlen(root), err)) != 0 ||
	    (rc = read_string(config, "identity.file", &out->identity_file, err)) != 0 ||
	    (rc = read_text(config, "identity.signing", out->signing, sizeof(out->signing), err)) != 0 ||
	    (rc = read_text(config, "identity.encryption", out->recipient, sizeof(out->recipient), err)) != 0 ||
	    (rc = read_settings(config, &out->settings, err)) != 0) {
		space_config_free(out);
		(void)qosid_error_within(err, "%s/config", dir);
	} else
		read_next(config, out);
	git_config_free(config);
	return rc;
}

int space_config_write(const struct space_config *in, const char *dir, struct qosid_errbuf *err)
{
	char root[DIGEST_TEXT_SIZE];
	struct space_config_edit edit;
	int rc;

	digest_format(root, in->root);
	rc = space_config_begin_edit(&edit, dir, err);
	git_config *config = edit.config;
	if (rc == 0 && (git_config_set_string(config, "space.id", in->id) != 0 ||
			   git_config_set_string(config, "space.office", in->office) != 0 ||
			   git_config_set_string(config, "space.steward", in->steward) != 0 ||
			   git_config_set_string(config, "space.root", root) != 0 ||
			   git_config_set_string(config, "identity.file", in->identity_file) != 0 ||
			   git_config_set_string(config, "identity.signing", in->signing) != 0 ||
			   git_config_set_string(config, "identity.encryption", in->recipient) != 0))
		rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	if (rc == 0)
		rc = write_next(config, in, err);
	return space_config_end_edit(&edit, dir, rc, err);
}
