/*
 * The error idiom: see error.h. Texts are cut, never overrun, and nothing here can itself fail.
 */
#include "crypto/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int qosid_error(struct qosid_errbuf *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	qosid_error_clear(err);
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	return code;
}

static int code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return QOSID_ERR_FULL;
	case ENOMEM:
		return QOSID_ERR_NOMEM;
	case ENOENT:
		return QOSID_ERR_NOTFOUND;
	case EEXIST:
		return QOSID_ERR_EXISTS;
	default:
		return QOSID_ERR_IO;
	}
}

int qosid_error_errno(struct qosid_errbuf *err, int errnum, const char *fmt, ...)
{
	char reason[128];
	size_t used;
	va_list ap;

	if (err == NULL)
		return code_of_errno(errnum);
	qosid_error_clear(err);
	err->code = code_of_errno(errnum);
	va_start(ap, fmt);
	(void)vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	used = strlen(err->what);
	(void)snprintf(err->what + used, sizeof(err->what) - used, ": %s", strerror_r(errnum, reason, sizeof(reason)));
	if (err->code == QOSID_ERR_FULL)
		qosid_error_hint(err, "free some disk space and try again; nothing that was acknowledged is lost");
	return err->code;
}

int qosid_error_within(struct qosid_errbuf *err, const char *fmt, ...)
{
	char place[sizeof(err->where)], inner[sizeof(err->where)];
	va_list ap;
	int n;

	if (err == NULL)
		return QOSID_ERR_FAILED;
	va_start(ap, fmt);
	(void)vsnprintf(place, sizeof(place), fmt, ap);
	va_end(ap);
	memcpy(inner, err->where, sizeof(inner));
	n = snprintf(err->where, sizeof(err->where), "%s%s%s", place, inner[0] != '\0' ? ": " : "", inner);
	if (n < 0)
		err->where[0] = '\0';
	return err->code != 0 ? err->code : QOSID_ERR_FAILED;
}

void qosid_error_hint(struct qosid_errbuf *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL || err->hint[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

void qosid_error_clear(struct qosid_errbuf *err)
{
	if (err == NULL)
		return;
	err->code = 0;
	err->what[0] = err->where[0] = err->hint[0] = '\0';
}

int qosid_error_exit_code(int code)
{
	switch (code) {
	case QOSID_OK:
		return 0;
	case QOSID_ERR_USAGE:
		return 2;
	case QOSID_ERR_NOTFOUND:
		return 3;
	case QOSID_ERR_CONFLICT:
	case QOSID_ERR_EXISTS:
		return 4;
	case QOSID_ERR_REFUSED:
		return 5;
	case QOSID_ERR_OFFLINE:
	case QOSID_ERR_BUSY:
	case QOSID_ERR_WAITING:
		return 6;
	default:
		return 1;
	}
}

const char *qosid_error_name(int code)
{
	static const char *const names[] = {"ok", "failed", "usage", "not_found", "conflict", "refused", "offline",
	    "invalid", "limit", "no_memory", "io", "full", "busy", "corrupt", "exists", "waiting", "cancelled"};

	if (code > 0 || code <= -(int)(sizeof(names) / sizeof(names[0])))
		return "failed";
	return names[-code];
}
