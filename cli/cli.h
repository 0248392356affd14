/*
 * What all commands of `qosid` share: the context that main fills, the table's entry, and opening the space.
 *
 * A command returns 0 or a qosid_error code with err filled; main prints the error and turns the code into the exit
 * status. A command that has printed its own report and only wants the status returns the code with err->what empty.
 */
#ifndef QOSID_CLI_CLI_H
#define QOSID_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/error.h"
#include "sync/space.h"

/* Besides qosid_error codes, a command or helper may return these to stop at once. */
enum cli_stop {
	CLI_DONE = -1000, /* all was said (help): status 0 */
	CLI_PIPE = -1001, /* the reader of stdout has gone: end by SIGPIPE, silently */
};

struct command;

struct cli {
	bool json;
	bool quiet;
	int verbose;
	const char *passphrase_file;   /* NULL: not given */
	struct space *space;           /* once cli_open_space() has run; main closes it */
	const struct command *command; /* the one that runs */
};

struct command {
	const char *name;
	const char *alias;    /* another name, or NULL */
	const char *group;    /* heading in `qosid help` */
	const char *synopsis; /* what follows the name in the usage line */
	const char *summary;  /* one line */
	const char *help;     /* the rest of --help: options and an example */
	int (*run)(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err);
};

/* main.c: all commands in the order of `qosid help`, ended by NULL; and the one with this name or alias, or NULL. */
const struct command *const *command_table(void);
const struct command *command_find(const char *name);

/* Open the space of the current directory (or of a parent of it). */
int cli_open_space(struct cli *cli, struct qosid_errbuf *err);

/* Who makes an edit: given (from --user) or $QOSID_USER or the login name; "" when there is none. Lives as long as the
 * program. */
int cli_user(const char *given, const char **out, struct qosid_errbuf *err);

/* Now, as Unix milliseconds. */
int64_t cli_now(void);

/* A document id given by the user, and a revision. */
int cli_check_id(const char *id, struct qosid_errbuf *err);
int cli_parse_revision(struct revision *out, const char *text, struct qosid_errbuf *err);

/* A JSON object of attachments as stored -> the same as stubs, ready for an edit. Appends nothing when stored is empty.
 */
int cli_stub_attachments(struct json_slice stored, struct qosid_buf *out, struct qosid_errbuf *err);

extern const struct command cmd_init, cmd_identity, cmd_invite, cmd_join, cmd_admit, cmd_members;
extern const struct command cmd_role, cmd_remove, cmd_rotate, cmd_threshold, cmd_endorse, cmd_office, cmd_passphrase;
extern const struct command cmd_put, cmd_get, cmd_rm, cmd_ls, cmd_changes, cmd_conflicts, cmd_resolve;
extern const struct command cmd_import, cmd_export;
extern const struct command cmd_remote, cmd_sync, cmd_fetch_file, cmd_bundle, cmd_generation, cmd_couch, cmd_status;
extern const struct command cmd_log, cmd_verify, cmd_digest, cmd_keys;
extern const struct command cmd_help, cmd_version;

#endif
