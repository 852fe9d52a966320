// SPDX-License-Identifier: Apache-2.0
/*
 * A ring whose machine goes down in a flood: the file's pages are then as they were last or as they were at some time
 * before, in no order. What is shown is what was printed, or says that it was lost.
 */
#include "pty/ring.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN
#define AREA 65536
#define FILE_SIZE (AREA + CAPACITY)
#define PAGE 4096
#define BLOCK (CAPACITY / 256)
#define MACHINE_BOOT 1704 /* the place in the file */
#define NOTICE_MAX 96
#define CUTS 200

struct fixture {
	char directory[32];
	int directory_fd;
	uint64_t random, printed;
	char *old, *new, *mixed; /* the file: some time ago, now, and as the disk has it */
};

/* From a seed: RING_POWER_SEED, or the time. */
static uint64_t next_random(struct fixture *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random >> 8;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *seed = getenv("RING_POWER_SEED");

	*state = f;
	f->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	print_message("RING_POWER_SEED=%llu\n", (unsigned long long)f->random);
	f->random *= UINT64_C(0x9e3779b97f4a7c15);
	f->random |= 1;
	f->old = calloc(3, FILE_SIZE);
	f->new = f->old + FILE_SIZE;
	f->mixed = f->new + FILE_SIZE;
	strcpy(f->directory, "/tmp/test-ring-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->directory_fd >= 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	assert_int_equal(rmdir(f->directory), 0);
	free(f->old);
	free(f);
	return 0;
}

/* What is printed: the byte at an offset is neither that of the lap before nor a zero. */
static char byte_at(uint64_t offset)
{
	return (char)('a' + (offset * 7 + offset / CAPACITY * 3 + offset / 64) % 26);
}

static void open_ring(struct fixture *f, struct ring *ring)
{
	cleanup_close int fd = openat(f->directory_fd, "ring", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ring_open(ring, fd, true), 0);
}

static void print(struct fixture *f, struct ring *ring, size_t length)
{
	char data[3 * CAPACITY];

	for (size_t i = 0; i < length; i++)
		data[i] = byte_at(f->printed + i);
	while (length > 0) { /* in writes of all sizes */
		size_t part = next_random(f) % 5000 + 1;

		part = part < length ? part : length;
		ring_append(ring, data + 0, part);
		f->printed += part;
		length -= part;
		memmove(data, data + part, length);
	}
}

static void copy_file(struct fixture *f, char *copy)
{
	cleanup_close int fd = openat(f->directory_fd, "ring", O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, copy, FILE_SIZE, 0), FILE_SIZE);
}

static void write_file(struct fixture *f, const char *copy, size_t size)
{
	cleanup_close int fd = openat(f->directory_fd, "ring", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, copy, size), (ssize_t)size);
}

/* As if the machine had been started anew. */
static void other_machine_boot(char *copy)
{
	assert_int_equal(copy[MACHINE_BOOT + 8], '-'); /* of a boot_id */
	copy[MACHINE_BOOT] = copy[MACHINE_BOOT] == '0' ? '1' : '0';
}

/* A ring of some age, and two copies of its file between which more has been printed. */
static void make_copies(struct fixture *f)
{
	struct ring ring;

	assert_int_equal(ring_create(f->directory_fd, "ring", CAPACITY), 0);
	f->printed = 0;
	open_ring(f, &ring);
	ring_recover(&ring);
	print(f, &ring, next_random(f) % (3 * CAPACITY));
	copy_file(f, f->old);
	if (next_random(f) % 4 == 0)
		ring_clear(&ring);
	print(f, &ring, next_random(f) % (next_random(f) % 2 ? 2 * CAPACITY : 10000));
	copy_file(f, f->new);
	ring_close(&ring);
}

/* A page is what it was then or now. */
static void mix(struct fixture *f)
{
	uint64_t odds = next_random(f) % 5;

	for (size_t page = 0; page < FILE_SIZE / PAGE; page++) {
		const char *from = next_random(f) % 4 < odds ? f->new : f->old;

		memcpy(f->mixed + page * PAGE, from + page * PAGE, PAGE);
	}
}

/* Whether `at` begins a notice; the bytes that it says were lost. */
static uint64_t notice_at(const char *at, size_t left)
{
	static const char begin[] = "\r\n[consoled: ";
	char text[64] = "";
	unsigned long long lost;

	if (left < sizeof(begin) || memcmp(at, begin, strlen(begin)) != 0)
		return 0;
	memcpy(text, at, left < sizeof(text) - 1 ? left : sizeof(text) - 1);
	return sscanf(text + strlen(begin), "%llu bytes were lost when", &lost) == 1 ? lost : 0;
}

/* Reads all of the log: each byte is the one that was printed there, or told to be lost. Returns how many were not
 * lost. */
static uint64_t check_log(struct fixture *f, const struct ring *ring, uint64_t told)
{
	uint64_t offset = ring_tail(ring), lost, sound = 0, missing = 0;
	char *data = malloc(CAPACITY);
	size_t length = ring_read(ring, &offset, data, CAPACITY, &lost);

	assert_int_equal(lost, 0);
	assert_int_equal(offset, ring_head(ring));
	assert_true(offset <= f->printed);
	offset -= length;
	for (size_t i = 0; i < length;) {
		uint64_t gap = notice_at(data + i, length - i);

		if (gap > 0) {
			gap = gap < length - i ? gap : length - i;
			for (size_t zero = NOTICE_MAX; zero < gap; zero++)
				assert_int_equal(data[i + zero], 0);
			missing += gap;
			i += gap;
			continue;
		}
		if (data[i] == byte_at(offset + i)) {
			sound++;
			i++;
			continue;
		}
		/* Too short for a notice; or the log begins within a gap, be it in its notice or behind it. */
		assert_true(data[i] == '?' || data[i] == 0 || i < NOTICE_MAX);
		missing++;
		i++;
	}
	assert_true(missing <= told);
	free(data);
	return sound;
}

/* What a daemon and its keeper do next: they open it, and the log goes on. */
static void go_on(struct fixture *f, uint64_t told)
{
	uint64_t lost, head;
	struct ring ring;

	open_ring(f, &ring);
	assert_int_equal(ring_recover(&ring), 0);
	head = f->printed = ring_head(&ring);
	print(f, &ring, 5000);
	assert_int_equal(ring_head(&ring), head + 5000);
	check_log(f, &ring, told);
	ring_close(&ring);
	copy_file(f, f->new);
	other_machine_boot(f->new); /* and once more, in an orderly way: nothing is lost */
	write_file(f, f->new, FILE_SIZE);
	assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
	assert_int_equal(lost, 0);
}

static void test_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t lost, sound = 0, gone = 0;
	unsigned damaged = 0;
	struct ring ring;

	for (int i = 0; i < CUTS; i++) {
		make_copies(f);
		mix(f);
		other_machine_boot(f->mixed);
		write_file(f, f->mixed, FILE_SIZE);
		assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
		open_ring(f, &ring);
		sound += check_log(f, &ring, lost);
		ring_close(&ring);
		gone += lost;
		damaged += lost > 0;
		go_on(f, lost);
	}
	assert_true(damaged > CUTS / 10 && damaged < CUTS);
	print_message("%u of %u damaged; %llu bytes sound, %llu told to be lost\n", damaged, CUTS,
		      (unsigned long long)sound, (unsigned long long)gone);
}

/* An orderly restart of the machine costs nothing but, of a log that has come around, its oldest 256th at most. */
static void test_restart(void **state)
{
	struct fixture *f = *state;
	uint64_t lost, tail;
	struct ring ring;

	for (int i = 0; i < CUTS; i++) {
		make_copies(f);
		open_ring(f, &ring);
		tail = ring_tail(&ring);
		ring_close(&ring);
		other_machine_boot(f->new);
		write_file(f, f->new, FILE_SIZE);
		assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
		assert_int_equal(lost, 0);
		open_ring(f, &ring);
		assert_int_equal(ring_head(&ring), f->printed);
		assert_true(ring_tail(&ring) >= tail && ring_tail(&ring) - tail <= BLOCK);
		assert_int_equal(check_log(f, &ring, 0), ring_head(&ring) - ring_tail(&ring));
		ring_close(&ring);
	}
}

/* A kill of the writer is no power cut: whatever its sums are, nothing is looked at. */
static void test_same_machine_boot(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	make_copies(f);
	memset(f->new + AREA, 'x', CAPACITY);
	write_file(f, f->new, FILE_SIZE);
	assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
	assert_int_equal(lost, 0);
	copy_file(f, f->old);
	assert_memory_equal(f->old, f->new, FILE_SIZE);
}

/* Nor is it known of a file which an older program has written. */
static void test_unknown_machine_boot(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	make_copies(f);
	memset(f->new + MACHINE_BOOT, 0, PAGE - MACHINE_BOOT);
	write_file(f, f->new, FILE_SIZE);
	assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
	assert_int_equal(lost, 0);
	go_on(f, 0); /* all is right for its next writer */
}

/* What was on its way when the machine went down has not arrived. */
static void test_in_flight(void **state)
{
	struct fixture *f = *state;
	const uint64_t length = 1000;
	uint64_t lost;

	make_copies(f);
	other_machine_boot(f->new);
	memcpy(f->new + 112, &f->printed, sizeof(f->printed));
	memcpy(f->new + 120, &length, sizeof(length));
	write_file(f, f->new, FILE_SIZE);
	assert_int_equal(ring_mend(f->directory_fd, "ring", &lost), 0);
	go_on(f, 0);
}

/* Files that lost their pages altogether, or their end: refused, or right. */
static void test_pages_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	for (int i = 0; i < CUTS; i++) {
		size_t size = FILE_SIZE;
		int r;

		make_copies(f);
		memcpy(f->mixed, f->new, FILE_SIZE);
		other_machine_boot(f->mixed);
		for (uint64_t pages = next_random(f) % 5; pages > 0; pages--)
			memset(f->mixed + next_random(f) % (FILE_SIZE / PAGE) * PAGE, 0, PAGE);
		if (next_random(f) % 4 == 0)
			size = next_random(f) % FILE_SIZE;
		write_file(f, f->mixed, size);
		r = ring_mend(f->directory_fd, "ring", &lost);
		if (r < 0 || size < FILE_SIZE) {
			assert_int_equal(r, -EBADMSG);
			continue;
		}
		go_on(f, lost);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_machine_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_machine_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_lost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
