// SPDX-License-Identifier: Apache-2.0
#include "render/pattern.h"
#include "util/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h> /* needs some of the above */

static struct pattern *make(const char *text)
{
	struct pattern *pattern;
	struct error error;

	if (pattern_create(&pattern, text, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return pattern;
}

static bool matches(const char *text, const char *line)
{
	struct pattern *pattern = make(text);
	bool found = pattern_matches(pattern, line, strlen(line));

	pattern_destroy(pattern);
	return found;
}

static void refuse(const char *text, const char *reason)
{
	struct pattern *pattern;
	struct error error = {0};

	assert_int_equal(pattern_create(&pattern, text, &error), -EINVAL);
	assert_string_equal(error.text, reason);
}

static void test_anywhere_in_a_line(void **state)
{
	assert_true(matches("login: $", "debian login: "));
	assert_false(matches("^login: $", "debian login: "));
	assert_true(matches("(?i)LOGIN", "debian login: "));
	assert_true(matches("", ""));
	assert_true(matches("^$", ""));
	assert_false(matches("^$", " "));
}

static void test_characters_not_bytes(void **state)
{
	assert_true(matches("^.$", "\xc3\xa9"));
	assert_true(matches("^[\xc3\xa9\xc3\xa8]$", "\xc3\xa8"));
	assert_true(matches("\\p{Greek}+", "abc \xce\xb1\xce\xb2"));
	assert_false(matches("^..$", "\xf0\x9f\x90\xa7"));
	assert_true(matches("^(\\pL+) (\\pL+)$", "\xe4\xb8\xad \xce\xb1\xce\xb2"));
}

static void test_refused_in_words(void **state)
{
	char text[PATTERN_LENGTH_MAX + 2];

	refuse("log(in", "missing ): log(in");
	refuse("a**", "bad repetition operator: **");
	refuse("(?=a)", "invalid perl operator: (?=");
	refuse("\\1", "invalid escape sequence: \\1");
	refuse("x{1000}{1000}", "bad repetition operator: {1000}{1000}");
	refuse("(x{100}){100}", "invalid repetition size: {100}");
	refuse("(x?){1000}", "pattern too large");
	memset(text, 'x', sizeof(text));
	text[PATTERN_LENGTH_MAX + 1] = '\0';
	refuse(text, "pattern longer than 1024 bytes");
	text[PATTERN_LENGTH_MAX] = '\0';
	pattern_destroy(make(text));
}

static void test_groups(void **state)
{
	struct pattern_group groups[PATTERN_GROUPS_MAX];
	const char line[] = "eth0: 10.0.0.1 up";
	struct pattern *pattern = make("(\\w+): (?:([0-9.]+)|(none)) (up)()");

	assert_int_equal(pattern_groups(pattern, line, strlen(line), groups), 6);
	assert_ptr_equal(groups[0].text, line);
	assert_int_equal(groups[0].length, strlen(line));
	assert_ptr_equal(groups[1].text, line);
	assert_int_equal(groups[1].length, 4);
	assert_ptr_equal(groups[2].text, line + 6);
	assert_int_equal(groups[2].length, 8);
	assert_null(groups[3].text);
	assert_int_equal(groups[4].length, 2);
	assert_non_null(groups[5].text);
	assert_int_equal(groups[5].length, 0);
	assert_int_equal(pattern_groups(pattern, "lo", 2, groups), 0);
	pattern_destroy(pattern);
}

static void test_too_many_groups(void **state)
{
	char text[2 * PATTERN_GROUPS_MAX + 1] = "";

	for (int i = 0; i < PATTERN_GROUPS_MAX - 1; i++)
		strcat(text, "()");
	pattern_destroy(make(text));
	strcat(text, "()");
	refuse(text, "more than 31 groups");
}

/* Thread's own time: what else runs on the machine does not count. */
static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* With backtracking these take from hours to ages. */
static void test_hostile_patterns_take_linear_time(void **state)
{
	static const char *const hostile[] = {
		"(a*)*b",           "(a|a)*b",           "(a+)+$b",      "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)z",
		"(a?){500}a{400}b", "a*a*a*a*a*a*a*a*b", "(\\w+\\s*)+:", "[ab]*a[ab]{200}c",
	};
	char line[4096];
	double begun;

	for (size_t i = 0; i < sizeof(line); i++)
		line[i] = i * i % 7 < 3 ? 'b' : 'a';
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct pattern *pattern = make(hostile[i]);

		begun = seconds();
		pattern_matches(pattern, line, sizeof(line));
		assert_true(seconds() - begun < 1);
		pattern_destroy(pattern);
	}
}

static void test_a_set_says_what_they_say(void **state)
{
	static const char *const texts[] = {"^root@", "login: $", "\\d{3}", "panic|oops"};
	static const char *const lines[] = {"root@x:", "login: ", "login: x", "a 123", "a 12", "oops", "", "xroot@"};
	struct pattern *patterns[4];
	struct pattern_set *set = pattern_set_create();

	for (size_t i = 0; i < 4; i++) {
		patterns[i] = make(texts[i]);
		pattern_set_add(set, patterns[i]);
	}
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		bool any = false;

		for (size_t j = 0; j < 4; j++)
			any |= pattern_matches(patterns[j], lines[i], strlen(lines[i]));
		assert_int_equal(pattern_set_may_match(set, lines[i], strlen(lines[i])), any);
	}
	for (size_t i = 0; i < 4; i++)
		pattern_destroy(patterns[i]);
	assert_true(pattern_set_may_match(set, "oops", 4));
	pattern_set_destroy(set);
}

static void test_a_set_that_is_too_large(void **state)
{
	struct pattern_set *set = pattern_set_create();
	struct pattern *pattern = make("x{900}");

	for (int i = 0; i < 12; i++)
		pattern_set_add(set, pattern);
	assert_true(pattern_set_may_match(set, "y", 1));
	pattern_set_destroy(set);
	pattern_destroy(pattern);
}

static void test_an_empty_set(void **state)
{
	struct pattern_set *set = pattern_set_create();

	assert_false(pattern_set_may_match(set, "y", 1));
	pattern_set_destroy(set);
	pattern_set_destroy(NULL);
	pattern_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anywhere_in_a_line),
		cmocka_unit_test(test_characters_not_bytes),
		cmocka_unit_test(test_refused_in_words),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_too_many_groups),
		cmocka_unit_test(test_hostile_patterns_take_linear_time),
		cmocka_unit_test(test_a_set_says_what_they_say),
		cmocka_unit_test(test_a_set_that_is_too_large),
		cmocka_unit_test(test_an_empty_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
