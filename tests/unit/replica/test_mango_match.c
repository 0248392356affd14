/*
 * Matching: what each operator means, as CouchDB documents it and as it behaves where the documentation is silent.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/mango.h"

/* The body that a group of cases is matched against. Its id is "doc-1", its revision 2-abc, and it has an attachment.
 */
struct group {
	const char *body;
	struct {
		const char *selector;
		bool matches;
	} cases[80];
};

static const struct group groups[] = {
    {"{\"n\":5,\"f\":2.5,\"s\":\"Bob\",\"e\":\"\",\"t\":true,\"x\":false,\"z\":null,\"a\":[1,2,3],\"l\":[],\"o\":{"
     "\"p\":1,"
     "\"q\":{\"r\":\"deep\"}},\"d.t\":7,\"big\":9007199254740993,\"neg\":-7}",
	{
	    {"{}", true},
	    /* equality */
	    {"{\"n\":5}", true},
	    {"{\"n\":5.0}", true},
	    {"{\"n\":50e-1}", true},
	    {"{\"n\":6}", false},
	    {"{\"n\":\"5\"}", false},
	    {"{\"n\":{\"$eq\":5}}", true},
	    {"{\"s\":\"Bob\"}", true},
	    {"{\"s\":\"bob\"}", false},
	    {"{\"s\":\"\\u0042ob\"}", true},
	    {"{\"e\":\"\"}", true},
	    {"{\"t\":true}", true},
	    {"{\"t\":false}", false},
	    {"{\"x\":false}", true},
	    {"{\"z\":null}", true},
	    {"{\"z\":false}", false},
	    {"{\"a\":[1,2,3]}", true},
	    {"{\"a\":[1,2]}", false},
	    {"{\"a\":1}", false},
	    {"{\"l\":[]}", true},
	    {"{\"o\":{\"p\":1}}", true},
	    {"{\"o\":{\"$eq\":{\"p\":1,\"q\":{\"r\":\"deep\"}}}}", true},
	    {"{\"o\":{\"$eq\":{\"p\":1}}}", false},
	    {"{\"big\":9007199254740993}", true},
	    {"{\"big\":9007199254740992}", false},
	    {"{\"big\":{\"$gt\":9007199254740992}}", true},
	    {"{\"big\":{\"$lt\":9007199254740994}}", true},
	    /* $ne */
	    {"{\"n\":{\"$ne\":5}}", false},
	    {"{\"n\":{\"$ne\":6}}", true},
	    {"{\"n\":{\"$ne\":\"5\"}}", true},
	    {"{\"missing\":{\"$ne\":5}}", false},
	    {"{\"a\":{\"$ne\":1}}", true},
	    /* order */
	    {"{\"n\":{\"$lt\":6}}", true},
	    {"{\"n\":{\"$lt\":5}}", false},
	    {"{\"n\":{\"$lte\":5}}", true},
	    {"{\"n\":{\"$lte\":4.99}}", false},
	    {"{\"n\":{\"$gt\":4}}", true},
	    {"{\"n\":{\"$gt\":5}}", false},
	    {"{\"n\":{\"$gte\":5}}", true},
	    {"{\"n\":{\"$gte\":5.01}}", false},
	    {"{\"n\":{\"$gt\":4,\"$lt\":6}}", true},
	    {"{\"n\":{\"$gt\":4,\"$lt\":5}}", false},
	    {"{\"neg\":{\"$lt\":0}}", true},
	    {"{\"f\":{\"$gt\":2,\"$lt\":3}}", true},
	    /* across types: null < false < true < numbers < strings < arrays < objects */
	    {"{\"n\":{\"$gt\":null}}", true},
	    {"{\"n\":{\"$gt\":true}}", true},
	    {"{\"n\":{\"$lt\":\"\"}}", true},
	    {"{\"n\":{\"$lt\":[]}}", true},
	    {"{\"n\":{\"$lt\":{}}}", true},
	    {"{\"n\":{\"$gt\":\"a\"}}", false},
	    {"{\"s\":{\"$gt\":1000}}", true},
	    {"{\"s\":{\"$lt\":[]}}", true},
	    {"{\"t\":{\"$gt\":false}}", true},
	    {"{\"x\":{\"$gt\":null}}", true},
	    {"{\"z\":{\"$gte\":null}}", true},
	    {"{\"z\":{\"$gt\":null}}", false},
	    {"{\"z\":{\"$lt\":5}}", true},
	    {"{\"a\":{\"$gt\":\"zzz\"}}", true},
	    {"{\"a\":{\"$gt\":[1,2]}}", true},
	    {"{\"a\":{\"$lt\":[1,3]}}", true},
	    {"{\"o\":{\"$gt\":[9,9]}}", true},
	    {"{\"missing\":{\"$gt\":null}}", false},
	    {"{\"missing\":{\"$lt\":5}}", false},
	    {"{\"missing\":null}", false},
	}},
    {"{\"n\":5,\"s\":\"Bob\",\"t\":true,\"z\":null,\"a\":[1,2,3],\"l\":[],\"o\":{\"p\":1,\"q\":{\"r\":\"deep\"}},\"d."
     "t\":7,"
     "\"back\\\\slash\":8,\"list\":[{\"k\":\"v\"},{\"k\":\"w\"}],\"0\":\"zero\"}",
	{
	    /* nested, dotted, escaped names; positions in arrays */
	    {"{\"o.p\":1}", true},
	    {"{\"o\":{\"q\":{\"r\":\"deep\"}}}", true},
	    {"{\"o.q.r\":\"deep\"}", true},
	    {"{\"o.q\":{\"r\":\"deep\"}}", true},
	    {"{\"o\":{\"q.r\":\"deep\"}}", true},
	    {"{\"o.q.r\":\"shallow\"}", false},
	    {"{\"o.q.r.s\":1}", false},
	    {"{\"o.x\":1}", false},
	    {"{\"s.x\":1}", false},
	    {"{\"d\\\\.t\":7}", true},
	    {"{\"d.t\":7}", false},
	    {"{\"a.0\":1}", true},
	    {"{\"a.2\":3}", true},
	    {"{\"a.3\":{\"$exists\":false}}", true},
	    {"{\"a.3\":4}", false},
	    {"{\"a.-1\":3}", false},
	    {"{\"a.x\":1}", false},
	    {"{\"a.99999999999999999999\":1}", false},
	    {"{\"list.1.k\":\"w\"}", true},
	    {"{\"list.k\":\"v\"}", false},
	    {"{\"0\":\"zero\"}", true},
	    /* existence */
	    {"{\"n\":{\"$exists\":true}}", true},
	    {"{\"n\":{\"$exists\":false}}", false},
	    {"{\"z\":{\"$exists\":true}}", true},
	    {"{\"missing\":{\"$exists\":true}}", false},
	    {"{\"missing\":{\"$exists\":false}}", true},
	    {"{\"o.x\":{\"$exists\":false}}", true},
	    {"{\"s.x\":{\"$exists\":false}}", true},
	    {"{\"o.p\":{\"$exists\":true}}", true},
	    /* types */
	    {"{\"n\":{\"$type\":\"number\"}}", true},
	    {"{\"s\":{\"$type\":\"string\"}}", true},
	    {"{\"t\":{\"$type\":\"boolean\"}}", true},
	    {"{\"z\":{\"$type\":\"null\"}}", true},
	    {"{\"a\":{\"$type\":\"array\"}}", true},
	    {"{\"o\":{\"$type\":\"object\"}}", true},
	    {"{\"n\":{\"$type\":\"string\"}}", false},
	    {"{\"missing\":{\"$type\":\"null\"}}", false},
	    {"{\"n\":{\"$type\":\"integer\"}}", false},
	    /* special members */
	    {"{\"_id\":\"doc-1\"}", true},
	    {"{\"_id\":\"doc-2\"}", false},
	    {"{\"_id\":{\"$gt\":\"doc\"}}", true},
	    {"{\"_id\":{\"$gt\":null}}", true},
	    {"{\"_id\":{\"$lt\":\"doc-\"}}", false},
	    {"{\"_id\":{\"$lt\":\"e\"}}", true},
	    {"{\"_id\":{\"$gt\":\"Z\"}}", true}, /* by code points: ICU would put d before Z */
	    {"{\"_rev\":\"2-abc\"}", true},
	    {"{\"_rev\":{\"$regex\":\"^2-\"}}", true},
	    {"{\"_rev\":\"1-abc\"}", false},
	    {"{\"_attachments\":{\"$exists\":true}}", true},
	    {"{\"_attachments\":{\"file\\\\.txt\":{\"content_type\":\"text/plain\"}}}", true},
	    {"{\"_attachments.file\\\\.txt.length\":{\"$gt\":10}}", false},
	    {"{\"_deleted\":{\"$exists\":false}}", true},
	    {"{\"_other\":{\"$exists\":true}}", false},
	    {"{\"_id.x\":{\"$exists\":true}}", false},
	}},
    {"{\"n\":5,\"s\":\"Bob\",\"a\":[1,2,3],\"l\":[],\"m\":[[1,2],[3]],\"o\":[{\"g\":\"x\",\"h\":5},{\"g\":\"y\",\"h\":"
     "10}],"
     "\"mix\":[1,\"a\",null,true,1.0],\"cams\":{\"secondary\":{\"on\":true},\"primary\":1},\"seven\":-7,\"half\":2.5,"
     "\"huge\":123456789012345678901234567890}",
	{
	    /* $in, $nin */
	    {"{\"n\":{\"$in\":[1,5]}}", true},
	    {"{\"n\":{\"$in\":[1,5.0]}}", true},
	    {"{\"n\":{\"$in\":[1,2]}}", false},
	    {"{\"n\":{\"$in\":[]}}", false},
	    {"{\"s\":{\"$in\":[\"Bob\",\"Eve\"]}}", true},
	    {"{\"a\":{\"$in\":[3]}}", true},
	    {"{\"a\":{\"$in\":[4]}}", false},
	    {"{\"a\":{\"$in\":[[1,2,3]]}}", false},
	    {"{\"m\":{\"$in\":[[3]]}}", true},
	    {"{\"l\":{\"$in\":[1]}}", false},
	    {"{\"missing\":{\"$in\":[1]}}", false},
	    {"{\"n\":{\"$nin\":[1,5]}}", false},
	    {"{\"n\":{\"$nin\":[1,2]}}", true},
	    {"{\"n\":{\"$nin\":[]}}", true},
	    {"{\"a\":{\"$nin\":[3]}}", false},
	    {"{\"a\":{\"$nin\":[4]}}", true},
	    {"{\"l\":{\"$nin\":[4]}}", true},
	    {"{\"missing\":{\"$nin\":[1]}}", false},
	    /* $all */
	    {"{\"a\":{\"$all\":[1,3]}}", true},
	    {"{\"a\":{\"$all\":[1,4]}}", false},
	    {"{\"a\":{\"$all\":[]}}", false},
	    {"{\"a\":{\"$all\":[[1,2,3]]}}", true},
	    {"{\"a\":{\"$all\":[1.0]}}", false},
	    {"{\"mix\":{\"$all\":[1.0,\"a\",null]}}", true},
	    {"{\"n\":{\"$all\":[5]}}", false},
	    {"{\"m\":{\"$all\":[[3],[1,2]]}}", true},
	    /* $size */
	    {"{\"a\":{\"$size\":3}}", true},
	    {"{\"a\":{\"$size\":2}}", false},
	    {"{\"a\":{\"$size\":4}}", false},
	    {"{\"l\":{\"$size\":0}}", true},
	    {"{\"n\":{\"$size\":1}}", false},
	    {"{\"s\":{\"$size\":3}}", false},
	    /* $mod */
	    {"{\"n\":{\"$mod\":[2,1]}}", true},
	    {"{\"n\":{\"$mod\":[2,0]}}", false},
	    {"{\"n\":{\"$mod\":[-2,1]}}", true},
	    {"{\"seven\":{\"$mod\":[4,-3]}}", true},
	    {"{\"seven\":{\"$mod\":[4,1]}}", false},
	    {"{\"half\":{\"$mod\":[2,0]}}", false},
	    {"{\"s\":{\"$mod\":[2,0]}}", false},
	    {"{\"huge\":{\"$mod\":[11,0]}}", false},
	    {"{\"huge\":{\"$mod\":[10,0]}}", true},
	    {"{\"huge\":{\"$mod\":[9,0]}}", true},
	    /* $elemMatch, $allMatch, $keyMapMatch */
	    {"{\"a\":{\"$elemMatch\":{\"$gt\":2}}}", true},
	    {"{\"a\":{\"$elemMatch\":{\"$gt\":3}}}", false},
	    {"{\"a\":{\"$elemMatch\":{\"$gt\":1,\"$lt\":3}}}", true},
	    {"{\"l\":{\"$elemMatch\":{\"$gt\":0}}}", false},
	    {"{\"n\":{\"$elemMatch\":{\"$gt\":0}}}", false},
	    {"{\"o\":{\"$elemMatch\":{\"g\":\"y\",\"h\":{\"$gt\":7}}}}", true},
	    {"{\"o\":{\"$elemMatch\":{\"g\":\"x\",\"h\":{\"$gt\":7}}}}", false},
	    {"{\"o\":{\"$elemMatch\":{\"$or\":[{\"g\":\"q\"},{\"h\":5}]}}}", true},
	    {"{\"o\":{\"$elemMatch\":{\"$not\":{\"g\":\"x\"}}}}", true},
	    {"{\"m\":{\"$elemMatch\":{\"$elemMatch\":{\"$eq\":3}}}}", true},
	    {"{\"a\":{\"$allMatch\":{\"$gt\":0}}}", true},
	    {"{\"a\":{\"$allMatch\":{\"$gt\":1}}}", false},
	    {"{\"l\":{\"$allMatch\":{\"$gt\":1}}}", false},
	    {"{\"o\":{\"$allMatch\":{\"h\":{\"$gte\":5}}}}", true},
	    {"{\"o\":{\"$allMatch\":{\"h\":{\"$gte\":6}}}}", false},
	    {"{\"cams\":{\"$keyMapMatch\":{\"$eq\":\"secondary\"}}}", true},
	    {"{\"cams\":{\"$keyMapMatch\":{\"$eq\":\"third\"}}}", false},
	    {"{\"cams\":{\"$keyMapMatch\":{\"$regex\":\"^prim\"}}}", true},
	    {"{\"a\":{\"$keyMapMatch\":{\"$eq\":\"0\"}}}", false},
	    {"{\"missing\":{\"$elemMatch\":{\"$gt\":0}}}", false},
	    {"{\"missing\":{\"$allMatch\":{\"$gt\":0}}}", false},
	}},
    {"{\"n\":5,\"s\":\"Bob Marley\",\"u\":\"Мирзо Турсунзода\",\"esc\":\"a\\\"b\\n\\u0107\",\"num\":\"12345\"}",
	{
	    /* combinations */
	    {"{\"$and\":[{\"n\":5},{\"s\":{\"$gt\":\"A\"}}]}", true},
	    {"{\"$and\":[{\"n\":5},{\"s\":\"x\"}]}", false},
	    {"{\"$and\":[]}", true},
	    {"{\"$or\":[{\"n\":6},{\"n\":5}]}", true},
	    {"{\"$or\":[{\"n\":6},{\"n\":7}]}", false},
	    {"{\"$or\":[]}", true},
	    {"{\"$nor\":[{\"n\":6},{\"n\":7}]}", true},
	    {"{\"$nor\":[{\"n\":5}]}", false},
	    {"{\"$nor\":[{\"missing\":5}]}", false}, /* becomes $ne, which wants the field */
	    {"{\"$not\":{\"n\":5}}", false},
	    {"{\"$not\":{\"n\":6}}", true},
	    {"{\"$not\":{\"missing\":6}}", false},
	    {"{\"$not\":{\"missing\":{\"$exists\":true}}}", true},
	    {"{\"n\":{\"$not\":{\"$gt\":5}}}", true},
	    {"{\"n\":{\"$not\":{\"$type\":\"string\"}}}", true},
	    {"{\"missing\":{\"$not\":{\"$type\":\"string\"}}}", false},
	    {"{\"n\":{\"$or\":[1,5]}}", true},
	    {"{\"n\":{\"$and\":[{\"$gt\":1},{\"$lt\":5}]}}", false},
	    {"{\"n\":5,\"$or\":[{\"s\":\"x\"},{\"num\":{\"$exists\":true}}]}", true},
	    /* $beginsWith */
	    {"{\"s\":{\"$beginsWith\":\"Bob\"}}", true},
	    {"{\"s\":{\"$beginsWith\":\"\"}}", true},
	    {"{\"s\":{\"$beginsWith\":\"bob\"}}", false},
	    {"{\"s\":{\"$beginsWith\":\"Bob Marley!\"}}", false},
	    {"{\"u\":{\"$beginsWith\":\"Мир\"}}", true},
	    {"{\"u\":{\"$beginsWith\":\"\\u041c\\u0438\"}}", true},
	    {"{\"n\":{\"$beginsWith\":\"5\"}}", false},
	    {"{\"missing\":{\"$beginsWith\":\"\"}}", false},
	    {"{\"_id\":{\"$beginsWith\":\"doc\"}}", true},
	    /* $regex */
	    {"{\"s\":{\"$regex\":\"Marley\"}}", true},
	    {"{\"s\":{\"$regex\":\"^Bob\"}}", true},
	    {"{\"s\":{\"$regex\":\"^Marley\"}}", false},
	    {"{\"s\":{\"$regex\":\"ley$\"}}", true},
	    {"{\"s\":{\"$regex\":\"(?i)^bob m\"}}", true},
	    {"{\"s\":{\"$regex\":\"B.b\\\\sM\"}}", true},
	    {"{\"s\":{\"$regex\":\"^(Eve|Bob) [A-Z][a-z]+$\"}}", true},
	    {"{\"s\":{\"$regex\":\"(?=.*ley)(?=.*Bob)\"}}", true},
	    {"{\"s\":{\"$regex\":\"(?<=Bob )M\"}}", true},
	    {"{\"s\":{\"$regex\":\"(?<!Bob )M\"}}", false},
	    {"{\"s\":{\"$regex\":\"\\\\bMar\"}}", true},
	    {"{\"s\":{\"$regex\":\"\"}}", true},
	    {"{\"s\":{\"$regex\":\"(?x) Mar # first\"}}", true},
	    {"{\"s\":{\"$regex\":\"\\\\QBob M\"}}", true},
	    {"{\"num\":{\"$regex\":\"^\\\\d{5}$\"}}", true},
	    {"{\"num\":{\"$regex\":\"^\\\\d{4}$\"}}", false},
	    {"{\"num\":{\"$regex\":\"^\\\\d+$\"}}", true},
	    {"{\"num\":{\"$regex\":\"^1+2+[3]+[^]a]+\\\\x35+$\"}}", true},
	    {"{\"num\":{\"$regex\":\"5+$\"}}", true},
	    {"{\"num\":{\"$regex\":\"6+$\"}}", false},
	    {"{\"u\":{\"$regex\":\"^Мирзо\\\\s\"}}", true},
	    {"{\"u\":{\"$regex\":\"^.{16}$\"}}", true},
	    {"{\"u\":{\"$regex\":\"(?i)турсунзода\"}}", true},
	    {"{\"u\":{\"$regex\":\"[ғқҳҷӣӯ]\"}}", false},
	    {"{\"esc\":{\"$regex\":\"^a\\\"b\\\\nć$\"}}", true},
	    {"{\"n\":{\"$regex\":\"5\"}}", false},
	    {"{\"s\":{\"$not\":{\"$regex\":\"^Eve\"}}}", true},
	    {"{\"missing\":{\"$regex\":\".*\"}}", false},
	}},
    /* strings in the order of ICU's root collation: not that of the bytes */
    {"{\"lower\":\"a\",\"upper\":\"B\",\"ru\":\"ёлка\",\"tj\":\"ҷумҳурӣ\",\"e\":\"é\",\"de\":\"e\xcc\x81\"}",
	{
	    {"{\"lower\":{\"$lt\":\"B\"}}", true},
	    {"{\"upper\":{\"$gt\":\"a\"}}", true},
	    {"{\"lower\":{\"$lt\":\"A\"}}", true},
	    {"{\"ru\":{\"$lt\":\"жук\"}}", true},
	    {"{\"ru\":{\"$gt\":\"елка\"}}", true},
	    {"{\"ru\":{\"$lt\":\"ель\"}}", true},
	    {"{\"tj\":{\"$gt\":\"чорақ\"}}", true},
	    {"{\"tj\":{\"$lt\":\"шаҳр\"}}", true},
	    {"{\"tj\":\"ҷумҳурӣ\"}", true},
	    {"{\"tj\":\"чумхури\"}", false},
	    {"{\"e\":{\"$gt\":\"e\"}}", true},
	    {"{\"e\":{\"$lt\":\"f\"}}", true},
	    {"{\"e\":\"e\"}", false},
	    {"{\"lower\":{\"$gt\":\"_\"}}", true},
	    {"{\"lower\":{\"$gt\":\"9\"}}", true},
	}},
};

static struct mango_subject subject_of(const char *body, const struct revision *rev)
{
	return (struct mango_subject){
	    .id = "doc-1",
	    .rev = rev,
	    .attachments = slice("{\"file.txt\":{\"content_type\":\"text/plain\",\"length\":3}}"),
	    .body = slice(body),
	};
}

static bool matches(const struct mango_subject *subject, const char *text)
{
	struct mango_selector *selector = NULL;
	struct qosid_errbuf err = {0};
	bool result;

	assert_int_equal(json_check(text, strlen(text), NULL), 0);
	if (mango_selector_parse(&selector, slice(text), &err) != 0)
		fail_msg("%s: %s %s", text, err.where, err.what);
	assert_int_equal(mango_match(selector, subject, &result, &err), 0);
	mango_selector_free(selector);
	return result;
}

static void test_table(void **state)
{
	struct revision rev = rev_of("2-abc");
	int count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		struct mango_subject subject = subject_of(groups[i].body, &rev);

		assert_int_equal(json_check(groups[i].body, strlen(groups[i].body), NULL), 0);
		for (size_t j = 0; j < 80 && groups[i].cases[j].selector != NULL; j++, count++) {
			if (matches(&subject, groups[i].cases[j].selector) != groups[i].cases[j].matches)
				fail_msg("%s %s", groups[i].cases[j].selector,
				    groups[i].cases[j].matches ? "does not match" : "matches");
		}
	}
	assert_true(count > 200);
}

static void test_tombstones(void **state)
{
	struct mango_subject subject = {.id = "x", .deleted = true, .body = slice("{}")};

	(void)state;
	assert_true(matches(&subject, "{\"_deleted\":true}"));
	assert_false(matches(&subject, "{\"_deleted\":{\"$exists\":false}}"));
	assert_false(matches(&subject, "{\"_rev\":{\"$exists\":true}}"));
	assert_false(matches(&subject, "{\"_attachments\":{\"$exists\":true}}"));
}

static char *long_body(size_t len, char last)
{
	char *body = malloc(len + 16);

	assert_non_null(body);
	memcpy(body, "{\"s\":\"", 6);
	memset(body + 6, 'a', len);
	body[6 + len - 1] = last;
	memcpy(body + 6 + len, "\"}", 3);
	return body;
}

/* Patterns that take a backtracking engine for ever. */
static void test_hostile_patterns(void **state)
{
	static const char *const patterns[] = {
	    "{\"s\":{\"$regex\":\"^(a+)+$\"}}",
	    "{\"s\":{\"$regex\":\"(a|aa)+$\"}}",
	    "{\"s\":{\"$regex\":\"(a*)*c\"}}",
	    "{\"s\":{\"$regex\":\"(.*)*(.*)*(.*)*c\"}}",
	    "{\"s\":{\"$regex\":\"(?=(a+)+c)\"}}",
	    "{\"s\":{\"$regex\":\"(a?){50}a{50}c\"}}",
	    "{\"s\":{\"$regex\":\"(?:(?=a*b)a)*c\"}}",
	    "{\"s\":{\"$regex\":\"((?>a+))+c\"}}",
	    "{\"s\":{\"$regex\":\"(?R)?c\"}}",
	};
	char *body = long_body(6000, 'b');
	struct mango_subject subject = {.id = "x", .body = slice(body)};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++)
		assert_false(matches(&subject, patterns[i]));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"ab$\"}}"));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"^(a+)+b$\"}}"));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"[a-y]+b\"}}"));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\".+b\"}}"));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"\\\\w+\\\\x62\"}}"));
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"[[:alpha:]]+b\"}}"));
	free(body);
}

static void test_long_strings(void **state)
{
	char *body = long_body(MANGO_REGEX_SUBJECT_BYTES, 'b');
	struct mango_subject subject = {.id = "x", .body = slice(body)};

	(void)state;
	assert_true(matches(&subject, "{\"s\":{\"$regex\":\"b$\"}}"));
	free(body);
	body = long_body(MANGO_REGEX_SUBJECT_BYTES + 1, 'b');
	subject.body = slice(body);
	assert_false(matches(&subject, "{\"s\":{\"$regex\":\"b$\"}}"));
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_tombstones),
	    cmocka_unit_test(test_hostile_patterns),
	    cmocka_unit_test(test_long_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
