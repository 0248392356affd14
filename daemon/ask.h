/* Asking a person for a new password: twice on a terminal, without echo; otherwise the first line of standard input. */
#ifndef QOSID_DAEMON_ASK_H
#define QOSID_DAEMON_ASK_H

#include "crypto/buf.h"
#include "crypto/error.h"

/* The caller wipes out. */
int ask_new_password(const char *name, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
