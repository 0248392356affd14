/* _purge, _purged_infos, _purged_infos_limit. */
#ifndef QOSID_DAEMON_API_PURGE_H
#define QOSID_DAEMON_API_PURGE_H

#include "daemon/api/reply.h"

bool purge_has_route(const char *name);
int api_purge_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err);

#endif
