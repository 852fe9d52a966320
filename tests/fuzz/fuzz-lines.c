// SPDX-License-Identifier: Apache-2.0
/*
 * A log, and in its first bytes in which pieces it comes. The lines lie one behind the other; whole and in pieces it
 * has the same lines, unless one was so long that it was cut.
 */
#include "instances/lines.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECES 8
#define LINES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
	uint64_t begin[LINES_MAX], end[LINES_MAX];
	size_t length[LINES_MAX], count;
	bool cut;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void open_ring(struct ring *ring)
{
	char directory[] = "/tmp/fuzz-lines-XXXXXX";
	int directory_fd, fd;

	require(mkdtemp(directory));
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(ring_create(directory_fd, "ring", RING_CAPACITY_MIN) == 0);
	fd = openat(directory_fd, "ring", O_RDWR | O_CLOEXEC);
	require(ring_open(ring, fd, true) == 0);
	unlinkat(directory_fd, "ring", 0);
	close(fd);
	close(directory_fd);
	rmdir(directory);
}

/* Takes the lines up to `limit`. */
static void take(struct lines *lines, const struct ring *ring, uint64_t limit, struct found *found)
{
	while (lines_next(lines, ring, limit)) {
		require(lines->length <= LINES_TEXT_MAX && lines->end <= limit && lines->begin <= lines->end);
		require(!memchr(lines->text, '\n', lines->length) && !memchr(lines->text, 0x1b, lines->length));
		require(found->count == 0 || found->end[found->count - 1] == lines->begin);
		found->cut |= lines->length > LINES_TEXT_MAX - 8;
		if (found->count == LINES_MAX - 1)
			found->cut = true;
		else
			found->begin[found->count] = lines->begin, found->end[found->count] = lines->end,
			found->length[found->count++] = lines->length;
	}
	require(lines->end == limit && lines->begin <= limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ring ring;
	static struct lines lines;
	static struct found whole, pieces;
	uint64_t from, at;

	if (size < PIECES || size > RING_CAPACITY_MIN / 2)
		return 0;
	if (!ring.header)
		open_ring(&ring);
	from = at = ring_head(&ring);
	ring_append(&ring, data + PIECES, size - PIECES);
	whole.count = pieces.count = 0;
	whole.cut = pieces.cut = false;
	lines_init(&lines, from);
	take(&lines, &ring, ring_head(&ring), &whole);
	lines_init(&lines, from);
	for (size_t i = 0; at < ring_head(&ring); i++) {
		at += data[i % PIECES] + 1U;
		if (at > ring_head(&ring))
			at = ring_head(&ring);
		take(&lines, &ring, at, &pieces);
	}
	if (whole.cut || pieces.cut)
		return 0;
	require(whole.count == pieces.count);
	for (size_t i = 0; i < whole.count; i++)
		require(whole.begin[i] == pieces.begin[i] && whole.end[i] == pieces.end[i] &&
			whole.length[i] == pieces.length[i]);
	return 0;
}
