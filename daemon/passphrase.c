/* The passphrase of a wrapped identity; see passphrase.h. */
#include "daemon/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"

#define PASSPHRASE_BYTES 1024
#define FILE_BYTES 8192 /* a folder, a slash and a name */

/* Where it is: empty when the configuration does not say. */
static int locate(char out[FILE_BYTES], const struct config_space *space, struct qosid_errbuf *err)
{
	out[0] = '\0';
	if (space->passphrase_file[0]) {
		(void)snprintf(out, FILE_BYTES, "%s", space->passphrase_file);
	} else if (space->credential[0]) {
		const char *folder = getenv("CREDENTIALS_DIRECTORY");
		if (!folder) {
			int rc = qosid_error(err, QOSID_ERR_REFUSED,
			    "there is no credential %s: CREDENTIALS_DIRECTORY is not set", space->credential);
			qosid_error_hint(err, "give the unit LoadCredential=%s:FILE", space->credential);
			return rc;
		}
		(void)snprintf(out, FILE_BYTES, "%s/%s", folder, space->credential);
	}
	return 0;
}

int passphrase_ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	const struct config_space *space = context;
	char file[FILE_BYTES];
	struct stat status;
	int rc = locate(file, space, err);
	if (rc < 0)
		return rc;
	if (!file[0]) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "%s needs a passphrase", path);
		qosid_error_hint(
		    err, "set passphraseFile or passphraseCredential of space \"%s\" in qosidd.conf", space->name);
		return rc;
	}
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0) {
		rc = qosid_error_errno(err, errno, "cannot read the passphrase file %s", file);
		goto out;
	}
	if (S_ISREG(status.st_mode) && status.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH) &&
	    space->passphrase_file[0]) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "others can read the passphrase file %s", file);
		qosid_error_hint(err, "chmod 600 %s", file);
		goto out;
	}
	/* Straight into memory of its final size, so that no copy is left behind by growing. */
	rc = qosid_buf_reserve(buf, PASSPHRASE_BYTES + 1, err);
	if (rc < 0)
		goto out;
	char *text = (char *)buf->data + buf->len;
	ssize_t len = read(fd, text, PASSPHRASE_BYTES + 1);
	if (len < 0) {
		rc = qosid_error_errno(err, errno, "cannot read the passphrase file %s", file);
		goto out;
	}
	text[len] = '\0';
	size_t used = strcspn(text, "\r\n");
	sodium_memzero(text + used, (size_t)len - used);
	if (used == 0 || used > PASSPHRASE_BYTES)
		rc = qosid_error(err, QOSID_ERR_INVALID,
		    "the first line of the passphrase file %s is empty or over %d bytes", file, PASSPHRASE_BYTES);
	else
		buf->len += used;
out:
	if (fd >= 0)
		(void)close(fd);
	return rc;
}
