// SPDX-License-Identifier: Apache-2.0
#include "instances/drawing.h"

#include "render/screen.h"

#include <errno.h>
#include <sys/param.h>

#define PIECE (256 * 1024) /* bytes of the log: about 3 ms */
#define READ_SIZE (16 * 1024)
#define DRAWING_MAX (4 * 1024 * 1024) /* bytes */

/* A terminal that says it is larger is drawn no larger: its memory and time would be a client's to choose. */
#define WIDTH_MAX 500
#define HEIGHT_MAX 200

void drawing_size(const struct console *console, uint16_t *width, uint16_t *height)
{
	*width = 80;
	*height = 24;
	console_size(console, width, height);
	*width = MIN(*width, WIDTH_MAX);
	*height = MIN(*height, HEIGHT_MAX);
}

int drawing_begin(struct drawing *drawing, const struct console *console, unsigned int scrollback)
{
	uint16_t width, height;

	drawing_size(console, &width, &height);
	drawing->until = ring_head(console_ring(console));
	return screen_create(&drawing->screen, width, height, scrollback);
}

static int draw(struct drawing *drawing, uint16_t width, uint16_t height)
{
	int r;

	if (width && height)
		screen_resize(drawing->screen, MIN(width, WIDTH_MAX), MIN(height, HEIGHT_MAX));
	r = screen_redraw(drawing->screen, &drawing->bytes, DRAWING_MAX);
	screen_destroy(drawing->screen);
	drawing->screen = NULL;
	return r;
}

int drawing_go_on(struct drawing *drawing, struct console *console, struct cursor *cursor, uint16_t width,
		  uint16_t height)
{
	char data[READ_SIZE];
	size_t length;
	uint64_t lost;

	for (size_t fed = 0; fed < PIECE && cursor->offset < drawing->until; fed += length) {
		length = cursor_read(cursor, console, data, (size_t)MIN(drawing->until - cursor->offset, READ_SIZE),
				     &lost);
		screen_feed(drawing->screen, data, length);
	}
	return cursor->offset < drawing->until ? 0 : draw(drawing, width, height);
}

bool drawing_unfinished(const struct drawing *drawing)
{
	return drawing->screen;
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
	screen_destroy(drawing->screen);
	buffer_finish(&drawing->bytes);
	*drawing = (struct drawing){0};
}
