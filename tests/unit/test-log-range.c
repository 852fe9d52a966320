// SPDX-License-Identifier: Apache-2.0
#include "api/log_range.h"
#include "api/log_source.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN
#define HOUR (INT64_C(3600) * 1000000000)

static int setup(void **state)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	char directory[] = "/tmp/test-log-XXXXXX";
	int place, fd;

	assert_non_null(mkdtemp(directory));
	place = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ring_create(place, "ring", CAPACITY), 0);
	fd = openat(place, "ring", O_RDWR | O_CLOEXEC);
	assert_int_equal(ring_open(ring, fd, true), 0);
	unlinkat(place, "ring", 0);
	close(place);
	close(fd);
	rmdir(directory);
	*state = ring;
	return 0;
}

static int teardown(void **state)
{
	ring_close(*state);
	free(*state);
	return 0;
}

static void print(struct ring *ring, const char *text)
{
	ring_append(ring, text, strlen(text));
}

static void expect(const struct ring *ring, const struct log_query *query, uint64_t from, uint64_t to)
{
	struct log_range range;

	assert_int_equal(log_range_find(query, ring, timestamp_now(), &range, NULL), 0);
	assert_int_equal(range.from, from);
	assert_int_equal(range.to, to);
}

static void expect_tail(const struct ring *ring, int64_t lines, uint64_t from)
{
	expect(ring, &(struct log_query){.tail = LOG_TAIL_LINES, .tail_value = lines}, from, ring_head(ring));
}

static void test_all(void **state)
{
	struct ring *ring = *state;

	expect(ring, &(struct log_query){0}, 0, 0);
	expect_tail(ring, 1, 0);
	print(ring, "hello");
	expect(ring, &(struct log_query){0}, 0, 5);
	ring_clear(ring);
	expect(ring, &(struct log_query){0}, 5, 5);
	print(ring, "!");
	expect(ring, &(struct log_query){0}, 5, 6);
	expect(ring, &(struct log_query){.since = LOG_SINCE_OFFSET, .since_value = 2}, 5, 6);
}

static void test_lines(void **state)
{
	struct ring *ring = *state;

	print(ring, "one\r\ntwo\r\n\r\nfour");
	expect_tail(ring, 0, 16);
	expect_tail(ring, 1, 12);
	expect_tail(ring, 2, 10);
	expect_tail(ring, 3, 5);
	expect_tail(ring, 4, 0);
	expect_tail(ring, 5, 0);
	expect_tail(ring, INT64_MAX, 0);
	print(ring, "\r\n");
	expect_tail(ring, 1, 12);
	expect_tail(ring, 2, 10);
	print(ring, "\n");
	expect_tail(ring, 1, 18);
	expect(ring, &(struct log_query){.tail = LOG_TAIL_BYTES, .tail_value = 3}, 16, 19);
	expect(ring, &(struct log_query){.tail = LOG_TAIL_BYTES, .tail_value = 0}, 19, 19);
	expect(ring, &(struct log_query){.tail = LOG_TAIL_BYTES, .tail_value = 100}, 0, 19);
}

/* Lines longer than what is looked at in one go, and an overwritten beginning. */
static void test_long_lines(void **state)
{
	struct ring *ring = *state;
	static char line[20001];

	memset(line, 'x', 20000);
	line[19999] = '\n';
	for (int i = 0; i < 5; i++)
		print(ring, line);
	expect_tail(ring, 1, 80000);
	expect_tail(ring, 3, 40000);
	expect_tail(ring, 4, 100000 - CAPACITY);
	expect(ring,
	       &(struct log_query){
		       .since = LOG_SINCE_OFFSET, .since_value = 90000, .tail = LOG_TAIL_LINES, .tail_value = 3},
	       90000, 100000);
	expect(ring, &(struct log_query){.since = LOG_SINCE_OFFSET, .since_value = INT64_MAX}, 100000, 100000);
}

static void test_boots(void **state)
{
	struct ring *ring = *state;
	struct log_query query = {.boot = -1};
	struct log_range range;
	struct error error = {0};

	assert_int_equal(log_range_find(&query, ring, 0, &range, &error), -ENOENT);
	assert_non_null(strstr(error_text(&error), "boot -1"));
	ring_begin_boot(ring, ring_head(ring));
	print(ring, "first\n");
	ring_begin_boot(ring, ring_head(ring));
	expect(ring, &(struct log_query){.boot = -1}, 6, 6);
	print(ring, "second\n");
	ring_begin_boot(ring, ring_head(ring));
	print(ring, "third\n");
	expect(ring, &(struct log_query){.boot = 1}, 0, 6);
	expect(ring, &(struct log_query){.boot = 2}, 6, 13);
	expect(ring, &(struct log_query){.boot = -2}, 6, 13);
	expect(ring, &(struct log_query){.boot = -1}, 13, 19);
	expect(ring, &(struct log_query){.boot = 2, .follow = true}, 6, 19);
	expect(ring, &(struct log_query){.boot = 2, .since = LOG_SINCE_OFFSET, .since_value = 15}, 13, 13);
	expect(ring, &(struct log_query){.boot = 1, .tail = LOG_TAIL_BYTES, .tail_value = 2}, 4, 6);
	for (query.boot = -4; query.boot <= 4; query.boot += 8)
		assert_int_equal(log_range_find(&query, ring, 0, &range, NULL), -ENOENT);
	ring_clear(ring);
	expect(ring, &(struct log_query){.boot = 1}, 19, 19);
	expect(ring, &(struct log_query){.boot = 3}, 19, 19);
}

static void test_times(void **state)
{
	struct ring *ring = *state;
	int64_t before = timestamp_now();

	print(ring, "hello");
	expect(ring, &(struct log_query){.since = LOG_SINCE_TIME, .since_value = before}, 0, 5);
	expect(ring, &(struct log_query){.since = LOG_SINCE_TIME, .since_value = before + HOUR}, 5, 5);
	expect(ring, &(struct log_query){.since = LOG_SINCE_TIME, .since_value = INT64_MIN}, 0, 5);
	expect(ring, &(struct log_query){.since = LOG_SINCE_AGO, .since_value = HOUR}, 0, 5);
	expect(ring, &(struct log_query){.since = LOG_SINCE_AGO, .since_value = INT64_MAX}, 0, 5);
	expect(ring, &(struct log_query){.since = LOG_SINCE_AGO, .since_value = 0}, 5, 5);
}

static void expect_read(struct log_source *source, size_t size, const char *text, uint64_t lost)
{
	char data[16];
	uint64_t gone;

	assert_int_equal(log_source_read(source, data, size, &gone), strlen(text));
	assert_memory_equal(data, text, strlen(text));
	assert_int_equal(gone, lost);
}

/* A copy does not change. */
static void test_copy(void **state)
{
	struct ring *ring = *state;
	struct log_source source;
	uint64_t until = 0;
	int64_t before = timestamp_now();

	ring_begin_boot(ring, 0);
	print(ring, "hello");
	assert_int_equal(log_source_copy(&source, ring, &(struct log_range){1, 5}, true), 0);
	ring_begin_boot(ring, 5);
	for (size_t i = 0; i < CAPACITY; i++)
		print(ring, "!");
	assert_in_range(log_source_size(&source), 4, 200);
	assert_in_range(log_source_time(&source, 1, &until), before, timestamp_now());
	assert_true(until >= 5);
	assert_int_equal(log_source_boot(&source, 0)->number, 1);
	assert_null(log_source_boot(&source, 1));
	expect_read(&source, 3, "ell", 0);
	expect_read(&source, 3, "o", 0);
	expect_read(&source, 3, "", 0);
	log_source_finish(&source);
	assert_int_equal(log_source_copy(&source, ring, &(struct log_range){7, 7}, true), 0);
	expect_read(&source, 3, "", 0);
	log_source_finish(&source);
}

static void test_follow(void **state)
{
	struct ring *ring = *state;
	struct log_source source;
	static char flood[CAPACITY];

	memset(flood, '!', sizeof(flood));
	print(ring, "hello");
	log_source_follow(&source, ring, 3);
	expect_read(&source, 16, "lo", 0);
	expect_read(&source, 16, "", 0);
	print(ring, "little");
	expect_read(&source, 2, "li", 0);
	ring_append(ring, flood, sizeof(flood));
	expect_read(&source, 2, "!!", 4);
	ring_begin_boot(ring, ring_head(ring));
	assert_int_equal(log_source_boot(&source, 0)->number, 1);
	source.end = ring_head(ring); /* what comes is not for this one */
	ring_append(ring, flood, sizeof(flood));
	expect_read(&source, 2, "", CAPACITY - 2);
	assert_int_equal(source.offset, source.end);
	expect_read(&source, 2, "", 0);
	log_source_finish(&source);
}

/* All that is left before the end is read, and nothing behind it. */
static void test_follow_to_the_end(void **state)
{
	struct ring *ring = *state;
	struct log_source source;
	static char flood[CAPACITY - 3];

	print(ring, "hello");
	log_source_follow(&source, ring, 0);
	source.end = 5;
	memset(flood, '!', sizeof(flood));
	ring_append(ring, flood, sizeof(flood));
	expect_read(&source, 16, "llo", 2);
	expect_read(&source, 16, "", 0);
	log_source_finish(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow_to_the_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
