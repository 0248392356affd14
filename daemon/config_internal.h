/* Shared by the files that read the configuration. */
#ifndef QOSID_DAEMON_CONFIG_INTERNAL_H
#define QOSID_DAEMON_CONFIG_INTERNAL_H

#include <git2.h>

#include "daemon/config.h"

/* An absolute path, or one that begins with ~/. */
int config_read_path(char out[PATH_MAX], const git_config_entry *entry, struct qosid_errbuf *err);
int config_unknown_key(const git_config_entry *entry, struct qosid_errbuf *err);

/* One entry of [http]; key in lower case. And what only shows when all has been read. */
int config_http_read(
    struct config_http *http, const git_config_entry *entry, const char *key, struct qosid_errbuf *err);
int config_http_check(struct config_http *http, const char *path, struct qosid_errbuf *err);
void config_http_free(struct config_http *http);

#endif
