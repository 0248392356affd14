/*
 * DATA/admins: the server's administrators, one "name hash" a line, mode 0600. It is replaced as a whole, by rename,
 * and read for every look-up: it is short.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/users.h"

static int format_path(const char *data_dir, const char *suffix, char out[PATH_MAX], struct qosid_errbuf *err)
{
	if (snprintf(out, PATH_MAX, "%s/admins%s", data_dir, suffix) >= PATH_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of the data folder is too long");
	return 0;
}

/* Visit the lines; an absent file has none. */
static int visit_lines(const char *data_dir,
    int (*visit)(void *context, const char *name, const char *hash, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	char path[PATH_MAX];
	char *line = NULL;
	size_t room = 0;
	int rc = format_path(data_dir, "", path, err);
	if (rc < 0)
		return rc;
	FILE *file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : qosid_error_errno(err, errno, "cannot read %s", path);
	while (rc == 0 && getline(&line, &room, file) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		char *space = strrchr(line, ' '); /* a name may have spaces, a hash has none */
		if (!space || line[0] == '#')
			continue;
		*space = '\0';
		rc = visit(context, line, space + 1, err);
	}
	free(line);
	(void)fclose(file); /* only read */
	return rc;
}

/* ---- looking up ---- */

struct look_up {
	const char *name;
	char *hash;
	bool found;
};

static int look(void *context, const char *name, const char *hash, struct qosid_errbuf *err)
{
	struct look_up *look_up = context;
	(void)err;
	if (strcmp(name, look_up->name) == 0 && strlen(hash) < USERS_HASH_SIZE) {
		memcpy(look_up->hash, hash, strlen(hash) + 1);
		look_up->found = true;
	}
	return 0;
}

int admins_find(const char *data_dir, const char *name, char hash[USERS_HASH_SIZE], struct qosid_errbuf *err)
{
	struct look_up look_up = {.name = name, .hash = hash};
	int rc = visit_lines(data_dir, look, &look_up, err);
	if (rc == 0 && !look_up.found)
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no administrator %s", name);
	return rc;
}

struct listing {
	int (*visit)(void *context, const char *name, struct qosid_errbuf *err);
	void *context;
};

static int list(void *context, const char *name, const char *hash, struct qosid_errbuf *err)
{
	struct listing *listing = context;
	(void)hash;
	return listing->visit(listing->context, name, err);
}

int admins_visit(const char *data_dir, int (*visit)(void *context, const char *name, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	struct listing listing = {.visit = visit, .context = context};
	return visit_lines(data_dir, list, &listing, err);
}

/* ---- changing ---- */

struct rewriting {
	struct qosid_buf text;
	const char *leave_out;
};

static int copy_line(void *context, const char *name, const char *hash, struct qosid_errbuf *err)
{
	struct rewriting *rewriting = context;
	if (strcmp(name, rewriting->leave_out) == 0)
		return 0;
	return qosid_buf_append_format(&rewriting->text, err, "%s %s\n", name, hash);
}

static int replace_file(const char *data_dir, const struct qosid_buf *text, struct qosid_errbuf *err)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int rc = format_path(data_dir, "", path, err);
	if (rc == 0)
		rc = format_path(data_dir, ".new", fresh, err);
	if (rc < 0)
		return rc;
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot write %s", fresh);
	struct qosid_sink sink = qosid_sink_to_fd(&fd);
	if (text->len > 0)
		rc = sink.write(sink.context, text->data, text->len, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = qosid_error_errno(err, errno, "cannot write %s", fresh);
	if (close(fd) < 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot write %s", fresh);
	if (rc == 0 && rename(fresh, path) < 0)
		rc = qosid_error_errno(err, errno, "cannot replace %s", path);
	if (rc < 0)
		(void)unlink(fresh); /* there may be none */
	return rc;
}

static bool is_good_name(const char *name)
{
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		if (*p < ' ' || *p == 0x7f || *p == ':')
			return false;
	}
	return *name && *name != '#' && *name != '_' && strlen(name) < sizeof((struct http_principal *)NULL)->name;
}

int admins_put(const char *data_dir, const char *name, const char *password, struct qosid_errbuf *err)
{
	struct rewriting rewriting = {.leave_out = name};
	char hash[USERS_HASH_SIZE];
	if (!is_good_name(name))
		return qosid_error(err, QOSID_ERR_USAGE, "\"%s\" cannot be the name of an administrator", name);
	if (password && (!*password || strlen(password) > USERS_PASSWORD_BYTES_MAX))
		return qosid_error(err, QOSID_ERR_USAGE, "a password has 1 to %d bytes", USERS_PASSWORD_BYTES_MAX);
	if (mkdir(data_dir, 0700) < 0 && errno != EEXIST)
		return qosid_error_errno(err, errno, "cannot make %s", data_dir);
	int rc = visit_lines(data_dir, copy_line, &rewriting, err);
	if (rc == 0 && password)
		rc = password_hash(password, hash, err);
	if (rc == 0 && password)
		rc = qosid_buf_append_format(&rewriting.text, err, "%s %s\n", name, hash);
	if (rc == 0)
		rc = replace_file(data_dir, &rewriting.text, err);
	qosid_buf_free(&rewriting.text);
	return rc;
}
