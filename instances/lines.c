// SPDX-License-Identifier: Apache-2.0
/*
 * The log becomes text in pieces that end with a newline or carriage return. So a newline in a piece's text is either
 * its last byte, and the next line begins behind the piece; or its first, which stands for the carriage return before
 * the piece, and the next line begins there.
 */
#include "instances/lines.h"

#include <string.h>

#define SEARCHED (16 * 1024)

void lines_init(struct lines *lines, uint64_t offset)
{
	memset(lines, 0, sizeof(*lines));
	lines->begin = lines->end = lines->next = lines->behind = lines->offset = offset;
}

uint64_t lines_find(const struct ring *ring, uint64_t offset)
{
	uint64_t tail = ring_tail(ring), at = offset > SEARCHED ? offset - SEARCHED : 0, lost;
	char data[SEARCHED];
	const char *newline;
	size_t length;

	if (at < tail)
		at = tail;
	if (at >= offset)
		return offset;
	length = ring_read(ring, &at, data, (size_t)(offset - at), &lost);
	newline = memrchr(data, '\n', length);
	return at - length + (newline ? (size_t)(newline + 1 - data) : 0);
}

/* Where in `raw` the piece ends that begins there: behind a line's end, or after `size` bytes. */
static size_t measure(const char *raw, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (raw[i] == '\n')
			return i + 1;
		if (raw[i] == '\r')
			return i + 1 < size && raw[i + 1] == '\n' ? i + 2 : i + 1;
	}
	return size;
}

/* The line ends here; what is behind it in `text` is the next one's. */
static bool end_line(struct lines *lines, size_t length, size_t taken, uint64_t end)
{
	lines->length = length;
	lines->taken = taken;
	lines->end = lines->next = end;
	return lines->whole = true;
}

static void begin_line(struct lines *lines)
{
	lines->filled -= lines->taken;
	memmove(lines->text, lines->text + lines->taken, lines->filled);
	lines->taken = lines->length = 0;
	lines->begin = lines->next;
	lines->whole = false;
}

/* Looks for the line's end in what has come to `text` from `from` on. */
static bool find_end(struct lines *lines, size_t from)
{
	const char *newline = memchr(lines->text + from, '\n', lines->filled - from);
	size_t length = newline ? (size_t)(newline - lines->text) : lines->filled;

	if (newline)
		return end_line(lines, length, length + 1, length + 1 < lines->filled ? lines->behind : lines->offset);
	/* No more than one byte may come for certain: it is cut in front of a character that is not whole yet. */
	if (sizeof(lines->text) - lines->filled < PLAIN_ROOM(1))
		return end_line(lines, length, length, lines->offset - lines->plain.parser.held);
	lines->length = length;
	lines->end = lines->offset;
	return false;
}

/* What comes has no longer to do with what was there. true: that was a line. */
static bool skip(struct lines *lines, uint64_t to, uint64_t lost)
{
	uint64_t from = lines->offset;

	lines->lost += lost;
	lines->offset = lines->behind = to;
	lines->at_return = false;
	lines->plain = (struct plain){0};
	if (lines->length == 0) {
		lines->begin = lines->end = to;
		return false;
	}
	end_line(lines, lines->length, lines->filled, from);
	lines->next = to;
	return true;
}

/* Fills `raw`. true: there was a gap, and before it the end of a line. */
static bool fetch(struct lines *lines, const struct ring *ring, uint64_t limit)
{
	uint64_t at = lines->offset, lost = 0;
	size_t size = limit - at < sizeof(lines->raw) ? (size_t)(limit - at) : sizeof(lines->raw);

	lines->raw_at = 0;
	lines->raw_filled = at < limit ? ring_read(ring, &at, lines->raw, size, &lost) : 0;
	return lost && skip(lines, at - lines->raw_filled, lost);
}

static void convert(struct lines *lines)
{
	size_t room = (sizeof(lines->text) - lines->filled - PLAIN_ROOM(0)) / (PLAIN_ROOM(1) - PLAIN_ROOM(0));
	size_t size = lines->raw_filled - lines->raw_at;
	const char *raw = lines->raw + lines->raw_at;

	size = measure(raw, size < room ? size : room);
	if (lines->at_return)
		lines->behind = lines->offset;
	lines->filled += plain_feed(&lines->plain, raw, size, lines->text + lines->filled);
	lines->raw_at += size;
	lines->offset += size;
	lines->at_return = raw[size - 1] == '\n' || raw[size - 1] == '\r';
}

bool lines_next(struct lines *lines, const struct ring *ring, uint64_t limit)
{
	if (lines->whole) {
		begin_line(lines);
		if (find_end(lines, 0))
			return true;
	}
	for (;;) {
		size_t filled = lines->filled;

		if (lines->raw_at == lines->raw_filled && fetch(lines, ring, limit))
			return true;
		if (lines->raw_at == lines->raw_filled)
			return false;
		convert(lines);
		if (find_end(lines, filled))
			return true;
	}
}
