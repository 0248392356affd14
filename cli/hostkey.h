/*
 * The key of an ssh host that is met for the first time: shown, and confirmed by a person, never taken silently.
 */
#ifndef QOSID_CLI_HOSTKEY_H
#define QOSID_CLI_HOSTKEY_H

#include "cli/cli.h"

/* Fetch the key that the remote's host shows now; when fingerprint ("SHA256:..", may be NULL) names it or the person at
 * the terminal says yes, add it to the space's known hosts. QOSID_ERR_REFUSED otherwise, with the fingerprint in the
 * error. */
int hostkey_confirm(
    const struct cli *cli, const struct space_remote *remote, const char *fingerprint, struct qosid_errbuf *err);

#endif
