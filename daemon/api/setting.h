/* Numbers that a database keeps for its clients: _revs_limit, _purged_infos_limit. */
#ifndef QOSID_DAEMON_API_SETTING_H
#define QOSID_DAEMON_API_SETTING_H

#include "daemon/api/reply.h"

struct setting {
	const char *name; /* of the small stored thing */
	int64_t fallback;
	const char *refusal; /* of what is no positive integer */
};

/* The number; the fallback stands in for what cannot be read. */
int64_t setting_read(struct api_database *database, const struct setting *setting);

/* Answer GET and PUT; the latter for administrators of the database. */
int setting_route(
    struct http_call *call, struct api_database *database, const struct setting *setting, struct qosid_errbuf *err);

#endif
