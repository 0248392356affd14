/*
 * POST /_replicate, GET /_scheduler/jobs and _scheduler/docs, and the way to the database _replicator, all for
 * administrators only: replications run with the server's own rights, and their documents hold passwords.
 */
#ifndef QOSID_DAEMON_API_REPLICATE_H
#define QOSID_DAEMON_API_REPLICATE_H

#include "daemon/api/api.h"

/* Whether api_replicate_routes() has this first segment. */
bool replicate_has_route(const char *name);
int api_replicate_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err);

/* GET /_active_tasks: what runs in the background, replications and builds of indexes. As routes do, but may return
 * API_REPLIED. */
int replicate_list_tasks(struct http_call *call, struct api *api, struct qosid_errbuf *err);

#endif
