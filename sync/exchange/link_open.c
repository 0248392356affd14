/*
 * Opening a link: the URL decides which kind it is.
 */
#include <stdio.h>
#include <string.h>

#include "sync/exchange/link_kinds.h"

static int open_kind(struct link **out, const struct link_target *target, const char *service,
    const struct link_limits *limits, struct link_probe *probe, struct qosid_errbuf *err)
{
	struct link_url url;
	int rc;

	*probe = (struct link_probe){0};
	if ((rc = link_url_parse(&url, target->url, err)) != 0)
		return rc;
	switch (url.scheme) {
	case LINK_SSH:
		return link_ssh_open(out, &url, target, service, limits, probe, err);
	case LINK_HTTPS:
		return link_https_open(out, &url, target, service, limits, probe, err);
	default:
		return qosid_error(err, QOSID_ERR_USAGE, "%s is a folder, which needs no link", url.path);
	}
}

int link_open(struct link **out, const struct link_target *target, const char *service,
    const struct link_limits *limits, struct qosid_errbuf *err)
{
	struct link_probe probe;

	*out = NULL;
	return open_kind(out, target, service, limits, &probe, err);
}

int link_try(const struct link_target *target, const char *service, const struct link_limits *limits,
    struct link_probe *probe, struct qosid_errbuf *err)
{
	struct link *link = NULL;
	int rc = open_kind(&link, target, service, limits, probe, err);

	link_close(link);
	return rc;
}
