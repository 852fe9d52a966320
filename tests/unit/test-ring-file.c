// SPDX-License-Identifier: Apache-2.0
/* What is in a ring's file, byte by byte (a difference here is a new version of the format), and damage to it. */
#include "pty/ring.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN
#define FILE_SIZE (AREA + CAPACITY)

enum place {
	MAGIC = 0,
	VERSION = 8, /* 32 bits, and the number of marks 32 */
	CAPACITY_AT = 16,
	POISON = 24, /* 64 bytes */
	RESERVED = 88,
	HEAD = 96,
	BASE = 104,
	INFLIGHT_OFFSET = 112,
	INFLIGHT_LENGTH = 120,
	MARKS_MADE = 136,
	BOOTS = 152, /* 24 bytes each: number, offset, time */
	FLOOR = 1688,
	MARKS = 4096, /* 16 bytes each: offset, time */
	AREA = 65536,
};

struct fixture {
	char directory[32];
	int directory_fd, fd;
	struct ring writer;
};

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
	assert_int_equal(ring_open(&f->writer, f->fd, true), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_close(&f->writer);
	close(f->fd);
	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	assert_int_equal(rmdir(f->directory), 0); /* and so nothing else was left in it */
	free(f);
	return 0;
}

static void put(const struct fixture *f, off_t place, uint64_t value)
{
	assert_int_equal(pwrite(f->fd, &value, sizeof(value), place), sizeof(value));
}

static uint64_t get(const struct fixture *f, off_t place)
{
	uint64_t value;

	assert_int_equal(pread(f->fd, &value, sizeof(value), place), sizeof(value));
	return value;
}

static int reopen(struct fixture *f, bool writable)
{
	ring_close(&f->writer);
	return ring_open(&f->writer, f->fd, writable);
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	char name[300] = "";
	struct stat status;

	assert_int_equal(fstat(f->fd, &status), 0);
	assert_int_equal(status.st_size, FILE_SIZE);
	assert_int_equal(status.st_mode, S_IFREG | 0600);
	assert_true(status.st_blocks * 512 >= (blkcnt_t)FILE_SIZE);

	assert_int_equal(ring_create(f->directory_fd, "bad", 0), -EINVAL);
	assert_int_equal(ring_create(f->directory_fd, "bad", CAPACITY + 1), -EINVAL);
	assert_int_equal(ring_create(f->directory_fd, "bad", CAPACITY / 2), -EINVAL);
	assert_int_equal(ring_create(f->directory_fd, "bad", 2 * RING_CAPACITY_MAX), -EINVAL);
	assert_int_equal(ring_create(f->directory_fd, "none/bad", CAPACITY), -ENOENT);
	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(ring_create(f->directory_fd, name, CAPACITY), -ENAMETOOLONG);

	/* A half-made file that somebody left is in nobody's way. */
	close(openat(f->directory_fd, "ring.new", O_CREAT | O_WRONLY | O_CLOEXEC, 0));
	assert_int_equal(ring_create(f->directory_fd, "ring", RING_CAPACITY_DEFAULT), 0);
}

/* What a writer leaves that is killed in a read: `length` bytes are noted, of which the first `changed` are no poison.
 */
static void leave(const struct fixture *f, uint64_t offset, uint64_t length, size_t changed)
{
	unsigned char poison[64];

	assert_int_equal(pread(f->fd, poison, sizeof(poison), POISON), sizeof(poison));
	for (uint64_t i = 0; i < length && i < CAPACITY; i++) {
		unsigned char byte = i < changed ? 'a' + i % 26 : poison[i % sizeof(poison)];
		off_t place = AREA + (off_t)((ring_head(&f->writer) + i) % CAPACITY);

		assert_int_equal(pwrite(f->fd, &byte, 1, place), 1);
	}
	put(f, INFLIGHT_OFFSET, offset);
	put(f, INFLIGHT_LENGTH, length);
}

static void test_recover(void **state)
{
	struct fixture *f = *state;
	uint64_t head, lost;
	char data[1000];

	memset(data, '.', sizeof(data));
	while (ring_head(&f->writer) < 2 * CAPACITY - 100) /* so that what is in flight wraps */
		ring_append(&f->writer, data, 28);
	head = ring_head(&f->writer);

	leave(f, head, 200, 0); /* the read did not happen */
	assert_int_equal(ring_recover(&f->writer), 0);
	leave(f, head - 200, 200, 200); /* it did, and was committed */
	assert_int_equal(ring_recover(&f->writer), 0);
	leave(f, head, CAPACITY + 1, 200); /* nonsense */
	assert_int_equal(ring_recover(&f->writer), 0);
	leave(f, head, 0, 0); /* nothing was in flight */
	assert_int_equal(ring_recover(&f->writer), 0);
	assert_int_equal(ring_head(&f->writer), head);

	leave(f, head, 200, 200);
	assert_int_equal(ring_recover(&f->writer), 200);
	assert_int_equal(ring_recover(&f->writer), 0);
	assert_int_equal(ring_read(&f->writer, &head, data, sizeof(data), &lost), 200);
	assert_memory_equal(data, "abcdefghijklmnopqrstuvwxyzabcd", 30);

	/* A single byte in many that is not poison is enough, wherever it is. */
	head = ring_head(&f->writer);
	leave(f, head, 200, 0);
	assert_int_equal(pwrite(f->fd, "z", 1, AREA + (off_t)((head + 199) % CAPACITY)), 1);
	assert_int_equal(ring_recover(&f->writer), 200);

	/* Where a read was prepared that did not happen, the old bytes are gone, whatever is then appended. */
	head = ring_head(&f->writer);
	put(f, RESERVED, head + 200);
	leave(f, head, 200, 0);
	assert_int_equal(ring_recover(&f->writer), 0);
	ring_append(&f->writer, data, 50);
	assert_int_equal(ring_tail(&f->writer), head + 200 - CAPACITY);
}

static void test_poison(void **state)
{
	struct fixture *f = *state;
	unsigned char poison[64];
	int values = 0, seen[256] = {0};

	assert_int_equal(pread(f->fd, poison, sizeof(poison), POISON), sizeof(poison));
	for (size_t i = 0; i < sizeof(poison); i++) {
		assert_true(poison[i] == 0xc0 || poison[i] == 0xc1 || poison[i] >= 0xf5);
		values += seen[poison[i]]++ == 0;
	}
	assert_true(values > 1); /* one of 13 values 64 times by chance: not in our time */
}

static void refused(struct fixture *f, off_t place, uint64_t value)
{
	uint64_t before = get(f, place);

	put(f, place, value);
	assert_int_equal(reopen(f, false), -EBADMSG);
	assert_null(f->writer.header);
	assert_int_equal(reopen(f, true), -EBADMSG);
	put(f, place, before);
	assert_int_equal(reopen(f, true), 0);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	char data[1000] = "";

	ring_append(&f->writer, data, sizeof(data));
	ring_clear(&f->writer);
	refused(f, MAGIC, 0);
	refused(f, VERSION, UINT64_C(1) | UINT64_C(3840) << 32);
	refused(f, VERSION, UINT64_C(2) | UINT64_C(3841) << 32);
	refused(f, CAPACITY_AT, 0);
	refused(f, CAPACITY_AT, CAPACITY + 4096);
	refused(f, CAPACITY_AT, 2 * CAPACITY);
	refused(f, CAPACITY_AT, UINT64_MAX - AREA + 1);
	refused(f, CAPACITY_AT, UINT64_C(1) << 63);
	refused(f, RESERVED, 999);
	refused(f, RESERVED, UINT64_MAX);
	refused(f, HEAD, 1001);
	refused(f, HEAD, 999);
	refused(f, BASE, 1001);
	refused(f, FLOOR, 1001);

	/* Only a writer knows that nobody is writing. */
	put(f, RESERVED, 1000 + CAPACITY + 1);
	assert_int_equal(reopen(f, true), -EBADMSG);
	assert_int_equal(reopen(f, false), 0);
}

/* Another size keeps offsets, boots, the last clear and what fits, and takes nothing from who has the old file. */
static void test_resize(void **state)
{
	enum { LENGTH = CAPACITY + 3000 };
	struct fixture *f = *state;
	cleanup_free unsigned char *data = malloc(LENGTH), *seen = malloc(LENGTH);
	struct ring_boot boots[2];
	struct ring resized;
	uint64_t offset, lost;

	for (size_t i = 0; i < LENGTH; i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	ring_begin_boot(&f->writer, ring_head(&f->writer));
	ring_append(&f->writer, data, 2500);
	ring_clear(&f->writer);
	ring_append(&f->writer, data + 2500, LENGTH - 2500);
	assert_int_equal(ring_resize(f->directory_fd, "ring", CAPACITY + 1), -EINVAL);
	assert_int_equal(ring_resize(f->directory_fd, "none", CAPACITY), -ENOENT);
	for (uint64_t capacity = 4 * CAPACITY; capacity >= CAPACITY; capacity /= 4) {
		cleanup_close int fd = -1;

		assert_int_equal(ring_resize(f->directory_fd, "ring", capacity), 0);
		fd = openat(f->directory_fd, "ring", O_RDWR | O_CLOEXEC);
		assert_int_equal(ring_open(&resized, fd, true), 0);
		assert_int_equal(resized.capacity, capacity);
		assert_int_equal(ring_head(&resized), LENGTH);
		assert_int_equal(ring_tail(&resized), 3000);
		assert_int_equal(ring_boots(&resized, boots, 2), 1);
		assert_int_equal(ring_written_at(&resized), ring_written_at(&f->writer));
		offset = 2900; /* of a cursor that was there before */
		assert_int_equal(ring_read(&resized, &offset, seen, LENGTH, &lost), CAPACITY);
		assert_int_equal(lost, 100);
		assert_memory_equal(seen, data + 3000, CAPACITY);
		assert_int_equal(ring_recover(&resized), 0);
		ring_close(&resized);
	}
	offset = 3000;
	assert_int_equal(ring_read(&f->writer, &offset, seen, LENGTH, &lost), CAPACITY);
	assert_memory_equal(seen, data + 3000, CAPACITY);
}

static void test_wrong_size(void **state)
{
	static const off_t sizes[] = {FILE_SIZE - 1, FILE_SIZE + 1, AREA, 88, 87, 0};
	struct fixture *f = *state;
	int ends[2];

	ring_close(&f->writer);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(ftruncate(f->fd, sizes[i]), 0);
		assert_int_equal(reopen(f, false), -EBADMSG);
		assert_int_equal(reopen(f, true), -EBADMSG);
	}
	assert_int_equal(ring_open(&f->writer, f->directory_fd, false), -EBADMSG);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(ring_open(&f->writer, ends[0], false), -EBADMSG);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(ring_open(&f->writer, ends[0], false), -EBADF);
}

/* No number in the header, whatever it is, leads a reader or a writer out of the map. */
static void test_changed_while_open(void **state)
{
	static const uint64_t values[] = {0,       1,         999,       CAPACITY - 1, CAPACITY, CAPACITY + 1,
					  1 << 30, INT64_MAX, UINT64_MAX};
	const size_t count = sizeof(values) / sizeof(values[0]);
	cleanup_free char *data = malloc(4 * CAPACITY);
	struct fixture *f = *state;
	struct ring_boot boots[100];

	for (off_t place = RESERVED; place < 400; place += 8) {
		for (size_t i = 0; i < count * count; i++) {
			uint64_t offset = values[i / count], lost;

			put(f, place, values[i % count]);
			assert_true(ring_read(&f->writer, &offset, data, 4 * CAPACITY, &lost) <= CAPACITY);
			assert_true(ring_boots(&f->writer, boots, 100) <= 64);
			ring_recover(&f->writer);
			ring_append(&f->writer, data, CAPACITY);
			ring_begin_boot(&f->writer, ring_head(&f->writer));
		}
	}
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	cleanup_close int fd = openat(f->directory_fd, "ring", O_RDONLY | O_CLOEXEC);
	struct ring ring;

	assert_int_equal(ring_open(&ring, fd, true), -EACCES);
	assert_int_equal(ring_open(&ring, fd, false), 0);
	ring_close(&ring);
	assert_null(ring.header);
}

/* Expects ring_create() to fail with `error`, without a trace. Returns an exit status. */
static int expect_no_ring(int directory_fd, uint64_t capacity, int error)
{
	int r = ring_create(directory_fd, "big", capacity);

	if (r != error)
		fprintf(stderr, "ring_create: %s\n", strerror(-r));
	if (faccessat(directory_fd, "big", F_OK, 0) == 0 || faccessat(directory_fd, "big.new", F_OK, 0) == 0)
		return 1;
	return r == error ? 0 : 2;
}

static int run_child(int (*child)(const struct fixture *f), const struct fixture *f)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define CANNOT_MOUNT 77

static bool write_text(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Leaves for a mount namespace of its own: as root, or else as the root of a user namespace. */
static bool may_mount(void)
{
	char uid_map[32], gid_map[32];

	snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
	if (unshare(CLONE_NEWNS) < 0 &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_text("/proc/self/uid_map", uid_map) ||
	     !write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/gid_map", gid_map)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* On a file system of 1 MiB of its own, that nobody else sees and that goes away with the process. */
static int fill_tmpfs(const struct fixture *f)
{
	int directory_fd;

	if (!may_mount() || mount("tmpfs", f->directory, "tmpfs", 0, "size=1m") < 0)
		return CANNOT_MOUNT;
	directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return 3;
	if (ring_create(directory_fd, "small", CAPACITY) != 0)
		return 4;
	return expect_no_ring(directory_fd, RING_CAPACITY_DEFAULT, -ENOSPC);
}

static void test_no_space(void **state)
{
	int status = run_child(fill_tmpfs, *state);

	if (status == CANNOT_MOUNT) {
		print_message("no tmpfs can be mounted here: neither root nor user namespaces\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static int exceed_limit(const struct fixture *f)
{
	struct rlimit limit = {.rlim_cur = FILE_SIZE, .rlim_max = FILE_SIZE};

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 3;
	return expect_no_ring(f->directory_fd, 2 * CAPACITY, -EFBIG);
}

static void test_file_size_limit(void **state)
{
	assert_int_equal(run_child(exceed_limit, *state), 0);
}

static void test_boots(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[100];
	int64_t start = timestamp_now();
	size_t i;

	ring_begin_boot(&f->writer, ring_head(&f->writer));
	assert_int_equal(ring_boots(&f->writer, boots, 100), 1);
	assert_int_equal(boots[0].number, 1);
	assert_int_equal(boots[0].offset, 0);
	assert_in_range(boots[0].time, start, timestamp_now());

	ring_append(&f->writer, "hello", 5);
	assert_int_equal(reopen(f, true), 0);
	ring_begin_boot(&f->writer, ring_head(&f->writer));
	assert_int_equal(ring_boots(&f->writer, boots, 100), 2);
	assert_int_equal(boots[1].number, 2);
	assert_int_equal(boots[1].offset, 5);

	for (i = 3; i <= 150; i++) {
		ring_append(&f->writer, "x", 1);
		ring_begin_boot(&f->writer, ring_head(&f->writer));
	}
	assert_int_equal(ring_boots(&f->writer, boots, 100), 64);
	for (i = 0; i < 64; i++) {
		assert_int_equal(boots[i].number, 87 + i);
		assert_int_equal(boots[i].offset, 87 + i + 3);
		assert_true(i == 0 || boots[i].time >= boots[i - 1].time);
	}
	assert_int_equal(ring_boots(&f->writer, boots, 2), 2);
	assert_int_equal(boots[0].number, 149);
	assert_int_equal(boots[1].number, 150);
	put(f, BOOTS + 24 * (149 % 64), 0); /* as while it is being written */
	assert_int_equal(ring_boots(&f->writer, boots, 2), 1);
	assert_int_equal(boots[0].number, 150);
}

/* Marks: none closer than 10 ms to the one before, and each byte of the log was written after its mark's time. */
static void test_time(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 0;
	int64_t start = timestamp_now(), time = 0;

	while (get(f, MARKS_MADE) < 5) {
		ring_append(&f->writer, "x", 1);
		assert_in_range(ring_written_at(&f->writer), start, timestamp_now());
		assert_true(timestamp_now() < start + INT64_C(10) * 1000 * 1000 * 1000);
	}
	assert_int_equal(get(f, MARKS), 0);
	assert_in_range(get(f, MARKS + 8), start, timestamp_now());
	for (int i = 0; i < 5; i++) {
		assert_true(get(f, MARKS + 16 * i) >= offset);
		assert_true((int64_t)get(f, MARKS + 16 * i + 8) >= time + 10 * 1000 * 1000);
		offset = get(f, MARKS + 16 * i) + 1;
		time = (int64_t)get(f, MARKS + 16 * i + 8);
	}
	assert_int_equal(offset, ring_head(&f->writer)); /* the last append made the last mark */

	/* The clock was set back, and the table is full. */
	put(f, MARKS + 16 * 2559 + 8, (uint64_t)INT64_MAX);
	put(f, MARKS_MADE, 2560);
	ring_append(&f->writer, "x", 1);
	assert_int_equal(get(f, MARKS_MADE), 2561);
	assert_int_equal(get(f, MARKS), offset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_while_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_size_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
