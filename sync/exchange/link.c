/*
 * Links as their users see them (link.h): every call goes to the class of the link.
 */
#include "sync/exchange/link_internal.h"

void link_close(struct link *link)
{
	if (link != NULL)
		link->class->close(link);
}

int link_read(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err)
{
	*got = 0;
	return size == 0 ? 0 : link->class->read(link, out, size, got, err);
}

int link_write(struct link *link, const void *data, size_t len, struct qosid_errbuf *err)
{
	return len == 0 ? 0 : link->class->write(link, data, len, err);
}

int link_turn(struct link *link, struct qosid_errbuf *err)
{
	return link->class->turn(link, err);
}

bool link_is_stateless(const struct link *link)
{
	return link->class->is_stateless;
}

void link_read_traffic(const struct link *link, struct link_traffic *out)
{
	*out = link->traffic;
}
