// SPDX-License-Identifier: Apache-2.0
#include "api/log_query.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

/* The value of Accept. */
static const char *header(const struct request *request, const char *name)
{
	return strcmp(name, "Accept") == 0 ? request->front : NULL;
}

static int parse(const char *text, const char *accept, struct log_query *query, struct error *error)
{
	struct request request = {.header = header, .front = (void *)accept};
	char target[256] = "/1.0/instances/x/console?";
	int r;

	assert_int_equal(request_set_target(&request, strcat(target, text)), 0);
	*error = (struct error){0};
	r = log_query_parse(&request, query, error);
	request_finish(&request);
	return r;
}

static struct log_query parsed(const char *text)
{
	struct log_query query;
	struct error error;

	if (parse(text, NULL, &query, &error) != 0)
		fail_msg("%s: %s", text, error_text(&error));
	return query;
}

static void test_nothing(void **state)
{
	static const char *const texts[] = {"", "type=log", "project=default&x=y"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct log_query query = parsed(texts[i]), nothing = {0};

		assert_memory_equal(&query, &nothing, sizeof(query));
		assert_true(log_query_lasting(&query));
	}
}

static void test_since(void **state)
{
	static const struct {
		const char *text;
		enum log_since since;
		int64_t value;
	} cases[] = {
		{"since=0", LOG_SINCE_OFFSET, 0},
		{"since=1048576", LOG_SINCE_OFFSET, 1048576},
		{"since=9223372036854775807", LOG_SINCE_OFFSET, INT64_MAX},
		{"since=10m", LOG_SINCE_AGO, 600 * SECOND},
		{"since=1h30m", LOG_SINCE_AGO, 5400 * SECOND},
		{"since=90s", LOG_SINCE_AGO, 90 * SECOND},
		{"since=250ms", LOG_SINCE_AGO, SECOND / 4},
		{"since=1h2m3s4ms", LOG_SINCE_AGO, 3723 * SECOND + SECOND / 250},
		{"since=0s", LOG_SINCE_AGO, 0},
		{"since=2562047h", LOG_SINCE_AGO, INT64_C(2562047) * 3600 * SECOND},
		{"since=1970-01-01T00:00:01.5Z", LOG_SINCE_TIME, 3 * SECOND / 2},
		{"since=1970-01-01T01:00:00%2B01:00", LOG_SINCE_TIME, 0},
		{"since=1970-01-01T01:00:00+01:00", LOG_SINCE_TIME, 0},
		{"since=1970-01-01T01:00:02.5+01:00", LOG_SINCE_TIME, 5 * SECOND / 2},
		{"since=1969-12-31T23:00:00-01:00", LOG_SINCE_TIME, 0},
		{"since=1970-01-01%2000:00:01Z", LOG_SINCE_TIME, SECOND},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct log_query query = parsed(cases[i].text);

		assert_true(query.given);
		assert_int_equal(query.since, cases[i].since);
		assert_int_equal(query.since_value, cases[i].value);
		assert_int_equal(log_query_lasting(&query), cases[i].since != LOG_SINCE_AGO);
	}
}

static void test_range(void **state)
{
	struct log_query query = parsed("tail=10&boot=3&since=5");

	assert_int_equal(query.tail, LOG_TAIL_LINES);
	assert_int_equal(query.tail_value, 10);
	assert_int_equal(query.boot, 3);
	assert_int_equal(query.since, LOG_SINCE_OFFSET);
	assert_true(log_query_lasting(&query));
	query = parsed("tail_bytes=0&boot=-2");
	assert_int_equal(query.tail, LOG_TAIL_BYTES);
	assert_int_equal(query.tail_value, 0);
	assert_int_equal(query.boot, -2);
	assert_false(log_query_lasting(&query));
}

static void test_format(void **state)
{
	struct log_query query = parsed("format=plain&follow=1&timestamps=true&notices=false");
	struct error error;

	assert_int_equal(query.format, LOG_PLAIN);
	assert_true(query.follow && query.timestamps && query.quiet);
	assert_false(log_query_lasting(&query) || log_query_screen(&query));
	query = parsed("format=raw&follow=0&timestamps=false&notices=1");
	assert_int_equal(query.format, LOG_RAW);
	assert_false(query.follow || query.timestamps || query.quiet);
	assert_int_equal(parsed("format=asciicast").format, LOG_ASCIICAST);
	assert_int_equal(parsed("format=screen").format, LOG_SCREEN);
	query = parsed("format=html");
	assert_true(query.format == LOG_HTML && log_query_screen(&query));
	assert_int_equal(parse("format=screen", "application/xml, text/html;q=0.9", &query, &error), 0);
	assert_int_equal(query.format, LOG_HTML);
	assert_int_equal(parse("format=screen", "*/*", &query, &error), 0);
	assert_int_equal(query.format, LOG_SCREEN);
	assert_int_equal(parse("format=plain", "text/html", &query, &error), 0);
	assert_int_equal(query.format, LOG_PLAIN);
}

/* The reason names the parameter. */
static void test_refused(void **state)
{
	static const struct {
		const char *text, *name;
	} cases[] = {
		{"tail=-1", " tail "},
		{"tail=", " tail "},
		{"tail=ten", " tail "},
		{"tail=1x", " tail "},
		{"tail=%201", " tail "},
		{"tail=9223372036854775808", " tail "},
		{"tail_bytes=1.5", " tail_bytes "},
		{"tail=1&tail_bytes=1", "tail and tail_bytes"},
		{"since=", " since "},
		{"since=yesterday", " since "},
		{"since=-5", " since "},
		{"since=9223372036854775808", " since "},
		{"since=10", NULL},
		{"since=10x", " since "},
		{"since=m", " since "},
		{"since=1m30", " since "},
		{"since=1.5h", " since "},
		{"since=-1m", " since "},
		{"since=1m-1s", " since "},
		{"since=2562048h", " since "},
		{"since=2562047h2562047h", " since "},
		{"since=99999999999999999999ms", " since "},
		{"since=2026-11-23", " since "},
		{"since=2026-02-30T00:00:00Z", " since "},
		{"since=2026-11-23T09:19:16Z2026-11-23T09:19:16Z2026-11-23T09:19:16Z2026-11-23T09:19:16Z", " since "},
		{"boot=0", " boot "},
		{"boot=", " boot "},
		{"boot=-", " boot "},
		{"boot=--1", " boot "},
		{"boot=latest", " boot "},
		{"boot=9223372036854775808", " boot "},
		{"follow", " follow "},
		{"follow=yes", " follow "},
		{"timestamps=2", " timestamps "},
		{"notices=", " notices "},
		{"format=", " format "},
		{"format=pdf", " format "},
		{"format=RAW", " format "},
		{"format=screen&follow=1", " follow "},
		{"format=html&follow=1", " follow "},
		{"format=screen&timestamps=1", " timestamps "},
		{"format=asciicast&timestamps=1", " timestamps "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct log_query query;
		struct error error;
		int r = parse(cases[i].text, NULL, &query, &error);

		if (r != (cases[i].name ? -EINVAL : 0))
			fail_msg("%s: %d", cases[i].text, r);
		if (r < 0 && !strstr(error_text(&error), cases[i].name))
			fail_msg("%s: %s", cases[i].text, error_text(&error));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing), cmocka_unit_test(test_since),   cmocka_unit_test(test_range),
		cmocka_unit_test(test_format),  cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
