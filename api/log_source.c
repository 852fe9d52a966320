// SPDX-License-Identifier: Apache-2.0
#include "api/log_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define BOOTS_MAX (sizeof(((struct log_source *)0)->boots) / sizeof(struct ring_boot))

/* The bytes up to `until` were written at `time`. */
struct log_mark {
	uint64_t until;
	int64_t time;
};

/* Never stands still, should the ring's writer come around while we look. */
static int64_t time_in(const struct ring *ring, uint64_t offset, uint64_t *until)
{
	int64_t time = ring_time_at(ring, offset, until);

	*until = MAX(*until, offset + 1);
	return time;
}

static int copy_marks(struct log_source *source, const struct ring *ring)
{
	struct log_mark mark = {.until = source->offset};
	int r = 0;

	while (r == 0 && mark.until < source->end) {
		mark.time = time_in(ring, mark.until, &mark.until);
		r = buffer_append(&source->marks, (const char *)&mark, sizeof(mark), SIZE_MAX);
	}
	source->boot_count = ring_boots(ring, source->boots, BOOTS_MAX);
	return r;
}

int log_source_copy(struct log_source *source, const struct ring *ring, const struct log_range *range, bool marks)
{
	size_t size = (size_t)(range->to - range->from), got;
	uint64_t offset = range->from, lost;

	*source = (struct log_source){.bytes = malloc(size + 1)};
	if (!source->bytes)
		return -ENOMEM;
	got = ring_read(ring, &offset, source->bytes, size, &lost);
	/* After a loss, more than was there at first may have been read. */
	source->begin = source->offset = MIN(offset - got, range->to);
	source->end = MIN(offset, range->to);
	return marks ? copy_marks(source, ring) : 0;
}

void log_source_follow(struct log_source *source, const struct ring *ring, uint64_t offset)
{
	*source = (struct log_source){.ring = ring, .offset = offset, .end = UINT64_MAX};
}

void log_source_finish(struct log_source *source)
{
	free(source->bytes);
	buffer_finish(&source->marks);
	*source = (struct log_source){0};
}

size_t log_source_size(const struct log_source *source)
{
	return source->bytes ? (size_t)(source->end - source->begin) + source->marks.length : 0;
}

static size_t read_copy(struct log_source *source, char *data, size_t size)
{
	size = MIN(size, source->end - source->offset);
	memcpy(data, source->bytes + (source->offset - source->begin), size);
	source->offset += size;
	return size;
}

size_t log_source_read(struct log_source *source, char *data, size_t size, uint64_t *lost)
{
	uint64_t before = source->offset;
	size_t got;

	*lost = 0;
	if (source->offset >= source->end)
		return 0;
	if (source->bytes)
		return read_copy(source, data, size);
	if (!source->ring)
		return 0;
	got = ring_read(source->ring, &source->offset, data, MIN(size, source->end - before), lost);
	if (source->offset <= source->end)
		return got;
	/* So much was lost that it goes on behind the end. */
	got = source->end > source->offset - got ? (size_t)(got - (source->offset - source->end)) : 0;
	source->offset = source->end;
	*lost = source->end - before - got;
	return got;
}

static const struct log_mark *mark_at(const struct log_source *source, size_t number)
{
	return (const struct log_mark *)(const void *)source->marks.data + number;
}

int64_t log_source_time(struct log_source *source, uint64_t offset, uint64_t *until)
{
	if (source->ring)
		return time_in(source->ring, offset, until);
	while (mark_at(source, source->mark)->until <= offset)
		source->mark++;
	*until = mark_at(source, source->mark)->until;
	return mark_at(source, source->mark)->time;
}

const struct ring_boot *log_source_boot(struct log_source *source, uint32_t number)
{
	if (source->ring)
		source->boot_count = ring_boots(source->ring, source->boots, BOOTS_MAX);
	for (size_t i = 0; i < source->boot_count; i++)
		if (source->boots[i].number > number)
			return &source->boots[i];
	return NULL;
}
