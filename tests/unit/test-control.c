// SPDX-License-Identifier: Apache-2.0
#include "bridge/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

static struct control parse(const char *message)
{
	return control_parse(message, strlen(message));
}

static void assert_resize(const char *message, unsigned int width, unsigned int height)
{
	struct control control = parse(message);

	assert_int_equal(control.command, CONTROL_WINDOW_RESIZE);
	assert_int_equal(control.width, width);
	assert_int_equal(control.height, height);
}

#define RESIZE(width, height) "{\"command\":\"window-resize\",\"args\":{\"width\":" width ",\"height\":" height "}}"

/* What lxc, incus and pylxd send, byte by byte, and the ends of the range. */
static void test_resize(void **state)
{
	assert_resize("{\"command\":\"window-resize\",\"args\":{\"height\":\"30\",\"width\":\"100\"},\"signal\":0}\n",
		      100, 30);
	assert_resize("{\"command\": \"window-resize\", \"args\": {\"width\": \"80\", \"height\": \"24\"}}", 80, 24);
	assert_resize(RESIZE("\"1\"", "\"65535\""), 1, 65535);
	assert_resize(RESIZE("\"65535\"", "\"1\""), 65535, 1);
	assert_resize(" {\"new\":[1,{}],\"command\":\"window-resize\",\"args\":{\"x\":\"y\",\"width\":\"5\","
		      "\"height\":\"6\"}} ",
		      5, 6);
}

static void test_ignored(void **state)
{
	static const char *const messages[] = {
		"",
		"\n",
		"null",
		"1",
		"\"window-resize\"",
		"[]",
		"{}",
		"{\"command\":\"window-resize\"}",
		"{\"command\":\"window-resize\",\"args\":null}",
		"{\"command\":\"window-resize\",\"args\":[\"100\",\"30\"]}",
		"{\"command\":\"window-resize\",\"args\":{\"width\":\"100\"}}",
		"{\"command\":\"window-resize\",\"args\":{\"height\":\"30\"}}",
		"{\"command\":\"signal\",\"args\":{\"width\":\"100\",\"height\":\"30\"},\"signal\":15}",
		"{\"command\":1,\"args\":{\"width\":\"100\",\"height\":\"30\"}}",
		"{\"args\":{\"width\":\"100\",\"height\":\"30\"}}",
		RESIZE("100", "30"),
		RESIZE("\"0\"", "\"30\""),
		RESIZE("\"100\"", "\"0\""),
		RESIZE("\"-1\"", "\"30\""),
		RESIZE("\"+1\"", "\"30\""),
		RESIZE("\"65536\"", "\"30\""),
		RESIZE("\"100\"", "\"65536\""),
		RESIZE("\"4294967396\"", "\"30\""),
		RESIZE("\"18446744073709551716\"", "\"30\""),
		RESIZE("\"\"", "\"30\""),
		RESIZE("\" 100\"", "\"30\""),
		RESIZE("\"100 \"", "\"30\""),
		RESIZE("\"80.5\"", "\"30\""),
		RESIZE("\"1e2\"", "\"30\""),
		RESIZE("\"0x50\"", "\"30\""),
		RESIZE("\"100\\u0000\"", "\"30\""),
		RESIZE("\"100\"", "\"30\"") "}",
		RESIZE("\"100\"", "\"30\"") "\n{}",
		"x" RESIZE("\"100\"", "\"30\""),
		"{\"command\":\"window-resize\",\"args\":{\"width\":\"100\",\"height\":\"30\"}",
		"\xff\xfe",
	};

	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++)
		if (parse(messages[i]).command != CONTROL_IGNORED)
			fail_msg("not ignored: %s", messages[i]);
}

/* The message is not terminated: what lies behind its end is not its business. */
static void test_length(void **state)
{
	static const char message[] = RESIZE("\"100\"", "\"30\"") "garbage";
	size_t length = strlen(message) - strlen("garbage");
	char *copy = malloc(length);

	assert_non_null(copy);
	memcpy(copy, message, length);
	assert_int_equal(control_parse(copy, length).command, CONTROL_WINDOW_RESIZE);
	assert_int_equal(control_parse(copy, length - 1).command, CONTROL_IGNORED);
	assert_int_equal(control_parse(copy, 0).command, CONTROL_IGNORED);
	free(copy);
}

/* The largest message that may be, all of it nesting. */
static void test_deep(void **state)
{
	char message[64 * 1024];

	memset(message, '[', sizeof(message));
	assert_int_equal(control_parse(message, sizeof(message)).command, CONTROL_IGNORED);
	memset(message, '\0', sizeof(message));
	assert_int_equal(control_parse(message, sizeof(message)).command, CONTROL_IGNORED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
