// SPDX-License-Identifier: Apache-2.0
/*
 * Cells in rows. What is blank to the end of a row takes no cells: to scroll, and to erase rows, costs nothing for each
 * cell.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Colours: 0 is the terminal's own. */
#define COLOUR_INDEXED 0x1000000U
#define COLOUR_RGB 0x2000000U
#define COLOUR_VALUE 0xffffffU

enum {
	BOLD = 1,
	FAINT = 2,
	ITALIC = 4,
	BLINK = 8,
	REVERSE = 16,
	CONCEAL = 32,
	STRIKE = 64,
	UNDERLINE = 128, /* two bits: single, double, curly */
	UNDERLINE_MASK = 3 * UNDERLINE,
	WIDE = 512,  /* the left half of a wide character */
	TAIL = 1024, /* its right half; the rest of the cell is a copy */
	STYLE = WIDE - 1,
};

/* What a place shows. It has no padding, so memcmp() compares it. A blank has the code ' '. */
struct cell {
	uint32_t code : 21;
	uint32_t attributes : 11;
	uint16_t marks[2]; /* combining characters or 0; the first two, and those up to U+FFFF, are enough */
	uint32_t foreground, background;
};

struct row {
	struct cell *cells;
	uint32_t fill; /* background of the blanks behind `used` cells */
	uint32_t used;
};

struct grid {
	struct row *rows; /* twice as many as the height: the second half is for grid_scroll() */
	struct cell *cells;
	uint16_t width, height;
};

/* Lines that have scrolled out, the oldest first; as wide as the grid then was. */
struct history {
	struct line {
		struct row row;
		uint32_t capacity;
	} * lines;
	unsigned int first, count, limit;
};

/* The characters of a cell as UTF-8, at most 12 bytes; returns how many. */
size_t cell_text(const struct cell *cell, char *out);

/* The cell in any column, also of a shorter row. */
struct cell row_cell(const struct row *row, unsigned int column);

/* How many cells differ from the terminal's own blank, the last one and those to the left of it counted. */
unsigned int row_length(const struct row *row, unsigned int width);

/* 0 or -ENOMEM, and nothing to finish then. */
int grid_init(struct grid *grid, uint16_t width, uint16_t height);
void grid_finish(struct grid *grid);

/* The cells [column, column + width) are about to be written: what stands half in them is blanked, and they exist. */
struct cell *grid_open(struct grid *grid, unsigned int row, unsigned int column, unsigned int width);

/* Blanks the columns [from, to). */
void grid_erase(struct grid *grid, unsigned int row, unsigned int from, unsigned int to, uint32_t background);

/* Moves what begins at the column by `count` cells: to the right, or to the left if it is negative. */
void grid_shift(struct grid *grid, unsigned int row, unsigned int column, int count, uint32_t background);

/*
 * Moves the rows [top, bottom) up by `count`, or down if it is negative; blank ones come in. What goes out at the top
 * is appended to `history`, unless that is NULL.
 */
void grid_scroll(struct grid *grid, unsigned int top, unsigned int bottom, int count, uint32_t background,
		 struct history *history);

/* A copy of another size, its first `skip` rows left out. 0 or -ENOMEM. */
int grid_copy(struct grid *copy, const struct grid *grid, uint16_t width, uint16_t height, unsigned int skip);

/* 0 or -ENOMEM. With a limit of 0 nothing is kept. */
int history_init(struct history *history, unsigned int limit);
void history_finish(struct history *history);

/* The oldest line goes when it is full. Without memory the line is kept blank. */
void history_push(struct history *history, const struct row *row);
const struct row *history_line(const struct history *history, unsigned int index);
