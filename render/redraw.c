// SPDX-License-Identifier: Apache-2.0
#include "render/pen.h"
#include "render/terminal.h"
#include "render/writer.h"

#include <string.h>

static const struct cell terminal_pen = {.code = ' '};

/*
 * What the receiving terminal may be in, ended: DECSTR alone does not reset all of it, and not every terminal knows it.
 * The modes 47 and 1047 go with 1049. What is drawn does not wrap.
 */
static void write_reset(struct writer *writer)
{
	unsigned int mode;

	writer_text(writer, "\033[!p\033[?1049l\033[r\033[?6l\033[4l\033[20l\033(B\033)B\017\033[m\033>\033[0 q");
	for (mode = 0; mode < MODE_DEC_END; mode++)
		if (mode != MODE_WRAP && mode != MODE_KEYPAD && mode != MODE_BLINK)
			writer_format(writer, "\033[?%u%c", terminal_modes[mode],
				      MODES_AT_START & MODE(mode) ? 'h' : 'l');
	writer_text(writer, "\033[?7l\033[H\033[2J");
}

/* Cells from the left, in their colours; the pen is the terminal's own before and after. */
static void write_row(struct writer *writer, const struct row *row, unsigned int width)
{
	unsigned int length = row_length(row, width), column;
	struct cell cell, pen = terminal_pen;
	char text[12];

	for (column = 0; column < length; column++) {
		cell = row_cell(row, column);
		if (cell.attributes & TAIL)
			continue;
		if (column + 1 == width && cell.attributes & WIDE) {
			/* A line of the scrollback, from when the terminal was wider. */
			cell.code = ' ';
			memset(cell.marks, 0, sizeof(cell.marks));
		}
		if (!pen_equal(&pen, &cell))
			pen_write(&cell, writer);
		pen = cell;
		writer_put(writer, text, cell_text(&cell, text));
	}
	if (!pen_equal(&pen, &terminal_pen))
		writer_text(writer, "\033[m");
}

/*
 * Printed from the top, and then scrolled out, so that they are in the receiver's scrollback. The scroll region does it
 * for a terminal that is higher than ours.
 */
static void write_history(struct writer *writer, const struct screen *screen)
{
	unsigned int height = screen->grids[0].height, i;

	if (!screen->history.count)
		return;
	writer_format(writer, "\033[1;%ur\033[H", height);
	for (i = 0; i < screen->history.count; i++) {
		write_row(writer, history_line(&screen->history, i), screen->grids[0].width);
		writer_text(writer, "\r\n");
	}
	writer_format(writer, "\033[%u;1H", height);
	for (i = 0; i < screen->history.count && i + 1 < height; i++)
		writer_text(writer, "\n");
	writer_text(writer, "\033[r");
}

static void write_grid(struct writer *writer, const struct grid *grid)
{
	unsigned int row;

	for (row = 0; row < grid->height; row++) {
		if (!row_length(&grid->rows[row], grid->width))
			continue;
		writer_format(writer, "\033[%u;1H", row + 1);
		write_row(writer, &grid->rows[row], grid->width);
	}
}

/* Those that a terminal has without being told, in every eighth column, are not written. */
static void write_tabs(struct writer *writer, const struct screen *screen)
{
	unsigned int width = screen->grids[0].width, column;

	for (column = 0; column < width && terminal_is_tab(screen, column) == !(column % 8);)
		column++;
	if (column == width)
		return;
	writer_text(writer, "\033[3g");
	for (column = 0; column < width; column++)
		if (terminal_is_tab(screen, column))
			writer_format(writer, "\033[%uG\033H", column + 1);
}

/* The last column's character once more, so that the next one wraps, or is combined with it. */
static void write_filled(struct writer *writer, const struct screen *screen)
{
	const struct grid *grid = &screen->grids[screen->alternate];
	struct cell cell = row_cell(&grid->rows[screen->now.row], screen->now.column);
	char text[12];

	pen_write(&cell, writer);
	writer_text(writer, screen->pending ? "\033[?7h" : "\033[?7l");
	writer_put(writer, text, cell_text(&cell, text));
}

/* Designates the character sets that are not ASCII as they are, or as ASCII. */
static void write_sets(struct writer *writer, const struct cursor *cursor, bool ascii)
{
	unsigned int set;

	for (set = 0; set < 4; set++)
		if (cursor->sets[set] != 'B')
			writer_format(writer, "\033%c%c", "()*+"[set], ascii ? 'B' : cursor->sets[set]);
	if (cursor->shift)
		writer_text(writer, ascii                ? "\017"
				    : cursor->shift == 1 ? "\016"
				    : cursor->shift == 2 ? "\033n"
							 : "\033o");
}

/* Origin mode comes first, because it moves the cursor; sets and pen last, for write_filled(). */
static void write_cursor(struct writer *writer, const struct screen *screen, const struct cursor *cursor,
			 unsigned int top, bool filled)
{
	top = cursor->origin ? top : 0;
	writer_text(writer, cursor->origin ? "\033[?6h" : "\033[?6l");
	writer_format(writer, "\033[%u;%uH", cursor->row > top ? cursor->row - top + 1U : 1, cursor->column + 1U);
	if (filled)
		write_filled(writer, screen);
	write_sets(writer, cursor, false);
	pen_write(&cursor->pen, writer);
}

/* Saves what DECSC has saved, while no scroll region is set, and takes it back for what is drawn next. */
static void write_saved(struct writer *writer, const struct screen *screen, unsigned int which)
{
	const struct cursor *saved = &screen->saved[which];

	write_cursor(writer, screen, saved, 0, false);
	writer_text(writer, "\0337");
	if (!which && screen->alternate) /* It saves the cursor, too. */
		writer_text(writer, "\033[?1049h");
	write_sets(writer, saved, true);
	writer_text(writer, "\033[?6l\033[m");
}

static void write_modes(struct writer *writer, const struct screen *screen)
{
	unsigned int mode;

	writer_text(writer, screen->modes & MODE(MODE_WRAP) ? "\033[?7h" : "\033[?7l");
	for (mode = 0; mode < MODE_DEC_END; mode++)
		if (mode != MODE_WRAP && mode != MODE_KEYPAD && (screen->modes ^ MODES_AT_START) & MODE(mode))
			writer_format(writer, "\033[?%u%c", terminal_modes[mode],
				      screen->modes & MODE(mode) ? 'h' : 'l');
	if (screen->modes & MODE(MODE_KEYPAD))
		writer_text(writer, "\033=");
	if (screen->modes & MODE(MODE_INSERT))
		writer_text(writer, "\033[4h");
	if (screen->modes & MODE(MODE_NEWLINE))
		writer_text(writer, "\033[20h");
	if (screen->shape)
		writer_format(writer, "\033[%u q", screen->shape);
}

int screen_redraw(const struct screen *screen, struct buffer *out, size_t limit)
{
	struct writer writer = writer_begin(out, limit);
	char unfinished[PARSER_KEPT + 4];

	write_reset(&writer);
	write_tabs(&writer, screen);
	write_history(&writer, screen);
	write_grid(&writer, &screen->grids[0]);
	write_saved(&writer, screen, 0);
	if (screen->alternate) {
		writer_text(&writer, "\033[2J");
		write_grid(&writer, &screen->grids[1]);
		write_saved(&writer, screen, 1);
	}
	writer_format(&writer, "\033[%u;%ur", screen->top + 1U, screen->bottom);
	if (screen->title_length) {
		writer_text(&writer, "\033]2;");
		writer_put(&writer, screen->title, screen->title_length);
		writer_text(&writer, "\033\\");
	}
	write_cursor(&writer, screen, &screen->now, screen->top, screen->filled);
	write_modes(&writer, screen);
	if (screen->single)
		writer_text(&writer, screen->single == 2 ? "\033N" : "\033O");
	writer_put(&writer, unfinished, parser_unfinished(&screen->parser, unfinished));
	return writer_end(&writer);
}
