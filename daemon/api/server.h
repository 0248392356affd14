/* What the files about the server as a whole share. */
#ifndef QOSID_DAEMON_API_SERVER_H
#define QOSID_DAEMON_API_SERVER_H

#include "daemon/api/api_internal.h"

#define NODE_NAME "nonode@nohost"

/* 0, or 401 has been answered (reply.h). */
int server_need_admin(struct http_call *call);

/* Whether api_server_routes() has this first segment. */
bool server_has_route(const char *name);

/* _node/... (node.c) */
int node_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err);

#endif
