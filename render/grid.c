// SPDX-License-Identifier: Apache-2.0
#include "render/grid.h"

#include "render/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct cell blank(uint32_t background)
{
	return (struct cell){.code = ' ', .background = background};
}

static void fill(struct cell *cells, size_t count, uint32_t background)
{
	while (count--)
		cells[count] = blank(background);
}

size_t cell_text(const struct cell *cell, char *out)
{
	size_t length = utf8_encode(cell->code, out), i;

	for (i = 0; i < 2 && cell->marks[i]; i++)
		length += utf8_encode(cell->marks[i], out + length);
	return length;
}

struct cell row_cell(const struct row *row, unsigned int column)
{
	return column < row->used ? row->cells[column] : blank(row->fill);
}

unsigned int row_length(const struct row *row, unsigned int width)
{
	struct cell none = blank(0);
	unsigned int length = width;

	if (!row->fill && length > row->used)
		length = row->used;
	while (length) {
		struct cell cell = row_cell(row, length - 1);

		if (memcmp(&cell, &none, sizeof(cell)))
			break;
		length--;
	}
	return length;
}

int grid_init(struct grid *grid, uint16_t width, uint16_t height)
{
	unsigned int row;

	*grid = (struct grid){.width = width, .height = height};
	grid->rows = calloc(2 * (size_t)height, sizeof(*grid->rows));
	grid->cells = calloc((size_t)width * height, sizeof(*grid->cells));
	if (!grid->rows || !grid->cells) {
		grid_finish(grid);
		return -ENOMEM;
	}
	for (row = 0; row < height; row++)
		grid->rows[row].cells = grid->cells + (size_t)row * width;
	return 0;
}

void grid_finish(struct grid *grid)
{
	free(grid->rows);
	free(grid->cells);
	*grid = (struct grid){0};
}

/* The row comes to have at least so many cells. */
static void reach(struct row *row, unsigned int length)
{
	if (row->used >= length)
		return;
	fill(row->cells + row->used, length - row->used, row->fill);
	row->used = length;
}

/* Half a wide character becomes a blank that looks like it. */
static void halve(struct cell *cell)
{
	cell->attributes &= STYLE;
	cell->code = ' ';
	memset(cell->marks, 0, sizeof(cell->marks));
}

/* A wide character that stands across this column's left edge cannot stay whole. */
static void split(struct row *row, unsigned int column)
{
	if (!column || column >= row->used || !(row->cells[column].attributes & TAIL))
		return;
	halve(&row->cells[column - 1]);
	halve(&row->cells[column]);
}

struct cell *grid_open(struct grid *grid, unsigned int row, unsigned int column, unsigned int width)
{
	struct row *line = &grid->rows[row];

	split(line, column);
	split(line, column + width);
	reach(line, column + width);
	return line->cells + column;
}

void grid_erase(struct grid *grid, unsigned int row, unsigned int from, unsigned int to, uint32_t background)
{
	struct row *line = &grid->rows[row];

	split(line, from);
	split(line, to);
	if (to < grid->width) {
		reach(line, to);
		fill(line->cells + from, to - from, background);
		return;
	}
	if (line->fill != background)
		reach(line, from);
	if (line->used > from)
		line->used = from;
	line->fill = background;
}

void grid_shift(struct grid *grid, unsigned int row, unsigned int column, int count, uint32_t background)
{
	struct row *line = &grid->rows[row];
	unsigned int moved = (unsigned int)abs(count), stay = grid->width - column;
	struct cell *cells = line->cells + column;

	if (moved > stay)
		moved = stay;
	stay -= moved;
	reach(line, grid->width);
	split(line, column);
	split(line, column + (count > 0 ? stay : moved));
	if (count > 0) {
		memmove(cells + moved, cells, stay * sizeof(*cells));
		fill(cells, moved, background);
	} else {
		memmove(cells, cells + moved, stay * sizeof(*cells));
		line->used = column + stay;
		line->fill = background;
	}
}

static void blank_rows(struct row *rows, unsigned int count, uint32_t background)
{
	for (; count--; rows++) {
		rows->used = 0;
		rows->fill = background;
	}
}

void grid_scroll(struct grid *grid, unsigned int top, unsigned int bottom, int count, uint32_t background,
		 struct history *history)
{
	struct row *rows = grid->rows + top, *spare = grid->rows + grid->height;
	unsigned int moved = (unsigned int)abs(count), stay = bottom - top, i;

	if (moved > stay)
		moved = stay;
	stay -= moved;
	if (count > 0) {
		for (i = 0; history && i < moved; i++)
			history_push(history, rows + i);
		memcpy(spare, rows, moved * sizeof(*rows));
		memmove(rows, rows + moved, stay * sizeof(*rows));
		memcpy(rows + stay, spare, moved * sizeof(*rows));
		blank_rows(rows + stay, moved, background);
	} else {
		memcpy(spare, rows + stay, moved * sizeof(*rows));
		memmove(rows + moved, rows, stay * sizeof(*rows));
		memcpy(rows, spare, moved * sizeof(*rows));
		blank_rows(rows, moved, background);
	}
}

int grid_copy(struct grid *copy, const struct grid *grid, uint16_t width, uint16_t height, unsigned int skip)
{
	unsigned int row;
	int error = grid_init(copy, width, height);

	if (error)
		return error;
	for (row = 0; row < height && row + skip < grid->height; row++) {
		const struct row *from = &grid->rows[row + skip];
		struct row *to = &copy->rows[row];

		to->fill = from->fill;
		to->used = from->used < width ? from->used : width;
		memcpy(to->cells, from->cells, to->used * sizeof(*to->cells));
		if (to->used == width && to->cells[width - 1].attributes & WIDE)
			halve(&to->cells[width - 1]);
	}
	return 0;
}

int history_init(struct history *history, unsigned int limit)
{
	*history = (struct history){.limit = limit};
	if (!limit)
		return 0;
	history->lines = calloc(limit, sizeof(*history->lines));
	return history->lines ? 0 : -ENOMEM;
}

void history_finish(struct history *history)
{
	unsigned int i;

	for (i = 0; history->lines && i < history->limit; i++)
		free(history->lines[i].row.cells);
	free(history->lines);
	*history = (struct history){0};
}

void history_push(struct history *history, const struct row *row)
{
	struct line *line;
	struct cell *cells;

	if (!history->limit)
		return;
	line = &history->lines[(history->first + history->count) % history->limit];
	if (history->count < history->limit)
		history->count++;
	else
		history->first = (history->first + 1) % history->limit;
	cells = line->row.cells;
	if (line->capacity < row->used) {
		cells = realloc(cells, row->used * sizeof(*cells));
		if (cells) {
			line->row.cells = cells;
			line->capacity = row->used;
		}
	}
	line->row.fill = row->fill;
	line->row.used = cells ? row->used : 0;
	if (cells)
		memcpy(line->row.cells, row->cells, row->used * sizeof(*cells));
}

const struct row *history_line(const struct history *history, unsigned int index)
{
	return &history->lines[(history->first + index) % history->limit].row;
}
