// SPDX-License-Identifier: Apache-2.0
/* A log and what is wanted of it: the first bytes are a query and where boots begin. Compared with counting by hand. */
#include "api/log_range.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct wish {
	uint16_t since, tail, boots[3];
	int8_t boot;
	uint8_t how;
};

enum {
	SINCE = 1,
	LINES = 2,
	BYTES = 4,
	FOLLOW = 8,
	BOOT = 16,
};

static void open_ring(struct ring *ring)
{
	int directory = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	require(ring_create(directory, "ring", RING_CAPACITY_MIN) == 0);
	fd = openat(directory, "ring", O_RDWR | O_CLOEXEC);
	require(ring_open(ring, fd, true) == 0);
	close(fd);
	close(directory);
}

/* Empties the log, and fills it; returns where it begins. */
static uint64_t fill(struct ring *ring, const struct wish *wish, const uint8_t *log, size_t size)
{
	uint64_t begin;

	ring_clear(ring);
	begin = ring_head(ring);
	for (size_t i = 0, done = 0; i <= 3; i++) {
		size_t until = i < 3 && wish->boots[i] < size ? wish->boots[i] : size;

		if (until > done)
			ring_append(ring, log + done, until - done);
		done = until > done ? until : done;
		if (i < 3)
			ring_begin_boot(ring, ring_head(ring));
	}
	require(ring_head(ring) == begin + size);
	return begin;
}

static struct log_query make_query(const struct wish *wish, uint64_t begin)
{
	struct log_query query = {
		.given = true, .follow = wish->how & FOLLOW, .boot = wish->how & BOOT ? wish->boot : 0};

	if (wish->how & SINCE) {
		query.since = LOG_SINCE_OFFSET;
		query.since_value = (int64_t)(begin + wish->since) - 8;
	}
	if (wish->how & (LINES | BYTES)) {
		query.tail = wish->how & LINES ? LOG_TAIL_LINES : LOG_TAIL_BYTES;
		query.tail_value = wish->tail;
	}
	return query;
}

/* Where the last `count` lines of the bytes begin. */
static size_t last_lines(const uint8_t *log, size_t size, size_t count)
{
	size_t at = size;

	if (count == 0)
		return size;
	for (; at > 0; at--)
		if (log[at - 1] == '\n' && at != size && --count == 0)
			break;
	return at;
}

static void compare(const struct log_query *query, const struct ring *ring, uint64_t begin, const uint8_t *log,
		    size_t size)
{
	struct log_query whole = *query;
	struct log_range range, all;

	require(log_range_find(query, ring, 0, &range, NULL) == 0);
	require(range.from >= begin && range.from <= range.to && range.to <= begin + size);
	whole.tail = LOG_TAIL_ALL;
	require(log_range_find(&whole, ring, 0, &all, NULL) == 0);
	require(all.to == range.to && all.from <= range.from);
	if (query->since == LOG_SINCE_OFFSET && query->boot == 0)
		require(all.from == ((uint64_t)query->since_value < begin          ? begin
				     : (uint64_t)query->since_value > begin + size ? begin + size
										   : (uint64_t)query->since_value));
	log += all.from - begin;
	size = all.to - all.from;
	if (query->tail == LOG_TAIL_BYTES)
		require(range.from ==
			(size > (size_t)query->tail_value ? all.to - (uint64_t)query->tail_value : all.from));
	if (query->tail == LOG_TAIL_LINES)
		require(range.from == all.from + last_lines(log, size, (size_t)query->tail_value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ring ring;
	struct log_query query;
	struct log_range range;
	struct wish wish;
	uint64_t begin;
	int r;

	if (size < sizeof(wish) || size > RING_CAPACITY_MIN / 2)
		return 0;
	if (!ring.header)
		open_ring(&ring);
	memcpy(&wish, data, sizeof(wish));
	begin = fill(&ring, &wish, data + sizeof(wish), size - sizeof(wish));
	query = make_query(&wish, begin);
	r = log_range_find(&query, &ring, 0, &range, NULL);
	require(r == 0 || (r == -ENOENT && query.boot != 0));
	if (r == 0)
		compare(&query, &ring, begin, data + sizeof(wish), size - sizeof(wish));
	return 0;
}
