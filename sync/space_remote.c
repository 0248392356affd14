/*
 * The remotes of a space: where they are and how they are reached, in DIR/config as [remote "name"].
 *
 * Settings come from a person at the command line, or (the url alone) from an invitation. They are checked when they
 * are written and again when they are used, since the file may be edited by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/repo.h"
#include "sync/space_internal.h"

#define KEY_SIZE (LIMIT_SLUG_BYTES + 40)
#define SECONDS_MAX (31L * 86400)

/* ---- the settings ---- */

/* In a config file the case of names does not matter; libgit2 wants and gives small letters. */
static const struct {
	const char *name;
	size_t offset; /* of the pointer in struct link_target */
} texts[SPACE_REMOTE_TEXTS] = {
    {"url", offsetof(struct link_target, url)},
    {"sshkey", offsetof(struct link_target, ssh_key)},
    {"cafile", offsetof(struct link_target, ca_file)},
    {"clientcert", offsetof(struct link_target, client_cert)},
    {"clientkey", offsetof(struct link_target, client_key)},
    {"tokenfile", offsetof(struct link_target, token_file)},
    {"credentialhelper", offsetof(struct link_target, credential_helper)},
    {"proxy", offsetof(struct link_target, proxy)},
};

enum { NUMBER_IDLE, NUMBER_TOTAL, NUMBER_UP, NUMBER_DOWN, NUMBERS };
static const struct {
	const char *name;
	int64_t max;
} numbers[NUMBERS] = {
    {"idletimeout", SECONDS_MAX},
    {"totaltimeout", SECONDS_MAX},
    {"rateup", (int64_t)1 << 40},
    {"ratedown", (int64_t)1 << 40},
};

static const char **text_of(struct link_target *target, size_t i)
{
	return (const char **)(void *)((char *)target + texts[i].offset);
}

static int form_key(char out[KEY_SIZE], const char *remote, const char *name, struct qosid_errbuf *err)
{
	int rc = slug_check(remote, err);

	if (rc != 0)
		(void)qosid_error_within(err, "remote name %s", remote);
	(void)snprintf(out, KEY_SIZE, "remote.%s.%s", remote, name);
	return rc;
}

static int unknown(const char *remote, struct qosid_errbuf *err)
{
	int rc = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no remote %s", remote);

	qosid_error_hint(err, "`qosid remote ls` lists them, `qosid remote add %s URL` adds it", remote);
	return rc;
}

void space_remote_free(struct space_remote *remote)
{
	for (size_t i = 0; i < SPACE_REMOTE_TEXTS; i++)
		free(remote->owned[i]);
	free(remote->known_hosts);
	*remote = (struct space_remote){0};
}

static int read_texts(git_config *config, const char *name, struct space_remote *out, struct qosid_errbuf *err)
{
	char key[KEY_SIZE];
	int rc;

	for (size_t i = 0; i < SPACE_REMOTE_TEXTS; i++) {
		git_buf value = {0};

		if ((rc = form_key(key, name, texts[i].name, err)) != 0)
			return rc;
		if (git_config_get_string_buf(&value, config, key) != 0)
			continue;
		out->owned[i] = strdup(value.ptr);
		git_buf_dispose(&value);
		if (out->owned[i] == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		*text_of(&out->target, i) = out->owned[i];
	}
	return out->target.url != NULL ? 0 : unknown(name, err);
}

static int read_numbers(git_config *config, const char *name, struct space_remote *out, struct qosid_errbuf *err)
{
	int64_t values[NUMBERS] = {0};
	char key[KEY_SIZE];
	int rc;

	for (size_t i = 0; i < NUMBERS; i++) {
		if ((rc = form_key(key, name, numbers[i].name, err)) != 0)
			return rc;
		rc = git_config_get_int64(&values[i], config, key);
		if (rc == GIT_ENOTFOUND)
			values[i] = 0;
		else if (rc != 0 || values[i] < 0 || values[i] > numbers[i].max)
			return qosid_error(err, QOSID_ERR_INVALID,
			    "%s in the space's config is no number from 0 to %lld", key, (long long)numbers[i].max);
	}
	out->limits.idle_seconds = (unsigned)values[NUMBER_IDLE];
	out->limits.total_seconds = (unsigned)values[NUMBER_TOTAL];
	out->limits.rate_up = (uint64_t)values[NUMBER_UP];
	out->limits.rate_down = (uint64_t)values[NUMBER_DOWN];
	return 0;
}

static const char *const files_words[] = {
    [EXCHANGE_FILES_ALWAYS] = "always", [EXCHANGE_FILES_ON_DEMAND] = "on-demand", [EXCHANGE_FILES_NEVER] = "never"};

int space_parse_files(enum exchange_files *out, const char *word, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < sizeof(files_words) / sizeof(files_words[0]); i++) {
		if (strcmp(word, files_words[i]) == 0) {
			*out = (enum exchange_files)i;
			return 0;
		}
	}
	return qosid_error(err, QOSID_ERR_INVALID, "files are fetched always, on-demand or never, not %s", word);
}

static int read_files(git_config *config, const char *name, struct space_remote *out, struct qosid_errbuf *err)
{
	git_buf value = {0};
	char key[KEY_SIZE];
	int rc = form_key(key, name, "files", err);

	if (rc != 0 || git_config_get_string_buf(&value, config, key) != 0)
		return rc;
	if ((rc = space_parse_files(&out->files, value.ptr, err)) != 0)
		(void)qosid_error_within(err, "%s in the space's config", key);
	git_buf_dispose(&value);
	return rc;
}

/* The space's own file of confirmed hosts, as a full path: ssh may run elsewhere. */
static int find_known_hosts(const char *dir, struct space_remote *out, struct qosid_errbuf *err)
{
	char *full = realpath(dir, NULL);

	if (full == NULL)
		return qosid_error_errno(err, errno, "the path of %s cannot be found out", dir);
	out->known_hosts = space_path(full, "known_hosts");
	free(full);
	out->target.known_hosts = out->known_hosts;
	return out->known_hosts != NULL ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
}

int space_read_remote(struct space *space, const char *name, struct space_remote *out, struct qosid_errbuf *err)
{
	git_config *config = NULL;
	int rc;

	*out = (struct space_remote){0};
	if ((rc = slug_check(name, err)) != 0) {
		(void)qosid_error_within(err, "remote name %s", name);
		return rc;
	}
	if ((rc = space_config_open(&config, space->dir, err)) != 0)
		return rc;
	if ((rc = read_texts(config, name, out, err)) != 0 || (rc = read_numbers(config, name, out, err)) != 0 ||
	    (rc = read_files(config, name, out, err)) != 0 || (rc = find_known_hosts(space->dir, out, err)) != 0)
		space_remote_free(out);
	git_config_free(config);
	return rc;
}

int space_place_remote(struct space *space, struct space_remote *remote, struct qosid_errbuf *err)
{
	return find_known_hosts(space->dir, remote, err);
}

/* ---- adding and removing ---- */

int space_config_put_remote(const char *dir, const char *name, const char *url, struct qosid_errbuf *err)
{
	struct space_config_edit edit;
	enum link_scheme scheme;
	char key[KEY_SIZE];
	int rc;

	if ((rc = form_key(key, name, "url", err)) != 0 || (rc = link_parse_url(url, &scheme, err)) != 0)
		return rc;
	rc = space_config_begin_edit(&edit, dir, err);
	if (rc == 0 && git_config_set_string(edit.config, key, url) != 0)
		rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	return space_config_end_edit(&edit, dir, rc, err);
}

/* QOSID_ERR_EXISTS when there is a remote of this name. */
static int check_free(struct space *space, const char *name, struct qosid_errbuf *err)
{
	struct space_remote known;
	int rc = space_read_remote(space, name, &known, err);

	if (rc == QOSID_ERR_NOTFOUND)
		return 0;
	if (rc != 0)
		return rc;
	rc = qosid_error(err, QOSID_ERR_EXISTS, "the remote %s is there already: %s", name, known.target.url);
	qosid_error_hint(err, "remove it first with `qosid remote rm %s`", name);
	space_remote_free(&known);
	return rc;
}

static int write_settings(
    git_config *config, const char *name, const struct space_remote *remote, struct qosid_errbuf *err)
{
	const int64_t values[NUMBERS] = {remote->limits.idle_seconds, remote->limits.total_seconds,
	    (int64_t)remote->limits.rate_up, (int64_t)remote->limits.rate_down};
	struct link_target target = remote->target;
	char key[KEY_SIZE];
	int rc = 0, failed = 0;

	for (size_t i = 0; rc == 0 && i < SPACE_REMOTE_TEXTS; i++) {
		const char *value = *text_of(&target, i);

		if ((rc = form_key(key, name, texts[i].name, err)) == 0 && value != NULL)
			failed |= git_config_set_string(config, key, value) != 0;
	}
	for (size_t i = 0; rc == 0 && i < NUMBERS; i++) {
		if ((rc = form_key(key, name, numbers[i].name, err)) == 0 && values[i] != 0)
			failed |= git_config_set_int64(config, key, values[i]) != 0;
	}
	if (rc == 0 && remote->files != EXCHANGE_FILES_ALWAYS && (rc = form_key(key, name, "files", err)) == 0)
		failed |= git_config_set_string(config, key, files_words[remote->files]) != 0;
	if (rc == 0 && failed)
		rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	return rc;
}

int space_put_remote(struct space *space, const char *name, const struct space_remote *remote, struct qosid_errbuf *err)
{
	struct space_config_edit edit;
	enum link_scheme scheme;
	int rc;

	if ((rc = link_parse_url(remote->target.url, &scheme, err)) != 0 || (rc = check_free(space, name, err)) != 0 ||
	    (rc = space_hold(space, err)) != 0)
		return rc;
	rc = space_config_begin_edit(&edit, space->dir, err);
	if (rc == 0)
		rc = write_settings(edit.config, name, remote, err);
	rc = space_config_end_edit(&edit, space->dir, rc, err);
	space_release(space);
	return rc;
}

int space_set_remote_files(struct space *space, const char *name, enum exchange_files files, struct qosid_errbuf *err)
{
	struct space_config_edit edit;
	struct space_remote remote;
	char key[KEY_SIZE];
	int rc;

	if ((rc = space_read_remote(space, name, &remote, err)) != 0)
		return rc;
	space_remote_free(&remote);
	if ((rc = form_key(key, name, "files", err)) != 0 || (rc = space_hold(space, err)) != 0)
		return rc;
	rc = space_config_begin_edit(&edit, space->dir, err);
	if (rc == 0 && git_config_set_string(edit.config, key, files_words[files]) != 0)
		rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	rc = space_config_end_edit(&edit, space->dir, rc, err);
	space_release(space);
	return rc;
}

int space_add_remote(
    struct space *space, const char *name, const char *url, bool create_repository, struct qosid_errbuf *err)
{
	struct space_remote remote = {0};
	enum link_scheme scheme;
	struct repo *repo = NULL;
	char *absolute = NULL;
	int rc;

	if ((rc = check_free(space, name, err)) != 0 || (rc = link_parse_url(url, &scheme, err)) != 0)
		return rc;
	if (scheme != LINK_FOLDER)
		return qosid_error(err, QOSID_ERR_USAGE, "%s is no folder", url);
	if (strncmp(url, "file://", 7) == 0)
		url += 7;
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
	remote.target.url = absolute;
	rc = space_put_remote(space, name, &remote, err);
out:
	free(absolute);
	repo_free(repo);
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

/* Delete every setting of a remote, whoever wrote it. */
static int delete_settings(git_config *config, const char *name, struct qosid_errbuf *err)
{
	git_config_iterator *iterator = NULL;
	git_config_entry *entry;
	struct qosid_buf keys = {0};
	char prefix[KEY_SIZE];
	int rc;

	if ((rc = form_key(prefix, name, "", err)) != 0)
		return rc;
	if (git_config_iterator_new(&iterator, config) != 0)
		return space_config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	while (rc == 0 && git_config_next(&entry, iterator) == 0) {
		if (strncmp(entry->name, prefix, strlen(prefix)) == 0)
			rc = qosid_buf_append(&keys, entry->name, strlen(entry->name) + 1, err);
	}
	git_config_iterator_free(iterator);
	for (size_t at = 0; rc == 0 && at < keys.len; at += strlen((char *)keys.data + at) + 1) {
		if (git_config_delete_multivar(config, (char *)keys.data + at, ".*") != 0)
			rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	}
	qosid_buf_free(&keys);
	return rc;
}

int space_remove_remote(struct space *space, const char *name, struct qosid_errbuf *err)
{
	struct space_config_edit edit;
	struct space_remote remote;
	char prefix[LOG_REF_SIZE];
	int rc;

	if ((rc = space_read_remote(space, name, &remote, err)) != 0 && rc != QOSID_ERR_INVALID)
		return rc;
	space_remote_free(&remote);
	if ((rc = space_hold(space, err)) != 0)
		return rc;
	(void)snprintf(prefix, sizeof(prefix), "refs/remotes/%s/", name);
	/* The settings last: when this is cut short, it can be repeated. */
	if ((rc = repo_visit_refs(space->exchange.repo, prefix, delete_ref, space->exchange.repo, err)) == 0 &&
	    (rc = forget_findings(space->exchange.replica, name, err)) == 0) {
		rc = space_config_begin_edit(&edit, space->dir, err);
		if (rc == 0)
			rc = delete_settings(edit.config, name, err);
		rc = space_config_end_edit(&edit, space->dir, rc, err);
	}
	space_release(space);
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

	if ((rc = space_config_open(&config, space->dir, err)) != 0)
		return rc;
	/* Not the iterator with a pattern: in libgit2 1.5 it leaks memory for each entry that does not match. */
	if (git_config_iterator_new(&iterator, config) != 0) {
		rc = space_config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
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
