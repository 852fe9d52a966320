// SPDX-License-Identifier: Apache-2.0
/* A writer that is killed: wherever that was, its successor goes on, and each byte is in the log once. */
#include "pty/ring.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN
#define FILE_SIZE (65536 + CAPACITY)
#define START (2 * CAPACITY - 100) /* of what is appended step by step, so that it crosses the end of the area */
#define KILLS 120
#define PATIENCE (INT64_C(10) * 1000 * 1000) /* microseconds */

/* The C library's does not let go until it has met no tick of the clock, which comes between any few slow steps. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	return (int)syscall(SYS_clock_gettime, clock, now);
}

/* What the processes of a test tell each other. */
struct shared {
	_Atomic uint64_t read_offset; /* the reader has everything before it */
	_Atomic uint64_t written;     /* by the flood, in all; told at its end */
	_Atomic uint64_t recovered;   /* bytes that a killed writer had taken and not committed */
	_Atomic bool stop;
};

struct fixture {
	char directory[32];
	int directory_fd, fd;
	struct ring reader;
	struct shared *shared;
};

/* The flood: numbered lines. */
struct lines {
	char text[16];
	size_t position;
};

static void lines_init(struct lines *lines)
{
	memcpy(lines->text, "000000000000000\n", sizeof(lines->text));
	lines->position = 0;
}

static char lines_next(struct lines *lines)
{
	char next = lines->text[lines->position++];

	if (lines->position < sizeof(lines->text))
		return next;
	lines->position = 0;
	for (size_t i = sizeof(lines->text) - 2; lines->text[i]++ == '9'; i--)
		lines->text[i] = '0';
	return next;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	strcpy(f->directory, "/tmp/test-ring-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->directory_fd >= 0);
	assert_int_equal(ring_create(f->directory_fd, "ring", CAPACITY), 0);
	f->fd = openat(f->directory_fd, "ring", O_RDWR | O_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ring_open(&f->reader, f->fd, false), 0);
	f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(f->shared != MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	munmap(f->shared, sizeof(*f->shared));
	ring_close(&f->reader);
	close(f->fd);
	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	assert_int_equal(rmdir(f->directory), 0);
	free(f);
	return 0;
}

/* Forks a child that does not outlive the test, whatever happens. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
	}
	return pid;
}

/* The program on the terminal: floods it with lines, in writes of all sizes, until it is told to stop. */
static int flood(struct fixture *f, int slave)
{
	struct lines lines;
	char data[3000];
	uint64_t total = 0;

	lines_init(&lines);
	for (unsigned seed = 1; !f->shared->stop; total += seed % sizeof(data)) {
		seed = seed * 1103515245 + 12345;
		for (size_t i = 0; i < seed % sizeof(data); i++)
			data[i] = lines_next(&lines);
		for (size_t sent = 0; sent < seed % sizeof(data);) {
			ssize_t r = write(slave, data + sent, seed % sizeof(data) - sent);

			if (r < 0)
				return 1;
			sent += (size_t)r;
		}
	}
	f->shared->written = total;
	return 0;
}

/* The writer: drains the terminal into the ring, no further than the reader allows, until it hangs up. */
static int drain(struct fixture *f, int master)
{
	struct pollfd poll_fd = {.fd = master, .events = POLLIN};
	struct ring ring;

	if (ring_open(&ring, f->fd, true) < 0)
		return 1;
	f->shared->recovered += ring_recover(&ring);
	for (;;) {
		size_t max = CAPACITY - (ring_head(&ring) - f->shared->read_offset);
		ssize_t r;

		if (max == 0) {
			sched_yield();
			continue;
		}
		poll(&poll_fd, 1, -1);
		r = ring_append_from(&ring, master, max);
		if (r == -EIO)
			return 0;
		if (r <= 0 && r != -EAGAIN)
			return 2;
	}
}

/* Reads what is there and checks it. Returns whether there was anything. */
static bool follow(struct fixture *f, struct lines *expected)
{
	uint64_t offset = f->shared->read_offset, lost;
	char data[8192];
	size_t length = ring_read(&f->reader, &offset, data, sizeof(data), &lost);

	assert_int_equal(lost, 0);
	for (size_t i = 0; i < length; i++)
		if (data[i] != lines_next(expected))
			fail_msg("wrong byte at offset %zu", (size_t)f->shared->read_offset + i);
	f->shared->read_offset = offset;
	return length > 0;
}

static int64_t microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Lets the writer get going, follows it for `time` microseconds, and kills it. */
static void follow_and_kill(struct fixture *f, struct lines *expected, pid_t writer, int64_t time)
{
	uint64_t start = ring_head(&f->reader);
	int64_t patience = microseconds() + PATIENCE, until;
	int status;

	while (ring_head(&f->reader) == start) {
		assert_true(microseconds() < patience);
		if (!follow(f, expected)) /* the ring may have been full */
			sched_yield();
	}
	for (until = microseconds() + time; microseconds() < until;)
		if (!follow(f, expected))
			sched_yield();
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_true(WIFSIGNALED(status));
}

static pid_t fork_writer(struct fixture *f, int master)
{
	pid_t pid = fork_child();

	if (pid == 0)
		_exit(drain(f, master));
	return pid;
}

static void test_kill_in_a_flood(void **state)
{
	struct fixture *f = *state;
	struct lines expected;
	struct termios raw;
	int master, slave, status;
	pid_t program, writer;

	cfmakeraw(memset(&raw, 0, sizeof(raw)));
	assert_int_equal(openpty(&master, &slave, NULL, &raw, NULL), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	program = fork_child();
	if (program == 0) {
		close(master);
		_exit(flood(f, slave));
	}
	close(slave);

	lines_init(&expected);
	srandom(1);
	for (int i = 0; i < KILLS; i++)
		follow_and_kill(f, &expected, fork_writer(f, master), random() % 4000);

	f->shared->stop = true;
	writer = fork_writer(f, master);
	while (waitpid(writer, &status, WNOHANG) == 0)
		if (!follow(f, &expected))
			sched_yield();
	assert_int_equal(status, 0);
	while (follow(f, &expected))
		;
	assert_int_equal(waitpid(program, &status, 0), program);
	assert_int_equal(status, 0);
	assert_int_equal(ring_head(&f->reader), f->shared->written);
	assert_int_equal(f->shared->read_offset, f->shared->written);
	print_message("%d kills in %zu bytes, %zu of them recovered\n", KILLS, (size_t)f->shared->written,
		      (size_t)f->shared->recovered);
	close(master);
}

/* Appends 300 bytes in two reads. To be run step by step. */
static int append_traced(struct fixture *f, int from)
{
	struct ring ring;

	if (ring_open(&ring, f->fd, true) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 1;
	raise(SIGSTOP);
	return ring_append_from(&ring, from, 200) == 200 && ring_append_from(&ring, from, 200) == 100 ? 0 : 2;
}

/* As if the writer had been killed now: what would its successor, in a copy of the file, make of it? */
static void check_successor(struct fixture *f, const char *file, int copy, int from)
{
	char data[1000], expected[1000];
	uint64_t offset = START, lost;
	struct ring ring;
	size_t length;
	int waiting;

	/* What the writer may have changed: the header's first two pages, and the bytes around the end of the area. */
	assert_int_equal(pwrite(copy, file, 8192, 0), 8192);
	assert_int_equal(pwrite(copy, file + FILE_SIZE - 100, 100, FILE_SIZE - 100), 100);
	assert_int_equal(pwrite(copy, file + 65536, 200, 65536), 200);
	assert_int_equal(ring_open(&ring, copy, true), 0);
	f->shared->recovered += ring_recover(&ring);
	assert_int_equal(ioctl(from, FIONREAD, &waiting), 0);
	assert_int_equal(ring_head(&ring) + (uint64_t)waiting, START + 300);

	length = ring_read(&ring, &offset, data, sizeof(data), &lost);
	assert_int_equal(length, 300 - waiting);
	assert_memory_equal(data, memset(expected, 'n', sizeof(expected)), length);
	ring_close(&ring);
}

/* Lets the writer take one instruction (a system call is one). Returns whether it is still there. */
static bool step(pid_t writer)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, writer, NULL, NULL) < 0)
		return false;
	assert_int_equal(waitpid(writer, &status, 0), writer);
	if (WIFSTOPPED(status))
		return true;
	assert_int_equal(status, 0);
	return false;
}

/* Fills the ring with what is old now, up to START. Returns the file, mapped. */
static const char *fill_and_map(struct fixture *f)
{
	static const char old[CAPACITY] = "never to be seen again";
	const char *file = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, f->fd, 0);
	struct ring ring;

	assert_true(file != MAP_FAILED);
	assert_int_equal(ring_open(&ring, f->fd, true), 0);
	ring_append(&ring, old, CAPACITY);
	ring_append(&ring, old, START - CAPACITY);
	ring_close(&ring);
	return file;
}

/* The same without chance: after each single instruction of the writer. */
static void test_kill_after_each_instruction(void **state)
{
	struct fixture *f = *state;
	const char *file = fill_and_map(f);
	cleanup_close int copy = memfd_create("copy", MFD_CLOEXEC);
	char data[300];
	int ends[2], status;
	pid_t writer;

	assert_int_equal(ftruncate(copy, FILE_SIZE), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(ends[1], memset(data, 'n', sizeof(data)), sizeof(data)), sizeof(data));
	writer = fork_child();
	if (writer == 0)
		_exit(append_traced(f, ends[0]));
	assert_int_equal(waitpid(writer, &status, 0), writer);
	if (!WIFSTOPPED(status)) {
		print_message("no process may be traced here\n");
		skip();
	}
	do
		check_successor(f, file, copy, ends[0]);
	while (step(writer));
	assert_true(f->shared->recovered > 0);
	assert_int_equal(ring_head(&f->reader), START + 300);
	munmap((void *)file, FILE_SIZE);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill_in_a_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_after_each_instruction, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
