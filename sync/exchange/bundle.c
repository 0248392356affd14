/*
 * Writing bundles (bundle.h). The pack is made first, in a folder of its own beside the file, then follows the header
 * into the file; memory is that of one object and 64 bytes for each.
 */
#include "sync/exchange/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/exchange/pack.h"

#define COPY_BYTES (64u << 10)
#define TREE_BYTES_MAX ((size_t)LIMIT_TREE_ENTRIES * 300)

/* What the recipient said last about each log. */
struct known {
	struct commit_seen *items;
	size_t count;
};

struct bundle {
	struct exchange *exchange;
	const char *recipient; /* NULL: everything */
	struct known known;
	struct pack_writer *writer;
	struct qosid_buf needs, refs; /* lines of the header */
	struct qosid_buf raw;
	struct bundle_summary *summary;
};

/* ---- what the recipient has ---- */

static const struct commit_seen *find_known(const struct known *known, const char *office)
{
	for (size_t i = 0; i < known->count; i++) {
		if (strcmp(known->items[i].office, office) == 0)
			return &known->items[i];
	}
	return NULL;
}

/* Take over what a commit had seen, except of logs that a newer one has spoken of. */
static int learn(struct known *known, const struct commit *commit, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < commit->seen_count; i++) {
		struct commit_seen *items;

		if (find_known(known, commit->seen[i].office) != NULL)
			continue;
		items = reallocarray(known->items, known->count + 1, sizeof(*items));
		if (items == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for what an office has seen");
		known->items = items;
		items[known->count++] = commit->seen[i];
	}
	return 0;
}

/* Walk the recipient's own log, which has been verified, from its newest commit back. */
static int learn_all(struct bundle *bundle, struct qosid_errbuf *err)
{
	struct repo *repo = bundle->exchange->repo;
	struct log log;
	char ref[LOG_REF_SIZE];
	git_oid id;
	bool more = true;
	int rc;

	log_init(&log, LOG_OFFICE, bundle->recipient);
	log_format_tip(ref, &log, bundle->exchange->office);
	rc = repo_read_ref(repo, ref, &id, err);
	if (rc == QOSID_ERR_NOTFOUND) {
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "nothing of %s has arrived here, so what it lacks is unknown",
		    bundle->recipient);
		qosid_error_hint(err, "make a bundle of everything: qosid bundle create FILE --all");
	}
	while (rc == 0 && more) {
		struct qosid_buf signature = {0}, payload = {0};
		struct commit commit = {0};

		qosid_buf_reset(&bundle->raw);
		if ((rc = repo_read(repo, &id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &bundle->raw, err)) == 0 &&
		    (rc = commit_parse(&commit, bundle->raw.data, bundle->raw.len, &signature, &payload, err)) == 0 &&
		    (rc = learn(&bundle->known, &commit, err)) == 0) {
			more = commit.has_parent;
			git_oid_cpy(&id, &commit.parent);
		}
		commit_free(&commit);
		qosid_buf_free(&signature);
		qosid_buf_free(&payload);
	}
	return rc;
}

/* ---- objects ---- */

static int add_object(
    struct bundle *bundle, const git_oid *id, git_object_t type, size_t limit, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(&bundle->raw);
	rc = repo_read(bundle->exchange->repo, id, type, limit, &bundle->raw, err);
	return rc == 0 ? pack_writer_add(bundle->writer, type, bundle->raw.data, bundle->raw.len, NULL, err) : rc;
}

static int add_tree(struct bundle *bundle, const git_oid *id, bool outermost, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf tree = {0};
	size_t count = 0;
	int rc = repo_read(bundle->exchange->repo, id, GIT_OBJECT_TREE, TREE_BYTES_MAX, &tree, err);

	if (rc == 0)
		rc = repo_parse_tree(&tree, entries, &count, err);
	if (rc == 0)
		rc = pack_writer_add(bundle->writer, GIT_OBJECT_TREE, tree.data, tree.len, NULL, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!entries[i].is_tree)
			rc = add_object(bundle, &entries[i].id, GIT_OBJECT_BLOB, LIMIT_CHANGESET_BYTES, err);
		else if (outermost)
			rc = add_tree(bundle, &entries[i].id, false, err);
	}
	qosid_buf_free(&tree);
	return rc;
}

static int add_commit(struct bundle *bundle, const git_oid *id, struct qosid_errbuf *err)
{
	struct qosid_buf signature = {0}, payload = {0};
	struct commit commit = {0};
	int rc = add_object(bundle, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, err);

	if (rc == 0)
		rc = commit_parse(&commit, bundle->raw.data, bundle->raw.len, &signature, &payload, err);
	if (rc == 0)
		rc = add_tree(bundle, &commit.tree, true, err);
	if (rc == 0)
		bundle->summary->commits++;
	commit_free(&commit);
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
	return rc;
}

/* ---- logs ---- */

static int add_log(void *context, const char *name, const git_oid *tip, struct qosid_errbuf *err)
{
	static const char verified[] = "refs/qosid/verified/", heads[] = "refs/heads/";
	struct bundle *bundle = context;
	const struct commit_seen *known = NULL;
	size_t prefix = strncmp(name, verified, sizeof(verified) - 1) == 0 ? sizeof(verified) - 1 : sizeof(heads) - 1;
	struct log_point point = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	char hex[GIT_OID_HEXSZ + 1];
	struct log log;
	int rc;

	if (log_parse(&log, name + prefix, NULL) != 0)
		return 0; /* no log */
	if (log.kind == LOG_OFFICE && bundle->recipient != NULL) {
		if (strcmp(log.office, bundle->recipient) == 0)
			return 0; /* its own */
		known = find_known(&bundle->known, log.office);
		if (known != NULL && !repo_has(bundle->exchange->repo, &known->commit))
			known = NULL; /* it saw more than we have, or another history: what we have is sent */
	}
	if (known != NULL)
		point = (struct log_point){.sequence = known->sequence, .commit = known->commit};
	rc = log_compare(bundle->exchange->repo, &point, tip, &relation, &chain, err);
	if (rc == 0 && relation == LOG_DIVERGED && known != NULL) { /* it saw another history: send all of ours */
		known = NULL;
		log_chain_free(&chain);
		point = (struct log_point){0};
		rc = log_compare(bundle->exchange->repo, &point, tip, &relation, &chain, err);
	}
	if (rc != 0 || relation != LOG_AHEAD)
		goto out;
	for (size_t i = 0; i < chain.count && rc == 0; i++) {
		rc = add_commit(bundle, &chain.ids[i], err);
		exchange_report_progress(bundle->exchange, "bundle", bundle->summary->commits, 0);
	}
	if (rc == 0 && known != NULL)
		rc = qosid_buf_append_format(&bundle->needs, err, "-%s %s@%lld\n",
		    git_oid_tostr(hex, sizeof(hex), &known->commit), log.name, (long long)known->sequence);
	if (rc == 0)
		rc = qosid_buf_append_format(
		    &bundle->refs, err, "%s refs/heads/%s\n", git_oid_tostr(hex, sizeof(hex), tip), log.name);
	if (rc == 0)
		bundle->summary->logs++;
out:
	log_chain_free(&chain);
	return rc != 0 ? qosid_error_within(err, "log %s", log.name) : 0;
}

/* ---- the file ---- */

static int append_pack(
    const struct bundle *bundle, const struct newfile *file, const char *folder, struct qosid_errbuf *err)
{
	uint8_t bytes[COPY_BYTES];
	const struct dirent *entry;
	DIR *dir = opendir(folder);
	ssize_t got = -1;
	int rc = 0, fd = -1;

	while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len > 5 && strcmp(entry->d_name + len - 5, ".pack") == 0)
			fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
	}
	while (fd >= 0 && rc == 0 && (got = read(fd, bytes, sizeof(bytes))) > 0) {
		rc = newfile_write(file, bytes, (size_t)got, err);
		bundle->summary->bytes += (uint64_t)got;
	}
	if (rc == 0 && got < 0)
		rc = qosid_error_errno(err, errno, "cannot read the pack in %s", folder);
	if (fd >= 0)
		(void)close(fd);
	if (dir != NULL)
		(void)closedir(dir);
	return rc;
}

static int write_file(
    struct bundle *bundle, const char *path, const char *parent, const char *folder, struct qosid_errbuf *err)
{
	static const char magic[] = "# v2 git bundle\n";
	struct sharing sharing = {.mode = 0700, .gid = getegid()};
	struct newfile file = {.fd = -1};
	struct qosid_buf head = {0};
	int rc;

	if ((rc = qosid_buf_append(&head, magic, sizeof(magic) - 1, err)) == 0 &&
	    (rc = qosid_buf_append(&head, bundle->needs.data, bundle->needs.len, err)) == 0 &&
	    (rc = qosid_buf_append(&head, bundle->refs.data, bundle->refs.len, err)) == 0 &&
	    (rc = qosid_buf_append_byte(&head, '\n', err)) == 0 && (rc = newfile_create(&file, parent, err)) == 0 &&
	    (rc = newfile_write(&file, head.data, head.len, err)) == 0 &&
	    (rc = append_pack(bundle, &file, folder, err)) == 0 &&
	    (rc = newfile_seal(&file, &sharing, SHARING_FILE, err)) == 0 &&
	    (rc = newfile_rename(&file, path, err)) == 0)
		rc = newfile_fsync_folder(parent, err);
	bundle->summary->bytes += head.len;
	newfile_remove(&file);
	qosid_buf_free(&head);
	return rc;
}

static void remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0); /* only space */
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(folder);
}

static int fill(
    struct bundle *bundle, const char *path, const char *parent, const char *folder, struct qosid_errbuf *err)
{
	struct sharing sharing = {.mode = 0700, .gid = getegid()};
	struct repo *repo = bundle->exchange->repo;
	int rc;

	if ((bundle->recipient != NULL && (rc = learn_all(bundle, err)) != 0) ||
	    (rc = pack_writer_open(&bundle->writer, folder, &sharing, err)) != 0 ||
	    (rc = repo_visit_refs(repo, "refs/heads/", add_log, bundle, err)) != 0 ||
	    (rc = repo_visit_refs(repo, "refs/qosid/verified/", add_log, bundle, err)) != 0)
		return rc;
	if (bundle->summary->logs == 0)
		return 0;
	rc = pack_writer_finish(bundle->writer, err);
	return rc == 0 ? write_file(bundle, path, parent, folder, err) : rc;
}

int bundle_create(struct exchange *exchange, const char *path, const char *recipient, struct bundle_summary *summary,
    struct qosid_errbuf *err)
{
	struct bundle bundle = {.exchange = exchange, .recipient = recipient, .summary = summary};
	struct qosid_buf folder = {0};
	char *copy = strdup(path);
	const char *parent = copy != NULL ? dirname(copy) : NULL;
	int rc;

	*summary = (struct bundle_summary){0};
	if (parent == NULL)
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a bundle");
	else
		rc = qosid_buf_append_format(&folder, err, "%s/%sXXXXXX", parent, NEWFILE_PREFIX);
	if (rc == 0 && mkdtemp((char *)folder.data) == NULL) {
		rc = qosid_error_errno(err, errno, "cannot make a folder in %s", parent);
	} else if (rc == 0) {
		rc = fill(&bundle, path, parent, (const char *)folder.data, err);
		pack_writer_free(bundle.writer);
		remove_folder((const char *)folder.data);
	}
	qosid_buf_free(&bundle.needs);
	qosid_buf_free(&bundle.refs);
	qosid_buf_free(&bundle.raw);
	qosid_buf_free(&folder);
	free(bundle.known.items);
	free(copy);
	return rc;
}
