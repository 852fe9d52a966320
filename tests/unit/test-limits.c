// SPDX-License-Identifier: Apache-2.0
/* The table of limits: keys, defaults, what may be set. */
#include "util/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT (sizeof(struct limits) / sizeof(uint64_t))

/* Each is there once, in order, and its default is something that may be set, and holds. */
static void test_table(void **state)
{
	struct limits limits, again;
	struct error error = {0};
	const char *key, *before = "";
	unsigned int i;

	memset(&limits, 0xff, sizeof(limits));
	limits_init(&limits);
	again = limits;
	for (i = 0; (key = limits_key(i)); i++) {
		assert_true(strncmp(key, "limits.", 7) == 0 && strcmp(before, key) < 0);
		assert_int_equal(limits_check(key, limits_default(key), &error), 0);
		limits_set(&again, key, limits_default(key));
		before = key;
	}
	assert_int_equal(i, COUNT);
	for (i = 0; i < COUNT; i++)
		assert_int_not_equal(((const uint64_t *)&limits)[i], UINT64_MAX);
	assert_memory_equal(&limits, &again, sizeof(limits));
	assert_null(limits_key(UINT32_MAX));
}

/* Each has a place of its own. */
static void test_places(void **state)
{
	struct limits limits, before;
	const char *key;

	limits_init(&limits);
	for (unsigned int i = 0; (key = limits_key(i)); i++) {
		unsigned int changed = 0;

		before = limits;
		limits_set(&limits, key, "12345678");
		for (unsigned int j = 0; j < COUNT; j++)
			changed += ((const uint64_t *)&before)[j] != ((const uint64_t *)&limits)[j];
		assert_int_equal(changed, 1);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *key, *value;
		int result;
	} cases[] = {
		{"limits.sessions", "1", 0},
		{"limits.sessions", "65536", 0},
		{"limits.sessions", "007", 0},
		{"limits.sessions", "0", -EINVAL},
		{"limits.sessions", "65537", -EINVAL},
		{"limits.sessions", "-1", -EINVAL},
		{"limits.sessions", "+1", -EINVAL},
		{"limits.sessions", " 1", -EINVAL},
		{"limits.sessions", "1 ", -EINVAL},
		{"limits.sessions", "1KiB", -EINVAL},
		{"limits.sessions", "1.5", -EINVAL},
		{"limits.sessions", "0x10", -EINVAL},
		{"limits.sessions", "many", -EINVAL},
		{"limits.sessions", "18446744073709551617", -EINVAL}, /* 1, modulo 2^64 */
		{"limits.instances", "0", 0},
		{"limits.head_timeout", "86400", 0},
		{"limits.head_timeout", "10s", -EINVAL},
		{"limits.body_size", "4096", 0},
		{"limits.body_size", "4KiB", 0},
		{"limits.body_size", "5kB", 0},
		{"limits.body_size", "64MiB", 0},
		{"limits.body_size", "64MiB1", -EINVAL},
		{"limits.body_size", "4095", -EINVAL},
		{"limits.body_size", "65MiB", -EINVAL},
		{"limits.body_size", "16777216TiB", -EINVAL}, /* 0, modulo 2^64 */
		{"limits.body_size", "16EiB", -EINVAL},
		{"limits.body_size", "KiB", -EINVAL},
		{"limits.bogus", "1", -EINVAL},
		{"sessions", "1", -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = {0};
		int r = limits_check(cases[i].key, cases[i].value, &error);

		if (r != cases[i].result)
			fail_msg("%s=%s: %d %s", cases[i].key, cases[i].value, r, error_text(&error));
	}
	assert_null(limits_default("limits.bogus"));
}

static void test_words(void **state)
{
	struct error error = {0};

	limits_check("limits.sessions", "0", &error);
	assert_string_equal(error_text(&error), "from 1 to 65536, such as 256");
	limits_check("limits.body_size", "0", &error);
	assert_string_equal(error_text(&error), "from 4096 to 67108864 bytes, such as 1MiB");
	limits_check("limits.head_timeout", "0", &error);
	assert_string_equal(error_text(&error), "from 1 to 86400 seconds, such as 10");
	limits_check("limits.bogus", "0", &error);
	assert_string_equal(error_text(&error), "unknown key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
