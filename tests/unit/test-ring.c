// SPDX-License-Identifier: Apache-2.0
/* The ring as its users see it. What is in the file, and what happens when it is damaged: test-ring-file.c. */
#include "pty/ring.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN
/*
 * What the byte at an offset is, in all tests: content[offset % PERIOD]. The period is a prime below the capacity, so
 * that a byte of the lap before is a wrong byte; the content is there twice, so that a run needs no wrapping.
 */
#define PERIOD 65521

struct fixture {
	char directory[32];
	int directory_fd;
	struct ring writer, reader;
	unsigned char content[2 * PERIOD];
	uint64_t random;
};

static uint64_t next_random(struct fixture *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static void open_ring(struct fixture *f, struct ring *ring, bool writable)
{
	cleanup_close int fd = openat(f->directory_fd, "ring", (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ring_open(ring, fd, writable), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	f->random = 88172645463325252;
	for (size_t i = 0; i < PERIOD; i++)
		f->content[i] = f->content[i + PERIOD] = (unsigned char)(next_random(f) >> 32);
	strcpy(f->directory, "/tmp/test-ring-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->directory_fd >= 0);
	assert_int_equal(ring_create(f->directory_fd, "ring", CAPACITY), 0);
	open_ring(f, &f->writer, true);
	open_ring(f, &f->reader, false);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_close(&f->writer);
	ring_close(&f->reader);
	ring_close(&f->reader);
	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	assert_int_equal(rmdir(f->directory), 0); /* and so nothing else was left in it */
	free(f);
	return 0;
}

/* Appends the next `length` bytes of the content. */
static void append(struct fixture *f, size_t length)
{
	while (length > 0) {
		size_t part = MIN(length, PERIOD);

		ring_append(&f->writer, f->content + ring_head(&f->writer) % PERIOD, part);
		length -= part;
	}
}

/* Whether `length` bytes read from `offset` on are the content. */
static bool is_content(const struct fixture *f, uint64_t offset, const void *data, size_t length)
{
	return length <= PERIOD && memcmp(f->content + offset % PERIOD, data, length) == 0;
}

/* Reads from a reader's offset and expects exactly `length` bytes of content behind `lost` missing ones. */
static void expect_read(struct fixture *f, uint64_t *offset, size_t size, size_t length, uint64_t lost)
{
	cleanup_free unsigned char *data = malloc(size);
	uint64_t before = *offset, missing = 77;

	assert_int_equal(ring_read(&f->reader, offset, data, size, &missing), length);
	assert_int_equal(missing, lost);
	assert_int_equal(*offset, before + lost + length);
	assert_true(is_content(f, before + lost, data, length));
}

static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boot;
	uint64_t offset = 0;

	assert_int_equal(ring_head(&f->reader), 0);
	assert_int_equal(ring_tail(&f->reader), 0);
	assert_int_equal(ring_written_at(&f->reader), 0);
	assert_int_equal(ring_boots(&f->reader, &boot, 1), 0);
	assert_int_equal(ring_recover(&f->writer), 0);
	expect_read(f, &offset, 10, 0, 0);
	append(f, 10);
	expect_read(f, &offset, 0, 0, 0);
	offset = 11; /* not there yet */
	expect_read(f, &offset, 10, 0, 0);
}

/* Random appends, clears and reads by several cursors, against what a plain buffer would say. */
static void test_model(void **state)
{
	enum { CURSORS = 4, STEPS = 40000 };
	struct fixture *f = *state;
	uint64_t cursors[CURSORS] = {0}, head = 0, base = 0;

	for (int step = 0; step < STEPS; step++) {
		uint64_t r = next_random(f), oldest;
		size_t length = (size_t)(r >> 32) % (r % 64 == 0 ? CAPACITY + 1000 : r % 8 == 0 ? 5000 : 40);

		append(f, length);
		head += length;
		if (next_random(f) % 500 == 0) {
			ring_clear(&f->writer);
			base = head;
		}
		oldest = head > CAPACITY ? head - CAPACITY : 0;
		assert_int_equal(ring_head(&f->reader), head);
		assert_int_equal(ring_tail(&f->reader), MAX(base, oldest));

		for (int i = 0; i < CURSORS; i++) {
			uint64_t from = MAX(cursors[i], oldest);
			size_t size = (size_t)next_random(f) % (i < 2 ? 3000 : PERIOD);

			if (next_random(f) % 4 == 0 && size > 0)
				expect_read(f, &cursors[i], size, MIN(size, head - from), from - cursors[i]);
		}
	}
}

/* Runs of 251 bytes: in 251 laps the end of the area lies at every place within a run. */
static void test_every_wrap_position(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	for (size_t i = 0; i <= CAPACITY; i++) {
		if (i % 2 == 0) {
			append(f, 251);
		} else {
			assert_int_equal(write(ends[1], f->content + offset % PERIOD, 251), 251);
			assert_int_equal(ring_append_from(&f->writer, ends[0], SIZE_MAX), 251);
		}
		expect_read(f, &offset, 300, 251, 0);
	}
	close(ends[0]);
	close(ends[1]);
}

static void test_larger_than_capacity(void **state)
{
	struct fixture *f = *state;
	size_t length = 3 * CAPACITY + 123;
	cleanup_free unsigned char *data = malloc(length);
	uint64_t offset = 5;

	for (size_t i = 0; i < length; i++)
		data[i] = f->content[i % PERIOD];
	ring_append(&f->writer, data, length);
	assert_int_equal(ring_head(&f->reader), length);
	assert_int_equal(ring_tail(&f->reader), length - CAPACITY);
	expect_read(f, &offset, PERIOD, PERIOD, length - CAPACITY - 5);
	expect_read(f, &offset, PERIOD, CAPACITY - PERIOD, 0);
	expect_read(f, &offset, PERIOD, 0, 0);
}

static void test_overrun(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;

	append(f, CAPACITY);
	expect_read(f, &offset, 100, 100, 0); /* full, and nothing is lost */
	offset = 0;
	append(f, 1);
	expect_read(f, &offset, 100, 100, 1);
	append(f, 150);
	expect_read(f, &offset, 100, 100, 50);
	append(f, 5 * CAPACITY);
	expect_read(f, &offset, 1, 1, 5 * CAPACITY - 100);

	/* A clear moves where a log begins, and takes nothing from a cursor that is on its way. */
	offset = ring_head(&f->reader) - 30;
	ring_clear(&f->writer);
	assert_int_equal(ring_tail(&f->reader), ring_head(&f->reader));
	expect_read(f, &offset, 100, 30, 0);
	append(f, 20);
	expect_read(f, &offset, 100, 20, 0);
}

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0, head;

	append(f, CAPACITY + 100);
	ring_close(&f->writer);
	open_ring(f, &f->writer, true);
	head = ring_head(&f->writer);
	assert_int_equal(head, CAPACITY + 100);
	assert_int_equal(ring_recover(&f->writer), 0);
	append(f, 23);
	expect_read(f, &offset, 300, 300, 123);
	ring_clear(&f->writer);
	ring_close(&f->reader);
	open_ring(f, &f->reader, false);
	assert_int_equal(ring_tail(&f->reader), head + 23);
}

static void test_append_from_pipe(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), -EAGAIN);
	assert_int_equal(write(ends[1], f->content, 300), 300);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 0), -EAGAIN);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), 100);
	assert_int_equal(ring_append_from(&f->writer, ends[0], SIZE_MAX), 200);
	expect_read(f, &offset, 1000, 300, 0);

	/* More waits than the ring holds. */
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4 * CAPACITY) > 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(write(ends[1], f->content + 300 + i * 60000, 60000), 60000);
	while (ring_head(&f->writer) < 120300)
		assert_in_range(ring_append_from(&f->writer, ends[0], SIZE_MAX), 1, CAPACITY);
	expect_read(f, &offset, PERIOD, PERIOD, 120300 - CAPACITY - 300);

	close(ends[1]);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), 0);
	close(ends[0]);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), -EBADF);
	assert_int_equal(ring_head(&f->writer), 120300);
}

/* A read that brings nothing has made room for a byte all the same: a reader must not take the poison for output. */
static void test_empty_handed(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	append(f, CAPACITY);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), -EAGAIN);
	assert_int_equal(ring_tail(&f->reader), 1);
	expect_read(f, &offset, 100, 100, 1);
	assert_int_equal(ring_recover(&f->writer), 0);
	close(ends[0]);
	close(ends[1]);
}

static void test_append_from_pty(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;
	struct termios raw;
	int master, slave;

	cfmakeraw(memset(&raw, 0, sizeof(raw)));
	assert_int_equal(openpty(&master, &slave, NULL, &raw, NULL), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ring_append_from(&f->writer, master, 100), -EAGAIN);
	assert_int_equal(write(slave, f->content, 1000), 1000);
	close(slave);
	while (ring_head(&f->writer) < 1000)
		assert_in_range(ring_append_from(&f->writer, master, 300), 1, 300);
	assert_int_equal(ring_append_from(&f->writer, master, 300), -EIO);
	expect_read(f, &offset, 2000, 1000, 0);
	close(master);
}

static void on_alarm(int signal)
{
}

/* A signal ends the wait in a blocking descriptor, and the byte that comes later is not lost. */
static void test_interrupted(void **state)
{
	struct itimerval often = {{0, 5000}, {0, 5000}}, never = {0};
	struct sigaction action = {.sa_handler = on_alarm};
	struct fixture *f = *state;
	uint64_t offset = 0;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), -EAGAIN);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(write(ends[1], f->content, 5), 5);
	assert_int_equal(ring_append_from(&f->writer, ends[0], 100), 5);
	expect_read(f, &offset, 100, 5, 0);
	close(ends[0]);
	close(ends[1]);
}

/* A reader's life: everything it gets is right, and what it does not get is counted. Ends at the offset `end`. */
static int follow(const struct fixture *f, size_t size, const _Atomic uint64_t *end)
{
	cleanup_free unsigned char *data = malloc(size);
	uint64_t offset = 0;

	for (;;) {
		uint64_t before = offset, lost;
		bool last = before == *end; /* asked before the read */
		size_t length = ring_read(&f->reader, &offset, data, size, &lost);

		if (offset != before + lost + length || !is_content(f, before + lost, data, length))
			return 1;
		if (last)
			return length == 0 && lost == 0 ? 0 : 2;
		if (length == 0)
			sched_yield();
	}
}

static pid_t fork_follower(const struct fixture *f, size_t size, const _Atomic uint64_t *end)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		_exit(follow(f, size, end));
	}
	return pid;
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Readers in other processes on a ring that a writer floods as fast as it can. */
static void test_readers_in_a_flood(void **state)
{
	static const size_t sizes[] = {100, 4096, PERIOD};
	struct fixture *f = *state;
	_Atomic uint64_t *end = mmap(NULL, sizeof(*end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t until = milliseconds() + 1500;
	pid_t pids[3];
	int status;

	assert_true(end != MAP_FAILED);
	*end = UINT64_MAX;
	for (int i = 0; i < 3; i++)
		pids[i] = fork_follower(f, sizes[i], end);
	while (milliseconds() < until)
		for (int i = 0; i < 20; i++)
			append(f, (size_t)next_random(f) % 9000);
	*end = ring_head(&f->writer);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	munmap((void *)end, sizeof(*end));
}

/* A ring of another size takes the name; who has the old one mapped keeps it. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;

	append(f, 100);
	assert_int_equal(ring_create(f->directory_fd, "ring", 2 * CAPACITY), 0);
	expect_read(f, &offset, 1000, 100, 0);
	ring_close(&f->writer);
	open_ring(f, &f->writer, true);
	assert_int_equal(f->writer.capacity, 2 * CAPACITY);
	assert_int_equal(ring_head(&f->writer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_wrap_position, setup, teardown),
		cmocka_unit_test_setup_teardown(test_larger_than_capacity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_from_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_handed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_from_pty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readers_in_a_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
