/*
 * URLs of remotes: what is taken, how it is taken apart, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/exchange/link_url.h"

static void test_taken(void **state)
{
	static const struct {
		const char *url;
		enum link_scheme scheme;
		const char *user, *host;
		unsigned port;
		const char *path;
	} cases[] = {
	    {"ssh://git@example.org/srv/records.git", LINK_SSH, "git", "example.org", 0, "/srv/records.git"},
	    {"SSH://example.org:2222/a%20b.git", LINK_SSH, "", "example.org", 2222, "/a b.git"},
	    {"ssh://git@[2001:db8::1]:22/x", LINK_SSH, "git", "2001:db8::1", 22, "/x"},
	    {"ssh://host/~git/x.git", LINK_SSH, "", "host", 0, "~git/x.git"},
	    {"ssh://host/it's!", LINK_SSH, "", "host", 0, "/it's!"},
	    {"git@forge.example:office/records.git", LINK_SSH, "git", "forge.example", 0, "office/records.git"},
	    {"alias:/srv/x:y", LINK_SSH, "", "alias", 0, "/srv/x:y"},
	    {"git@[::1]:x", LINK_SSH, "git", "::1", 0, "x"},
	    {"https://forge.example/office/records.git", LINK_HTTPS, "", "forge.example", 0, "/office/records.git"},
	    {"https://office@forge.example:8443/a%20b/", LINK_HTTPS, "office", "forge.example", 8443, "/a%20b"},
	    {"file:///mnt/stick/records.git", LINK_FOLDER, "", "", 0, "/mnt/stick/records.git"},
	    {"/mnt/my stick/a:b", LINK_FOLDER, "", "", 0, "/mnt/my stick/a:b"},
	    {"./a:b", LINK_FOLDER, "", "", 0, "./a:b"},
	    {"records.git", LINK_FOLDER, "", "", 0, "records.git"},
	    {"a[1]/b", LINK_FOLDER, "", "", 0, "a[1]/b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qosid_errbuf err = {0};
		struct link_url url;

		if (link_url_parse(&url, cases[i].url, &err) != 0)
			fail_msg("%s: %s", cases[i].url, err.what);
		assert_int_equal(url.scheme, cases[i].scheme);
		assert_string_equal(url.user, cases[i].user);
		assert_string_equal(url.host, cases[i].host);
		assert_int_equal(url.port, cases[i].port);
		assert_string_equal(url.path, cases[i].path);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[] = {"", "-oProxyCommand=id:x", "http://example.org/x", "git://example.org/x",
	    "ftp://example.org/x", "ssh://-oProxyCommand=id/x", "ssh://-l@host/x", "-host:x", "u@-host:x",
	    "ssh://host/-x/../y%0a", "host:-oops", "ext::sh -c id", "ssh::host", "fd::7", "user@ext::id",
	    "ssh://user:secret@host/x", "https://user:secret@host/x", "https://:secret@host/x", "ssh://host",
	    "ssh://host/", "https://host", "https://host///", "host:", "ssh:///x", "https:///x", "ssh://host:0/x",
	    "ssh://host:65536/x", "ssh://host:22a/x", "ssh://host:/x", "ssh://ho%73t/x", "ssh://ho st/x",
	    "ssh://h;id/x", "ssh://h$(id)/x", "ssh://h`id`/x", "ssh://.host/x", "ssh://us er@host/x",
	    "ssh://a@b@host/x", "ssh://host/x\ny", "ssh://host/x\x7f", "ssh://host/%00", "ssh://host/%0a",
	    "ssh://host/%2", "ssh://host/%zz", "https://host/%00", "https://host/a%2fb", "https://host/a%2Fb",
	    "https://host/%25", "https://host/%", "https://host/a/../b", "https://host/a/%2e%2E/b", "https://host/./b",
	    "https://host/.%2e", "https://host//b", "https://host/x?y", "https://host/x#y", "https://host/x\\y",
	    "https://host/x y", "https://host/\xc3\xa4", "https://h\xc3\xb6st/x", "ssh://[::1/x", "ssh://[::1]x/y",
	    "ssh://[]/x", "ssh://[::g]/x", "ssh://[::1%eth0]/x", "file://host/x", "https://ho@st:x@y/z"};
	char longest[LINK_URL_BYTES + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qosid_errbuf err = {0};
		enum link_scheme scheme = LINK_FOLDER;
		int rc = link_parse_url(cases[i], &scheme, &err);

		if (rc != QOSID_ERR_USAGE)
			fail_msg("%s is taken (%d)", cases[i], rc);
		assert_string_not_equal(err.what, "");
		assert_null(strstr(err.what, "secret"));
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(link_parse_url(longest, &(enum link_scheme){0}, NULL), QOSID_ERR_USAGE);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(link_parse_url(longest, &(enum link_scheme){0}, NULL), 0);
}

static void test_origin(void **state)
{
	struct link_url a, b;
	char origin[LINK_ORIGIN_SIZE];

	(void)state;
	assert_int_equal(link_url_parse(&a, "https://Host/x", NULL), 0);
	assert_int_equal(link_url_parse(&b, "https://user@host:443/y", NULL), 0);
	assert_true(link_url_same_origin(&a, &b));
	assert_int_equal(link_url_parse(&b, "https://host:444/x", NULL), 0);
	assert_false(link_url_same_origin(&a, &b));
	link_url_format_origin(origin, &b);
	assert_string_equal(origin, "https://host:444");
	assert_int_equal(link_url_parse(&b, "https://[::1]:8443/x", NULL), 0);
	link_url_format_origin(origin, &b);
	assert_string_equal(origin, "https://[::1]:8443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_origin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
