// SPDX-License-Identifier: Apache-2.0
#include "util/cleanup.h"
#include "util/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 8

static const struct {
	const char *text;
	const char *words[WORDS_MAX];
} splits[] = {
	{"", {0}},
	{" \t\n ", {0}},
	{"a", {"a"}},
	{"/bin/sh -c ls", {"/bin/sh", "-c", "ls"}},
	{"  a\tb\nc  ", {"a", "b", "c"}},
	{"a b c d", {"a", "b", "c", "d"}},
	/* single quotes: nothing is special */
	{"'a b'", {"a b"}},
	{"''", {""}},
	{"'' ''", {"", ""}},
	{"a''b", {"ab"}},
	{"'a\\b\"$c`'", {"a\\b\"$c`"}},
	{"'it'\\''s'", {"it's"}},
	{"'a\nb'", {"a\nb"}},
	{"'a\\\nb'", {"a\\\nb"}},
	{"'a\\'", {"a\\"}},
	/* double quotes: \ escapes five characters and is itself before all others */
	{"\"a b\"", {"a b"}},
	{"\"\"", {""}},
	{"\"it's\"", {"it's"}},
	{"\"\\$ \\` \\\" \\\\\"", {"$ ` \" \\"}},
	{"\"\\a\\'\\ \\n\"", {"\\a\\'\\ \\n"}},
	{"\"a\\\nb\"", {"ab"}},
	{"x\"y z\"'1 2'w", {"xy z1 2w"}},
	/* backslash outside quotes */
	{"a\\ b", {"a b"}},
	{"\\'a\\\"", {"'a\""}},
	{"\\\\", {"\\"}},
	{"a\\\tb", {"a\tb"}},
	/* a continued line: no newline, no blank, and no word of its own */
	{"a\\\nb", {"ab"}},
	{"a \\\n b", {"a", "b"}},
	{"\\\n", {0}},
	{" \\\n\\\n ", {0}},
	{"''\\\n", {""}},
	/* what is more to a shell is plain here */
	{"$HOME `x` a|b a&b a;b <a >b (c)", {"$HOME", "`x`", "a|b", "a&b", "a;b", "<a", ">b", "(c)"}},
	{"~ {a,b} !x #x *? [x]", {"~", "{a,b}", "!x", "#x", "*?", "[x]"}},
	{"A=b c=\"d e\"", {"A=b", "c=d e"}},
	/* any other byte */
	{"\x01\xff \xc3\xa4", {"\x01\xff", "\xc3\xa4"}},
};

static void test_split(void **state)
{
	for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
		cleanup_free char **words = NULL;
		struct error error = {0};
		size_t n = 0;

		if (words_split(splits[i].text, &words, &error) != 0)
			fail_msg("%s: %s", splits[i].text, error_text(&error));
		for (; n < WORDS_MAX && splits[i].words[n]; n++) {
			if (!words[n])
				fail_msg("%s: only %zu words", splits[i].text, n);
			assert_string_equal(words[n], splits[i].words[n]);
		}
		if (n < WORDS_MAX && words[n])
			fail_msg("%s: one word more: %s", splits[i].text, words[n]);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} refused[] = {
		{"'", "unfinished quote: '"},
		{"\"", "unfinished quote: \""},
		{"a 'b c", "unfinished quote: 'b c"},
		{"a \"b c", "unfinished quote: \"b c"},
		{"\"a\\\"", "unfinished quote: \"a\\\""},
		{"\"a\\", "unfinished quote: \"a\\"},
		{"'a'b'", "unfinished quote: '"},
		{"\\", "trailing backslash"},
		{"a\\", "trailing backslash"},
		{"a \\\n\\", "trailing backslash"},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char **words = NULL;
		struct error error = {0};

		assert_int_equal(words_split(refused[i].text, &words, &error), -EINVAL);
		assert_null(words);
		assert_int_equal(error.code, -EINVAL);
		assert_string_equal(error.text, refused[i].reason);
		assert_int_equal(words_split(refused[i].text, &words, NULL), -EINVAL);
	}
}

/* The densest texts there are: as many words as half the bytes, and one word of all of them. */
static void test_space(void **state)
{
	static const char *const units[] = {"a ", "ab", "a\n", "''", "\\ "};

	for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
		for (size_t length = 0; length <= 64; length++) {
			cleanup_free char *text = malloc(length + 1); /* of its own, so that ASan sees a byte too far */
			char **words = NULL;
			size_t total = 0, count = 0;
			int r;

			assert_non_null(text);
			for (size_t i = 0; i < length; i++)
				text[i] = units[unit][i % 2];
			text[length] = '\0';
			r = words_split(text, &words, NULL);
			if (length % 2 && (units[unit][0] == '\'' || units[unit][0] == '\\')) {
				assert_int_equal(r, -EINVAL);
				continue;
			}
			assert_int_equal(r, 0);
			for (; words[count]; count++)
				total += strlen(words[count]);
			assert_true(count <= (length + 1) / 2 && total <= length);
			if (units[unit][1] == ' ' && units[unit][0] == 'a')
				assert_int_equal(count, (length + 1) / 2);
			free(words);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
