// SPDX-License-Identifier: Apache-2.0
#include "render/screen.h"

#include "render/terminal.h"
#include "render/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vterm.h>

/* libvterm has arrays on the stack for each byte that it is given at once. */
#define RUN_MAX 1024

/*
 * libvterm does not ask whether it was given memory. What is not to be had elsewhere it gets from here: the
 * largest terminal and the probe take 6098 bytes, a change to the largest size 4125.
 */
#define SPARE_SIZE (16 * 1024)
#define SPARE_OF_A_SIZE (5 * 1024)
#define SPARE_ALIGNMENT 16

/* The least code point that libvterm takes for a combining character. */
#define FIRST_MARK 0x300

static int on_glyph(VTermGlyphInfo *info, VTermPos position, void *user)
{
	struct screen *screen = user;
	struct grid *grid = terminal_grid(screen);
	unsigned int column = (unsigned int)position.col, width = info->width > 1 ? 2 : 1, mark, kept = 0;
	bool narrow = width > grid->width; /* The terminal is one column wide, and the character two. */
	struct cell *cells, cell = screen->now.pen;

	width = narrow ? 1 : width;
	cells = grid_open(grid, (unsigned int)position.row, column, width);
	cell.code = narrow ? ' ' : info->chars[0] & 0x1fffff;
	for (mark = 1; info->chars[mark] && kept < 2; mark++)
		if (info->chars[mark] <= UINT16_MAX)
			cell.marks[kept++] = (uint16_t)info->chars[mark];
	cells[0] = cell;
	if (width == 2) {
		cells[0].attributes |= WIDE;
		cells[1] = cell;
		cells[1].attributes |= TAIL;
	}
	screen->edge = column + width;
	return 1;
}

static int on_erase(VTermRect rect, int selective, void *user)
{
	struct screen *screen = user;
	int row;

	for (row = rect.start_row; row < rect.end_row; row++)
		grid_erase(terminal_grid(screen), (unsigned int)row, (unsigned int)rect.start_col,
			   (unsigned int)rect.end_col, screen->now.pen.background);
	return 1;
}

/* Without margins on the left and right, whole rows move up and down, and the rest of one row to the sides. */
static int on_scroll(VTermRect rect, int downward, int rightward, void *user)
{
	struct screen *screen = user;
	struct grid *grid = terminal_grid(screen);
	unsigned int top = (unsigned int)rect.start_row;
	bool kept = !screen->alternate && !top && !screen->discards;

	if (rightward)
		grid_shift(grid, top, (unsigned int)rect.start_col, -rightward, screen->now.pen.background);
	else
		grid_scroll(grid, top, (unsigned int)rect.end_row, downward, screen->now.pen.background,
			    kept ? &screen->history : NULL);
	return 1;
}

static int on_probed(VTermGlyphInfo *info, VTermPos position, void *user)
{
	((struct screen *)user)->width = (uint8_t)info->width;
	return 1;
}

/* 0: a combining character. */
static unsigned int measure(struct screen *screen, const char *character, size_t length)
{
	/* Something before it that it cannot be combined with, lest libvterm collects all of them. */
	char bytes[8] = "\rA\r";

	memcpy(bytes + 3, character, length);
	vterm_input_write(screen->probe, bytes, 3 + length);
	return screen->width;
}

static void write_vterm(struct screen *screen, const char *bytes, size_t length)
{
	VTermPos position;

	vterm_input_write(screen->vterm, bytes, length);
	vterm_state_get_cursorpos(screen->state, &position);
	screen->now.row = (uint16_t)position.row;
	screen->now.column = (uint16_t)position.col;
}

static size_t put_number(char *out, unsigned int number)
{
	size_t length = number > 999 ? 4 : number > 99 ? 3 : number > 9 ? 2 : 1, i;

	for (i = length; i; i--, number /= 10)
		out[i - 1] = (char)('0' + number % 10);
	return length;
}

/* CSI, up to two numbers up to 9999, `final`. */
static void write_csi(struct screen *screen, unsigned int first, unsigned int second, char final)
{
	char bytes[16] = "\033[";
	size_t length = 2;

	length += put_number(bytes + length, first);
	if (second) {
		bytes[length++] = ';';
		length += put_number(bytes + length, second);
	}
	bytes[length++] = final;
	write_vterm(screen, bytes, length);
}

/* libvterm forgets it with any positioning, but not with all that makes xterm forget it. */
static void cancel_wrap(struct screen *screen)
{
	if (screen->pending)
		write_csi(screen, screen->now.column + 1U, 0, 'G');
	screen->filled = screen->pending = false;
}

void terminal_send(struct screen *screen, const char *bytes, size_t length)
{
	cancel_wrap(screen);
	write_vterm(screen, bytes, length);
}

void terminal_send_csi(struct screen *screen, unsigned int first, unsigned int second, char final)
{
	cancel_wrap(screen);
	write_csi(screen, first, second, final);
}

void terminal_send_mode(struct screen *screen, const char *mode, char set)
{
	write_vterm(screen, "\033[", 2);
	write_vterm(screen, mode, strlen(mode));
	write_vterm(screen, &set, 1);
}

void terminal_move(struct screen *screen, unsigned int row, unsigned int column)
{
	unsigned int top = screen->now.origin ? screen->top : 0;

	terminal_send_csi(screen, row > top ? row - top + 1 : 1, column + 1, 'H');
}

/* The column of the character to the left of the cursor, or -1. */
static int left_column(struct screen *screen)
{
	const struct row *row = &terminal_grid(screen)->rows[screen->now.row];
	int column = screen->now.column - !screen->filled;

	if (column > 0 && row_cell(row, (unsigned int)column).attributes & TAIL)
		column--;
	return column;
}

bool terminal_left(struct screen *screen, struct cell *cell)
{
	int column = left_column(screen);

	if (column >= 0)
		*cell = row_cell(&terminal_grid(screen)->rows[screen->now.row], (unsigned int)column);
	return column >= 0;
}

/* A combining character goes onto what is to the left of the cursor, whatever that is. */
static void put_mark(struct screen *screen, uint32_t code)
{
	struct cell *cells, before;
	int column = left_column(screen);
	unsigned int width, slot = 0;

	if (!terminal_left(screen, &before) || code > UINT16_MAX)
		return;
	while (slot < 2 && before.marks[slot])
		slot++;
	if (slot == 2)
		return;
	width = before.attributes & WIDE ? 2 : 1;
	cells = grid_open(terminal_grid(screen), screen->now.row, (unsigned int)column, width);
	while (width--)
		cells[width].marks[slot] = (uint16_t)code;
}

static void put(struct screen *screen, const char *text, size_t length)
{
	write_vterm(screen, text, length);
	screen->filled = screen->edge >= terminal_grid(screen)->width;
	screen->pending = screen->filled && screen->modes & MODE(MODE_WRAP);
}

/* ASCII that ends before the last column needs no more of libvterm than to move the cursor: six times as fast. */
static size_t put_ascii(struct screen *screen, const char *text, size_t length)
{
	struct grid *grid = terminal_grid(screen);
	size_t room = grid->width - 1U - screen->now.column, i;
	struct cell *cells, pen = screen->now.pen;

	if (!room || screen->pending || screen->modes & MODE(MODE_INSERT)) {
		put(screen, text, 1);
		return 1;
	}
	length = length < room ? length : room;
	cells = grid_open(grid, screen->now.row, screen->now.column, (unsigned int)length);
	for (i = 0; i < length; i++) {
		pen.code = (uint8_t)text[i];
		cells[i] = pen;
	}
	screen->filled = false;
	write_csi(screen, (unsigned int)length, 0, 'C');
	return length;
}

/*
 * Combining characters of East Asian scripts (a voiced sound mark in decomposed Japanese, say) that libvterm takes for
 * two columns wide: it would add them to the width of what they are combined with.
 */
static bool is_wide_mark(uint32_t code)
{
	return (code >= 0x302a && code <= 0x302f) || code == 0x3099 || code == 0x309a;
}

/* How much of it libvterm may get at once: whole characters. */
static size_t run_length(const char *text, size_t length)
{
	size_t at = 0, character;

	for (; at < length; at += character) {
		const uint8_t *bytes = (const uint8_t *)text + at;

		character = (size_t)utf8_scan(bytes, length - at);
		if (at + character > RUN_MAX || is_wide_mark(utf8_decode(bytes, (int)character)))
			break;
	}
	return at;
}

/*
 * What does not begin with ASCII. libvterm never gets a combining character first: it would take the pen for it that is
 * the current one now, and wrap at the end of a line.
 */
static size_t put_other(struct screen *screen, const char *text, size_t length)
{
	size_t first = (size_t)utf8_scan((const uint8_t *)text, length);
	uint32_t code = utf8_decode((const uint8_t *)text, (int)first);

	if (is_wide_mark(code) || (code >= FIRST_MARK && !measure(screen, text, first))) {
		put_mark(screen, code);
		return first;
	}
	length = run_length(text, length);
	put(screen, text, length);
	return length;
}

void terminal_print(struct screen *screen, const char *text, size_t length)
{
	size_t width = terminal_grid(screen)->width, at = 0, ascii;

	while (at < length) {
		/* No more than a line is taken at once, so no more is looked at. */
		for (ascii = 0; ascii < width && at + ascii < length && !(text[at + ascii] & 0x80);)
			ascii++;
		at += ascii ? put_ascii(screen, text + at, ascii) : put_other(screen, text + at, length - at);
	}
}

/* --- libvterm's memory --- */

static void *allocate(size_t size, void *user)
{
	struct screen *screen = user;
	void *memory = calloc(1, size);

	if (memory)
		return memory;
	size = (size + SPARE_ALIGNMENT - 1) / SPARE_ALIGNMENT * SPARE_ALIGNMENT;
	if (size > SPARE_SIZE - screen->spared)
		abort(); /* it is larger than what libvterm is known to want */
	memory = screen->spare + screen->spared;
	screen->spared += size;
	return memory;
}

static void release(void *memory, void *user)
{
	struct screen *screen = user;
	unsigned char *byte = memory;

	if (byte < screen->spare || byte >= screen->spare + SPARE_SIZE)
		free(memory);
}

static VTerm *new_vterm(struct screen *screen, uint16_t width, uint16_t height)
{
	static VTermAllocatorFunctions functions = {allocate, release};

	return vterm_new_with_allocator(height, width, &functions, screen);
}

static void create_vterm(struct screen *screen, uint16_t width, uint16_t height)
{
	static const VTermStateCallbacks callbacks = {.putglyph = on_glyph, .erase = on_erase, .scrollrect = on_scroll};
	static const VTermStateCallbacks probe_callbacks = {.putglyph = on_probed};

	screen->vterm = new_vterm(screen, width, height);
	screen->probe = new_vterm(screen, 8, 1);
	vterm_set_utf8(screen->vterm, 1);
	vterm_set_utf8(screen->probe, 1);
	screen->state = vterm_obtain_state(screen->vterm);
	vterm_state_set_callbacks(screen->state, &callbacks, screen);
	vterm_state_reset(screen->state, 1);
	vterm_state_set_callbacks(vterm_obtain_state(screen->probe), &probe_callbacks, screen);
	vterm_state_reset(vterm_obtain_state(screen->probe), 1);
}

static bool is_size(uint16_t width, uint16_t height)
{
	return width && height && width <= SCREEN_WIDTH_MAX && height <= SCREEN_HEIGHT_MAX;
}

int screen_create(struct screen **screen, uint16_t width, uint16_t height, unsigned int scrollback)
{
	struct screen *created;
	int error;

	if (!is_size(width, height) || scrollback > SCREEN_SCROLLBACK_MAX)
		return -EINVAL;
	created = calloc(1, sizeof(*created));
	if (!created)
		return -ENOMEM;
	created->spare = calloc(1, SPARE_SIZE);
	if (!created->spare) {
		free(created);
		return -ENOMEM;
	}
	created->modes = MODES_AT_START;
	created->bottom = height;
	created->now = created->saved[0] = created->saved[1] = terminal_cursor();
	terminal_reset_tabs(created);
	error = grid_init(&created->grids[0], width, height);
	if (!error)
		error = grid_init(&created->grids[1], width, height);
	if (!error)
		error = history_init(&created->history, scrollback);
	if (error) {
		screen_destroy(created);
		return error;
	}
	create_vterm(created, width, height);
	if (created->spared) {
		screen_destroy(created);
		return -ENOMEM;
	}
	*screen = created;
	return 0;
}

void screen_destroy(struct screen *screen)
{
	if (!screen)
		return;
	if (screen->vterm)
		vterm_free(screen->vterm);
	if (screen->probe)
		vterm_free(screen->probe);
	grid_finish(&screen->grids[0]);
	grid_finish(&screen->grids[1]);
	history_finish(&screen->history);
	free(screen->spare);
	free(screen);
}

void screen_feed(struct screen *screen, const void *data, size_t length)
{
	parser_feed(&screen->parser, &terminal_events, screen, data, length);
}

/* How many rows at the top go, so that the row of this cursor stays. */
static unsigned int excess(const struct cursor *cursor, uint16_t height)
{
	return cursor->row < height ? 0 : cursor->row + 1U - height;
}

/* The cursor after so many rows have gone, in a terminal of another size. */
static void fit(struct cursor *cursor, unsigned int skipped, uint16_t width, uint16_t height)
{
	cursor->row = cursor->row > skipped ? (uint16_t)(cursor->row - skipped) : 0;
	cursor->row = cursor->row < height ? cursor->row : height - 1;
	cursor->column = cursor->column < width ? cursor->column : width - 1;
}

/* Everything but the grids. As in xterm, the scroll region and origin mode are reset. */
static void resize_state(struct screen *screen, const unsigned int *skipped, uint16_t width, uint16_t height)
{
	struct cursor now = screen->now;
	unsigned int which;

	/* Before libvterm gets its size: a region that lies outside makes it move rows that are not there. */
	terminal_send(screen, "\033[?6l\033[r", 8);
	vterm_set_size(screen->vterm, height, width);
	screen->now.origin = false;
	screen->top = 0;
	screen->bottom = height;
	for (which = 0; which < 2; which++)
		fit(&screen->saved[which], skipped[which], width, height);
	fit(&now, skipped[screen->alternate], width, height);
	terminal_move(screen, now.row, now.column);
}

/* Rows that no longer fit go from the top, those of the main screen to the scrollback. */
int screen_resize(struct screen *screen, uint16_t width, uint16_t height)
{
	struct grid resized[2];
	unsigned int skipped[2], which, row;

	if (!is_size(width, height))
		return -EINVAL;
	if (SPARE_SIZE - screen->spared < SPARE_OF_A_SIZE)
		return -ENOMEM;
	for (which = 0; which < 2; which++)
		skipped[which] = excess(which == screen->alternate ? &screen->now : &screen->saved[which], height);
	if (grid_copy(&resized[0], &screen->grids[0], width, height, skipped[0]))
		return -ENOMEM;
	if (grid_copy(&resized[1], &screen->grids[1], width, height, skipped[1])) {
		grid_finish(&resized[0]);
		return -ENOMEM;
	}
	for (row = 0; row < skipped[0]; row++)
		history_push(&screen->history, &screen->grids[0].rows[row]);
	for (which = 0; which < 2; which++) {
		grid_finish(&screen->grids[which]);
		screen->grids[which] = resized[which];
	}
	resize_state(screen, skipped, width, height);
	return 0;
}
