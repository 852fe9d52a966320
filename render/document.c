// SPDX-License-Identifier: Apache-2.0
/* A screen for people who have no terminal: as text, and as HTML. */
#include "render/pen.h"
#include "render/terminal.h"
#include "render/utf8.h"
#include "render/writer.h"

#include <string.h>

/* The scrollback belongs to the main screen; while the alternate one is shown there is none. */
static unsigned int history_count(const struct screen *screen)
{
	return screen->alternate ? 0 : screen->history.count;
}

/* Lines from the top of the scrollback on. */
static const struct row *line(const struct screen *screen, unsigned int index)
{
	unsigned int count = history_count(screen);

	return index < count ? history_line(&screen->history, index)
			     : &screen->grids[screen->alternate].rows[index - count];
}

static unsigned int width_of(const struct screen *screen, const struct row *row)
{
	unsigned int width = screen->grids[0].width;

	return row->used > width ? row->used : width;
}

/* How many cells show a character, the last one and those to the left of it counted. */
static unsigned int text_length(const struct row *row)
{
	unsigned int length = row->used;

	while (length && row->cells[length - 1].code == ' ' && !row->cells[length - 1].marks[0])
		length--;
	return length;
}

/* How many lines there are up to the last one that `length` does not find blank. */
static unsigned int line_count(const struct screen *screen,
			       unsigned int (*length)(const struct screen *, const struct row *))
{
	unsigned int count = history_count(screen) + screen->grids[0].height;

	while (count && !length(screen, line(screen, count - 1)))
		count--;
	return count;
}

static unsigned int length_as_text(const struct screen *screen, const struct row *row)
{
	return text_length(row);
}

/* Colours of blanks are seen, too. */
static unsigned int length_as_html(const struct screen *screen, const struct row *row)
{
	return row_length(row, width_of(screen, row));
}

int screen_text(const struct screen *screen, struct buffer *out, size_t limit)
{
	struct writer writer = writer_begin(out, limit);
	unsigned int count = line_count(screen, length_as_text), index, column;
	char text[12];

	for (index = 0; index < count; index++) {
		const struct row *row = line(screen, index);
		unsigned int length = text_length(row);

		for (column = 0; column < length; column++)
			if (!(row->cells[column].attributes & TAIL))
				writer_put(&writer, text, cell_text(&row->cells[column], text));
		writer_text(&writer, "\n");
	}
	return writer_end(&writer);
}

static void write_escaped(struct writer *writer, const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		if (text[i] == '&')
			writer_text(writer, "&amp;");
		else if (text[i] == '<')
			writer_text(writer, "&lt;");
		else if (text[i] == '>')
			writer_text(writer, "&gt;");
		else if (text[i] == '"')
			writer_text(writer, "&quot;");
		else
			writer_put(writer, text + i, 1);
	}
}

/* A title comes from anywhere: control characters and what is no UTF-8 are left out. */
static void write_title(struct writer *writer, const char *title)
{
	const uint8_t *bytes = (const uint8_t *)title;
	size_t at, length = strlen(title);
	int character;

	for (at = 0; at < length; at += (size_t)(character < 0 ? -character : character)) {
		character = utf8_scan(bytes + at, length - at);
		if (!character)
			return;
		if (character > 1 || (character == 1 && bytes[at] >= 0x20 && bytes[at] != 0x7f))
			write_escaped(writer, title + at, (size_t)character);
	}
}

/* xterm's palette. */
static uint32_t palette(unsigned int index)
{
	static const uint32_t named[] = {0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd,
					 0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00,
					 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff};
	static const uint8_t levels[] = {0x00, 0x5f, 0x87, 0xaf, 0xd7, 0xff};

	if (index < 16)
		return named[index];
	if (index >= 232)
		return (8 + 10 * (index - 232)) * 0x010101;
	index -= 16;
	return (uint32_t)levels[index / 36] << 16 | (uint32_t)levels[index / 6 % 6] << 8 | levels[index % 6];
}

static uint32_t colour_value(uint32_t colour, uint32_t own)
{
	if (!colour)
		return own;
	return colour & COLOUR_INDEXED ? palette(colour & COLOUR_VALUE) : colour & COLOUR_VALUE;
}

/* The terminal's own colours, also in the style sheet. */
#define OWN_FOREGROUND 0xe5e5e5
#define OWN_BACKGROUND 0x000000

static void write_colours(struct writer *writer, const struct cell *cell, bool reverse_screen)
{
	bool reverse = cell->attributes & REVERSE;
	uint32_t foreground = colour_value(cell->foreground, reverse_screen ? OWN_BACKGROUND : OWN_FOREGROUND);
	uint32_t background = colour_value(cell->background, reverse_screen ? OWN_FOREGROUND : OWN_BACKGROUND);

	if (cell->foreground || reverse)
		writer_format(writer, "color:#%06x;", reverse ? background : foreground);
	if (cell->background || reverse)
		writer_format(writer, "background:#%06x;", reverse ? foreground : background);
}

static void write_decoration(struct writer *writer, unsigned int attributes)
{
	unsigned int underline = (attributes & UNDERLINE_MASK) / UNDERLINE;

	if (!underline && !(attributes & STRIKE))
		return;
	writer_text(writer, "text-decoration:");
	if (underline)
		writer_text(writer, "underline");
	if (attributes & STRIKE)
		writer_text(writer, underline ? " line-through" : "line-through");
	if (underline > 1)
		writer_text(writer, underline == 2 ? " double" : " wavy");
	writer_text(writer, ";");
}

static void open_span(struct writer *writer, const struct cell *cell, bool reverse_screen)
{
	writer_text(writer, "<span style=\"");
	write_colours(writer, cell, reverse_screen);
	if (cell->attributes & BOLD)
		writer_text(writer, "font-weight:bold;");
	if (cell->attributes & FAINT)
		writer_text(writer, "opacity:.6;");
	if (cell->attributes & ITALIC)
		writer_text(writer, "font-style:italic;");
	if (cell->attributes & CONCEAL)
		writer_text(writer, "visibility:hidden;");
	write_decoration(writer, cell->attributes);
	writer_text(writer, "\">");
}

static bool is_styled(const struct cell *cell)
{
	return cell->foreground || cell->background || cell->attributes & STYLE & ~BLINK;
}

static void write_line(struct writer *writer, const struct row *row, unsigned int length, bool reverse_screen)
{
	struct cell cell, pen = {.code = ' '};
	bool opened = false;
	unsigned int column;
	char text[12];

	for (column = 0; column < length; column++) {
		cell = row_cell(row, column);
		if (cell.attributes & TAIL)
			continue;
		if (!pen_equal(&cell, &pen) && opened)
			writer_text(writer, "</span>");
		if (!pen_equal(&cell, &pen)) {
			opened = is_styled(&cell);
			if (opened)
				open_span(writer, &cell, reverse_screen);
			pen = cell;
		}
		write_escaped(writer, text, cell_text(&cell, text));
	}
	writer_text(writer, opened ? "</span>\n" : "\n");
}

int screen_html(const struct screen *screen, const char *title, struct buffer *out, size_t limit)
{
	struct writer writer = writer_begin(out, limit);
	bool reverse = screen->modes & MODE(MODE_REVERSE);
	unsigned int count = line_count(screen, length_as_html), index;

	writer_text(&writer, "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>");
	write_title(&writer, title ? title : "");
	writer_text(&writer, "</title>\n<style>\n");
	writer_format(&writer, "pre { color: #%06x; background: #%06x; padding: 1ex; }\n",
		      reverse ? OWN_BACKGROUND : OWN_FOREGROUND, reverse ? OWN_FOREGROUND : OWN_BACKGROUND);
	writer_text(&writer, "</style>\n</head>\n<body>\n<pre>\n");
	for (index = 0; index < count; index++) {
		const struct row *row = line(screen, index);

		write_line(&writer, row, length_as_html(screen, row), reverse);
	}
	writer_text(&writer, "</pre>\n</body>\n</html>\n");
	return writer_end(&writer);
}
