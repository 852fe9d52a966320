// SPDX-License-Identifier: Apache-2.0
#include "instances/drawing.h"

#include "render/screen.h"
#include "util/limits.h"

#include <errno.h>
#include <sys/param.h>

#define PIECE (256 * 1024) /* bytes of the log in a turn of the loop, of all drawings together: about 3 ms */
#define READ_SIZE (16 * 1024)
#define DRAWING_MAX (4 * 1024 * 1024) /* bytes */
#define SMALL_DRAWING (256 * 1024)    /* one that is no larger there always is: slow clients must not take it away */

/* A terminal that says it is larger is drawn no larger: its memory and time would be a client's to choose. */
#define WIDTH_MAX 500
#define HEIGHT_MAX 200

/* --- whose turn it is --- */

void drawings_init(struct drawings *drawings, const struct limits *limits)
{
	*drawings = (struct drawings){.limits = limits};
	list_init(&drawings->waiting);
}

void drawings_look(struct drawings *drawings)
{
	while (drawings->count < drawings->limits->drawings && !list_empty(&drawings->waiting)) {
		struct drawing *next = list_first(&drawings->waiting, struct drawing, link);

		list_remove(&next->link);
		next->state = DRAWING_FEEDS;
		drawings->count++;
		next->turn(next);
	}
}

void drawing_await(struct drawing *drawing, struct drawings *drawings, void (*turn)(struct drawing *drawing))
{
	*drawing = (struct drawing){.drawings = drawings, .turn = turn, .state = DRAWING_WAITS};
	list_append(&drawings->waiting, &drawing->link);
	drawings_look(drawings);
}

bool drawing_waits(const struct drawing *drawing)
{
	return drawing->state == DRAWING_WAITS;
}

/* --- one --- */

void drawing_size(const struct console *console, uint16_t *width, uint16_t *height)
{
	*width = 80;
	*height = 24;
	console_size(console, width, height);
	*width = MIN(*width, WIDTH_MAX);
	*height = MIN(*height, HEIGHT_MAX);
}

int drawing_begin(struct drawing *drawing, const struct console *console, uint64_t until, unsigned int scrollback)
{
	uint16_t width, height;

	drawing_size(console, &width, &height);
	drawing->until = until;
	return screen_create(&drawing->screen, width, height, scrollback);
}

static size_t size_max(const struct drawings *drawings)
{
	uint64_t most = drawings->limits->answers_size;
	uint64_t room = most > drawings->untaken ? most - drawings->untaken : 0;

	return (size_t)MIN(MAX(room, SMALL_DRAWING), DRAWING_MAX);
}

/* It is somebody else's turn then. */
static int draw(struct drawing *drawing, uint16_t width, uint16_t height)
{
	struct drawings *drawings = drawing->drawings;
	int r;

	if (width && height)
		screen_resize(drawing->screen, MIN(width, WIDTH_MAX), MIN(height, HEIGHT_MAX));
	r = screen_redraw(drawing->screen, &drawing->bytes, size_max(drawings));
	if (r < 0)
		return r;
	screen_destroy(drawing->screen);
	drawing->screen = NULL;
	drawing->state = DRAWING_COMPLETE;
	drawings->untaken += drawing->bytes.length;
	drawings->count--;
	drawings_look(drawings);
	return 0;
}

int drawing_go_on(struct drawing *drawing, struct console *console, struct cursor *cursor, uint16_t width,
		  uint16_t height)
{
	size_t piece = PIECE / drawing->drawings->count, length;
	char data[READ_SIZE];
	uint64_t lost;

	for (size_t fed = 0; fed < piece && cursor->offset < drawing->until; fed += length) {
		length = cursor_read(cursor, console, data, (size_t)MIN(drawing->until - cursor->offset, READ_SIZE),
				     &lost);
		screen_feed(drawing->screen, data, length);
	}
	return cursor->offset < drawing->until ? 0 : draw(drawing, width, height);
}

bool drawing_unfinished(const struct drawing *drawing)
{
	return drawing->state == DRAWING_WAITS || drawing->state == DRAWING_FEEDS;
}

size_t drawing_take(struct drawing *drawing, size_t size, const char **bytes)
{
	size_t taken = MIN(drawing->bytes.length - drawing->sent, size);

	if (taken == 0) {
		drawing_finish(drawing);
		return 0;
	}
	*bytes = drawing->bytes.data + drawing->sent;
	drawing->sent += taken;
	return taken;
}

void drawing_finish(struct drawing *drawing)
{
	struct drawings *drawings = drawing->drawings;
	enum drawing_state state = drawing->state;

	if (state == DRAWING_NONE)
		return;
	list_remove(&drawing->link);
	screen_destroy(drawing->screen);
	if (state == DRAWING_FEEDS)
		drawings->count--;
	drawings->untaken -= drawing->bytes.length;
	buffer_finish(&drawing->bytes);
	*drawing = (struct drawing){0};
	if (state == DRAWING_FEEDS)
		drawings_look(drawings);
}

void drawing_replace(struct drawing *drawing, const char *text, size_t length)
{
	struct drawings *drawings = drawing->drawings;

	drawing_finish(drawing);
	if (buffer_append(&drawing->bytes, text, length, length) < 0)
		return;
	list_init(&drawing->link);
	drawing->drawings = drawings;
	drawing->state = DRAWING_COMPLETE;
	drawings->untaken += length;
}
