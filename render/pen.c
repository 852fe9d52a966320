// SPDX-License-Identifier: Apache-2.0
#include "render/pen.h"

/*
 * A colour behind 38, 48 or 58, which stands at `at`: 5;N, 2;R;G;B, or with colons, where 2 may have a colour space
 * (2:S:R:G:B, ISO 8613-6). Returns the last argument that belongs to it.
 */
static unsigned int read_colour(const struct csi *csi, unsigned int at, uint32_t *colour)
{
	const uint16_t *value = csi->arguments + at + 1;
	unsigned int last = at, count;

	while (last + 1 < csi->count && csi->joined >> last & 1)
		last++;
	if (last == at) {
		last = at + 1 < csi->count && value[0] == 2 ? at + 4 : at + 2;
		if (last >= csi->count)
			return csi->count;
	}
	count = last - at;
	if (value[0] == 5 && count >= 2)
		*colour = COLOUR_INDEXED | (value[1] & 0xff);
	if (value[0] != 2 || count < 4)
		return last;
	value += count > 4;
	*colour = COLOUR_RGB | (value[1] & 0xffU) << 16 | (value[2] & 0xffU) << 8 | (value[3] & 0xff);
	return last;
}

static void set_underline(struct cell *pen, unsigned int style)
{
	pen->attributes = (pen->attributes & ~UNDERLINE_MASK) | (style > 3 ? 1 : style) * UNDERLINE;
}

static void set_attribute(struct cell *pen, unsigned int code)
{
	static const uint16_t on[] = {[1] = BOLD,  [2] = FAINT,   [3] = ITALIC,  [5] = BLINK,
				      [6] = BLINK, [7] = REVERSE, [8] = CONCEAL, [9] = STRIKE};
	static const uint16_t off[] = {[2] = BOLD | FAINT, [3] = ITALIC,  [4] = UNDERLINE_MASK, [5] = BLINK,
				       [7] = REVERSE,      [8] = CONCEAL, [9] = STRIKE};

	if (code < 10)
		pen->attributes |= on[code];
	else if (code >= 20 && code < 30)
		pen->attributes &= ~off[code - 20];
}

/* A code that stands for itself, without more arguments. */
static void set_plain(struct cell *pen, unsigned int code)
{
	if (!code)
		*pen = (struct cell){.code = ' '};
	else if (code == 4 || code == 21)
		set_underline(pen, code == 4 ? 1 : 2);
	else if (code < 30)
		set_attribute(pen, code);
	else if (code < 38)
		pen->foreground = COLOUR_INDEXED | (code - 30);
	else if (code == 39)
		pen->foreground = 0;
	else if (code >= 40 && code < 48)
		pen->background = COLOUR_INDEXED | (code - 40);
	else if (code == 49)
		pen->background = 0;
	else if (code >= 90 && code < 98)
		pen->foreground = COLOUR_INDEXED | (code - 90 + 8);
	else if (code >= 100 && code < 108)
		pen->background = COLOUR_INDEXED | (code - 100 + 8);
}

void pen_apply(struct cell *pen, const struct csi *csi)
{
	unsigned int at;
	uint32_t ignored;

	for (at = 0; at < csi->count; at++) {
		unsigned int code = csi->arguments[at];

		if (code == 38 || code == 48 || code == 58) {
			at = read_colour(csi, at,
					 code == 38   ? &pen->foreground
					 : code == 48 ? &pen->background
						      : &ignored);
		} else if (csi->joined >> at & 1) {
			if (code == 4)
				set_underline(pen, csi->arguments[at + 1]);
			while (at + 1 < csi->count && csi->joined >> at & 1)
				at++;
		} else {
			set_plain(pen, code);
		}
	}
}

int pen_equal(const struct cell *one, const struct cell *other)
{
	return ((one->attributes ^ other->attributes) & STYLE) == 0 && one->foreground == other->foreground &&
	       one->background == other->background;
}

static void write_colour(uint32_t colour, unsigned int base, struct writer *writer)
{
	uint32_t value = colour & COLOUR_VALUE;

	if (colour & COLOUR_RGB)
		writer_format(writer, ";%u;2;%u;%u;%u", base + 8, value >> 16, value >> 8 & 0xff, value & 0xff);
	else if (colour && value < 8)
		writer_format(writer, ";%u", base + value);
	else if (colour && value < 16)
		writer_format(writer, ";%u", base + 60 + value - 8);
	else if (colour)
		writer_format(writer, ";%u;5;%u", base + 8, value);
}

void pen_write(const struct cell *pen, struct writer *writer)
{
	static const struct {
		uint16_t mask, value;
		const char *code;
	} attributes[] = {
		{BOLD, BOLD, ";1"},
		{FAINT, FAINT, ";2"},
		{ITALIC, ITALIC, ";3"},
		{UNDERLINE_MASK, UNDERLINE, ";4"},
		{UNDERLINE_MASK, 2 * UNDERLINE, ";21"},
		{UNDERLINE_MASK, 3 * UNDERLINE, ";4:3"},
		{BLINK, BLINK, ";5"},
		{REVERSE, REVERSE, ";7"},
		{CONCEAL, CONCEAL, ";8"},
		{STRIKE, STRIKE, ";9"},
	};
	unsigned int i;

	writer_text(writer, "\033[0");
	for (i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if ((pen->attributes & attributes[i].mask) == attributes[i].value)
			writer_text(writer, attributes[i].code);
	write_colour(pen->foreground, 30, writer);
	write_colour(pen->background, 40, writer);
	writer_text(writer, "m");
}
