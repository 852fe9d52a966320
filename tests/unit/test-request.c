// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_path(const char *target, const char *path, size_t pairs)
{
	struct request request = {0};

	assert_int_equal(request_set_target(&request, target), 0);
	assert_string_equal(request.path, path);
	assert_int_equal(request.query_count, pairs);
	request_finish(&request);
}

static void test_paths(void **state)
{
	assert_path("/", "/", 0);
	assert_path("/1.0/instances?", "/1.0/instances", 0);
	assert_path("//1.0/", "//1.0/", 0);
	assert_path("/1.0/a%2Fb?x", "/1.0/a%2Fb", 1);
	assert_path("/%zz", "/%zz", 0);
	assert_path("/http://x/y", "/http://x/y", 0);
	assert_path("http://unix.socket/1.0/instances?a=b", "/1.0/instances", 1);
	assert_path("HTTPS://[::1]:8443/1.0", "/1.0", 0);
	assert_path("http://host", "/", 0);
	assert_path("http://host?a=/b&c", "/", 2);
	assert_path("/?&&a&&", "/", 1);
}

static void test_query(void **state)
{
	struct request request = {0};

	assert_int_equal(request_set_target(&request, "/e?type=a%2Cb&x&y=&filter=status+eq%20%2b&=n&y=2&k=v=w%3f?"), 0);
	assert_int_equal(request.query_count, 7);
	assert_string_equal(request_query(&request, "type"), "a,b");
	assert_string_equal(request_query(&request, "x"), "");
	assert_string_equal(request_query(&request, "y"), "");
	assert_string_equal(request_query(&request, "filter"), "status eq +");
	assert_string_equal(request_query(&request, ""), "n");
	assert_string_equal(request_query(&request, "k"), "v=w??");
	assert_null(request_query(&request, "Type"));
	request_finish(&request);
	assert_null(request.path);
	assert_null(request_query(&request, "type"));
}

static void test_bad_targets(void **state)
{
	static const char *const targets[] = {
		"",       "*",     "1.0",    "unix.socket:80", "?a",      "ftp://x/y", "http:/x",  "/a b",    "/a\tb",
		"/a\x7f", "/?a=%", "/?a=%4", "/?a=%zz",        "/?a=%00", "/?%0=b",    "/?a=%4%4", "/?a b=c",
	};
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct request request = {0};

		if (request_set_target(&request, targets[i]) != -EINVAL)
			fail_msg("%s", targets[i]);
		assert_null(request.path);
		request_finish(&request);
	}
}

static void test_many_pairs(void **state)
{
	char target[2 * REQUEST_QUERY_MAX + 8] = "/?";
	struct request request = {0};
	int i;

	for (i = 0; i < REQUEST_QUERY_MAX; i++)
		strcat(target, "a&");
	assert_path(target, "/", REQUEST_QUERY_MAX);
	strcat(target, "b");
	assert_int_equal(request_set_target(&request, target), -EINVAL);
	assert_int_equal(request.query_count, 0);
}

static void test_decode(void **state)
{
	char text[] = "a%2fB%C3%a4+%25", broken[] = "ab%2", nul[] = "%00";

	assert_int_equal(request_decode(text), 0);
	assert_string_equal(text, "a/B\xc3\xa4+%");
	assert_int_equal(request_decode(broken), -EINVAL);
	assert_int_equal(request_decode(nul), -EINVAL);
}

/* What the router made goes as well. */
static void test_finish(void **state)
{
	struct request request = {0};

	request_finish(&request);
	assert_int_equal(request_set_target(&request, "/1.0"), 0);
	request.pattern_space = strdup("1.0");
	request_finish(&request);
	assert_null(request.pattern_space);
}

static unsigned int recursion(const char *target)
{
	struct request request = {0};
	unsigned int depth;

	assert_int_equal(request_set_target(&request, target), 0);
	depth = request_recursion(&request);
	request_finish(&request);
	return depth;
}

static void test_recursion(void **state)
{
	assert_int_equal(recursion("/x"), 0);
	assert_int_equal(recursion("/x?recursion"), 0);
	assert_int_equal(recursion("/x?recursion=1"), 1);
	assert_int_equal(recursion("/x?recursion=02"), 2);
	assert_int_equal(recursion("/x?recursion=2147483648"), 2);
	assert_int_equal(recursion("/x?recursion=99999999999999999999"), 2);
	assert_int_equal(recursion("/x?recursion=1x"), 0);
	assert_int_equal(recursion("/x?recursion=-1"), 0);
	assert_int_equal(recursion("/x?recursion=+1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),      cmocka_unit_test(test_query),  cmocka_unit_test(test_bad_targets),
		cmocka_unit_test(test_many_pairs), cmocka_unit_test(test_decode), cmocka_unit_test(test_finish),
		cmocka_unit_test(test_recursion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
