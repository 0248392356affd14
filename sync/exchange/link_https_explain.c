/*
 * What went wrong with a request of a link over https, in plain words.
 */
#include <string.h>

#include "sync/exchange/link_https.h"

static const char *why(const struct link_https *https)
{
	return https->curl_error[0] != '\0' ? https->curl_error : curl_easy_strerror(https->result);
}

static int offline(struct link_https *https, enum link_stage *stage, enum link_stage reached, struct qosid_errbuf *err)
{
	int rc = qosid_error(err, QOSID_ERR_OFFLINE, "%s cannot be reached: %s", https->url.host, why(https));

	*stage = *stage > reached ? *stage : reached;
	qosid_error_hint(err, "try later; what has arrived is kept");
	return rc;
}

static int explain_certificate(struct link_https *https, struct qosid_errbuf *err)
{
	const char *text = why(https);
	int rc = qosid_error(err, QOSID_ERR_REFUSED, "the certificate of %s does not hold, so nothing was sent: %s",
	    https->url.host, text);

	if (strstr(text, "expired") != NULL || strstr(text, "not yet valid") != NULL)
		qosid_error_hint(err, "is this computer's clock right? else the server needs a new certificate");
	else if (strstr(text, "issuer") != NULL || strstr(text, "self") != NULL)
		qosid_error_hint(err, "if its authority is a private one, name its certificate: --ca FILE");
	else
		qosid_error_hint(err, "is the name in the URL the server's own?");
	return rc;
}

static int explain_tls(struct link_https *https, enum link_stage *stage, struct qosid_errbuf *err)
{
	const char *text = why(https);

	if (strstr(text, "alert") == NULL)
		return offline(https, stage, LINK_STAGE_CONNECT, err);
	*stage = LINK_STAGE_CONNECT;
	if (strstr(text, "certificate") != NULL || strstr(text, "handshake failure") != NULL) {
		(void)qosid_error(
		    err, QOSID_ERR_REFUSED, "%s does not accept this office's certificate: %s", https->url.host, text);
		qosid_error_hint(err, "name one that it knows: --client-cert FILE --client-key FILE");
		return QOSID_ERR_REFUSED;
	}
	return qosid_error(err, QOSID_ERR_REFUSED, "%s speaks no TLS that is safe: %s", https->url.host, text);
}

static int explain_transfer(struct link_https *https, enum link_stage *stage, struct qosid_errbuf *err)
{
	switch (https->result) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		(void)qosid_error(err, QOSID_ERR_OFFLINE, "the name of %s cannot be resolved",
		    https->result == CURLE_COULDNT_RESOLVE_HOST ? https->url.host : "the proxy");
		qosid_error_hint(err, "is the network up, and the name right?");
		return QOSID_ERR_OFFLINE;
	case CURLE_COULDNT_CONNECT:
	case CURLE_PROXY:
	case CURLE_OPERATION_TIMEDOUT:
		return offline(https, stage, LINK_STAGE_NAME, err);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		*stage = LINK_STAGE_CONNECT;
		return explain_certificate(https, err);
	case CURLE_SSL_CERTPROBLEM:
		*stage = LINK_STAGE_CONNECT;
		return qosid_error(
		    err, QOSID_ERR_USAGE, "this office's certificate or its key cannot be used: %s", why(https));
	case CURLE_SSL_CACERT_BADFILE:
		return qosid_error(err, QOSID_ERR_USAGE, "the authority's certificate cannot be used: %s", why(https));
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return qosid_error(err, QOSID_ERR_USAGE, "libcurl does not take this URL or proxy: %s", why(https));
	case CURLE_OUT_OF_MEMORY:
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	case CURLE_BAD_CONTENT_ENCODING:
		return qosid_error(
		    err, QOSID_ERR_INVALID, "%s sends what cannot be read: %s", https->url.host, why(https));
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return explain_tls(https, stage, err);
	default:
		return offline(https, stage, LINK_STAGE_CONNECT, err);
	}
}

/* ---- answers ---- */

static bool said(const struct link_https *https, const char *text)
{
	return https->fault.len > 0 && memmem(https->fault.data, https->fault.len, text, strlen(text)) != NULL;
}

static int explain_login(struct link_https *https, struct qosid_errbuf *err)
{
	const struct link_target *target = &https->target;

	if (https->login.secret == NULL) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "%s wants a login (401)", https->url.host);
		qosid_error_hint(err, target->credential_helper != NULL
					  ? "the credential helper knows none: log in once with git itself"
					  : "give one: --token-file FILE, or --credential-helper NAME");
	} else {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "%s does not accept the login (401)", https->url.host);
		qosid_error_hint(err, "has the token run out, or was it made for another server?");
	}
	return QOSID_ERR_REFUSED;
}

static int explain_redirect(struct link_https *https, struct qosid_errbuf *err)
{
	(void)qosid_error(
	    err, QOSID_ERR_REFUSED, "%s leads elsewhere (%ld), which is not followed", https->url.host, https->status);
	qosid_error_hint(err, "ask for the repository's final https address, and add the remote with that");
	return QOSID_ERR_REFUSED;
}

static int explain_status(struct link_https *https, enum link_stage *stage, struct qosid_errbuf *err)
{
	const char *host = https->url.host;
	long status = https->status;

	*stage = LINK_STAGE_HOST;
	if (status == 401)
		return explain_login(https, err);
	if (status == 407)
		return qosid_error(err, QOSID_ERR_REFUSED, "the proxy wants a login (407)");
	if (status == 400 && said(https, "SSL certificate")) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "%s wants a client certificate that it knows (400)", host);
		qosid_error_hint(err, "name it: --client-cert FILE --client-key FILE");
		return QOSID_ERR_REFUSED;
	}
	if (status >= 300 && status <= 399)
		return explain_redirect(https, err);
	*stage = LINK_STAGE_LOGIN;
	if (status == 403) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "%s does not allow this login to do that (403)", host);
		qosid_error_hint(err, "%s",
		    strcmp(https->service, "git-receive-pack") == 0
			? "the login may read, but not write; ask for the right to push"
			: "ask for the right to read the repository");
		return QOSID_ERR_REFUSED;
	}
	if (status == 404 || status == 410) {
		(void)qosid_error(
		    err, QOSID_ERR_NOTFOUND, "there is no repository %s at %s (%ld)", https->url.path, host, status);
		qosid_error_hint(err, "make it there; some forges also say so when the login may not see it");
		return QOSID_ERR_NOTFOUND;
	}
	if (status == 413) {
		(void)qosid_error(err, QOSID_ERR_LIMIT, "%s takes no request of this size (413)", host);
		qosid_error_hint(err, "its administrator must raise the limit (nginx: client_max_body_size)");
		return QOSID_ERR_LIMIT;
	}
	if (status == 408 || status == 429 || status >= 500) {
		(void)qosid_error(err, QOSID_ERR_OFFLINE, "%s answers, but does not work now (%ld%s)", host, status,
		    status == 500                    ? ", an error of its own"
		    : status == 502 || status == 504 ? ", the git behind it does not answer"
		    : status == 503                  ? ", overloaded or closed"
		    : status == 429                  ? ", too many requests"
						     : "");
		qosid_error_hint(
		    err, "try later; if it stays so, its administrator finds the cause in the server's log");
		return QOSID_ERR_OFFLINE;
	}
	return qosid_error(err, QOSID_ERR_INVALID, "%s answers with status %ld, which git does not know", host, status);
}

/* "application/x-git-upload-pack-result", and nothing that a login page would say. */
static bool is_git(const struct link_https *https)
{
	static const char lead[] = "application/x-";
	size_t service = strlen(https->service);
	const char *type = NULL;

	if (curl_easy_getinfo(https->easy, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || type == NULL ||
	    strncasecmp(type, lead, sizeof(lead) - 1) != 0)
		return false;
	type += sizeof(lead) - 1;
	return strncasecmp(type, https->service, service) == 0 &&
	       strcasecmp(type + service, https->greeting ? "-advertisement" : "-result") == 0;
}

int link_https_judge(struct link_https *https, enum link_stage *stage, struct qosid_errbuf *err)
{
	if (https->failure.code != 0) {
		if (err != NULL)
			*err = https->failure;
		return https->failure.code;
	}
	if (https->result != CURLE_OK && (https->status < 300 || https->status > 599))
		return explain_transfer(https, stage, err);
	if (https->status != 200)
		return explain_status(https, stage, err);
	if (!is_git(https)) {
		*stage = LINK_STAGE_LOGIN;
		(void)qosid_error(err, QOSID_ERR_INVALID, "something answers at %s, but not git", https->url.host);
		qosid_error_hint(err, "is the path that of the repository, as git would clone it?");
		return QOSID_ERR_INVALID;
	}
	*stage = LINK_STAGE_REPOSITORY;
	return 0;
}
