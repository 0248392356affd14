/*
 * The HTTP client: see http_client.h.
 */
#include "sync/couch/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/couch/address.h"
#include "sync/replica/json.h"

#define DEFAULT_CONNECT_S 20
#define DEFAULT_IDLE_S 60
#define DEFAULT_ATTEMPTS 6
#define DEFAULT_BACKOFF_MS 500
#define BACKOFF_MAX_MS 30000
#define RETRY_AFTER_MAX_S 120
#define ANSWER_BYTES (1u << 20)
#define FAULT_BYTES (64u << 10) /* of an error answer */
#define SLOW_BYTES_A_SECOND 8L
#define REQUEST_MAX_S (6L * 3600) /* a peer that drips */
#define WAIT_SLICE_MS 200
#define BASE64_PIECE (48u << 10) /* a multiple of 3 */

struct couch_http {
	CURL *curl;
	struct couch_address address;
	const struct couch_peer *peer;
	const atomic_bool *cancel;
	char curl_error[CURL_ERROR_SIZE];
};

/* One attempt. */
struct attempt {
	struct couch_http *http;
	const struct couch_request *request;
	struct qosid_errbuf failure; /* of the sink or of the body */
	uint64_t received;
	bool too_long;
	struct qosid_buf fault;   /* body of an answer that is no success */
	size_t segment;           /* where in the request's body it is */
	uint64_t offset;          /* plain bytes of that segment */
	struct qosid_buf pending; /* of the body, ready to be sent */
	size_t pending_sent;
};

/* ---- waiting ---- */

bool couch_is_cancelled(const atomic_bool *cancel)
{
	return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed);
}

bool couch_wait(const atomic_bool *cancel, int64_t ms)
{
	while (ms > 0 && !couch_is_cancelled(cancel)) {
		int64_t slice = ms < WAIT_SLICE_MS ? ms : WAIT_SLICE_MS;
		struct timespec pause = {.tv_nsec = (long)slice * 1000000L};

		(void)nanosleep(&pause, NULL); /* a signal ends the slice early, which does no harm */
		ms -= slice;
	}
	return !couch_is_cancelled(cancel);
}

int couch_cancelled_error(struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_FAILED, "the replication was cancelled");
}

/* ---- opening ---- */

static void start_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* curl_easy_init() fails when this has */
}

int couch_http_open(
    struct couch_http **out, const struct couch_peer *peer, const atomic_bool *cancel, struct qosid_errbuf *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct couch_http *http;
	int code;

	*out = NULL;
	(void)pthread_once(&once, start_curl); /* fails on bad arguments only */
	http = calloc(1, sizeof(*http));
	if (http == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	http->peer = peer;
	http->cancel = cancel;
	code = couch_address_parse(&http->address, peer->url, err);
	if (code == 0) {
		http->curl = curl_easy_init();
		if (http->curl == NULL)
			code = qosid_error(err, QOSID_ERR_NOMEM, "libcurl cannot start");
	}
	if (code != 0) {
		couch_http_close(http);
		return code;
	}
	*out = http;
	return 0;
}

void couch_http_close(struct couch_http *http)
{
	if (http == NULL)
		return;
	curl_easy_cleanup(http->curl);
	couch_address_free(&http->address);
	free(http);
}

const char *couch_http_name(const struct couch_http *http)
{
	return http->address.name;
}

const char *couch_http_address(const struct couch_http *http)
{
	return http->address.server;
}

const char *couch_http_database(const struct couch_http *http)
{
	return http->address.database;
}

unsigned couch_http_idle_timeout(const struct couch_http *http)
{
	return http->peer->idle_timeout_s != 0 ? http->peer->idle_timeout_s : DEFAULT_IDLE_S;
}

/* ---- callbacks: libcurl calls them on this thread ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
	struct attempt *attempt = context;
	const struct couch_request *request = attempt->request;
	uint64_t limit = request->limit != 0 ? request->limit : ANSWER_BYTES;
	size_t len = size * count;
	long status = 0;

	(void)curl_easy_getinfo(attempt->http->curl, CURLINFO_RESPONSE_CODE, &status); /* known by now */
	if (status < 200 || status > 299) {
		size_t room = FAULT_BYTES - attempt->fault.len;

		if (qosid_buf_append(&attempt->fault, data, len < room ? len : room, &attempt->failure) != 0)
			return 0;
		return len; /* more than that is dropped, up to the time limit */
	}
	attempt->received += len;
	if (attempt->received > limit) {
		attempt->too_long = true;
		(void)qosid_error(&attempt->failure, QOSID_ERR_LIMIT, "the answer has more than %llu bytes",
		    (unsigned long long)limit);
		return 0;
	}
	if (request->sink != NULL && request->sink->write(request->sink->context, data, len, &attempt->failure) != 0) {
		if (attempt->failure.code == 0)
			attempt->failure.code = QOSID_ERR_FAILED;
		return 0;
	}
	return len;
}

static int append_base64(struct qosid_buf *out, const struct qosid_buf *plain, struct qosid_errbuf *err)
{
	size_t size = sodium_base64_encoded_len(plain->len, sodium_base64_VARIANT_ORIGINAL); /* with a NUL */

	if (qosid_buf_reserve(out, size, err) != 0)
		return QOSID_ERR_NOMEM;
	(void)sodium_bin2base64(
	    (char *)out->data + out->len, size, plain->data, plain->len, sodium_base64_VARIANT_ORIGINAL);
	out->len += size - 1;
	return 0;
}

/* Put the next piece of the request's body into pending; it stays empty at the end. */
static int next_piece(struct attempt *attempt)
{
	const struct couch_request *request = attempt->request;
	const struct couch_segment *segment;
	struct qosid_buf plain = {0};
	uint64_t len;
	int code;

	qosid_buf_reset(&attempt->pending);
	attempt->pending_sent = 0;
	while (attempt->segment < request->body_count && attempt->offset == request->body[attempt->segment].len) {
		attempt->segment++;
		attempt->offset = 0;
	}
	if (attempt->segment == request->body_count)
		return 0;
	segment = &request->body[attempt->segment];
	len = segment->len - attempt->offset;
	if (len > BASE64_PIECE)
		len = BASE64_PIECE;
	if (segment->read != NULL) {
		struct qosid_buf_sink target = {segment->base64 ? &plain : &attempt->pending, BASE64_PIECE};
		struct qosid_sink sink = qosid_sink_to_buf(&target);

		code = segment->read(segment->context, attempt->offset, len, &sink, &attempt->failure);
	} else {
		code = qosid_buf_append(segment->base64 ? &plain : &attempt->pending,
		    (const char *)segment->data + attempt->offset, (size_t)len, &attempt->failure);
	}
	if (code == 0 && segment->base64)
		code = append_base64(&attempt->pending, &plain, &attempt->failure);
	attempt->offset += len;
	qosid_buf_wipe(&plain);
	return code;
}

static size_t give_body(char *data, size_t size, size_t count, void *context)
{
	struct attempt *attempt = context;
	size_t room = size * count, len;

	if (attempt->pending_sent == attempt->pending.len && next_piece(attempt) != 0)
		return CURL_READFUNC_ABORT;
	len = attempt->pending.len - attempt->pending_sent;
	if (len > room)
		len = room;
	if (len > 0)
		memcpy(data, attempt->pending.data + attempt->pending_sent, len);
	attempt->pending_sent += len;
	return len;
}

/* libcurl sends a body again when a kept connection turns out to be closed. */
static int rewind_body(void *context, curl_off_t offset, int origin)
{
	struct attempt *attempt = context;

	if (offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	attempt->segment = 0;
	attempt->offset = 0;
	qosid_buf_reset(&attempt->pending);
	attempt->pending_sent = 0;
	return CURL_SEEKFUNC_OK;
}

static int watch_cancel(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct attempt *attempt = context;

	(void)a, (void)b, (void)c, (void)d;
	return couch_is_cancelled(attempt->http->cancel) ? 1 : 0;
}

/* ---- one attempt ---- */

static uint64_t body_length(const struct couch_request *request)
{
	uint64_t total = 0;

	for (size_t i = 0; i < request->body_count; i++) {
		uint64_t len = request->body[i].len;

		total += request->body[i].base64 ? (len + 2) / 3 * 4 : len;
	}
	return total;
}

static struct curl_slist *header_list(const struct couch_http *http, const struct couch_request *request)
{
	struct curl_slist *list = NULL, *longer;
	const char *fixed[4] = {"Expect:", NULL, NULL, NULL};
	char accept[160], type[160];
	size_t count = 1;

	(void)snprintf(
	    accept, sizeof(accept), "Accept: %s", request->accept != NULL ? request->accept : "application/json");
	fixed[count++] = accept;
	if (request->body_count > 0) {
		(void)snprintf(type, sizeof(type), "Content-Type: %s",
		    request->content_type != NULL ? request->content_type : "application/json");
		fixed[count++] = type;
	}
	for (size_t i = 0; i < count; i++) {
		longer = curl_slist_append(list, fixed[i]);
		if (longer == NULL)
			goto failed;
		list = longer;
	}
	for (const char *const *header = http->peer->headers; header != NULL && *header != NULL; header++) {
		longer = curl_slist_append(list, *header);
		if (longer == NULL)
			goto failed;
		list = longer;
	}
	return list;
failed:
	curl_slist_free_all(list);
	return NULL;
}

#define SET(option, value) (failed |= curl_easy_setopt(curl, (option), (value)) != CURLE_OK)

static int set_security(struct couch_http *http, struct qosid_errbuf *err)
{
	const struct couch_peer *peer = http->peer;
	const char *user = peer->user != NULL ? peer->user : http->address.user;
	const char *password = peer->user != NULL ? peer->password : http->address.password;
	CURL *curl = http->curl;
	int failed = 0;

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	if (peer->ca_file != NULL)
		SET(CURLOPT_CAINFO, peer->ca_file);
	if (peer->proxy != NULL)
		SET(CURLOPT_PROXY, peer->proxy);
	if (user != NULL) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, user);
		SET(CURLOPT_PASSWORD, password != NULL ? password : "");
	}
	return failed ? qosid_error(err, QOSID_ERR_FAILED, "libcurl lacks a setting that the connection needs") : 0;
}

static int set_times(struct couch_http *http, const struct couch_request *request, struct qosid_errbuf *err)
{
	long idle = (long)couch_http_idle_timeout(http);
	long connect = http->peer->connect_timeout_s != 0 ? (long)http->peer->connect_timeout_s : DEFAULT_CONNECT_S;
	CURL *curl = http->curl;
	int failed = 0;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, connect);
	SET(CURLOPT_LOW_SPEED_TIME, idle);
	SET(CURLOPT_LOW_SPEED_LIMIT, request->waits ? 1L : SLOW_BYTES_A_SECOND);
	SET(CURLOPT_TIMEOUT, request->waits ? 2 * idle + connect : REQUEST_MAX_S);
	return failed ? qosid_error(err, QOSID_ERR_FAILED, "libcurl lacks a setting that the connection needs") : 0;
}

static int set_request(struct attempt *attempt, const char *url, struct curl_slist *headers, struct qosid_errbuf *err)
{
	struct couch_http *http = attempt->http;
	const struct couch_request *request = attempt->request;
	CURL *curl = http->curl;
	int failed = 0;

	SET(CURLOPT_ERRORBUFFER, http->curl_error);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "qosid/" QOSID_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_WRITEFUNCTION, take_answer);
	SET(CURLOPT_WRITEDATA, (void *)attempt);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, watch_cancel);
	SET(CURLOPT_XFERINFODATA, (void *)attempt);
	if (request->body_count > 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, give_body);
		SET(CURLOPT_READDATA, (void *)attempt);
		SET(CURLOPT_SEEKFUNCTION, rewind_body);
		SET(CURLOPT_SEEKDATA, (void *)attempt);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_length(request));
	} else if (strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) {
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_POSTFIELDSIZE, 0L);
	}
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	if (failed)
		return qosid_error(err, QOSID_ERR_FAILED, "libcurl lacks a setting that the request needs");
	return 0;
}

/* {"error":..,"reason":..}, as far as the answer has them; what a peer says is cut and cleaned. */
static void read_fault(const struct qosid_buf *fault, struct couch_response *response)
{
	struct json_slice object, value;
	struct {
		const char *name;
		char *text;
		size_t size;
	} const members[] = {{"error", response->error, sizeof(response->error)},
	    {"reason", response->reason, sizeof(response->reason)}};

	if (fault->len == 0 || json_check_object((const char *)fault->data, fault->len, &object, NULL) != 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		struct qosid_buf text = {0};

		if (json_find(object, members[i].name, &value) && json_slice_kind(value) == JSON_STRING &&
		    json_string_decode(value, &text, NULL) == 0 && text.len > 0) {
			(void)snprintf(members[i].text, members[i].size, "%s", (const char *)text.data);
			for (char *c = members[i].text; *c != '\0'; c++) {
				if ((unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f)
					*c = ' ';
			}
		}
		qosid_buf_free(&text);
	}
}

/* Judge what libcurl says. *again: it may work later. */
static int judge_transfer(struct attempt *attempt, CURLcode result, bool *again, struct qosid_errbuf *err)
{
	struct couch_http *http = attempt->http;
	const char *why = http->curl_error[0] != '\0' ? http->curl_error : curl_easy_strerror(result);

	*again = false;
	if (attempt->failure.code != 0) {
		if (err != NULL)
			*err = attempt->failure;
		return attempt->failure.code;
	}
	switch (result) {
	case CURLE_OK:
		return 0;
	case CURLE_ABORTED_BY_CALLBACK:
		return couch_cancelled_error(err);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		(void)qosid_error(
		    err, QOSID_ERR_REFUSED, "the certificate of %s does not hold: %s", http->address.host, why);
		qosid_error_hint(err, "name the certificate that signs it: --ca FILE");
		return QOSID_ERR_REFUSED;
	case CURLE_SSL_CACERT_BADFILE:
		return qosid_error(err, QOSID_ERR_USAGE, "the file of certificates cannot be used: %s", why);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return qosid_error(err, QOSID_ERR_USAGE, "%s cannot be reached: %s", http->address.name, why);
	case CURLE_OUT_OF_MEMORY:
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	case CURLE_BAD_CONTENT_ENCODING:
		return qosid_error(err, QOSID_ERR_INVALID, "%s sends what cannot be read: %s", http->address.name, why);
	default:
		*again = true;
		return qosid_error(err, QOSID_ERR_OFFLINE, "%s cannot be reached: %s", http->address.name, why);
	}
}

static bool is_passing(long status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* *wait_ms: what the peer asks for, 0 when it says nothing. */
static int try_once(struct couch_http *http, const struct couch_request *request, const char *url,
    struct couch_response *response, bool *again, int64_t *wait_ms, struct qosid_errbuf *err)
{
	struct attempt attempt = {.http = http, .request = request};
	struct curl_slist *headers = header_list(http, request);
	curl_off_t retry_after = 0;
	CURLcode result;
	int code;

	*again = false;
	*wait_ms = 0;
	*response = (struct couch_response){0};
	http->curl_error[0] = '\0';
	if (headers == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	curl_easy_reset(http->curl); /* keeps the connection */
	code = set_security(http, err);
	if (code == 0)
		code = set_times(http, request, err);
	if (code == 0)
		code = set_request(&attempt, url, headers, err);
	if (code != 0)
		goto out;
	result = curl_easy_perform(http->curl);
	if (request->waits && result == CURLE_OPERATION_TIMEDOUT && attempt.failure.code == 0) {
		long connected = 0;

		if (curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &connected) == CURLE_OK && connected == 200)
			goto out; /* it had nothing to say */
	}
	code = judge_transfer(&attempt, result, again, err);
	if (code != 0)
		goto out;
	(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &response->status); /* known after a success */
	read_fault(&attempt.fault, response);
	if (is_passing(response->status)) {
		*again = true;
		if (curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0)
			*wait_ms = (retry_after < RETRY_AFTER_MAX_S ? retry_after : RETRY_AFTER_MAX_S) * 1000;
	}
out:
	curl_slist_free_all(headers);
	qosid_buf_wipe(&attempt.pending);
	qosid_buf_free(&attempt.fault);
	return code;
}

/* ---- requests ---- */

static int64_t backoff(const struct couch_peer *peer, unsigned attempt)
{
	int64_t wait = peer->backoff_ms != 0 ? peer->backoff_ms : DEFAULT_BACKOFF_MS;

	for (unsigned i = 1; i < attempt && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	return wait / 2 + (int64_t)randombytes_uniform((uint32_t)(wait / 2 + 1));
}

static int build_url(
    const struct couch_http *http, const struct couch_request *request, struct qosid_buf *url, struct qosid_errbuf *err)
{
	if (request->server)
		return qosid_buf_append_format(url, err, "%s%s", http->address.server, request->path);
	return qosid_buf_append_format(
	    url, err, "%s%s/%s", http->address.server, http->address.database, request->path);
}

int couch_http_request(struct couch_http *http, const struct couch_request *request, struct couch_response *response,
    struct qosid_errbuf *err)
{
	unsigned attempts = request->attempts != 0 ? request->attempts : http->peer->attempts;
	struct qosid_buf url = {0};
	int64_t wait;
	bool again;
	int code = build_url(http, request, &url, err);

	if (attempts == 0)
		attempts = DEFAULT_ATTEMPTS;
	for (unsigned i = 1; code == 0; i++) {
		code = try_once(http, request, (const char *)url.data, response, &again, &wait, err);
		if (!again || i >= attempts)
			break;
		if (wait == 0)
			wait = backoff(http->peer, i);
		if (!couch_wait(http->cancel, wait)) {
			code = couch_cancelled_error(err);
			break;
		}
		code = request->restart != NULL ? request->restart(request->restart_context, err) : 0;
	}
	qosid_buf_free(&url);
	return code;
}

static int empty_buffer(void *context, struct qosid_errbuf *err)
{
	(void)err;
	qosid_buf_reset(context);
	return 0;
}

int couch_http_json(struct couch_http *http, const struct couch_request *request, struct couch_response *response,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf_sink target = {out, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct couch_request whole = *request;
	int code;

	qosid_buf_reset(out);
	whole.sink = &sink;
	whole.restart = empty_buffer;
	whole.restart_context = out;
	code = couch_http_request(http, &whole, response, err);
	if (code == 0 && response->status >= 200 && response->status <= 299) {
		code = json_check((const char *)out->data, out->len, err);
		if (code != 0)
			(void)qosid_error_within(err, "answer of %s", http->address.name);
	}
	return code;
}

int couch_http_unexpected(
    struct couch_http *http, const struct couch_response *response, const char *what, struct qosid_errbuf *err)
{
	const char *name = http->address.name;
	long status = response->status;
	const char *reason = response->reason[0] != '\0' ? response->reason : "no reason given";

	if (status == 401 || status == 403) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "%s: %s refuses: %ld %s", what, name, status, reason);
		qosid_error_hint(err, "give a user who may: --user-file FILE with user:password");
		return QOSID_ERR_REFUSED;
	}
	if (status >= 300 && status <= 399)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%s: %s redirects (%ld), which is not followed: give the final address", what, name, status);
	if (status == 404)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "%s: %s: not found: %s", what, name, reason);
	if (status == 413)
		return qosid_error(err, QOSID_ERR_LIMIT, "%s: %s: too large: %s", what, name, reason);
	if (is_passing(status))
		return qosid_error(err, QOSID_ERR_OFFLINE, "%s: %s answers %ld: %s", what, name, status, reason);
	return qosid_error(err, QOSID_ERR_INVALID, "%s: %s answers %ld: %s", what, name, status, reason);
}
