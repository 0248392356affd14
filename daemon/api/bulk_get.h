/* POST /{db}/_bulk_get. */
#ifndef QOSID_DAEMON_API_BULK_GET_H
#define QOSID_DAEMON_API_BULK_GET_H

#include "daemon/api/reply.h"

int api_bulk_get(struct http_call *call, struct api_database *database, struct qosid_errbuf *err);

#endif
