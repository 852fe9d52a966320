// SPDX-License-Identifier: Apache-2.0
/*
 * What a terminal that has been sent some output shows now, as xterm would. render/screen.c is the only user of
 * libvterm, of its state layer alone: the grid of cells is ours, because libvterm's own moves all of it for each line
 * that scrolls; what reaches libvterm at all, and why, is in render/terminal.h. Not known: left and right margins,
 * double-width lines, protected cells, images, a palette that the program changes.
 *
 * A cell takes 16 bytes, two grids of them are there at once, and lines in the scrollback have as many as were written.
 */
#pragma once

#include "util/buffer.h"

#include <stddef.h>
#include <stdint.h>

#define SCREEN_WIDTH_MAX 1000
#define SCREEN_HEIGHT_MAX 1000
#define SCREEN_SCROLLBACK_MAX 10000

struct screen;

/* Of that size, with up to `scrollback` lines that have scrolled out at its top. -EINVAL beyond the bounds; -ENOMEM. */
int screen_create(struct screen **screen, uint16_t width, uint16_t height, unsigned int scrollback);

/* NULL is allowed. */
void screen_destroy(struct screen *screen);

/* The terminal gets these bytes; any piece of a stream. Answers that a terminal would give are dropped. */
void screen_feed(struct screen *screen, const void *data, size_t length);

/* The terminal gets another size. -EINVAL, -ENOMEM: it keeps the old one. */
int screen_resize(struct screen *screen, uint16_t width, uint16_t height);

/*
 * Appends what makes any other terminal of at least this size show the same: a reset of what matters, scrollback,
 * lines with their colours and attributes, then the cursor's place and shape, and the modes that are set (the
 * alternate screen, hidden cursor, application cursor and keypad keys, bracketed paste, mouse reports, scroll region,
 * origin, wrap, insert, tab stops, character sets, the saved cursor, title, the pen). To be sent ahead of the output
 * that follows: where that begins within a sequence or a character, what was there of it comes last. -ENOMEM, -EMSGSIZE
 * beyond `limit`.
 */
int screen_redraw(const struct screen *screen, struct buffer *out, size_t limit);

/*
 * Appends it as text, a line each (scrollback first, none while the alternate screen is shown), blanks at the ends left
 * out, blank lines at the end, too. Errors as above, nothing appended then.
 */
int screen_text(const struct screen *screen, struct buffer *out, size_t limit);

/*
 * Appends the same lines as an HTML document of its own, without scripts, everything escaped: colours and attributes as
 * styles. `title` may be NULL. Errors as above.
 */
int screen_html(const struct screen *screen, const char *title, struct buffer *out, size_t limit);
