// SPDX-License-Identifier: Apache-2.0
#include "render/screen.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shown {
	struct buffer redraw, text, html;
};

static struct shown show(const struct screen *screen)
{
	struct shown shown = {0};

	if (screen_redraw(screen, &shown.redraw, LIMIT) || screen_text(screen, &shown.text, LIMIT) ||
	    screen_html(screen, "title", &shown.html, LIMIT))
		abort();
	return shown;
}

static void finish(struct shown *shown)
{
	buffer_finish(&shown->redraw);
	buffer_finish(&shown->text);
	buffer_finish(&shown->html);
}

static int differ(const struct buffer *one, const struct buffer *other)
{
	return one->length != other->length || (one->length && memcmp(one->data, other->data, one->length));
}

static void compare(const struct screen *one, const struct screen *other)
{
	struct shown a = show(one), b = show(other);

	if (differ(&a.redraw, &b.redraw) || differ(&a.text, &b.text) || differ(&a.html, &b.html))
		abort();
	finish(&a);
	finish(&b);
}

static struct screen *create(const uint8_t *data)
{
	struct screen *screen;

	if (screen_create(&screen, 1 + data[0] % 20, 1 + data[1] % 8, data[2] % 8))
		abort();
	return screen;
}

static void feed_bytes(struct screen *screen, const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		screen_feed(screen, data + i, 1);
}

/*
 * The first bytes are sizes, then comes what is shown before a redraw and what behind it. Two screens that have got the
 * same, in other pieces, and a third that has got the redraw, must stay equal, also when they are resized.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct screen *once, *bytes, *redrawn;
	struct shown shown;
	size_t split;

	if (size < 6 || size > 4096)
		return 0;
	split = 6 + data[5] * (size - 6) / 255;
	once = create(data);
	bytes = create(data);
	redrawn = create(data);
	screen_feed(once, data + 6, split - 6);
	feed_bytes(bytes, data + 6, split - 6);
	compare(once, bytes);
	shown = show(once);
	screen_feed(redrawn, shown.redraw.data, shown.redraw.length);
	finish(&shown);
	compare(once, redrawn);
	screen_feed(once, data + split, size - split);
	feed_bytes(bytes, data + split, size - split);
	screen_feed(redrawn, data + split, size - split);
	compare(once, bytes);
	compare(once, redrawn);
	if (screen_resize(once, 1 + data[3] % 20, 1 + data[4] % 8) ||
	    screen_resize(bytes, 1 + data[3] % 20, 1 + data[4] % 8))
		abort();
	compare(once, bytes);
	screen_feed(once, data + 6, size - 6);
	screen_feed(bytes, data + 6, size - 6);
	compare(once, bytes);
	screen_destroy(once);
	screen_destroy(bytes);
	screen_destroy(redrawn);
	return 0;
}
