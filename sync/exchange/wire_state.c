/*
 * What an exchange over a link remembers between meetings (peer_wire.h): in the folder qosid/ of the own repository, a
 * file a log whose fetch was cut short, and one a remote with the size of the steps that its link bears.
 *
 * Nothing rests on these files. A chain of the wrong ids leads to a request that the remote refuses, after which the
 * chain is forgotten.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "sync/exchange/newfile.h"
#include "sync/exchange/peer_wire.h"

#define STATE_BYTES_MAX ((size_t)64 << 20)
#define CHAIN_COMMITS_MAX (STATE_BYTES_MAX / GIT_OID_RAWSZ)
#define CHAIN_MAGIC "qosid chain 1\n"

/* ---- files ---- */

/* Append "<own>/qosid" and, with a key, "/<kind>-<digest of the key>". */
static int state_path(struct qosid_buf *out, const struct repo *own, const char *kind, const char *key)
{
	uint8_t digest[DIGEST_BYTES];
	int rc = qosid_buf_append_format(out, NULL, "%s/qosid", repo_path(own));

	if (rc != 0 || key == NULL)
		return rc;
	digest_compute(digest, key, strlen(key));
	rc = qosid_buf_append_format(out, NULL, "/%s-", kind);
	for (size_t i = 0; i < 16 && rc == 0; i++)
		rc = qosid_buf_append_format(out, NULL, "%02x", digest[i]);
	return rc;
}

static bool state_read(struct qosid_buf *out, const struct repo *own, const char *kind, const char *key)
{
	struct qosid_buf path = {0};
	struct stat status;
	bool is_read = false;
	int fd = -1;

	if (state_path(&path, own, kind, key) == 0)
		fd = open((const char *)path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	qosid_buf_free(&path);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (size_t)status.st_size <= STATE_BYTES_MAX &&
	    qosid_buf_reserve(out, (size_t)status.st_size, NULL) == 0) {
		ssize_t got = read(fd, out->data, (size_t)status.st_size);

		is_read = got >= 0 && got == status.st_size;
		out->len = is_read ? (size_t)got : 0;
		out->data[out->len] = '\0';
	}
	(void)close(fd); /* opened for reading */
	return is_read;
}

/* Put bytes into a file, or remove it when there are none. */
static void state_write(const struct repo *own, const char *kind, const char *key, const struct qosid_buf *bytes)
{
	struct newfile file = {.fd = -1};
	struct qosid_buf objects = {0}, folder = {0}, path = {0};
	struct sharing sharing;

	if (qosid_buf_append_format(&objects, NULL, "%s/objects", repo_path(own)) != 0 ||
	    state_path(&folder, own, NULL, NULL) != 0 || state_path(&path, own, kind, key) != 0)
		goto out;
	if (bytes->len == 0) {
		(void)unlink((const char *)path.data); /* mostly not there */
		goto out;
	}
	if (sharing_read(&sharing, (const char *)objects.data, NULL) != 0 ||
	    sharing_make_folder(&sharing, (const char *)objects.data, (const char *)folder.data, NULL) != 0)
		goto out;
	newfile_clean((const char *)folder.data);
	if (newfile_create(&file, (const char *)folder.data, NULL) == 0 &&
	    newfile_write(&file, bytes->data, bytes->len, NULL) == 0 &&
	    newfile_seal(&file, &sharing, SHARING_FILE, NULL) == 0)
		(void)newfile_rename(&file, (const char *)path.data, NULL);
out:
	newfile_remove(&file);
	qosid_buf_free(&objects);
	qosid_buf_free(&folder);
	qosid_buf_free(&path);
}

/* ---- chains ---- */

int wire_chain_add(struct wire_chain *chain, const git_oid *id, struct qosid_errbuf *err)
{
	if (chain->count == CHAIN_COMMITS_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "a log of more than %zu commits", CHAIN_COMMITS_MAX);
	if (chain->count == chain->cap) {
		size_t cap = chain->cap == 0 ? 64 : chain->cap * 2;
		git_oid *ids = realloc(chain->ids, cap * sizeof(*ids));

		if (ids == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a log of %zu commits", cap);
		chain->ids = ids;
		chain->cap = cap;
	}
	chain->ids[chain->count++] = *id;
	return 0;
}

void wire_chain_free(struct wire_chain *chain)
{
	free(chain->ids);
	*chain = (struct wire_chain){0};
}

/* "qosid chain 1\n", 'c' (connected, to the root), 'b' (connected to the base that follows) or '-', ids. */
void wire_chain_load(struct wire_chain *chain, const struct repo *own, const char *progress)
{
	const size_t head = sizeof(CHAIN_MAGIC) - 1 + 1;
	struct qosid_buf bytes = {0};
	git_oid id;

	if (progress == NULL || !state_read(&bytes, own, "chain", progress) || bytes.len < head ||
	    memcmp(bytes.data, CHAIN_MAGIC, head - 1) != 0 || (bytes.len - head) % GIT_OID_RAWSZ != 0)
		goto out;
	chain->has_base = bytes.data[head - 1] == 'b';
	chain->is_connected = chain->has_base || bytes.data[head - 1] == 'c';
	for (size_t at = head; at < bytes.len; at += GIT_OID_RAWSZ) {
		memcpy(id.id, bytes.data + at, GIT_OID_RAWSZ);
		if (at == head && chain->has_base)
			chain->base = id;
		else if (wire_chain_add(chain, &id, NULL) != 0) {
			wire_chain_free(chain);
			break;
		}
	}
out:
	if (chain->count == 0)
		wire_chain_free(chain);
	qosid_buf_free(&bytes);
}

void wire_chain_save(const struct wire_chain *chain, const struct repo *own, const char *progress)
{
	char state = chain->has_base ? 'b' : chain->is_connected ? 'c' : '-';
	struct qosid_buf bytes = {0};
	int rc = 0;

	if (progress == NULL)
		return;
	if (chain->count > 0 && (rc = qosid_buf_append_format(&bytes, NULL, CHAIN_MAGIC "%c", state)) == 0 &&
	    chain->has_base)
		rc = qosid_buf_append(&bytes, chain->base.id, GIT_OID_RAWSZ, NULL);
	for (size_t i = 0; rc == 0 && i < chain->count; i++)
		rc = qosid_buf_append(&bytes, chain->ids[i].id, GIT_OID_RAWSZ, NULL);
	if (rc == 0)
		state_write(own, "chain", progress, &bytes);
	qosid_buf_free(&bytes);
}

/* ---- pace ---- */

size_t wire_pace_faster(size_t pace)
{
	return pace < WIRE_PACE_MAX / 2 ? pace * 2 : WIRE_PACE_MAX;
}

size_t wire_pace_slower(size_t pace)
{
	return pace / 4 > WIRE_PACE_MIN ? pace / 4 : WIRE_PACE_MIN;
}

void wire_pace_load(struct peer_wire *peer)
{
	struct qosid_buf bytes = {0};
	size_t fetch, push;

	peer->fetch_pace = peer->push_pace = WIRE_PACE_START;
	if (state_read(&bytes, peer->peer.own, "pace", peer->peer.name) &&
	    sscanf((const char *)bytes.data, "fetch %zu push %zu", &fetch, &push) == 2 && fetch >= WIRE_PACE_MIN &&
	    fetch <= WIRE_PACE_MAX && push >= WIRE_PACE_MIN && push <= WIRE_PACE_MAX) {
		peer->fetch_pace = fetch;
		peer->push_pace = push;
	}
	qosid_buf_free(&bytes);
}

void wire_pace_save(const struct peer_wire *peer)
{
	struct qosid_buf bytes = {0};

	if (qosid_buf_append_format(&bytes, NULL, "fetch %zu push %zu\n", peer->fetch_pace, peer->push_pace) == 0)
		state_write(peer->peer.own, "pace", peer->peer.name, &bytes);
	qosid_buf_free(&bytes);
}
