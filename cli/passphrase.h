/*
 * Passphrases: from the first line of a file (--passphrase-file, $QOSID_PASSPHRASE_FILE) or typed at the terminal
 * without echo. Never from an argument or the value of a variable, which other users of the machine can see.
 */
#ifndef QOSID_CLI_PASSPHRASE_H
#define QOSID_CLI_PASSPHRASE_H

#include "cli/cli.h"

/* An identity_passphrase_fn; context is the struct cli. */
int passphrase_ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err);

/* A passphrase for a new identity: from the file when one is named; else, when prompt is set, typed twice; else none,
 * and buf stays empty. The caller wipes buf. */
int passphrase_choose(struct cli *cli, bool prompt, struct qosid_buf *buf, struct qosid_errbuf *err);

/* A passphrase that takes the place of another: from file, or, when that is NULL, typed twice. The caller wipes buf. */
int passphrase_choose_new(const char *file, struct qosid_buf *buf, struct qosid_errbuf *err);

#endif
