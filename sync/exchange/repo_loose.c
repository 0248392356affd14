/*
 * Reading loose objects. libgit2 1.5 does not come back from one that is cut short, and opens whatever lies under the
 * name, so this is done here: only plain files, inflated no further than the size in front and the caller's limit, and
 * hashed.
 */
#define ZLIB_CONST
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "sync/exchange/pack.h"
#include "sync/exchange/repo_internal.h"

#define LOOSE_HEADER_BYTES 32u /* "commit 18446744073709551615" and a NUL fit */
#define LOOSE_INPUT_BYTES (32u << 10)

struct loose {
	int fd;
	z_stream stream;
	uint8_t input[LOOSE_INPUT_BYTES];
	bool ended; /* the zlib stream, as it should */
};

/* Inflate up to len bytes; *made is smaller only where the stream ends. False when it is damaged or cut short. */
static bool loose_inflate(struct loose *loose, void *out, size_t len, size_t *made)
{
	loose->stream.next_out = out;
	loose->stream.avail_out = (uInt)len;
	while (!loose->ended && loose->stream.avail_out > 0) {
		int status;

		if (loose->stream.avail_in == 0) {
			ssize_t got = read(loose->fd, loose->input, sizeof(loose->input));

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return false;
			loose->stream.next_in = loose->input;
			loose->stream.avail_in = (uInt)got;
		}
		status = inflate(&loose->stream, Z_NO_FLUSH);
		if (status != Z_OK && status != Z_STREAM_END)
			return false;
		loose->ended = status == Z_STREAM_END;
	}
	*made = len - loose->stream.avail_out;
	return true;
}

/* Take "<type> <size>" and the NUL behind it. */
static bool loose_header(struct loose *loose, git_object_t *type, size_t *size)
{
	char header[LOOSE_HEADER_BYTES];
	char *space, *end;
	size_t used = 0, made;

	do {
		if (used == sizeof(header) || !loose_inflate(loose, header + used, 1, &made) || made == 0)
			return false;
	} while (header[used++] != '\0');
	space = strchr(header, ' ');
	if (space == NULL || space[1] < '0' || space[1] > '9')
		return false;
	*space = '\0';
	*type = git_object_string2type(header);
	errno = 0;
	*size = strtoul(space + 1, &end, 10);
	return errno == 0 && *end == '\0' && git_object_typeisloose(*type);
}

/* The whole stream behind the header: exactly size bytes, and nothing behind. */
static bool loose_body(struct loose *loose, uint8_t *out, size_t size)
{
	size_t made;
	uint8_t more;

	if (size > 0 && (!loose_inflate(loose, out, size, &made) || made != size))
		return false;
	return loose_inflate(loose, &more, 1, &made) && made == 0 && loose->stream.avail_in == 0 &&
	       read(loose->fd, &more, 1) == 0;
}

static int loose_read(struct repo *repo, struct loose *loose, const git_oid *id, git_object_t wanted, size_t limit,
    git_object_t *type, struct qosid_buf *out, struct qosid_errbuf *err)
{
	git_oid computed;
	size_t size, start = out->len;
	int rc;

	if (!loose_header(loose, type, &size))
		goto damaged;
	rc = repo_check_object(repo, id, *type, wanted, size, limit, err);
	if (rc == 0)
		rc = qosid_buf_reserve(out, size, err);
	if (rc != 0)
		return rc;
	if (!loose_body(loose, out->data + start, size))
		goto damaged;
	rc = pack_object_id(&computed, *type, out->data + start, size, err);
	if (rc != 0)
		return rc;
	if (!git_oid_equal(&computed, id))
		goto damaged;
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
damaged:
	return qosid_error(
	    err, QOSID_ERR_CORRUPT, "object %s in %s is damaged (loose file)", git_oid_tostr_s(id), repo->path);
}

static int loose_read_file(struct repo *repo, int fd, const git_oid *id, git_object_t wanted, size_t limit,
    git_object_t *type, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct loose *loose;
	struct stat status;
	int rc;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return qosid_error(
		    err, QOSID_ERR_CORRUPT, "object %s in %s is no plain file", git_oid_tostr_s(id), repo->path);
	loose = calloc(1, sizeof(*loose));
	if (loose == NULL || inflateInit(&loose->stream) != Z_OK) {
		free(loose);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for object %s", git_oid_tostr_s(id));
	}
	loose->fd = fd;
	rc = loose_read(repo, loose, id, wanted, limit, type, out, err);
	(void)inflateEnd(&loose->stream); /* frees, and cannot fail for a stream that was initialised */
	free(loose);
	return rc;
}

int repo_read_loose(struct repo *repo, const git_oid *id, git_object_t wanted, size_t limit, git_object_t *type,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	struct qosid_buf path = {0};
	int fd, rc;

	git_oid_tostr(hex, sizeof(hex), id);
	rc = qosid_buf_append_format(&path, err, "%sobjects/%.2s/%s", git_repository_path(repo->git), hex, hex + 2);
	if (rc != 0)
		return rc;
	/* Not blocking: a stranger may have put a pipe there. */
	fd = open((const char *)path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	qosid_buf_free(&path);
	if (fd < 0 && errno == ENOENT)
		return QOSID_ERR_NOTFOUND;
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open object %s in %s", hex, repo->path);
	rc = loose_read_file(repo, fd, id, wanted, limit, type, out, err);
	(void)close(fd); /* opened for reading */
	return rc;
}
