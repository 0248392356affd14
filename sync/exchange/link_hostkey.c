/*
 * The keys of ssh hosts before they are trusted, and repositories that do not exist yet.
 *
 * A key is asked for by the same ssh, over the same way (aliases, jump hosts, preferred algorithms), as a link to the
 * host takes, so that what is confirmed is what will be met. That ssh knows no key, offers none, and goes no further.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/base64.h"
#include "sync/exchange/link_ssh.h"
#include "sync/exchange/newfile.h"

#define SCAN_OUTPUT_MAX 4096u

/* "host type base64", by which ssh notes a key: fill in type and fingerprint. */
static int read_line(struct link_host_key *key, struct qosid_errbuf *err)
{
	char host[512], type[sizeof(key->type)], blob[3500], printed[44];
	uint8_t bytes[2600], digest[crypto_hash_sha256_BYTES];
	size_t len;

	if (sscanf(key->line, "%511s %63s %3499s", host, type, blob) != 3 ||
	    base64_decode(bytes, sizeof(bytes), &len, BASE64_PADDED, blob, strlen(blob)) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "ssh noted the host's key in a form that is not known");
	(void)crypto_hash_sha256(digest, bytes, len); /* cannot fail */
	(void)sodium_bin2base64(
	    printed, sizeof(printed), digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	memcpy(key->type, type, sizeof(type));
	(void)snprintf(key->fingerprint, sizeof(key->fingerprint), "SHA256:%s", printed);
	return 0;
}

/* The file holds exactly one line, or nothing when ssh did not get as far. */
static int read_scan(int fd, struct link_host_key *key, struct qosid_errbuf *err)
{
	ssize_t got = pread(fd, key->line, sizeof(key->line) - 1, 0);
	char *end;

	if (got < 0)
		return qosid_error_errno(err, errno, "cannot read what ssh noted");
	key->line[got] = '\0';
	if (got == 0)
		return QOSID_ERR_NOTFOUND;
	end = strchr(key->line, '\n');
	if (end == NULL || end[1] != '\0')
		return qosid_error(err, QOSID_ERR_INVALID, "ssh noted more than one key");
	return read_line(key, err);
}

/* A fresh empty file beside the one that the key will go into. */
static int make_scan_file(char *path, size_t size, const struct link_target *target, struct qosid_errbuf *err)
{
	int fd;

	if (target->known_hosts == NULL)
		return qosid_error(err, QOSID_ERR_USAGE, "there is no file for keys of hosts");
	if (snprintf(path, size, "%s.XXXXXX", target->known_hosts) >= (int)size)
		return qosid_error(err, QOSID_ERR_LIMIT, "the name of %s is too long", target->known_hosts);
	if ((fd = mkostemp(path, O_CLOEXEC)) < 0)
		return qosid_error_errno(err, errno, "cannot make %s", path);
	return fd;
}

static int begin(struct link_url *url, struct link_watch *watch, const struct link_target *target,
    const struct link_limits *limits, struct qosid_errbuf *err)
{
	int rc = link_url_parse(url, target->url, err);

	link_watch_begin(watch, limits);
	if (rc == 0 && url->scheme != LINK_SSH)
		rc = qosid_error(err, QOSID_ERR_USAGE, "%s is no ssh remote", target->url);
	return rc;
}

int link_fetch_host_key(struct link_host_key *out, const struct link_target *target, const struct link_limits *limits,
    struct qosid_errbuf *err)
{
	struct link_child child = {.pidfd = -1, .io = -1, .errors = -1};
	struct link_ssh_command command = {0};
	struct link_probe probe = {0};
	struct qosid_buf said = {0};
	struct link_watch watch;
	struct link_url url;
	char path[4096] = "";
	int rc, fd = -1;

	*out = (struct link_host_key){0};
	if ((rc = begin(&url, &watch, target, limits, err)) != 0)
		return rc;
	if ((fd = make_scan_file(path, sizeof(path), target, err)) < 0)
		return fd;
	if ((rc = link_ssh_build(&command, &url, target, "git-upload-pack", path, &watch.limits, err)) != 0 ||
	    (rc = link_child_run(&child, command.words, NULL, NULL, &said, SCAN_OUTPUT_MAX, &watch, err)) != 0)
		goto out;
	rc = read_scan(fd, out, err);
	if (rc == QOSID_ERR_NOTFOUND) /* it did not come so far */
		rc = link_ssh_explain(&child, &url, target, &probe, err);
out:
	(void)close(fd);    /* it was only read */
	(void)unlink(path); /* at worst, litter */
	link_child_free(&child);
	link_ssh_free_command(&command);
	qosid_buf_free(&said);
	return rc;
}

int link_trust_host_key(const struct link_target *target, const struct link_host_key *key, struct qosid_errbuf *err)
{
	size_t len = strlen(key->line);
	char *folder, *slash;
	int fd, rc = 0;

	if (target->known_hosts == NULL || target->known_hosts[0] != '/')
		return qosid_error(err, QOSID_ERR_USAGE, "there is no file for keys of hosts");
	fd = open(target->known_hosts, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* One write: two programs that add at once do not mix their lines. */
	if (fd < 0 || write(fd, key->line, len) != (ssize_t)len || fsync(fd) != 0)
		rc = qosid_error_errno(err, errno, "cannot write %s", target->known_hosts);
	if (fd >= 0 && close(fd) != 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot write %s", target->known_hosts);
	if (rc != 0)
		return rc;
	if ((folder = strdup(target->known_hosts)) == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	slash = strrchr(folder, '/');
	*(slash == folder ? slash + 1 : slash) = '\0';
	rc = newfile_fsync_folder(folder, err);
	free(folder);
	return rc;
}

int link_create_repository(const struct link_target *target, const struct link_limits *limits, struct qosid_errbuf *err)
{
	struct link_child child = {.pidfd = -1, .io = -1, .errors = -1};
	struct link_ssh_command command = {0};
	struct link_probe probe = {0};
	struct qosid_buf said = {0};
	struct link_watch watch;
	struct link_url url;
	int rc;

	if ((rc = begin(&url, &watch, target, limits, err)) != 0)
		return rc;
	if (url.path[0] == '~') { /* only git itself knows homes; its init does not */
		rc = qosid_error(err, QOSID_ERR_USAGE, "a repository below ~ cannot be made from here");
		qosid_error_hint(err, "give its full path, or make it there with git init --bare");
		return rc;
	}
	if ((rc = link_ssh_build(&command, &url, target, "git init --quiet --bare", NULL, &watch.limits, err)) == 0 &&
	    (rc = link_child_run(&child, command.words, NULL, NULL, &said, SCAN_OUTPUT_MAX, &watch, err)) == 0 &&
	    link_child_exit_status(&child) != 0) {
		rc = link_ssh_explain(&child, &url, target, &probe, err);
		if (probe.stage == LINK_STAGE_LOGIN) {
			if (err != NULL)
				err->hint[0] = '\0';
			qosid_error_hint(err,
			    "make it there with `git init --bare %.150s`, then add the remote without --create",
			    url.path);
			(void)qosid_error_within(err, "making the repository");
		}
	}
	link_child_free(&child);
	link_ssh_free_command(&command);
	qosid_buf_free(&said);
	return rc;
}
