/*
 * The HTTP API as a part of the daemon: the API and its server, as the configuration wants them. What it needs of the
 * configuration is copied, so a reload may free the old one.
 */
#ifndef QOSID_DAEMON_SERVICE_H
#define QOSID_DAEMON_SERVICE_H

#include "crypto/error.h"
#include "daemon/config.h"
#include "daemon/journal.h"

struct service;

/* Start; *out is NULL when the configuration has no [http]. Sockets that systemd has handed over are served, too. */
int service_start(
    struct service **out, const struct config *config, const struct journal *journal, struct qosid_errbuf *err);
void service_stop(struct service *service); /* accepts NULL */

/* Something in this space's folder has changed: feeds look. Accepts NULL. */
void service_wake(const struct service *service, const char *space);

/* Whether a service that was started for this configuration (NULL: none) does as well for config. */
bool service_fits(const struct service *service, const struct config *config);

#endif
