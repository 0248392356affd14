/*
 * Who is asking: session cookies, basic authentication, unix-socket peers; and _session.
 *
 * A cookie is base64url of "name:time:seal". It holds for ten minutes and is renewed by use. SameSite=Strict keeps
 * pages of other sites from using it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "daemon/api/reply.h"
#include "daemon/api/users.h"

#define COOKIE "AuthSession"
#define COOKIE_SECONDS 600
#define COOKIE_TEXT_MAX 1024
#define LOGIN_BYTES (16u << 10) /* of a login's body */

static const char incorrect[] = "Name or password is incorrect.";

/* ---- cookies ---- */

static bool is_secure(const struct http_call *call)
{
	const char *proto = http_call_header(call, "X-Forwarded-Proto"); /* it can only make the cookie safer */
	return proto && strcasecmp(proto, "https") == 0;
}

static int set_cookie(struct http_call *call, const char *value, int age, struct qosid_errbuf *err)
{
	char text[COOKIE_TEXT_MAX + 128];
	(void)snprintf(text, sizeof text, COOKIE "=%s; Version=1; Max-Age=%d; Path=/; HttpOnly; SameSite=Strict%s",
	    value, age, is_secure(call) ? "; Secure" : "");
	return http_call_set_header(call, "Set-Cookie", text, err);
}

static int give_cookie(struct http_call *call, const struct api *api, const struct user *user, struct qosid_errbuf *err)
{
	char stamp[17], seal_text[2 * USERS_MAC_BYTES + 1], plain[300], encoded[COOKIE_TEXT_MAX];
	uint8_t seal[USERS_MAC_BYTES];
	(void)snprintf(stamp, sizeof stamp, "%llX", (unsigned long long)time(NULL));
	users_seal(api, user, stamp, seal);
	(void)sodium_bin2hex(seal_text, sizeof seal_text, seal, sizeof seal);
	int len = snprintf(plain, sizeof plain, "%s:%s:%s", user->principal.name, stamp, seal_text);
	(void)sodium_bin2base64(encoded, sizeof encoded, (const unsigned char *)plain, (size_t)len,
	    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return set_cookie(call, encoded, COOKIE_SECONDS, err);
}

/* The value of our cookie in a Cookie header, decoded; false when there is none. */
static bool read_cookie(const struct http_call *call, char *plain, size_t size)
{
	const char *p = http_call_header(call, "Cookie");
	size_t len;
	while (p && *p) {
		p += strspn(p, "; ");
		size_t whole = strcspn(p, ";");
		if (strncmp(p, COOKIE "=", sizeof COOKIE) == 0) {
			const char *value = p + sizeof COOKIE;
			if (sodium_base642bin((unsigned char *)plain, size - 1, value, whole - sizeof COOKIE, NULL,
				&len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
				return false;
			plain[len] = '\0';
			return len > 0 && strlen(plain) == len;
		}
		p += whole;
	}
	return false;
}

/* 1: the cookie says who it is; 0: it does not. */
static int try_cookie(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	char plain[400];
	uint8_t seal[USERS_MAC_BYTES], given[USERS_MAC_BYTES];
	size_t given_len;
	struct user user;
	if (!read_cookie(call, plain, sizeof plain))
		return 0;
	char *seal_text = strrchr(plain, ':');
	if (!seal_text)
		return 0;
	*seal_text++ = '\0';
	char *stamp = strrchr(plain, ':');
	if (!stamp || sodium_hex2bin(given, sizeof given, seal_text, strlen(seal_text), NULL, &given_len, NULL) != 0 ||
	    given_len != sizeof given)
		return 0;
	*stamp++ = '\0';
	int rc = users_find(call, api, plain, &user, err);
	if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	users_seal(api, &user, stamp, seal);
	long long age = (long long)time(NULL) - strtoll(stamp, NULL, 16);
	if (sodium_memcmp(seal, given, sizeof seal) != 0 || age < 0 || age >= COOKIE_SECONDS)
		return 0;
	user.principal.method = "cookie";
	http_call_set_principal(call, &user.principal);
	rc = age >= COOKIE_SECONDS / 10 ? give_cookie(call, api, &user, err) : 0;
	return rc < 0 ? rc : 1;
}

/* ---- authentication of every call ---- */

static int refuse_login(struct http_call *call, int rc, const struct qosid_errbuf *err)
{
	if (rc == QOSID_ERR_REFUSED)
		return reply_error(call, 401, "unauthorized", incorrect);
	if (rc == QOSID_ERR_BUSY)
		return reply_error(call, 403, "forbidden", err->what);
	return rc;
}

static int try_basic(struct http_call *call, struct api *api, const char *encoded, struct qosid_errbuf *err)
{
	char plain[128 + USERS_PASSWORD_BYTES_MAX + 2];
	size_t len;
	struct user user;
	int rc = QOSID_ERR_REFUSED;
	encoded += strspn(encoded, " ");
	if (sodium_base642bin((unsigned char *)plain, sizeof plain - 1, encoded, strlen(encoded), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) == 0 ||
	    sodium_base642bin((unsigned char *)plain, sizeof plain - 1, encoded, strlen(encoded), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0) {
		plain[len] = '\0';
		char *colon = strchr(plain, ':');
		if (colon && strlen(plain) == len) {
			*colon = '\0';
			rc = users_login(call, api, plain, colon + 1, &user, err);
		}
	}
	sodium_memzero(plain, sizeof plain);
	if (rc < 0)
		return refuse_login(call, rc, err);
	user.principal.method = "default";
	http_call_set_principal(call, &user.principal);
	return 0;
}

static void set_local_admin(struct http_call *call, const char *method)
{
	struct http_principal principal = {.admin = true, .role_count = 1, .method = method};
	(void)snprintf(principal.roles[0], sizeof principal.roles[0], "_admin");
	http_call_set_principal(call, &principal);
}

int api_authenticate(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *authorization = http_call_header(call, "Authorization");
	int uid = http_call_peer_uid(call);
	int rc = try_cookie(call, api, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (authorization && strncasecmp(authorization, "Basic ", 6) == 0)
		return try_basic(call, api, authorization + 6, err);
	if (uid == 0 || (uid > 0 && (uid_t)uid == geteuid()))
		set_local_admin(call, "peer");
	else if (uid < 0 && api->open && strncmp(http_call_peer(call), "127.0.0.1:", 10) == 0)
		set_local_admin(call, NULL);
	return 0;
}

/* ---- _session ---- */

static int write_name(struct writer *writer, const struct http_principal *principal)
{
	if (principal->name[0])
		writer_string(writer, principal->name);
	else
		writer_text(writer, "null");
	writer_text(writer, ",\"roles\":[");
	for (size_t i = 0; i < principal->role_count; i++) {
		writer_text(writer, i ? "," : "");
		writer_string(writer, principal->roles[i]);
	}
	writer_text(writer, "]");
	return writer->rc;
}

static int get_session(struct http_call *call, struct qosid_errbuf *err)
{
	const struct http_principal *principal = http_call_principal(call);
	struct writer writer = writer_begin(http_call_out(call), err);
	writer_text(&writer, "{\"ok\":true,\"userCtx\":{\"name\":");
	(void)write_name(&writer, principal); /* the writer remembers a failure */
	writer_text(&writer,
	    "},\"info\":{\"authentication_db\":\"_users\",\"authentication_handlers\":[\"cookie\",\"default\"]");
	if (principal->method)
		writer_format(&writer, ",\"authenticated\":\"%s\"", principal->method);
	writer_text(&writer, "}}\n");
	return writer_end(&writer);
}

struct login {
	char name[128];
	char password[USERS_PASSWORD_BYTES_MAX + 1];
	bool named, secret;
};

static int take_field(void *context, const char *name, const char *value, struct qosid_errbuf *err)
{
	struct login *login = context;
	(void)err;
	if ((strcmp(name, "name") == 0 || strcmp(name, "username") == 0) && strlen(value) < sizeof login->name) {
		(void)snprintf(login->name, sizeof login->name, "%s", value);
		login->named = true;
	} else if (strcmp(name, "password") == 0 && strlen(value) < sizeof login->password) {
		(void)snprintf(login->password, sizeof login->password, "%s", value);
		login->secret = true;
	}
	return 0;
}

static int read_login_json(const struct qosid_buf *body, struct login *login, struct qosid_errbuf *err)
{
	struct json_slice object, name, value;
	size_t position = 0;
	int rc = json_check_object((const char *)body->data, body->len, &object, err);
	while (rc == 0 && json_next(object, &position, &name, &value)) {
		struct qosid_buf key = {0}, text = {0};
		rc = json_string_decode(name, &key, err);
		if (rc == 0 && json_slice_kind(value) == JSON_STRING)
			rc = json_string_decode(value, &text, err);
		if (rc == 0 && key.data && text.data)
			rc = take_field(login, (const char *)key.data, (const char *)text.data, err);
		qosid_buf_free(&key);
		qosid_buf_wipe(&text);
	}
	return rc;
}

static int read_login(struct http_call *call, struct login *login, struct qosid_errbuf *err)
{
	struct qosid_buf body = {0};
	int rc = spool_take(http_call_body(call), LOGIN_BYTES, &body, err);
	if (rc == 0 && body.len > 0 && http_call_content_is(call, "application/json"))
		rc = read_login_json(&body, login, err);
	else if (rc == 0 && body.len > 0)
		rc = http_visit_form((const char *)body.data, take_field, login, err);
	qosid_buf_wipe(&body);
	return rc;
}

static int post_session(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	struct login login = {0};
	struct user user;
	int rc = read_login(call, &login, err);
	if (rc == 0 && !login.named)
		rc = reply_error(call, 400, "bad_request", "request body must contain a username");
	else if (rc == 0 && !login.secret)
		rc = reply_error(call, 400, "bad_request", "request body must contain a password");
	if (rc != 0)
		goto out;
	rc = users_login(call, api, login.name, login.password, &user, err);
	if (rc < 0) {
		rc = rc == QOSID_ERR_REFUSED && set_cookie(call, "", 0, err) < 0 ? QOSID_ERR_NOMEM
										 : refuse_login(call, rc, err);
		goto out;
	}
	rc = give_cookie(call, api, &user, err);
	if (rc == 0) {
		struct writer writer = writer_begin(http_call_out(call), err);
		writer_text(&writer, "{\"ok\":true,\"name\":");
		(void)write_name(&writer, &user.principal); /* the writer remembers a failure */
		writer_text(&writer, "}\n");
		rc = writer_end(&writer);
	}
out:
	sodium_memzero(&login, sizeof login);
	return rc;
}

int api_session_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	int rc;
	switch (http_call_method(call)) {
	case HTTP_GET:
		return get_session(call, err);
	case HTTP_POST:
		return api_done(post_session(call, api, err));
	case HTTP_DELETE:
		rc = set_cookie(call, "", 0, err);
		return rc < 0 ? rc : http_call_json(call, 200, "{\"ok\":true}");
	default:
		return api_done(reply_method(call, "GET,HEAD,POST,DELETE"));
	}
}
