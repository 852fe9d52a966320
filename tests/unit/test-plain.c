// SPDX-License-Identifier: Apache-2.0
#include "render/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

/* In pieces of so many bytes; the caller frees it. Each piece gets no more room than is promised. */
static char *plain(const char *data, size_t length, size_t step)
{
	struct plain state = {0};
	char *all = calloc(1, PLAIN_ROOM(length) + 1);
	size_t at, total = 0;

	for (at = 0; at < length; at += step) {
		size_t piece = length - at < step ? length - at : step, written;
		char *out = malloc(PLAIN_ROOM(piece));

		written = plain_feed(&state, data + at, piece, out);
		memcpy(all + total, out, written);
		total += written;
		free(out);
	}
	all[total] = '\0';
	return all;
}

struct example {
	const char *data, *text;
};

static void check(const struct example *examples, size_t count)
{
	size_t i, step;

	for (i = 0; i < count; i++) {
		for (step = 1; step < 8; step++) {
			char *text = plain(examples[i].data, strlen(examples[i].data), step);

			assert_string_equal(text, examples[i].text);
			free(text);
		}
	}
}

#define CHECK(examples) check(examples, sizeof(examples) / sizeof((examples)[0]))

static void test_sequences(void **state)
{
	static const struct example examples[] = {
		{"a\033[1;31mb\033[0mc", "abc"},
		{"a\033[?25lb\033[>4;2mc\033[2 qd\033[!pe", "abcde"},
		{"a\033(0b\033#8c\0337d\033=e\033cf", "abcdef"},
		{"a\033]0;a title\007b\033]2;another\033\\c", "abc"},
		{"a\033Pq#0\033\\b\033_apc\033\\c\033^pm\007d\033Xsos\033\\e", "abcde"},
		{"a\xc2\x9b"
		 "1mb\xc2\x9d"
		 "0;title\xc2\x9c"
		 "c\xc2\x85"
		 "d",
		 "abcd"},
		{"a\033]0;\xc3\x9c is a capital letter\007b", "ab"},
		{"a\033[12\030b\033]title\032c", "abc"},
		{"a\033[1\033[2mb\033]title\033[3mc", "abc"},
		{"a\033[1\n2mb", "a\nb"},
		{"a\033[1;2<3mb\033[1 2mc", "abc"},
		{"a\033[31\xc3\xa4", "a\xc3\xa4"},
		{"a\033\033\033[mb\033", "ab"},
	};

	CHECK(examples);
}

static void test_lines(void **state)
{
	static const struct example examples[] = {
		{"one\r\ntwo\r\r\nthree\n\rfour\n", "one\ntwo\nthree\nfour\n"},
		{"one\n\n\r\n\ntwo", "one\n\n\n\ntwo"},
		{"10%\r20%\r\033[K30%\r\n$ ", "10%\n20%\n30%\n$ "},
		{"\r\rtext\r\r\rmore\r", "text\nmore"},
		{"a\tb\bc\ad\vx\fy\177z\016\017", "a\tbcdxyz"},
		{"a\r\tb", "a\n\tb"},
	};

	CHECK(examples);
}

/* The Unicode Standard, section 3.9, table 3-8 and the examples before it. */
static void test_utf8(void **state)
{
	static const struct example examples[] = {
		{"gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
		 "A",
		 BAD BAD BAD BAD BAD BAD BAD BAD "A"},
		{"\xed\xa0\x80\xed\xbf\xbf\xed\xaf"
		 "A",
		 BAD BAD BAD BAD BAD BAD BAD BAD "A"},
		{"\xf4\x91\x92\x93\xff"
		 "A\x80\xbf"
		 "B",
		 BAD BAD BAD BAD BAD "A" BAD BAD "B"},
		{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
		 "A",
		 BAD BAD BAD BAD "A"},
		{"a\xe2\x82\n\xc3\033[mb", "a" BAD "\n" BAD "b"},
		{"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xc2\xa0", "\xef\xbf\xbf\xf4\x8f\xbf\xbf\xc2\xa0"},
	};

	CHECK(examples);
}

static void test_nul(void **state)
{
	static const char data[] = "a\0b\033[\0001mc\033]0;\0t\007d";
	char *text = plain(data, sizeof(data) - 1, 3);

	assert_string_equal(text, "abcd");
	free(text);
}

/* What never ends is text again after a while, whatever it is. */
static void test_endless(void **state)
{
	static const char *const begins[] = {"\033]0;", "\033P", "\033[", "\033[?", "\033 "};
	size_t i, length = PARSER_SEQUENCE_MAX + 1000;

	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		char *data = malloc(length + 1), *text;

		memset(data, i < 4 ? '1' : ' ', length);
		memcpy(data, begins[i], strlen(begins[i]));
		data[length] = '\0';
		text = plain(data, length, 100);
		assert_in_range(strlen(text), 990, 1000);
		assert_string_equal(text, data + length - strlen(text));
		free(text);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences), cmocka_unit_test(test_lines),   cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_nul),       cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
