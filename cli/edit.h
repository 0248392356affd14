/*
 * What the commands that edit share: one transaction, attachments from files, and telling what was stored.
 */
#ifndef QOSID_CLI_EDIT_H
#define QOSID_CLI_EDIT_H

#include "cli/output.h"

/* Run work in a transaction of the space's replica: committed when it returns 0, rolled back otherwise. */
int edit_transaction(struct cli *cli, int (*work)(struct cli *cli, void *context, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err);

/* An attachment named on the command line: NAME=FILE or NAME=FILE:TYPE. Texts point into the argument. */
struct edit_attachment {
	const char *name;
	size_t name_len;
	const char *path;
	size_t path_len;
	const char *type; /* not NULL: guessed by the file's name, else application/octet-stream */
};
int edit_parse_attachment(struct edit_attachment *out, const char *argument, struct qosid_errbuf *err);

/* Append a JSON object of attachments: those of kept (may be empty), without the ones that given replaces, and the
 * given files, whose contents are stored. Appends nothing when there are none at all. In a transaction. */
int edit_store_attachments(struct replica *replica, struct json_slice kept, const struct edit_attachment *given,
    size_t count, struct qosid_buf *out, struct qosid_errbuf *err);

/* {"ok":true,"id","rev"} or a line for people ("stored person:1 as 1-ab.."). */
int edit_report(
    struct cli *cli, const char *verb, const char *id, const struct revision *rev, struct qosid_errbuf *err);

#endif
