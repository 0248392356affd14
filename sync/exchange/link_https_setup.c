/*
 * How a request of a link over https is made: what it demands of the server, how it shows itself, what it may cost.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "sync/exchange/link_https.h"

#define PACK_MIN 1024u

/* ---- counting ---- */

/* What the kernel has carried for a socket, TLS and everything, each byte once. */
static void count_socket(int fd, uint64_t *up, uint64_t *down)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return; /* it was never connected */
	*up += info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
	*down += info.tcpi_bytes_received;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct link_https *https = context;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	for (size_t i = 0; fd >= 0 && i < LINK_HTTPS_SOCKETS; i++) {
		if (https->sockets[i] < 0) {
			https->sockets[i] = fd;
			break;
		}
	}
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *context, curl_socket_t fd)
{
	struct link_https *https = context;

	for (size_t i = 0; i < LINK_HTTPS_SOCKETS; i++) {
		if (https->sockets[i] == fd) {
			count_socket(fd, &https->closed_up, &https->closed_down);
			https->sockets[i] = -1;
		}
	}
	return close(fd);
}

void link_https_count(struct link_https *https)
{
	uint64_t up = https->closed_up, down = https->closed_down;

	for (size_t i = 0; i < LINK_HTTPS_SOCKETS; i++) {
		if (https->sockets[i] >= 0)
			count_socket(https->sockets[i], &up, &down);
	}
	https->link.traffic.up = up;
	https->link.traffic.down = down;
}

/* ---- packing ---- */

/* git http-backend, and all that git itself can fetch from, read questions in gzip. Packs are compressed already. */
int link_https_pack(struct link_https *https, struct qosid_errbuf *err)
{
	z_stream stream = {0};
	struct qosid_buf packed = {0};
	int rc = 0;

	https->packed = false;
	if (https->out.len < PACK_MIN || strcmp(https->service, "git-upload-pack") != 0)
		return 0;
	if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = qosid_buf_reserve(&packed, https->out.len, err);
	if (rc == 0) {
		stream.next_in = https->out.data;
		stream.avail_in = (uInt)https->out.len; /* at most what is collected before it is sent as it is */
		stream.next_out = packed.data;
		stream.avail_out = (uInt)https->out.len;
		if (deflate(&stream, Z_FINISH) == Z_STREAM_END) { /* else it would not get smaller */
			qosid_buf_reset(&https->out);
			rc = qosid_buf_append(&https->out, packed.data, (size_t)stream.total_out, err);
			https->packed = true;
		}
	}
	(void)deflateEnd(&stream); /* frees; it may say that it was cut short */
	qosid_buf_free(&packed);
	return rc;
}

/* ---- the request ---- */

static int add_head(struct link_https *https, const char *text, struct qosid_errbuf *err)
{
	struct curl_slist *longer = curl_slist_append(https->heads, text);

	if (longer == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	https->heads = longer;
	return 0;
}

static int set_heads(struct link_https *https, bool post, struct qosid_errbuf *err)
{
	char accept[96], type[96];
	int rc;

	curl_slist_free_all(https->heads);
	https->heads = NULL;
	(void)snprintf(
	    accept, sizeof(accept), "Accept: application/x-%s-%s", https->service, post ? "result" : "advertisement");
	(void)snprintf(type, sizeof(type), "Content-Type: application/x-%s-request", https->service);
	if ((rc = add_head(https, "Git-Protocol: version=2", err)) != 0 ||
	    (rc = add_head(https, "Expect:", err)) != 0 || (rc = add_head(https, accept, err)) != 0)
		return rc;
	if (post && (rc = add_head(https, type, err)) != 0)
		return rc;
	if (post && https->packed && (rc = add_head(https, "Content-Encoding: gzip", err)) != 0)
		return rc;
	return post && https->streaming ? add_head(https, "Transfer-Encoding: chunked", err) : 0;
}

#define SET(option, value) (failed |= curl_easy_setopt(curl, (option), (value)) != CURLE_OK)

static int set_security(struct link_https *https)
{
	const struct link_target *target = &https->target;
	const struct link_login *login = &https->login;
	CURL *curl = https->easy;
	int failed = 0;

	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	if (target->ca_file != NULL) {
		SET(CURLOPT_CAINFO, target->ca_file);
		SET(CURLOPT_CAPATH, NULL); /* this authority alone */
	}
	if (target->client_cert != NULL) {
		SET(CURLOPT_SSLCERT, target->client_cert);
		SET(CURLOPT_SSLKEY, target->client_key != NULL ? target->client_key : target->client_cert);
		SET(CURLOPT_KEYPASSWD, ""); /* else OpenSSL would ask at the terminal */
	}
	if (target->proxy != NULL)
		SET(CURLOPT_PROXY, target->proxy);
	if (login->secret != NULL && login->bearer) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, login->secret);
	} else if (login->secret != NULL) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, login->user != NULL ? login->user : https->url.user);
		SET(CURLOPT_PASSWORD, login->secret);
	}
	return failed;
}

static int set_costs(struct link_https *https)
{
	const struct link_limits *limits = &https->watch.limits;
	CURL *curl = https->easy;
	int failed = 0;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name server when told to stop */
	SET(CURLOPT_CONNECTTIMEOUT, (long)limits->idle_seconds);
	SET(CURLOPT_MAX_SEND_SPEED_LARGE, (curl_off_t)limits->rate_up);
	SET(CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)limits->rate_down);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, (void *)https);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, (void *)https);
	return failed;
}

static int set_bytes(struct link_https *https, const char *url, bool post)
{
	CURL *curl = https->easy;
	int failed = 0;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "git/2.0 (qosid/" QOSID_VERSION ")"); /* forges look for the first word */
	SET(CURLOPT_HTTPHEADER, https->heads);
	SET(CURLOPT_ERRORBUFFER, https->curl_error);
	SET(CURLOPT_HEADERFUNCTION, link_https_take_head);
	SET(CURLOPT_HEADERDATA, (void *)https);
	SET(CURLOPT_WRITEFUNCTION, link_https_take_answer);
	SET(CURLOPT_WRITEDATA, (void *)https);
	if (post)
		SET(CURLOPT_POST, 1L);
	if (post && https->streaming) {
		SET(CURLOPT_READFUNCTION, link_https_give_question);
		SET(CURLOPT_READDATA, (void *)https);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
	} else if (post) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)https->out.len);
		SET(CURLOPT_POSTFIELDS, (const char *)https->out.data);
	}
	return failed;
}

int link_https_prepare(struct link_https *https, bool post, struct qosid_errbuf *err)
{
	struct qosid_buf url = {0};
	char origin[LINK_ORIGIN_SIZE];
	int rc = set_heads(https, post, err);

	link_url_format_origin(origin, &https->url);
	if (rc == 0)
		rc = qosid_buf_append_format(
		    &url, err, "%s%s%s%s", origin, https->url.path, post ? "/" : "/info/refs?service=", https->service);
	if (rc == 0) {
		curl_easy_reset(https->easy); /* keeps the connection */
		if ((set_security(https) | set_costs(https) | set_bytes(https, (const char *)url.data, post)) != 0)
			rc = qosid_error(err, QOSID_ERR_FAILED, "libcurl lacks a setting that the link needs");
	}
	qosid_buf_free(&url); /* libcurl has its own copy */
	return rc;
}
