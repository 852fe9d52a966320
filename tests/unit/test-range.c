// SPDX-License-Identifier: Apache-2.0
#include "api/range.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_range(void **state)
{
	static const struct {
		const char *value;
		size_t size;
		int result;
		size_t from, length;
	} cases[] = {
		{NULL, 10, 0, 0, 0},
		{"bytes=0-4", 10, 1, 0, 5},
		{"bytes=3-3", 10, 1, 3, 1},
		{"bytes=4-", 10, 1, 4, 6},
		{"bytes=4-99", 10, 1, 4, 6},
		{"bytes=-3", 10, 1, 7, 3},
		{"bytes=-30", 10, 1, 0, 10},
		{"bytes=0-18446744073709551615", 10, 1, 0, 10},
		{"bytes=0-99999999999999999999999", 10, 1, 0, 10},
		{"bytes=10-", 10, -ERANGE, 0, 0},
		{"bytes=0-", 0, -ERANGE, 0, 0},
		{"bytes=-0", 10, -ERANGE, 0, 0},
		{"bytes=-5", 0, -ERANGE, 0, 0},
		/* What is not understood is not there (RFC 9110 section 14.2). */
		{"bytes=5-4", 10, 0, 0, 0},
		{"bytes=-", 10, 0, 0, 0},
		{"bytes=", 10, 0, 0, 0},
		{"bytes=a-b", 10, 0, 0, 0},
		{"bytes=0-1,3-4", 10, 0, 0, 0},
		{"bytes= 0-1", 10, 0, 0, 0},
		{"lines=0-1", 10, 0, 0, 0},
		{"", 10, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t from = 0, length = 0;

		assert_int_equal(range_parse(cases[i].value, cases[i].size, &from, &length), cases[i].result);
		if (cases[i].result != 1)
			continue;
		assert_int_equal(from, cases[i].from);
		assert_int_equal(length, cases[i].length);
	}
}

static void test_dates(void **state)
{
	static const char *const not_dates[] = {NULL,
						"",
						"0",
						"Sunday, 06-Nov-94 08:49:37 GMT",
						"Sun Nov  6 08:49:37 1994",
						"Sun, 06 Nov 1994 08:49:37",
						"Sun, 06 Nov 1994 08:49:37 GMT+1",
						"Sun, 06 Nov 1994 25:49:37 GMT"};
	char text[HTTP_DATE_LENGTH + 1];
	int64_t seconds = 0;

	http_date_format(784111777, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_int_equal(http_date_parse(text, &seconds), 0);
	assert_int_equal(seconds, 784111777);
	for (size_t i = 0; i < sizeof(not_dates) / sizeof(not_dates[0]); i++)
		assert_int_equal(http_date_parse(not_dates[i], &seconds), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
