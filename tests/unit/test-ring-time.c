// SPDX-License-Identifier: Apache-2.0
/* When what was written: marks are made by hand in the writer's memory, so that no test has to wait. */
#include "pty/ring_layout.h"
#include "util/timestamp.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN

struct fixture {
	char directory[32];
	int directory_fd;
	struct ring writer;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	*state = f;
	strcpy(f->directory, "/tmp/test-ring-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ring_create(f->directory_fd, "ring", CAPACITY), 0);
	fd = openat(f->directory_fd, "ring", O_RDWR | O_CLOEXEC);
	assert_int_equal(ring_open(&f->writer, fd, true), 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_close(&f->writer);
	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	rmdir(f->directory);
	free(f);
	return 0;
}

/* The next write counts as one that comes long after the last. */
static void let_time_pass(struct ring *ring)
{
	uint64_t made = atomic_load(&ring->header->fine_made);

	atomic_store(&ring->header->fine[(made - 1) % RING_FINE].time, 1);
}

static void fine(struct ring *ring, uint64_t number, uint64_t offset, int64_t time)
{
	atomic_store(&ring->header->fine[number % RING_FINE].offset, offset);
	atomic_store(&ring->header->fine[number % RING_FINE].time, time);
	if (atomic_load(&ring->header->fine_made) <= number)
		atomic_store(&ring->header->fine_made, number + 1);
}

static void coarse(struct ring *ring, uint64_t number, uint64_t offset, int64_t time)
{
	atomic_store(&ring->header->coarse[number % RING_COARSE].offset, offset);
	atomic_store(&ring->header->coarse[number % RING_COARSE].time, time);
	if (atomic_load(&ring->header->coarse_made) <= number)
		atomic_store(&ring->header->coarse_made, number + 1);
}

static void test_empty(void **state)
{
	struct fixture *f = *state;
	uint64_t until;

	assert_int_equal(ring_time_at(&f->writer, 0, &until), 0);
	assert_int_equal(until, UINT64_MAX);
	assert_int_equal(ring_offset_at(&f->writer, 1), 0);
}

static void test_written(void **state)
{
	struct fixture *f = *state;
	int64_t before = timestamp_now();

	ring_append(&f->writer, "hello", 5);
	assert_in_range(ring_time_at(&f->writer, 0, NULL), before, timestamp_now());
	assert_int_equal(ring_time_at(&f->writer, 0, NULL), ring_time_at(&f->writer, 4, NULL));
	assert_int_equal(ring_offset_at(&f->writer, before), 0);
	assert_int_equal(ring_offset_at(&f->writer, timestamp_now() + 1), 5);
}

static void test_between_marks(void **state)
{
	struct fixture *f = *state;
	uint64_t until;

	for (uint64_t i = 0; i < 10; i++)
		fine(&f->writer, i, 100 * i, (int64_t)(1000 + i));
	assert_int_equal(ring_time_at(&f->writer, 0, &until), 1000);
	assert_int_equal(until, 100);
	assert_int_equal(ring_time_at(&f->writer, 399, &until), 1003);
	assert_int_equal(until, 400);
	assert_int_equal(ring_time_at(&f->writer, 400, NULL), 1004);
	assert_int_equal(ring_time_at(&f->writer, 5000, &until), 1009);
	assert_int_equal(until, UINT64_MAX);
	assert_int_equal(ring_offset_at(&f->writer, 0), 0);
	assert_int_equal(ring_offset_at(&f->writer, 1004), 400);
	assert_int_equal(ring_offset_at(&f->writer, 1010), ring_head(&f->writer));
}

/* What the fine table does not reach back to, the coarse one does. */
static void test_far_back(void **state)
{
	struct fixture *f = *state;
	uint64_t until;

	for (uint64_t i = 0; i < 10; i++)
		coarse(&f->writer, i, 1000 * i, (int64_t)(10 + i));
	for (uint64_t i = 0; i < RING_FINE + 100; i++)
		fine(&f->writer, i, 9000 + i, (int64_t)(100 + i));
	assert_int_equal(ring_time_at(&f->writer, 2500, &until), 12);
	assert_int_equal(until, 3000);
	assert_int_equal(ring_time_at(&f->writer, 9050, NULL), 19); /* overwritten among the fine ones */
	assert_int_equal(ring_time_at(&f->writer, 9000 + RING_FINE, NULL), 100 + RING_FINE);
	assert_int_equal(ring_offset_at(&f->writer, 13), 3000);
	assert_int_equal(ring_offset_at(&f->writer, 100 + RING_FINE), 9000 + RING_FINE);
}

/* Older than all marks: not known, up to the first of them. */
static void test_before_all(void **state)
{
	struct fixture *f = *state;
	uint64_t until;

	for (uint64_t i = 0; i < RING_COARSE + 5; i++)
		coarse(&f->writer, i, 1000 + i, (int64_t)(10 + i));
	for (uint64_t i = 0; i < RING_FINE + 5; i++)
		fine(&f->writer, i, 9000 + i, (int64_t)(100 + i));
	assert_int_equal(ring_time_at(&f->writer, 500, &until), 0);
	assert_int_equal(until, 1006); /* the one before may be being written */
}

/* Any number of writes, each long after the last: the whole ring is spanned. */
static void test_span(void **state)
{
	struct fixture *f = *state;
	int64_t time, last = 0;
	uint64_t until = 0, offset;

	for (unsigned int i = 0; i < 3 * CAPACITY / 8; i++) {
		ring_append(&f->writer, "12345678", 8);
		if (i % 2)
			let_time_pass(&f->writer);
	}
	for (offset = ring_tail(&f->writer); offset < ring_head(&f->writer); offset = until) {
		time = ring_time_at(&f->writer, offset, &until);
		assert_true(until > offset);
		assert_true(time == 1 || time >= last || last == 1);
		last = time;
		if (offset > ring_tail(&f->writer) + CAPACITY / RING_COARSE * 2)
			assert_int_not_equal(time, 0);
	}
}

/* A file that says nonsense is read no further than its own tables. */
static void test_nonsense(void **state)
{
	struct fixture *f = *state;

	atomic_store(&f->writer.header->fine_made, UINT64_MAX);
	atomic_store(&f->writer.header->coarse_made, UINT64_MAX - 7);
	for (uint64_t offset = 0; offset < 100000; offset += 977)
		ring_time_at(&f->writer, offset, NULL);
	assert_int_equal(ring_offset_at(&f->writer, 5), ring_head(&f->writer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_between_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_far_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_span, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
