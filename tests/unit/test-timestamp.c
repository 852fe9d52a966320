// SPDX-License-Identifier: Apache-2.0
/* Points in time, as they are written and read. */
#include "util/timestamp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t timestamp;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01t00:00:00z", 0},
		{"1970-01-01 00:00:01Z", SECOND},
		{"1970-01-01T00:00:00.1Z", SECOND / 10},
		{"1970-01-01T00:00:00.000000001Z", 1},
		{"1970-01-01T00:00:00.0000000019999Z", 1},
		{"1970-01-01T02:00:00+02:00", 0},
		{"1969-12-31T18:30:00-05:30", 0},
		{"1970-01-01T00:00:00-00:00", 0},
		{"1972-02-29T00:00:00Z", 789 * 86400 * SECOND},
		{"2016-12-31T23:59:60Z", INT64_C(1483228800) * SECOND},
		{"2000-02-29T23:59:59.5+23:59", INT64_C(951782459) * SECOND + SECOND / 2},
		{"2026-11-23T09:19:16.141141482Z", INT64_C(1795425556141141482)},
		{"1969-12-31T23:59:59.5Z", -SECOND / 2},
		{"1970-01-01T00:00:00+00:01", -60 * SECOND},
		{"2262-04-11T23:47:15.999999999Z", INT64_C(9223372035999999999)},
		{"2262-04-11T23:47:16.5Z", INT64_C(9223372035500000000)}, /* the latest second that fits as a whole */
		{"9999-12-31T23:59:59-23:59", INT64_C(9223372035000000000)},
		{"1600-01-01T00:00:00Z", INT64_C(-9223372036000000000)},
		{"0001-01-01T00:00:00Z", INT64_C(-9223372036000000000)}, /* Go's zero */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t timestamp = -1;

		if (timestamp_parse(cases[i].text, &timestamp) != 0)
			fail_msg("%s is refused", cases[i].text);
		assert_int_equal(timestamp, cases[i].timestamp);
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"0",
		"now",
		"1795425556",
		"2026-11-23",
		"2026-11-23T09:19Z",
		"2026-11-23T09:19:16",
		"2026-11-23T09:19:16 Z",
		"2026-11-23T09:19:16.Z",
		"2026-11-23T09:19:16,5Z",
		"2026-11-23T09:19:16Zx",
		"2026-11-23T09:19:16+0200",
		"2026-11-23T09:19:16+02:00x",
		"2026-11-23T09:19:16+24:00",
		"2026-11-23T09:19:16+02:60",
		"2026-11-23T09:19:16 02:00",
		"2026-11-23T24:00:00Z",
		"2026-11-23T09:60:00Z",
		"2026-11-23T09:19:61Z",
		"2026-11-31T09:19:16Z",
		"2026-02-29T09:19:16Z",
		"2026-00-23T09:19:16Z",
		"2026-13-23T09:19:16Z",
		"2026-11-00T09:19:16Z",
		"2026-11-32T09:19:16Z",
		" 2026-11-23T09:19:16Z",
		"+026-11-23T09:19:16Z",
		"26-11-23T09:19:16Z",
		"02026-11-23T09:19:16Z",
		"\xef\xbc\x92\x30\x32\x36-11-23T09:19:16Z",
	};
	int64_t timestamp = 42;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (timestamp_parse(texts[i], &timestamp) != -EINVAL)
			fail_msg("\"%s\" is taken", texts[i]);
		assert_int_equal(timestamp, 42);
	}
}

/* What is written is read. */
static void test_round_trip(void **state)
{
	static const int64_t timestamps[] = {
		0,
		1,
		SECOND - 1,
		SECOND,
		INT64_C(1795425556141141482),
		INT64_C(1795425556000000001),
		-1,
		-SECOND / 2,
		-SECOND,
		INT64_C(-6043220983647000000),
		INT64_C(9223372035999999999),
	};
	char text[TIMESTAMP_LENGTH + 1];
	int64_t read;

	for (size_t i = 0; i < sizeof(timestamps) / sizeof(timestamps[0]); i++) {
		timestamp_format(timestamps[i], text);
		assert_int_equal(timestamp_parse(text, &read), 0);
		assert_int_equal(read, timestamps[i]);
	}
	read = timestamp_now();
	assert_true(read > INT64_C(1600000000) * SECOND && timestamp_now() >= read);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
