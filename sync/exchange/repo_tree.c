/*
 * Raw git trees (repo.h): formatting, and parsing more strictly than git does.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/repo.h"
#include "sync/limits.h"

#define MODE_FILE "100644 "
#define MODE_TREE "40000 "
#define TREE_NAME_BYTES 255u

/* Git's order: by the bytes of the name, a directory's as if it ended in '/'. */
static int compare_entries(const struct repo_entry *left, const struct repo_entry *right)
{
	size_t left_len = strlen(left->name), right_len = strlen(right->name);
	size_t common = left_len < right_len ? left_len : right_len;
	int order = memcmp(left->name, right->name, common);
	unsigned char left_next, right_next;

	if (order != 0)
		return order;
	left_next = left_len > common ? (unsigned char)left->name[common] : (left->is_tree ? '/' : 0);
	right_next = right_len > common ? (unsigned char)right->name[common] : (right->is_tree ? '/' : 0);
	return left_next - right_next;
}

/* Names that git itself refuses in a tree, or that would mislead on some file system. */
static int check_name(const char *name, size_t len, struct qosid_errbuf *err)
{
	if (len == 0 || len > TREE_NAME_BYTES || memchr(name, '/', len) != NULL || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0 || strncasecmp(name, ".git", 4) == 0 || strncasecmp(name, "git~", 4) == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "a git tree has an entry with an unfit name");
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || (unsigned char)name[i] > 0x7e || name[i] == '\\')
			return qosid_error(err, QOSID_ERR_INVALID, "a git tree has an entry with an unfit name");
	}
	return 0;
}

/* Entries in order, each name once (also not once as a file and once as a directory). */
static int check_order(const struct repo_entry *entries, size_t count, struct qosid_errbuf *err)
{
	for (size_t i = 1; i < count; i++) {
		if (compare_entries(&entries[i - 1], &entries[i]) >= 0)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "the entries of a git tree are not sorted at %s", entries[i].name);
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(entries[i].name, entries[j].name) == 0)
				return qosid_error(err, QOSID_ERR_INVALID, "a git tree has %s twice", entries[i].name);
		}
	}
	return 0;
}

static int compare_for_sort(const void *left, const void *right)
{
	return compare_entries(left, right);
}

int repo_format_tree(struct qosid_buf *out, const struct repo_entry *entries, size_t count, struct qosid_errbuf *err)
{
	struct repo_entry sorted[LIMIT_TREE_ENTRIES];
	size_t start = out->len;
	int rc = 0;

	if (count > LIMIT_TREE_ENTRIES)
		return qosid_error(err, QOSID_ERR_LIMIT, "a git tree of %zu entries, more than the %u allowed", count,
		    LIMIT_TREE_ENTRIES);
	for (size_t i = 0; i < count && rc == 0; i++) {
		sorted[i] = entries[i];
		rc = check_name(entries[i].name, strlen(entries[i].name), err);
	}
	if (rc != 0 || count == 0)
		return rc;
	qsort(sorted, count, sizeof(sorted[0]), compare_for_sort);
	rc = check_order(sorted, count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = qosid_buf_append_text(out, sorted[i].is_tree ? MODE_TREE : MODE_FILE, err);
		if (rc == 0)
			rc = qosid_buf_append(out, sorted[i].name, strlen(sorted[i].name) + 1, err);
		if (rc == 0)
			rc = qosid_buf_append(out, sorted[i].id.id, GIT_OID_RAWSZ, err);
	}
	if (rc != 0)
		out->len = start;
	return rc;
}

int repo_parse_tree(const struct qosid_buf *data, struct repo_entry *entries, size_t *count, struct qosid_errbuf *err)
{
	const char *at = (const char *)data->data;
	size_t left = data->len;
	int rc;

	*count = 0;
	while (left > 0) {
		struct repo_entry *entry = &entries[*count];
		const char *end;

		if (*count == LIMIT_TREE_ENTRIES)
			return qosid_error(
			    err, QOSID_ERR_LIMIT, "a git tree has more than %u entries", LIMIT_TREE_ENTRIES);
		entry->is_tree = left >= strlen(MODE_TREE) && memcmp(at, MODE_TREE, strlen(MODE_TREE)) == 0;
		if (entry->is_tree) {
			at += strlen(MODE_TREE);
			left -= strlen(MODE_TREE);
		} else if (left >= strlen(MODE_FILE) && memcmp(at, MODE_FILE, strlen(MODE_FILE)) == 0) {
			at += strlen(MODE_FILE);
			left -= strlen(MODE_FILE);
		} else {
			return qosid_error(err, QOSID_ERR_INVALID,
			    "a git tree has an entry that is neither a plain file nor a folder");
		}
		end = memchr(at, 0, left);
		if (end == NULL || left - (size_t)(end - at) < 1 + GIT_OID_RAWSZ)
			return qosid_error(err, QOSID_ERR_INVALID, "a git tree ends in the middle of an entry");
		rc = check_name(at, (size_t)(end - at), err);
		if (rc != 0)
			return rc;
		entry->name = at;
		memcpy(entry->id.id, end + 1, GIT_OID_RAWSZ);
		left -= (size_t)(end - at) + 1 + GIT_OID_RAWSZ;
		at = end + 1 + GIT_OID_RAWSZ;
		++*count;
	}
	return check_order(entries, *count, err);
}
