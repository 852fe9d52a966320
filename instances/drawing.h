// SPDX-License-Identifier: Apache-2.0
/*
 * A drawing of what a terminal that has been sent a console's log shows now: what a client that comes late needs to see
 * in order to understand what follows. It is worked out a piece at a time, so that nobody waits for it.
 */
#pragma once

#include "pty/console.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct screen;

struct drawing {
	struct screen *screen; /* fed from the log up to `until`; NULL: nothing is to be fed (any more) */
	uint64_t until;
	struct buffer bytes; /* escape sequences and text, once all has been fed; of which `sent` have been taken */
	size_t sent;
};

/* The size to draw: the console's where that is known, 80x24 otherwise; bounded, as it is a client's to choose. */
void drawing_size(const struct console *console, uint16_t *width, uint16_t *height);

/* Begins one of the log up to now, `until`, where the log is to be gone on with. `scrollback`: lines above the screen.
 * -ENOMEM. */
int drawing_begin(struct drawing *drawing, const struct console *console, unsigned int scrollback);

/*
 * Feeds it the next piece, read by `cursor`. When all has been fed, a terminal of `width` times `height` (0: as the
 * console's) is drawn. 0, also while more is to be fed; -ENOMEM, -EMSGSIZE: there is no drawing.
 */
int drawing_go_on(struct drawing *drawing, struct console *console, struct cursor *cursor, uint16_t width,
		  uint16_t height);

/* Whether it is still to be gone on with. */
bool drawing_unfinished(const struct drawing *drawing);

/* The next bytes to be sent, up to `size`; they are good until the next call. 0: all have been taken. */
size_t drawing_take(struct drawing *drawing, size_t size, const char **bytes);

/* Releases everything. One that was never begun is allowed. */
void drawing_finish(struct drawing *drawing);
