// SPDX-License-Identifier: Apache-2.0
/*
 * Readers, and the flow control that serves them: how far the keeper may go ahead of the slowest one (console.h has the
 * rules). While the keeper is not held this costs a comparison for each read and no timer.
 */
#include "pty/consoles.h"

#include <sys/param.h>

#define TICK 500      /* ms; below the 2 s after which a keeper that hears nothing goes on */
#define STALL_TICKS 2 /* a holder that did not move for so many is let go */

/* How far the head may go. */
static uint64_t present_limit(const struct console *console)
{
	uint64_t limit = UINT64_MAX;
	struct cursor *cursor;

	list_for_each (cursor, &console->cursors, link)
		if (cursor->holding)
			limit = MIN(limit, cursor->offset + console->ring.capacity);
	return limit;
}

static bool held(const struct console *console)
{
	return console->socket && ring_head(&console->ring) >= console->granted;
}

/* Changes with whatever the reader, or the peer that it feeds, has taken. */
static uint64_t progress_of(struct cursor *cursor)
{
	return cursor->offset + (cursor->taken ? cursor->taken(cursor) : 0);
}

static void note_progress(struct console *console)
{
	struct cursor *cursor;

	list_for_each (cursor, &console->cursors, link)
		cursor->seen = progress_of(cursor);
}

static void on_timer(uv_timer_t *timer)
{
	flow_tick(timer->data);
}

static void watch_holders(struct console *console)
{
	if (!held(console) || uv_is_active((uv_handle_t *)&console->timer))
		return;
	console->ticks = 0;
	note_progress(console);
	uv_timer_start(&console->timer, on_timer, TICK, TICK);
}

static void grant(struct console *console, uint64_t limit)
{
	struct wire_message message = {.type = WIRE_GRANT, .limit = limit};

	if (console_tell(console, &message) == 0) /* otherwise the next tick says it, or the next keeper hears it */
		console->granted = limit;
}

void flow_begin(struct console *console)
{
	console->granted = UINT64_MAX;
	flow_update(console);
}

void flow_update(struct console *console)
{
	uint64_t limit = present_limit(console);
	bool worth_it;

	if (limit == UINT64_MAX || limit < console->granted)
		worth_it = limit != console->granted;
	else
		worth_it = limit - console->granted >= console->ring.capacity / 4;
	if (console->socket && worth_it)
		grant(console, limit);
	watch_holders(console);
}

/* Lets go of those that have something to read and did not move since the last time. */
static void judge(struct console *console)
{
	uint64_t head = ring_head(&console->ring);
	struct cursor *cursor;

	list_for_each (cursor, &console->cursors, link)
		if (cursor->offset < head && progress_of(cursor) == cursor->seen)
			cursor->holding = false;
	note_progress(console);
}

void flow_tick(struct console *console)
{
	if (!held(console)) {
		uv_timer_stop(&console->timer);
		return;
	}
	if (++console->ticks % STALL_TICKS == 0)
		judge(console);
	grant(console, present_limit(console)); /* even the same again: it shows that we live */
}

void cursor_init(struct cursor *cursor, struct console *console, uint64_t offset)
{
	*cursor = (struct cursor){.offset = offset, .holding = true};
	list_append(&console->cursors, &cursor->link);
	flow_update(console);
}

void cursor_finish(struct cursor *cursor, struct console *console)
{
	list_remove(&cursor->link);
	cursor->holding = false;
	flow_update(console);
}

/*
 * A reader that was let go is back: the keeper waits for it again. Until the keeper hears of that it writes on, so a
 * reader that is about to be overwritten skips a quarter of the ring more than it must, and is told of one loss instead
 * of many.
 */
static uint64_t come_back(struct cursor *cursor, const struct console *console)
{
	uint64_t head = ring_head(&console->ring), room = console->ring.capacity - console->ring.capacity / 4;
	uint64_t skipped = 0;

	cursor->holding = true;
	if (head - cursor->offset > room) {
		skipped = head - room - cursor->offset;
		cursor->offset += skipped;
	}
	return skipped;
}

/*
 * Whether a cursor's moving may change what is granted: not as long as it is less than a quarter of the ring beyond
 * where the slowest one was at the last grant. With many cursors that saves looking at all of them each time.
 */
static bool matters(const struct cursor *cursor, const struct console *console)
{
	uint64_t capacity = console->ring.capacity, limit = cursor->offset + capacity;

	return held(console) || limit < console->granted || limit - console->granted >= capacity / 4;
}

size_t cursor_read(struct cursor *cursor, struct console *console, void *data, size_t size, uint64_t *lost)
{
	uint64_t skipped = cursor->holding ? 0 : come_back(cursor, console);
	size_t length;

	if (skipped)
		flow_update(console); /* before the copy: each microsecond counts */
	length = ring_read(&console->ring, &cursor->offset, data, size, lost);
	*lost += skipped;
	if (matters(cursor, console))
		flow_update(console);
	return length;
}
