// SPDX-License-Identifier: Apache-2.0
#include "api/log_range.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/param.h>

#define BOOTS_MAX 64
#define BLOCK 16384

/* Leaves what lies before `offset` out. */
static void begin_at(struct log_range *range, uint64_t offset)
{
	range->from = MIN(MAX(range->from, offset), range->to);
}

static int narrow_to_boot(const struct log_query *query, const struct ring *ring, struct log_range *range,
			  struct error *error)
{
	struct ring_boot boots[BOOTS_MAX];
	size_t count = ring_boots(ring, boots, BOOTS_MAX), i;

	for (i = 0; i < count; i++)
		if (query->boot == (query->boot < 0 ? -(int64_t)(count - i) : (int64_t)boots[i].number))
			break;
	if (i == count)
		return error_set(error, -ENOENT, "The log knows of no boot %" PRId64, query->boot);
	if (i + 1 < count && !query->follow)
		range->to = MIN(range->to, MAX(boots[i + 1].offset, range->from));
	begin_at(range, boots[i].offset);
	return 0;
}

static void narrow_to_since(const struct log_query *query, const struct ring *ring, int64_t now,
			    struct log_range *range)
{
	if (query->since == LOG_SINCE_OFFSET)
		begin_at(range, (uint64_t)query->since_value);
	if (query->since == LOG_SINCE_TIME)
		begin_at(range, ring_offset_at(ring, query->since_value));
	if (query->since == LOG_SINCE_AGO)
		begin_at(range, ring_offset_at(ring, now - query->since_value));
}

/* Cuts the block before its last newline. False: there is none. */
static bool cut_at_newline(const char *block, size_t *length)
{
	const char *newline = memrchr(block, '\n', *length);

	if (newline)
		*length = (size_t)(newline - block);
	return newline;
}

/* Where the last `count` lines begin. What follows the last newline is a line, too. */
static uint64_t find_lines(const struct ring *ring, const struct log_range *range, uint64_t count)
{
	uint64_t end = range->to - 1; /* a newline there begins none */

	while (end > range->from) {
		char block[BLOCK];
		uint64_t offset = MAX(range->from, end > BLOCK ? end - BLOCK : 0), lost;
		size_t got = ring_read(ring, &offset, block, end - offset, &lost), length;
		uint64_t first = offset - got;

		if (first >= end) /* overwritten meanwhile */
			return MIN(first, range->to);
		length = end - first;
		while (cut_at_newline(block, &length))
			if (--count == 0)
				return first + length + 1;
		if (lost)
			return first;
		end = first;
	}
	return range->from;
}

static void narrow_to_tail(const struct log_query *query, const struct ring *ring, struct log_range *range)
{
	if (query->tail == LOG_TAIL_ALL || range->from == range->to)
		return;
	if (query->tail_value == 0)
		range->from = range->to;
	else if (query->tail == LOG_TAIL_LINES)
		range->from = find_lines(ring, range, (uint64_t)query->tail_value);
	else if (range->to - range->from > (uint64_t)query->tail_value)
		range->from = range->to - (uint64_t)query->tail_value;
}

int log_range_find(const struct log_query *query, const struct ring *ring, int64_t now, struct log_range *range,
		   struct error *error)
{
	int r;

	range->from = ring_tail(ring); /* first: it never passes a head that is read later */
	range->to = ring_head(ring);
	r = query->boot ? narrow_to_boot(query, ring, range, error) : 0;
	if (r < 0)
		return r;
	narrow_to_since(query, ring, now, range);
	narrow_to_tail(query, ring, range);
	return 0;
}
