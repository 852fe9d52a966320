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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_range)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
