/*
 * Moving loose objects into one pack (repo.h). The loose files go only when the pack is on disk, so a kill at any
 * moment leaves each object in at least one place.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sync/exchange/pack.h"
#include "sync/exchange/repo_internal.h"
#include "sync/limits.h"

#define LEFTOVER_SECONDS 86400L

/* Collect the ids of the objects in objects/<first byte>. A symbolic link is none of ours: it may lead to another
 * repository, whose objects must stay where they are. */
static int list_folder(struct repo *repo, unsigned first, struct oidmap *ids, struct qosid_errbuf *err)
{
	int fd = repo_open_loose_folder(repo, first);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int rc = 0;

	if (dir == NULL && fd >= 0)
		(void)close(fd);
	while (dir != NULL && rc == 0 && (entry = readdir(dir)) != NULL) {
		char hex[GIT_OID_HEXSZ + 1];
		uint32_t index;
		git_oid id;
		bool added;

		if (strlen(entry->d_name) != GIT_OID_HEXSZ - 2)
			continue;
		(void)snprintf(hex, sizeof(hex), "%02x", first & 0xffU);
		memcpy(hex + 2, entry->d_name, GIT_OID_HEXSZ - 1);
		if (git_oid_fromstr(&id, hex) == 0)
			rc = oidmap_add(ids, &id, &index, &added, err);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return rc;
}

/* Put every object that can be read into the pack; packed[i] says which. Returns the first failure to read one. */
static int pack_all(struct repo *repo, struct pack_writer *writer, const struct oidmap *ids, struct qosid_buf *packed,
    struct qosid_errbuf *err)
{
	struct qosid_errbuf other = {0};
	struct qosid_buf object = {0};
	int rc = 0, damage = 0;

	for (uint32_t i = 0; i < ids->count && rc == 0; i++) {
		git_object_t type;
		int status;

		qosid_buf_reset(&object);
		status = repo_read_loose(repo, &ids->ids[i], GIT_OBJECT_ANY, LIMIT_CHANGESET_BYTES, &type, &object,
		    damage == 0 ? err : &other);
		if (status == 0)
			rc = pack_writer_add(writer, type, object.data, object.len, NULL, err);
		else if (damage == 0)
			damage = status;
		if (rc == 0)
			rc = qosid_buf_append_byte(packed, status == 0, err);
	}
	if (rc == 0)
		rc = pack_writer_finish(writer, err);
	qosid_buf_free(&object);
	if (rc != 0)
		qosid_buf_reset(packed); /* nothing is packed */
	return rc != 0 ? rc : damage;
}

static void remove_packed(const struct repo *repo, const struct oidmap *ids, const struct qosid_buf *packed)
{
	for (uint32_t i = 0; i < ids->count; i++) {
		char hex[GIT_OID_HEXSZ + 1];
		int folder;

		if (!packed->data[i] || (folder = repo_open_loose_folder(repo, ids->ids[i].id[0])) < 0)
			continue;
		git_oid_tostr(hex, sizeof(hex), &ids->ids[i]);
		(void)unlinkat(folder, hex + 2, 0); /* one that stays is packed by the next repack again */
		(void)close(folder);
	}
}

/* A killed process leaves in objects/ what was to become a loose object or a folder. */
static void remove_leftovers(const struct repo *repo)
{
	struct qosid_buf path = {0};
	const struct dirent *entry;
	struct stat status;
	DIR *dir = NULL;
	int fd = -1;

	if (repo_file(repo, &path, "objects", NULL) == 0)
		fd = open((const char *)path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (dir = fdopendir(fd)) == NULL)
		(void)close(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, NEWFILE_PREFIX, strlen(NEWFILE_PREFIX)) == 0 &&
		    fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    status.st_mtim.tv_sec < time(NULL) - LEFTOVER_SECONDS)
			(void)unlinkat(
			    dirfd(dir), entry->d_name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0); /* only space */
	}
	if (dir != NULL)
		(void)closedir(dir);
	qosid_buf_free(&path);
}

int repo_repack_loose(struct repo *repo, size_t threshold, struct qosid_errbuf *err)
{
	struct pack_writer *writer = NULL;
	struct qosid_buf directory = {0}, packed = {0};
	struct oidmap ids = {0};
	int rc = 0;

	for (unsigned first = 0; first < 256 && rc == 0; first++)
		rc = list_folder(repo, first, &ids, err);
	if (rc != 0 || ids.count <= threshold)
		goto out;
	rc = repo_file(repo, &directory, "objects/pack", err);
	if (rc == 0)
		rc = pack_writer_open(&writer, (const char *)directory.data, &repo->sharing, err);
	if (rc == 0)
		rc = pack_all(repo, writer, &ids, &packed, err);
	/* A damaged object does not keep the others from being packed. */
	if (packed.len == ids.count) {
		remove_packed(repo, &ids, &packed);
		remove_leftovers(repo);
	}
	if (git_odb_refresh(repo->packs) != 0 && rc == 0)
		rc = repo_failure(err, QOSID_ERR_IO, "cannot see the new pack in %s", repo->path);
out:
	pack_writer_free(writer);
	oidmap_free(&ids);
	qosid_buf_free(&directory);
	qosid_buf_free(&packed);
	return rc;
}
