/*
 * What the commands about membership share: an office's public keys, as JSON and as words.
 */
#ifndef QOSID_CLI_ENROL_H
#define QOSID_CLI_ENROL_H

#include "cli/output.h"

/* Starts as {0}. */
struct enrol_public {
	struct qosid_buf ssh;       /* "ssh-ed25519 AAAA..." */
	struct qosid_buf recipient; /* "age1..." */
	struct qosid_buf words;     /* the fingerprint */
};
int enrol_read_public(struct space *space, struct enrol_public *out, struct qosid_errbuf *err);
int enrol_member_public(const struct roster_member *member, struct enrol_public *out, struct qosid_errbuf *err);
void enrol_free_public(struct enrol_public *keys);

/* Add the members "signing", "encryption" and "fingerprint". */
void enrol_add_public(struct output_object *object, const struct enrol_public *keys);

/* Tell on stderr that the keys of a new office lie in clear, unless -q. */
void enrol_warn_clear(const struct cli *cli);

/* Write text (an invitation, a request) to path, or to stdout when path is NULL. */
int enrol_write_text(const char *path, const struct qosid_buf *text, struct qosid_errbuf *err);

/* Read an argument that is a file, "-", or the JSON text itself. */
int enrol_read_text(const char *argument, struct qosid_buf *out, struct qosid_errbuf *err);

/* Take what --remote names into the invitation: a URL as it is, a folder as a full path, so that it is found from
 * everywhere. A remote that is not here now, such as a stick that is not plugged in, has to be given so. */
int enrol_place_remote(
    struct cli *cli, const char *given, struct roster_invitation *invitation, struct qosid_errbuf *err);

/* Say what a steward's operation waits for, when it does; nothing with -q. */
int enrol_report_wait(const struct cli *cli, const struct space_outcome *outcome, struct qosid_errbuf *err);

#endif
