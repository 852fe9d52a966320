// SPDX-License-Identifier: Apache-2.0
/*
 * A ring after its machine has gone down: by a power cut, which leaves of the file's pages some as they were last and
 * some as they were half a minute before, in no order, because nothing here waits for a disk.
 *
 * Beside the head, in the page that has it, is a sum for each 256th of the area. A kill of the writer may leave the sum
 * of the block that it was writing to behind the head, or before it: its successor makes that one anew. Who opens the
 * ring after another start of the machine (it is noted which one) compares, and puts a notice where a sum is wrong.
 */
#include "pty/ring_layout.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define MACHINE_BOOT "/proc/sys/kernel/random/boot_id" /* random(4): other after each start of the kernel */

static uint64_t block_size(const struct ring *ring)
{
	return ring->capacity / RING_SUMS;
}

static _Atomic uint64_t *sum_of(const struct ring *ring, uint64_t offset)
{
	return &ring->header->sums[offset / block_size(ring) % RING_SUMS];
}

static const unsigned char *at(const struct ring *ring, uint64_t offset)
{
	return ring->area + (offset & (ring->capacity - 1));
}

/* What the word at `offset`, of which the first `length` bytes count, adds to the sum of its block. */
static uint64_t addend(const struct ring *ring, uint64_t offset, size_t length)
{
	uint64_t word = 0;

	memcpy(&word, at(ring, offset), length);
	word = (word ^ ((offset & (block_size(ring) - 1)) + 1) * UINT64_C(0x9e3779b97f4a7c15)) *
	       UINT64_C(0xbf58476d1ce4e5b9);
	return (word ^ word >> 29) * UINT64_C(0x94d049bb133111eb);
}

/* The same of `length` bytes, which are all of one block. */
static uint64_t add(const struct ring *ring, uint64_t from, uint64_t length)
{
	uint64_t word = from & ~UINT64_C(7), left = length + (from - word), sum = 0;

	if (word < from)
		sum -= addend(ring, word, from - word); /* it counts as a longer one now */
	for (; left > 8; word += 8, left -= 8)
		sum += addend(ring, word, 8);
	return left > 0 ? sum + addend(ring, word, left) : sum;
}

void ring_sum(const struct ring *ring, uint64_t from, uint64_t to)
{
	if (from < to && to - from > ring->capacity) /* nonsense, from the file */
		from = to - ring->capacity;
	while (from < to) {
		uint64_t start = from & ~(block_size(ring) - 1);
		uint64_t length =
			MIN(start + block_size(ring) - from, to - from); /* for `to` may be the last number there is */
		_Atomic uint64_t *sum = sum_of(ring, start);

		store(sum, (from == start ? 0 : load(sum)) + add(ring, from, length));
		from += length;
	}
}

void ring_sum_again(const struct ring *ring, uint64_t from)
{
	from &= ~(block_size(ring) - 1);
	ring_sum(ring, from, ring_head(ring));
}

/* Empty where there is no /proc. */
static void read_machine_boot(char boot[static RING_MACHINE_BOOT])
{
	cleanup_close int fd = open(MACHINE_BOOT, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, boot, RING_MACHINE_BOOT - 1);

	length = MAX(length, 0);
	memset(boot + length, 0, RING_MACHINE_BOOT - (size_t)length);
}

void ring_note_machine(const struct ring *ring)
{
	struct ring_header *header = ring->header;
	char boot[RING_MACHINE_BOOT];

	read_machine_boot(boot);
	if (memcmp(header->machine_boot, boot, sizeof(boot)) == 0) {
		ring_sum_again(ring, ring_head(ring));
		return;
	}
	ring_sum_again(ring, ring_oldest(ring)); /* of an older program's file, or a new one's */
	memcpy(header->machine_boot, boot, sizeof(boot));
}

/* --- after the machine went down --- */

static bool sound(const struct ring *ring, uint64_t start, uint64_t end)
{
	return load(sum_of(ring, start)) == add(ring, start, end - start);
}

/* Puts a notice in the place of what has been lost. Zeros behind it: terminals do nothing with them. Of a few bytes
 * each becomes a question mark. */
static void replace(const struct ring *ring, uint64_t from, uint64_t to)
{
	char notice[96];
	size_t length = (size_t)snprintf(notice, sizeof(notice),
					 "\r\n[consoled: %" PRIu64 " bytes were lost when the machine went down]\r\n",
					 to - from);
	unsigned char *area = (unsigned char *)at(ring, from);

	if (length > to - from) {
		memset(area, '?', to - from);
	} else {
		memset(area, 0, to - from);
		memcpy(area, notice, length);
	}
	ring_sum(ring, from, to);
}

/* Returns the bytes that were replaced. */
static uint64_t replace_damaged(const struct ring *ring)
{
	uint64_t head = ring_head(ring), size = block_size(ring), begin = UINT64_MAX, lost = 0;

	for (uint64_t start = ring_oldest(ring) & ~(size - 1); start < head;
	     start += size) { /* as ring_open() has checked */
		uint64_t end = MIN(start + size, head);
		bool damaged = !sound(ring, start, end);

		if (damaged && begin == UINT64_MAX)
			begin = start;
		if (begin != UINT64_MAX && (!damaged || end == head)) {
			uint64_t behind = damaged ? end : start;

			replace(ring, begin, behind);
			lost += behind - begin;
			begin = UINT64_MAX;
		}
	}
	return lost;
}

/* The oldest block may be partly overwritten; its sum then is that of what it is overwritten with. */
static void drop_oldest_block(const struct ring *ring)
{
	uint64_t size = block_size(ring), oldest = ring_oldest(ring), start = oldest & ~(size - 1);

	if (load(&ring->header->reserved) > start + ring->capacity)
		store(&ring->header->floor, MIN(start + size, ring_head(ring)));
}

int ring_mend(int directory_fd, const char *name, uint64_t *lost)
{
	cleanup_close int fd = openat(directory_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	char boot[RING_MACHINE_BOOT];
	struct ring ring;
	int r;

	*lost = 0;
	if (fd < 0)
		return -errno;
	r = ring_open(&ring, fd, true);
	if (r < 0)
		return r;
	read_machine_boot(boot);
	if (*ring.header->machine_boot && *boot && memcmp(ring.header->machine_boot, boot, sizeof(boot)) != 0) {
		store(&ring.header->inflight_length, 0); /* it has not arrived */
		drop_oldest_block(&ring);
		*lost = replace_damaged(&ring);
		memcpy(ring.header->machine_boot, boot, sizeof(boot));
	}
	ring_close(&ring);
	return 0;
}
