/* {db}/_security, and who may do what in a database. */
#include <string.h>

#include "daemon/api/reply.h"
#include "daemon/api/users.h"

#define SECURITY_NAME "_api/security"
#define SECURITY_BYTES (256u << 10)

/* A database is the administrators' until they say otherwise, as in CouchDB. */
static const char security_default[] = "{\"members\":{\"roles\":[\"_admin\"]},\"admins\":{\"roles\":[\"_admin\"]}}";

int api_read_security(struct api_database *database, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = replica_read_local(database->replica, SECURITY_NAME, out, err);
	if (rc != QOSID_ERR_NOTFOUND)
		return rc;
	qosid_error_clear(err);
	return qosid_buf_append_text(out, security_default, err);
}

/* ---- checking ---- */

static bool lists(struct json_slice list, const char *text)
{
	struct json_slice name, value;
	size_t position = 0;
	while (json_next(list, &position, &name, &value)) {
		if (json_slice_kind(value) == JSON_STRING && json_string_equal(value, text))
			return true;
	}
	return false;
}

/* Whether the group ("admins", "members") names the caller; *empty: it names nobody. */
static bool is_in(struct json_slice security, const char *group, const struct http_principal *principal, bool *empty)
{
	struct json_slice object = {0}, names = {0}, roles = {0}, name, value;
	size_t at_names = 0, at_roles = 0;
	*empty = true;
	if (!json_find(security, group, &object))
		return false;
	bool has_names = json_find(object, "names", &names), has_roles = json_find(object, "roles", &roles);
	*empty = !(has_names && json_next(names, &at_names, &name, &value)) &&
		 !(has_roles && json_next(roles, &at_roles, &name, &value));
	if (has_names && principal->name[0] && lists(names, principal->name))
		return true;
	for (size_t i = 0; has_roles && i < principal->role_count; i++) {
		if (lists(roles, principal->roles[i]))
			return true;
	}
	return false;
}

static int refuse(struct http_call *call, bool admin)
{
	if (!http_call_principal(call)->name[0])
		return reply_error(call, 401, "unauthorized",
		    admin ? "You are not a db or server admin." : "You are not authorized to access this db.");
	return reply_error(call, 403, "forbidden",
	    admin ? "You are not a db or server admin." : "You are not allowed to access this db.");
}

/* Of _users everybody may use his own document; that of another is missing (document.c) and nothing else is his. */
static int authorize_users(struct http_call *call, bool admin)
{
	const char *id = http_call_segment(call, 1);
	bool reads = http_call_method(call) == HTTP_GET && id && id[0] != '_';
	if (!admin && id && http_call_segment_count(call) == 2 && http_call_principal(call)->name[0] &&
	    (reads || api_users_may_read(call, id)))
		return 0;
	if (!admin && id && id[0] != '_' && http_call_segment_count(call) == 2 && http_call_principal(call)->name[0])
		return reply_missing(call, "missing");
	return refuse(call, admin);
}

/* Whether the database's own rules let the caller in. */
static int check(
    struct http_call *call, struct api_database *database, bool admin, bool *allowed, struct qosid_errbuf *err)
{
	const struct http_principal *principal = http_call_principal(call);
	struct qosid_buf text = {0};
	struct json_slice security;
	bool empty = false;
	int rc = api_read_security(database, &text, err);
	if (rc == 0)
		rc = json_check_object((const char *)text.data, text.len, &security, err);
	if (rc == 0)
		*allowed = is_in(security, "admins", principal, &empty) ||
			   (!admin && (is_in(security, "members", principal, &empty) || empty));
	qosid_buf_free(&text);
	return rc;
}

int api_authorize(struct http_call *call, struct api_database *database, bool admin, struct qosid_errbuf *err)
{
	bool allowed = false;
	if (http_call_principal(call)->admin)
		return 0;
	if (api_is_users(database))
		return authorize_users(call, admin);
	int rc = check(call, database, admin, &allowed, err);
	return rc == 0 && !allowed ? refuse(call, admin) : rc;
}

bool api_is_administrator(struct http_call *call, struct api_database *database)
{
	bool allowed = false;
	if (http_call_principal(call)->admin)
		return true;
	return !api_is_users(database) && check(call, database, true, &allowed, NULL) == 0 && allowed;
}

/* ---- _security ---- */

static bool is_list_of_strings(struct json_slice list)
{
	struct json_slice name, value;
	size_t position = 0;
	if (json_slice_kind(list) != JSON_ARRAY)
		return false;
	while (json_next(list, &position, &name, &value)) {
		if (json_slice_kind(value) != JSON_STRING)
			return false;
	}
	return true;
}

static const char *find_fault(struct json_slice security)
{
	static const char *const groups[] = {"admins", "members"}, *const members[] = {"names", "roles"};
	struct json_slice object, list;
	for (size_t i = 0; i < 2; i++) {
		if (!json_find(security, groups[i], &object))
			continue;
		if (json_slice_kind(object) != JSON_OBJECT)
			return "admins and members must be JSON objects";
		for (size_t k = 0; k < 2; k++) {
			if (json_find(object, members[k], &list) && !is_list_of_strings(list))
				return "names and roles must be JSON lists of strings";
		}
	}
	return NULL;
}

static int put_security(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice security = {0};
	int rc = api_authorize(call, database, true, err);
	if (rc == 0)
		rc = request_read_object(call, &text, &security, err);
	if (rc == 0 && security.len > SECURITY_BYTES)
		rc = reply_error(call, 413, "too_large", "The security object is too large.");
	if (rc == 0 && find_fault(security))
		rc = reply_error(call, 400, "bad_request", find_fault(security));
	if (rc == 0 && api_is_users(database))
		rc = reply_error(call, 403, "forbidden", "You can't edit the security object of the user database.");
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc != 0)
		goto out;
	rc = replica_put_local(database->replica, SECURITY_NAME, security, err);
	if (rc == 0)
		rc = api_commit_write(database, err);
	else
		api_abort_write(database);
	if (rc == 0)
		rc = http_call_json(call, 200, "{\"ok\":true}");
out:
	qosid_buf_free(&text);
	return rc;
}

static int get_security(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = api_authorize(call, database, false, err);
	if (rc == 0)
		rc = api_read_security(database, &text, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(&text, '\n', err);
	if (rc == 0)
		rc = spool_write(http_call_out(call), text.data, text.len, err);
	qosid_buf_free(&text);
	return rc;
}

int api_security_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	switch (http_call_method(call)) {
	case HTTP_GET:
		return api_done(get_security(call, database, err));
	case HTTP_PUT:
		return api_done(put_security(call, database, err));
	default:
		return api_done(reply_method(call, "GET,HEAD,PUT"));
	}
}

int api_need_server_admin(struct http_call *call)
{
	const struct http_principal *principal = http_call_principal(call);

	if (principal && principal->admin)
		return 0;
	return reply_error(call, 401, "unauthorized", "You are not a server admin.");
}
