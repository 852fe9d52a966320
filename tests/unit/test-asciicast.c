// SPDX-License-Identifier: Apache-2.0
#include "render/asciicast.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define LIMIT 65536
#define BEGUN 1700000000500000000
#define MILLISECOND 1000000

struct recording {
	struct asciicast asciicast;
	struct buffer out;
	size_t read;
};

static int setup(void **state)
{
	struct recording *recording = calloc(1, sizeof(*recording));

	*state = recording;
	return asciicast_begin(&recording->asciicast, 132, 43, BEGUN, "a \"title\"\n\xff", &recording->out, LIMIT);
}

static int teardown(void **state)
{
	struct recording *recording = *state;

	buffer_finish(&recording->out);
	free(recording);
	return 0;
}

static void output(struct recording *recording, int64_t milliseconds, const char *text)
{
	assert_int_equal(asciicast_output(&recording->asciicast, BEGUN + milliseconds * MILLISECOND, text, strlen(text),
					  &recording->out, LIMIT),
			 0);
}

/* The next line; NULL at the end. */
static json_t *next(struct recording *recording)
{
	const char *line = recording->out.data + recording->read, *end;
	json_t *json;

	if (recording->read == recording->out.length)
		return NULL;
	end = memchr(line, '\n', recording->out.length - recording->read);
	assert_non_null(end);
	json = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
	assert_non_null(json);
	recording->read += (size_t)(end - line) + 1;
	return json;
}

static void expect(struct recording *recording, double time, const char *kind, const char *text)
{
	json_t *event = next(recording);

	assert_non_null(event);
	assert_int_equal(json_array_size(event), 3);
	assert_true(json_is_real(json_array_get(event, 0)));
	assert_true(json_real_value(json_array_get(event, 0)) > time - 1e-9);
	assert_true(json_real_value(json_array_get(event, 0)) < time + 1e-9);
	assert_string_equal(json_string_value(json_array_get(event, 1)), kind);
	assert_string_equal(json_string_value(json_array_get(event, 2)), text);
	json_decref(event);
}

static void skip_header(struct recording *recording)
{
	json_decref(next(recording));
}

static void test_header(void **state)
{
	json_t *header = next(*state);

	assert_int_equal(json_integer_value(json_object_get(header, "version")), 2);
	assert_int_equal(json_integer_value(json_object_get(header, "width")), 132);
	assert_int_equal(json_integer_value(json_object_get(header, "height")), 43);
	assert_int_equal(json_integer_value(json_object_get(header, "timestamp")), BEGUN / 1000000000);
	assert_string_equal(json_string_value(json_object_get(header, "title")), "a \"title\"\n\xef\xbf\xbd");
	json_decref(header);
	assert_null(next(*state));
}

static void test_no_title(void **state)
{
	struct asciicast asciicast;
	struct buffer out = {0};

	assert_int_equal(asciicast_begin(&asciicast, 80, 24, 0, NULL, &out, LIMIT), 0);
	assert_int_equal(buffer_append(&out, "", 1, LIMIT), 0);
	assert_string_equal(out.data, "{\"version\": 2, \"width\": 80, \"height\": 24, \"timestamp\": 0}\n");
	buffer_finish(&out);
}

static void test_events(void **state)
{
	struct recording *recording = *state;

	output(recording, 0, "\033[1mbold\033[0m\r\n\t\"quoted\\\"\x7f");
	output(recording, 1234, "gr\xc3\xbcn");
	assert_int_equal(asciicast_marker(&recording->asciicast, BEGUN + 2000 * (int64_t)MILLISECOND, "boot 2",
					  &recording->out, LIMIT),
			 0);
	output(recording, 3600 * 1000 * 30, "late");
	skip_header(recording);
	expect(recording, 0, "o", "\033[1mbold\033[0m\r\n\t\"quoted\\\"\x7f");
	expect(recording, 1.234, "o", "gr\xc3\xbcn");
	expect(recording, 2, "m", "boot 2");
	expect(recording, 3600 * 30, "o", "late");
	assert_null(next(recording));
}

static void test_clock_set_back(void **state)
{
	struct recording *recording = *state;

	output(recording, 5000, "a");
	output(recording, -9000, "b");
	assert_int_equal(asciicast_marker(&recording->asciicast, 0, "c", &recording->out, LIMIT), 0);
	output(recording, 5001, "d");
	skip_header(recording);
	expect(recording, 5, "o", "a");
	expect(recording, 5, "o", "b");
	expect(recording, 5, "m", "c");
	expect(recording, 5.001, "o", "d");
}

/* A character that comes in pieces is in the event of its last byte; one that never ends has become U+FFFD by then. */
static void test_cut_characters(void **state)
{
	struct recording *recording = *state;

	output(recording, 0, "a\xf0\x9f");
	output(recording, 1, "\x98");
	output(recording, 2,
	       "\x80"
	       "b\xe2");
	output(recording, 3, "c\xff\xe2\x82");
	output(recording, 4, "\xac");
	skip_header(recording);
	expect(recording, 0, "o", "a");
	expect(recording, 0.002, "o",
	       "\xf0\x9f\x98\x80"
	       "b");
	expect(recording, 0.003, "o",
	       "\xef\xbf\xbd"
	       "c\xef\xbf\xbd");
	expect(recording, 0.004, "o", "\xe2\x82\xac");
	assert_null(next(recording));
}

/* Any limit: an event is there as a whole or not at all, and can be tried again. */
static void test_limit(void **state)
{
	struct recording *recording = *state;
	size_t before = recording->out.length, limit;
	int error = -EMSGSIZE;

	output(recording, 0, "\xe2\x82");
	assert_int_equal(recording->out.length, before);
	for (limit = before; error; limit++) {
		assert_int_equal(error, -EMSGSIZE);
		assert_int_equal(recording->out.length, before);
		assert_int_equal(asciicast_marker(&recording->asciicast, BEGUN,
						  "a marker that is longer than the event", &recording->out, limit),
				 -EMSGSIZE);
		error = asciicast_output(&recording->asciicast, BEGUN, "\xac\033\xc3", 3, &recording->out, limit);
	}
	assert_int_equal(recording->out.length, limit - 1);
	output(recording, 0, "\xbc");
	skip_header(recording);
	expect(recording, 0, "o", "\xe2\x82\xac\033");
	expect(recording, 0, "o", "\xc3\xbc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test(test_no_title),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clock_set_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_characters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
