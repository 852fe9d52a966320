// SPDX-License-Identifier: Apache-2.0
/* What control bytes and sequences do, as xterm's documentation of control sequences has it. */
#include "render/pen.h"
#include "render/terminal.h"
#include "render/utf8.h"

#include <string.h>

const uint16_t terminal_modes[MODE_DEC_END] = {
	[MODE_CURSOR_KEYS] = 1,   [MODE_REVERSE] = 5,        [MODE_WRAP] = 7,
	[MODE_BLINK] = 12,        [MODE_VISIBLE] = 25,       [MODE_KEYPAD] = 66,
	[MODE_MOUSE_X10] = 9,     [MODE_MOUSE_CLICK] = 1000, [MODE_MOUSE_DRAG] = 1002,
	[MODE_MOUSE_MOVE] = 1003, [MODE_FOCUS] = 1004,       [MODE_MOUSE_UTF8] = 1005,
	[MODE_MOUSE_SGR] = 1006,  [MODE_MOUSE_URXVT] = 1015, [MODE_MOUSE_PIXELS] = 1016,
	[MODE_PASTE] = 2004,
};

/* Of these one at most is set. */
#define MOUSE_REPORTS (MODE(MODE_MOUSE_X10) | MODE(MODE_MOUSE_CLICK) | MODE(MODE_MOUSE_DRAG) | MODE(MODE_MOUSE_MOVE))
#define MOUSE_ENCODINGS \
	(MODE(MODE_MOUSE_UTF8) | MODE(MODE_MOUSE_SGR) | MODE(MODE_MOUSE_URXVT) | MODE(MODE_MOUSE_PIXELS))

struct cursor terminal_cursor(void)
{
	return (struct cursor){.sets = {'B', 'B', 'B', 'B'}, .pen = {.code = ' '}};
}

bool terminal_is_tab(const struct screen *screen, unsigned int column)
{
	return screen->tabs[column / 8] >> column % 8 & 1;
}

void terminal_set_tab(struct screen *screen, unsigned int column, bool set)
{
	uint8_t bit = (uint8_t)(1U << column % 8);

	screen->tabs[column / 8] = set ? screen->tabs[column / 8] | bit : screen->tabs[column / 8] & ~bit;
}

void terminal_reset_tabs(struct screen *screen)
{
	memset(screen->tabs, 1, sizeof(screen->tabs));
}

/* The cursor goes `count` tab stops to the right, or to the left if it is negative. */
static void tab(struct screen *screen, int count)
{
	unsigned int column = screen->now.column, last = terminal_grid(screen)->width - 1U;

	for (; count > 0 && column < last; count -= terminal_is_tab(screen, column))
		column++;
	for (; count < 0 && column; count += terminal_is_tab(screen, column))
		column--;
	terminal_send_csi(screen, column + 1, 0, 'G');
}

static void set_dec_mode(struct screen *screen, enum mode mode, bool set)
{
	uint32_t bit = MODE(mode), group = bit;

	if (bit & MOUSE_REPORTS)
		group = MOUSE_REPORTS;
	if (bit & MOUSE_ENCODINGS)
		group = MOUSE_ENCODINGS;
	screen->modes = (screen->modes & ~group) | (set ? bit : 0);
	if (mode == MODE_WRAP)
		terminal_send_mode(screen, "?7", set ? 'h' : 'l');
}

static void set_ansi_mode(struct screen *screen, unsigned int number, bool set)
{
	enum mode mode = number == 4 ? MODE_INSERT : MODE_NEWLINE;

	if (number != 4 && number != 20)
		return;
	screen->modes = (screen->modes & ~MODE(mode)) | (set ? MODE(mode) : 0);
	terminal_send_mode(screen, number == 4 ? "4" : "20", set ? 'h' : 'l');
}

static void set_origin(struct screen *screen, bool set)
{
	screen->now.origin = set;
	terminal_send(screen, set ? "\033[?6h" : "\033[?6l", 5);
}

static void restore_cursor(struct screen *screen)
{
	const struct cursor *saved = &screen->saved[screen->alternate];

	if (saved->origin != screen->now.origin)
		set_origin(screen, saved->origin);
	terminal_move(screen, saved->row, saved->column);
	memcpy(screen->now.sets, saved->sets, sizeof(saved->sets));
	screen->now.shift = saved->shift;
	screen->now.pen = saved->pen;
}

/* Modes 47, 1047 and 1049: xterm differs in when it clears the alternate screen, we do it whenever it is entered. */
static void set_alternate(struct screen *screen, bool set, bool with_cursor)
{
	unsigned int row;

	if (set && with_cursor && !screen->alternate)
		screen->saved[0] = screen->now;
	if (set != screen->alternate) {
		screen->alternate = set;
		terminal_move(screen, screen->now.row, screen->now.column);
		if (set)
			screen->saved[1] = terminal_cursor();
		for (row = 0; set && row < screen->grids[1].height; row++)
			grid_erase(&screen->grids[1], row, 0, screen->grids[1].width, 0);
	}
	if (!set && with_cursor)
		restore_cursor(screen);
}

static void set_private_mode(struct screen *screen, unsigned int number, bool set)
{
	unsigned int mode;

	for (mode = 0; mode < MODE_DEC_END; mode++)
		if (terminal_modes[mode] == number)
			set_dec_mode(screen, mode, set);
	if (number == 6)
		set_origin(screen, set);
	else if (number == 47 || number == 1047 || number == 1049)
		set_alternate(screen, set, number == 1049);
	else if (number == 1048 && set)
		screen->saved[screen->alternate] = screen->now;
	else if (number == 1048)
		restore_cursor(screen);
}

static void set_modes(struct screen *screen, const struct csi *csi)
{
	unsigned int i;

	for (i = 0; i < csi->count; i++) {
		if (csi->leader == '?')
			set_private_mode(screen, csi->arguments[i], csi->final == 'h');
		else
			set_ansi_mode(screen, csi->arguments[i], csi->final == 'h');
	}
}

/* DECSTBM. A region of less than two lines is none. */
static void set_region(struct screen *screen, unsigned int top, unsigned int bottom)
{
	unsigned int height = terminal_grid(screen)->height;

	top = top ? top : 1;
	bottom = bottom && bottom < height ? bottom : height;
	if (top >= bottom && height > 1)
		return;
	screen->top = (uint16_t)(top - 1);
	screen->bottom = (uint16_t)bottom;
	terminal_send_csi(screen, top, bottom, 'r');
}

/* DECSTR */
static void soft_reset(struct screen *screen)
{
	struct cursor now = screen->now;

	screen->modes &= ~(MODE(MODE_CURSOR_KEYS) | MODE(MODE_KEYPAD) | MODE(MODE_BLINK));
	screen->modes |= MODE(MODE_VISIBLE);
	set_origin(screen, false);
	set_region(screen, 0, 0);
	set_ansi_mode(screen, 4, false);
	set_ansi_mode(screen, 20, false);
	set_dec_mode(screen, MODE_WRAP, true);
	screen->now = screen->saved[screen->alternate] = terminal_cursor();
	screen->single = 0;
	screen->shape = 0;
	terminal_move(screen, now.row, now.column);
}

/* RIS; the scrollback stays. */
static void hard_reset(struct screen *screen)
{
	set_alternate(screen, false, false);
	soft_reset(screen);
	screen->modes = MODES_AT_START;
	screen->saved[0] = screen->saved[1] = terminal_cursor();
	screen->title_length = 0;
	terminal_reset_tabs(screen);
	terminal_send(screen, "\033[H\033[2J", 7);
}

/*
 * REP: the character to the left of the cursor again. xterm goes on in the next line, so do we, but no farther: a few
 * bytes must not become a screen.
 */
static void repeat(struct screen *screen, unsigned int count)
{
	struct cell cell;
	char text[240];
	size_t length, filled;

	if (!terminal_left(screen, &cell))
		return;
	if (count > terminal_grid(screen)->width)
		count = terminal_grid(screen)->width;
	length = cell_text(&cell, text);
	for (filled = length; filled + length <= sizeof(text); filled += length)
		memcpy(text + filled, text, length);
	for (; count > filled / length; count -= (unsigned int)(filled / length))
		terminal_print(screen, text, filled);
	terminal_print(screen, text, count * length);
}

/* TBC */
static void clear_tab(struct screen *screen, unsigned int which)
{
	if (which == 0)
		terminal_set_tab(screen, screen->now.column, false);
	else if (which == 3)
		memset(screen->tabs, 0, sizeof(screen->tabs));
}

static unsigned int at_least_one(unsigned int value)
{
	return value ? value : 1;
}

/* Sequences without leader and intermediate that libvterm does well. Their arguments have no meaning above this. */
static void pass_on(struct screen *screen, const struct csi *csi)
{
	unsigned int first = csi->arguments[0], second = csi->count > 1 ? csi->arguments[1] : 0;

	if (csi->final == 'T' && csi->count > 1) /* xterm tracks the mouse then */
		return;
	screen->discards = csi->final == 'M';
	terminal_send_csi(screen, first > 9999 ? 9999 : first, second > 9999 ? 9999 : second, csi->final);
	screen->discards = false;
}

static void plain_csi(struct screen *screen, const struct csi *csi)
{
	unsigned int first = csi->arguments[0];

	if (csi->final == 'm')
		pen_apply(&screen->now.pen, csi);
	else if (csi->final == 'h' || csi->final == 'l')
		set_modes(screen, csi);
	else if (csi->final == 'r')
		set_region(screen, first, csi->count > 1 ? csi->arguments[1] : 0);
	else if (csi->final == 's')
		screen->saved[screen->alternate] = screen->now;
	else if (csi->final == 'u')
		restore_cursor(screen);
	else if (csi->final == 'b')
		repeat(screen, at_least_one(first));
	else if (csi->final == 'g')
		clear_tab(screen, first);
	else if (csi->final == 'I' || csi->final == 'Z')
		tab(screen, (csi->final == 'I' ? 1 : -1) * (int)at_least_one(first));
	else if (csi->final == 'J' && first == 3)
		screen->history.first = screen->history.count = 0;
	else if (strchr("ABCDEFGH`adefjkJKLMPSTX@", csi->final))
		pass_on(screen, csi);
}

static void on_csi(void *user, const struct csi *csi)
{
	struct screen *screen = user;

	if (!csi->leader && !csi->intermediate)
		plain_csi(screen, csi);
	else if (csi->leader == '?' && !csi->intermediate && (csi->final == 'h' || csi->final == 'l'))
		set_modes(screen, csi);
	else if (csi->leader == '?' && !csi->intermediate && (csi->final == 'J' || csi->final == 'K'))
		pass_on(screen, csi); /* Selective erase: nothing is protected here. */
	else if (!csi->leader && csi->intermediate == '!' && csi->final == 'p')
		soft_reset(screen);
	else if (!csi->leader && csi->intermediate == ' ' && csi->final == 'q' && csi->arguments[0] <= 6)
		screen->shape = (uint8_t)csi->arguments[0];
}

static void on_plain_escape(struct screen *screen, char final)
{
	char bytes[] = {'\033', final};

	if (strchr("DEM", final)) /* IND, NEL, RI */
		terminal_send(screen, bytes, sizeof(bytes));
	else if (final == 'H')
		terminal_set_tab(screen, screen->now.column, true);
	else if (final == 'N' || final == 'O')
		screen->single = final == 'N' ? 2 : 3;
	else if (final == 'n' || final == 'o')
		screen->now.shift = final == 'n' ? 2 : 3;
	else if (final == '7')
		screen->saved[screen->alternate] = screen->now;
	else if (final == '8')
		restore_cursor(screen);
	else if (final == '=' || final == '>')
		set_dec_mode(screen, MODE_KEYPAD, final == '=');
	else if (final == 'c')
		hard_reset(screen);
}

static void on_escape(void *user, char intermediate, char final)
{
	struct screen *screen = user;

	if (!intermediate)
		on_plain_escape(screen, final);
	else if (intermediate >= '(' && intermediate <= '+')
		screen->now.sets[intermediate - '('] = final == '0' || final == 'A' ? final : 'B';
}

static void on_control(void *user, char code)
{
	struct screen *screen = user;

	if (code == '\t')
		tab(screen, 1);
	else if (code == '\016' || code == '\017')
		screen->now.shift = code == '\016';
	else if (code == '\b' || (code >= '\n' && code <= '\r'))
		terminal_send(screen, &code, 1);
}

/* Titles only. What is no text is left out; a cut character at the end, too. */
static void on_command(void *user, const char *string, size_t length)
{
	struct screen *screen = user;
	size_t at = 2, kept = 0;

	if (length < 2 || (string[0] != '0' && string[0] != '2') || string[1] != ';')
		return;
	while (at < length) {
		const uint8_t *bytes = (const uint8_t *)string + at;
		int character = utf8_scan(bytes, length - at);
		uint32_t code = character > 0 ? utf8_decode(bytes, character) : 0;

		if (!character || (character > 0 && kept + (size_t)character > TITLE_MAX))
			break;
		at += (size_t)(character < 0 ? -character : character);
		if (code < 0x20 || (code >= 0x7f && code < 0xa0))
			continue;
		memcpy(screen->title + kept, bytes, (size_t)character);
		kept += (size_t)character;
	}
	screen->title_length = kept;
}

/* What ASCII stands for in a national or graphic set; as libvterm's tables and xterm have it. */
static uint32_t translate(char set, char code)
{
	static const uint16_t lines[] = {0xa0,   0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0xb0,
					 0xb1,   0x2424, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514, 0x253c,
					 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534,
					 0x252c, 0x2502, 0x2264, 0x2265, 0x3c0,  0x2260, 0xa3,   0xb7};

	if (set == 'A' && code == '#')
		return 0xa3;
	return set == '0' && code >= 0x5f && code <= 0x7e ? lines[code - 0x5f] : (uint32_t)code;
}

/* One character of another set than ASCII. */
static void print_of_set(struct screen *screen, const char *text, size_t length)
{
	char set = screen->now.sets[screen->single ? screen->single : screen->now.shift], out[4];

	screen->single = 0;
	if (length == 1)
		terminal_print(screen, out, utf8_encode(translate(set, *text), out));
	else
		terminal_print(screen, text, length);
}

static void on_text(void *user, const char *text, size_t length)
{
	struct screen *screen = user;
	size_t at, character;

	for (at = 0; at < length && (screen->single || screen->now.sets[screen->now.shift] != 'B'); at += character) {
		character = (size_t)utf8_scan((const uint8_t *)text + at, length - at);
		print_of_set(screen, text + at, character);
	}
	terminal_print(screen, text + at, length - at);
}

const struct parser_events terminal_events = {
	.text = on_text,
	.control = on_control,
	.escape = on_escape,
	.csi = on_csi,
	.command = on_command,
};
