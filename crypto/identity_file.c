/*
 * Identities in files: in clear, or wrapped in an age file with a passphrase.
 *
 * A file is written beside its place, made durable, and only then given its name, which replaces another file only
 * where that is asked for: a crash leaves a whole identity or none, the old or the new one. Clear text read from a file
 * lives in sodium_malloc memory and is wiped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/age_internal.h"
#include "crypto/keys_internal.h"

#define FILE_MAX 65536

/* A fixed piece of sodium_malloc memory that a file's text is read or decrypted into. */
struct secret_text {
	char *data; /* FILE_MAX bytes */
	size_t len;
};

static int write_to_text(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct secret_text *text = context;

	if (len > FILE_MAX - text->len)
		return qosid_error(err, QOSID_ERR_LIMIT, "an identity file must be at most %d bytes", FILE_MAX);
	memcpy(text->data + text->len, data, len);
	text->len += len;
	return 0;
}

static int allocate_text(struct secret_text *text, struct qosid_errbuf *err)
{
	text->len = 0;
	text->data = sodium_malloc(FILE_MAX);
	if (text->data == NULL)
		return keys_no_memory(err, "an identity");
	return 0;
}

static int read_file(struct secret_text *text, const char *path, struct qosid_errbuf *err)
{
	struct qosid_sink sink = {write_to_text, text};
	struct stat st;
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		rc = qosid_error_errno(err, errno, "cannot open the identity file %s", path);
		qosid_error_hint(err, "name the file that holds the identity, or make one");
		return rc;
	}
	if (fstat(fd, &st) != 0) {
		rc = qosid_error_errno(err, errno, "cannot look at the identity file %s", path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the identity file %s is not a regular file", path);
	} else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "others may read or change the identity file %s (mode %04o)",
		    path, (unsigned)(st.st_mode & 07777));
		qosid_error_hint(err, "chmod 600 %s", path);
	} else {
		rc = qosid_sink_pump_fd(fd, &sink, err);
	}
	(void)close(fd); /* only read from */
	return rc;
}

static int is_wrapped(const struct secret_text *text)
{
	return text->len >= strlen(AGE_INTRO) && memcmp(text->data, AGE_INTRO, strlen(AGE_INTRO)) == 0;
}

static int decrypt_text(
    struct secret_text *clear, const struct secret_text *wrapped, const char *passphrase, struct qosid_errbuf *err)
{
	struct age_unlock unlock = {.passphrase = passphrase};
	struct qosid_sink sink = {write_to_text, clear};
	struct age_decryptor *decryptor;
	int rc;

	rc = age_decryptor_open(&decryptor, &unlock, &sink, err);
	if (rc != 0)
		return rc;
	rc = age_decryptor_write(decryptor, wrapped->data, wrapped->len, err);
	if (rc == 0)
		rc = age_decryptor_finish(decryptor, err);
	age_decryptor_free(decryptor);
	return rc;
}

/* Replace text by what is wrapped in it. */
static int unwrap(
    struct secret_text *text, const char *path, identity_passphrase_fn ask, void *context, struct qosid_errbuf *err)
{
	struct qosid_buf passphrase = {0};
	struct secret_text clear;
	int rc;

	if (ask == NULL) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the identity is locked with a passphrase");
		qosid_error_hint(err, "give the passphrase");
		return rc;
	}
	rc = allocate_text(&clear, err);
	if (rc != 0)
		return rc;
	rc = ask(context, path, &passphrase, err);
	if (rc != 0)
		goto out;
	if (passphrase.len == 0 || memchr(passphrase.data, '\0', passphrase.len) != NULL) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the passphrase is empty or holds a NUL byte");
		goto out;
	}
	rc = decrypt_text(&clear, text, (const char *)passphrase.data, err);
	if (rc != 0)
		goto out;
	sodium_free(text->data);
	*text = clear;
	clear.data = NULL;
out:
	qosid_buf_wipe(&passphrase);
	sodium_free(clear.data);
	return rc;
}

int identity_load(
    struct identity **out, const char *path, identity_passphrase_fn ask, void *context, struct qosid_errbuf *err)
{
	struct secret_text text;
	int rc;

	*out = NULL;
	rc = keys_ready(err);
	if (rc == 0)
		rc = allocate_text(&text, err);
	if (rc != 0)
		return rc;
	rc = read_file(&text, path, err);
	if (rc != 0)
		goto out;
	if (is_wrapped(&text))
		rc = unwrap(&text, path, ask, context, err);
	if (rc == 0)
		rc = identity_parse(out, text.data, text.len, err);
	if (rc != 0)
		(void)qosid_error_within(err, "%s", path); /* rc holds the code */
out:
	sodium_free(text.data);
	return rc;
}

int identity_file_is_wrapped(bool *out, const char *path, struct qosid_errbuf *err)
{
	struct secret_text text;
	int rc;

	rc = keys_ready(err);
	if (rc == 0)
		rc = allocate_text(&text, err);
	if (rc != 0)
		return rc;
	rc = read_file(&text, path, err);
	if (rc == 0)
		*out = is_wrapped(&text);
	sodium_free(text.data);
	return rc;
}

static int write_identity(const struct identity *identity, int fd, const char *passphrase, struct qosid_errbuf *err)
{
	struct qosid_sink sink = qosid_sink_to_fd(&fd);
	struct age_encryptor *encryptor = NULL;
	struct qosid_buf text = {0};
	int rc;

	rc = identity_format_secret(identity, &text, err);
	if (rc != 0)
		goto out;
	if (passphrase == NULL) {
		rc = sink.write(sink.context, text.data, text.len, err);
		goto out;
	}
	rc = age_encryptor_open_passphrase(&encryptor, passphrase, AGE_SCRYPT_WORK_FACTOR, &sink, err);
	if (rc == 0)
		rc = age_encryptor_write(encryptor, text.data, text.len, err);
	if (rc == 0)
		rc = age_encryptor_finish(encryptor, err);
	age_encryptor_free(encryptor);
out:
	qosid_buf_wipe(&text);
	return rc;
}

/* Give the finished file its name unless that is taken. Some file systems know only link(). */
static int publish(int directory, const char *temporary, const char *name, const char *path, struct qosid_errbuf *err)
{
	int errnum;

	if (renameat2(directory, temporary, directory, name, RENAME_NOREPLACE) == 0)
		return 0;
	errnum = errno;
	if (errnum == EINVAL || errnum == ENOSYS) {
		if (linkat(directory, temporary, directory, name, 0) == 0) {
			(void)unlinkat(directory, temporary, 0); /* a second name does no harm */
			return 0;
		}
		errnum = errno;
	}
	if (errnum == EEXIST)
		return qosid_error(
		    err, QOSID_ERR_EXISTS, "%s is there already, and an identity is never overwritten", path);
	return qosid_error_errno(err, errnum, "cannot name the identity file %s", path);
}

static int replace(int directory, const char *temporary, const char *name, const char *path, struct qosid_errbuf *err)
{
	if (renameat(directory, temporary, directory, name) != 0)
		return qosid_error_errno(err, errno, "cannot replace the identity file %s", path);
	return 0;
}

/* Write beside path and give the file its name: over the one whose status is old, or, when that is NULL, over none. */
static int save_in(int directory, const char *name, const struct identity *identity, const char *path,
    const char *passphrase, const struct stat *old, struct qosid_errbuf *err)
{
	char temporary[64];
	int fd, rc;

	if (old == NULL) {
		(void)snprintf(temporary, sizeof(temporary), ".qosid-identity-%08x%08x", randombytes_random(),
		    randombytes_random());
	} else { /* always the same, so that a killed one's is found */
		(void)snprintf(temporary, sizeof(temporary), ".qosid-identity-new");
		if (unlinkat(directory, temporary, 0) != 0 && errno != ENOENT)
			return qosid_error_errno(err, errno, "cannot remove %s beside %s", temporary, path);
	}
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot write beside %s", path);
	rc = write_identity(identity, fd, passphrase, err);
	if (rc == 0 && old != NULL && old->st_uid != geteuid() && fchown(fd, old->st_uid, old->st_gid) != 0)
		rc = qosid_error_errno(err, errno, "cannot give the new file to the owner of %s", path);
	if (rc == 0 && (fchmod(fd, S_IRUSR | S_IWUSR) != 0 || fsync(fd) != 0))
		rc = qosid_error_errno(err, errno, "cannot write the identity file %s", path);
	if (close(fd) != 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot write the identity file %s", path);
	if (rc == 0)
		rc = old == NULL ? publish(directory, temporary, name, path, err)
				 : replace(directory, temporary, name, path, err);
	if (rc != 0) {
		(void)unlinkat(directory, temporary, 0); /* the first failure is the one to tell */
		return rc;
	}
	if (fsync(directory) != 0)
		return qosid_error_errno(err, errno, "cannot make the name %s durable", path);
	return 0;
}

/* The folder of path, which the caller closes, and the name there. */
static int open_parent(int *directory, const char **name, const char *path, struct qosid_errbuf *err)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	int rc = 0;

	*name = slash == NULL ? path : slash + 1;
	if (**name == '\0')
		return qosid_error(err, QOSID_ERR_USAGE, "\"%s\" does not name a file", path);
	parent = slash == NULL ? strdup(".") : strndup(path, (size_t)(*name - path));
	if (parent == NULL)
		return keys_no_memory(err, "a path");
	*directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*directory < 0)
		rc = qosid_error_errno(err, errno, "cannot open the folder of %s", path);
	free(parent);
	return rc;
}

int identity_save(const struct identity *identity, const char *path, const char *passphrase, struct qosid_errbuf *err)
{
	const char *name;
	int directory, rc;

	rc = open_parent(&directory, &name, path, err);
	if (rc != 0)
		return rc;
	/* publish() decides; this only spares a person the wait for scrypt. */
	if (faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		rc = qosid_error(
		    err, QOSID_ERR_EXISTS, "%s is there already, and an identity is never overwritten", path);
	else
		rc = save_in(directory, name, identity, path, passphrase, NULL, err);
	(void)close(directory); /* only read from */
	return rc;
}

int identity_replace(
    const struct identity *identity, const char *path, const char *passphrase, struct qosid_errbuf *err)
{
	char *real = realpath(path, NULL);
	struct stat old;
	const char *name;
	int directory, rc;

	if (real == NULL)
		return qosid_error_errno(err, errno, "cannot find the identity file %s", path);
	rc = open_parent(&directory, &name, real, err);
	if (rc != 0)
		goto out;
	if (fstatat(directory, name, &old, AT_SYMLINK_NOFOLLOW) != 0)
		rc = qosid_error_errno(err, errno, "cannot look at the identity file %s", path);
	else
		rc = save_in(directory, name, identity, path, passphrase, &old, err);
	(void)close(directory); /* only read from */
out:
	free(real);
	return rc;
}
