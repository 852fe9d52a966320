// SPDX-License-Identifier: Apache-2.0
/*
 * A drawing of what a terminal that has been sent a console's log shows now: what a client that comes late needs to see
 * in order to understand what follows. It is worked out a piece at a time, so that nobody waits for it. A screen takes
 * megabytes: limits.drawings of them are there at once, of all instances, and who comes later waits for a turn.
 */
#pragma once

#include "pty/console.h"
#include "util/buffer.h"
#include "util/list.h"

#include <stdbool.h>
#include <stdint.h>

struct limits;
struct screen;

/* All of them. */
struct drawings {
	const struct limits *limits; /* borrowed */
	struct list waiting;         // drawing::link; who came first is first
	unsigned int count;          /* whose turn it is */
	size_t untaken;              /* bytes of those that are complete */
};

enum drawing_state {
	DRAWING_NONE,  /* none was asked for, or it is over */
	DRAWING_WAITS, /* for its turn */
	DRAWING_FEEDS,
	DRAWING_COMPLETE,
};

struct drawing {
	struct list link;          // drawings::waiting
	struct drawings *drawings; /* borrowed */
	void (*turn)(struct drawing *drawing);
	enum drawing_state state;
	struct screen *screen; /* fed from the log up to `until` */
	uint64_t until;
	struct buffer bytes; /* escape sequences and text, once it is complete; of which `sent` have been taken */
	size_t sent;
};

void drawings_init(struct drawings *drawings, const struct limits *limits);

/* limits.drawings has changed. */
void drawings_look(struct drawings *drawings);

/* The size to draw: the console's where that is known, 80x24 otherwise; bounded, as it is a client's to choose. */
void drawing_size(const struct console *console, uint16_t *width, uint16_t *height);

/*
 * Has `turn` called, once, when there is room for one more: maybe at once, maybe from within another's
 * drawing_finish(). It is to call drawing_begin() or drawing_finish().
 */
void drawing_await(struct drawing *drawing, struct drawings *drawings, void (*turn)(struct drawing *drawing));

/* Begins it, of the log up to `until`, where the log is to be gone on with. `scrollback`: lines above the screen.
 * -ENOMEM. */
int drawing_begin(struct drawing *drawing, const struct console *console, uint64_t until, unsigned int scrollback);

/*
 * Feeds it the next piece, read by `cursor`. When all has been fed, a terminal of `width` times `height` (0: as the
 * console's) is drawn. 0, also while more is to be fed; -ENOMEM; -EMSGSIZE: there is no drawing, for it is too large,
 * or clients have yet to take too many (limits.answers_size).
 */
int drawing_go_on(struct drawing *drawing, struct console *console, struct cursor *cursor, uint16_t width,
		  uint16_t height);

/* Whether it is still to be waited for, or to be gone on with. */
bool drawing_waits(const struct drawing *drawing);
bool drawing_unfinished(const struct drawing *drawing);

/* The next bytes to be sent, up to `size`; they are good until the next call. 0: all have been taken. */
size_t drawing_take(struct drawing *drawing, size_t size, const char **bytes);

/* There is no drawing, and this is sent instead. */
void drawing_replace(struct drawing *drawing, const char *text, size_t length);

/* Releases everything, and lets the next have its turn. One that was never asked for, all zero, is allowed. */
void drawing_finish(struct drawing *drawing);
