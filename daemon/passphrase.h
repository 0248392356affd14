/*
 * The passphrase of a wrapped identity, for a program that nobody can be asked: from a systemd credential or from a
 * file that its owner alone can read.
 */
#ifndef QOSID_DAEMON_PASSPHRASE_H
#define QOSID_DAEMON_PASSPHRASE_H

#include "crypto/buf.h"
#include "crypto/error.h"

/* An identity_passphrase_fn (crypto/keys.h); context is the struct config_space. The first line of the file, without
 * its end, is the passphrase. */
int passphrase_ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err);

#endif
