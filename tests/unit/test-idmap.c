// SPDX-License-Identifier: Apache-2.0
#include "instances/idmap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *text;
	uint32_t first; /* 0: there is none */
} files[] = {
	{"root:100000:65536\n", 100000},
	{"root:100000:65536", 100000},
	{"0:200000:65536\n", 200000},
	{"_lxd:100000:65536\nroot:1000000:1000000000\n", 1000000},
	{"root:100000:65535\nroot:200000:65536\nroot:300000:65536\n", 200000},
	{"# root:1:65536\n\n  root:1:65536\nroot:5:70000\n", 5},
	{"root:4294901759:65536\n", 4294901759},
	{"", 0},
	{"\n", 0},
	{"rooty:100000:65536\n", 0},
	{"00:100000:65536\n", 0},
	{"root\nroot:\nroot:1\nroot:1:\nroot::65536\nroot:1:65536:\nroot:1:65536 \n", 0},
	{"root:-1:65536\nroot:1:-1\nroot: 1:65536\nroot:0x10:65536\n", 0},
	{"root:0:65536\n", 0}, /* the machine's own ids */
	{"root:4294901760:65536\n", 0},
	{"root:4294967296:65536\nroot:1:99999999999999999999\n", 0},
};

static int parse(const char *text, uint32_t *first)
{
	FILE *file = fmemopen((void *)text, strlen(text) + 1, "r");
	int r;

	assert_non_null(file);
	r = idmap_parse(file, first);
	fclose(file);
	return r;
}

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		uint32_t first = 1;
		int r = parse(files[i].text, &first);

		if (r != (files[i].first ? 0 : -ENOENT) || (r == 0 && first != files[i].first))
			fail_msg("%s: %d, %u", files[i].text, r, first);
	}
}

/* The end of a line that is too long is no line. */
static void test_long_line(void **state)
{
	char text[1024];
	uint32_t first;

	for (size_t length = 200; length < 600; length++) {
		memset(text, 'x', length);
		strcpy(text + length, "root:1:65536\nroot:7:65536\n");
		assert_int_equal(parse(text, &first), 0);
		assert_int_equal(first, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
