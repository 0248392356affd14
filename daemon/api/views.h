/*
 * Views over HTTP: _view, _view/../queries, _info, _view_cleanup, _compact/{ddoc}, and what _active_tasks shows of
 * builds. What views are is sync/replica/view.h's business.
 *
 * An index is built by the requests that wait for it, a batch of documents each time one of them has a worker; between
 * batches the request goes back to the end of the queue, so a long build keeps nobody else waiting. One request at a
 * time builds an index; the others that want it wait.
 */
#ifndef QOSID_DAEMON_API_VIEWS_H
#define QOSID_DAEMON_API_VIEWS_H

#include "daemon/api/reply.h"
#include "sync/replica/view.h"

struct api_views; /* of a struct api: which indexes are being built */

int api_views_create(struct api *api, struct qosid_errbuf *err);
void api_views_free(struct api *api);

/* {db}/_design/{ddoc}/_view/.. and _info. */
int api_view_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err);
/* After authorization: drop indexes that no design document has; cut an index anew. */
int api_view_cleanup(struct http_call *call, struct api_database *database, struct qosid_errbuf *err);
int api_view_compact(
    struct http_call *call, struct api_database *database, struct json_slice design, struct qosid_errbuf *err);
/* Write the elements of _active_tasks; returns how many. first: no comma before the first one. */
size_t api_view_write_tasks(struct api *api, bool first, struct writer *writer);

#endif
