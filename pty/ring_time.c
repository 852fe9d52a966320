// SPDX-License-Identifier: Apache-2.0
/*
 * When what was written. A mark says that the bytes from an offset on were written at a time. Slow output would fill
 * any table with marks that span little of the ring, hence two: a fine one for the latest, a coarse one for the rest.
 */
#include "pty/ring_layout.h"
#include "util/timestamp.h"

#define MARK_INTERVAL (UINT64_C(10) * 1000 * 1000)

static void set_mark(struct ring_mark *mark, uint64_t offset, int64_t time)
{
	store(&mark->offset, offset);
	store(&mark->time, time);
}

void ring_note_time(const struct ring *ring, uint64_t offset)
{
	struct ring_header *header = ring->header;
	int64_t now = timestamp_now();
	uint64_t fine = load(&header->fine_made), coarse = load(&header->coarse_made);
	uint64_t last = (uint64_t)load(&header->fine[(fine - 1) % RING_FINE].time); /* zeros before the first */

	store(&header->written_at, now);
	if ((uint64_t)now - last < MARK_INTERVAL) /* a clock set back is a large difference: a new mark */
		return;
	set_mark(&header->fine[fine % RING_FINE], offset, now);
	store(&header->fine_made, fine + 1);
	if (coarse && offset - load(&header->coarse[(coarse - 1) % RING_COARSE].offset) < ring->capacity / RING_COARSE)
		return;
	set_mark(&header->coarse[coarse % RING_COARSE], offset, now);
	store(&header->coarse_made, coarse + 1);
}

/* One of the two tables, as it was at a moment: marks `first` to `made` - 1. */
struct marks {
	const struct ring_mark *table;
	const _Atomic uint64_t *counter;
	uint64_t size, first, made;
};

static struct marks marks_of(const struct ring_mark *table, const _Atomic uint64_t *counter, uint64_t size)
{
	uint64_t made = load(counter);

	/* The writer may be writing the slot behind the last one. */
	return (struct marks){table, counter, size, made >= size ? made - size + 1 : 0, made};
}

static struct marks fine_marks(const struct ring *ring)
{
	return marks_of(ring->header->fine, &ring->header->fine_made, RING_FINE);
}

static struct marks coarse_marks(const struct ring *ring)
{
	return marks_of(ring->header->coarse, &ring->header->coarse_made, RING_COARSE);
}

static uint64_t mark_offset(const struct marks *marks, uint64_t number)
{
	return load(&marks->table[number % marks->size].offset);
}

static int64_t mark_time(const struct marks *marks, uint64_t number)
{
	return load(&marks->table[number % marks->size].time);
}

/* The number behind that of the last mark at or before `offset`; `first` if there is none. */
static uint64_t marks_before(const struct marks *marks, uint64_t offset)
{
	uint64_t low = marks->first, high = marks->made;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (mark_offset(marks, middle) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Looks `offset` up. False: the table does not reach back so far, or the writer has come around meanwhile. */
static bool marks_find(const struct marks *marks, uint64_t offset, int64_t *time, uint64_t *until)
{
	uint64_t behind = marks_before(marks, offset);

	if (behind == marks->first)
		return false;
	*time = mark_time(marks, behind - 1);
	*until = behind < marks->made ? mark_offset(marks, behind) : UINT64_MAX;
	atomic_thread_fence(memory_order_acquire);
	return load(marks->counter) - (behind - 1) < marks->size;
}

int64_t ring_time_at(const struct ring *ring, uint64_t offset, uint64_t *until)
{
	struct marks fine = fine_marks(ring), coarse = coarse_marks(ring);
	uint64_t end = UINT64_MAX;
	int64_t time;

	if (!marks_find(&fine, offset, &time, &end) && !marks_find(&coarse, offset, &time, &end)) {
		time = 0;
		end = coarse.first < coarse.made ? mark_offset(&coarse, coarse.first) : UINT64_MAX;
	}
	if (until)
		*until = end;
	return time;
}

uint64_t ring_offset_at(const struct ring *ring, int64_t time)
{
	struct marks fine = fine_marks(ring), coarse = coarse_marks(ring);
	uint64_t oldest_fine = fine.first < fine.made ? mark_offset(&fine, fine.first) : UINT64_MAX;

	for (uint64_t i = coarse.first; i < coarse.made && mark_offset(&coarse, i) < oldest_fine; i++)
		if (mark_time(&coarse, i) >= time)
			return mark_offset(&coarse, i);
	for (uint64_t i = fine.first; i < fine.made; i++)
		if (mark_time(&fine, i) >= time)
			return mark_offset(&fine, i);
	return ring_head(ring);
}
