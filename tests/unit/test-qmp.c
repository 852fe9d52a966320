// SPDX-License-Identifier: Apache-2.0
#include "bridge/qmp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void feed(struct buffer *buffer, const char *text)
{
	assert_int_equal(buffer_append(buffer, text, strlen(text), 2 * QMP_LINE_MAX), 0);
}

/* What QEMU 7.2 says, one message after the other. */
static void test_messages(void **state)
{
	struct buffer buffer = {0};
	struct qmp_message message;

	feed(&buffer, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22}}, \"capabilities\": [\"oob\"]}}\r\n"
		      "{\"return\": {}}\r\n"
		      "{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 7}\r\n"
		      "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 25}, \"event\": \"RESET\", "
		      "\"data\": {\"guest\": true}}\r\n"
		      "{\"id\": 8, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\r\n");
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_int_equal(message.kind, QMP_GREETING);
	qmp_finish(&message);
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_int_equal(message.kind, QMP_RETURN);
	assert_int_equal(message.id, 0);
	qmp_finish(&message);
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_int_equal(message.kind, QMP_RETURN);
	assert_int_equal(message.id, 7);
	assert_string_equal(json_string_value(json_object_get(message.data, "status")), "running");
	qmp_finish(&message);
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_int_equal(message.kind, QMP_EVENT);
	assert_string_equal(message.name, "RESET");
	assert_true(message.time == INT64_C(1700000000000025));
	assert_true(json_is_true(json_object_get(message.data, "guest")));
	qmp_finish(&message);
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_int_equal(message.kind, QMP_ERROR);
	assert_int_equal(message.id, 8);
	assert_string_equal(message.name, "no such thing");
	qmp_finish(&message);
	assert_int_equal(qmp_take(&buffer, &message), -EAGAIN);
	assert_int_equal(buffer.length, 0);
	buffer_finish(&buffer);
}

static void test_in_pieces(void **state)
{
	static const char text[] = "{\"event\": \"STOP\"}\n";
	struct buffer buffer = {0};
	struct qmp_message message;

	for (size_t i = 0; text[i]; i++) {
		assert_int_equal(qmp_take(&buffer, &message), -EAGAIN);
		feed(&buffer, (char[]){text[i], '\0'});
	}
	assert_int_equal(qmp_take(&buffer, &message), 0);
	assert_string_equal(message.name, "STOP");
	assert_null(message.data);
	qmp_finish(&message);
	buffer_finish(&buffer);
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {"\n",
					    "x\n",
					    "[]\n",
					    "{}\n",
					    "\"event\"\n",
					    "{\"event\": 1}\n",
					    "{\"return\": {}} {}\n",
					    "{\"event\": \"\xff\"}\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct buffer buffer = {0};
		struct qmp_message message;

		feed(&buffer, lines[i]);
		assert_int_equal(qmp_take(&buffer, &message), -EBADMSG);
		buffer_finish(&buffer);
	}
}

static void test_line_without_end(void **state)
{
	struct buffer buffer = {0};
	struct qmp_message message;

	while (buffer.length <= QMP_LINE_MAX) {
		assert_int_equal(qmp_take(&buffer, &message), -EAGAIN);
		feed(&buffer, "                                                                ");
	}
	assert_int_equal(qmp_take(&buffer, &message), -EBADMSG);
	buffer_finish(&buffer);
}

static void test_command(void **state)
{
	char *line = qmp_command("stop", NULL, 0);

	assert_string_equal(line, "{\"execute\":\"stop\"}\n");
	free(line);
	line = qmp_command("send-key", json_pack("{s:i}", "hold-time", 5), 3);
	assert_string_equal(line, "{\"execute\":\"send-key\",\"arguments\":{\"hold-time\":5},\"id\":3}\n");
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages), cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_line_without_end),
		cmocka_unit_test(test_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
