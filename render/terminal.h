// SPDX-License-Identifier: Apache-2.0
/*
 * The inside of struct screen, for the files that share it.
 *
 * libvterm moves the cursor, wraps lines, knows how wide characters are and says what to erase and to scroll. All else
 * is ours, for three reasons. It has no way to ask for what a redraw must know (most modes, the scroll region,
 * character sets, the saved cursor, whether the next character wraps). It gets some of it wrong (CSI s, modes behind
 * the first of a sequence, SGR with colons). And release 0.1.4 writes beyond its arrays when a sequence has more than
 * 16 arguments, loops for ever on a CSI b at the start, and moves its cursor to negative columns on C1 controls, so
 * that bytes from an instance must never reach it as they are: it gets whole characters and a few sequences that we
 * spell.
 */
#pragma once

#include "render/grid.h"
#include "render/parser.h"
#include "render/screen.h"

#include <stdbool.h>

#define TITLE_MAX 256

enum mode {
	MODE_CURSOR_KEYS,
	MODE_REVERSE,
	MODE_WRAP,
	MODE_BLINK,
	MODE_VISIBLE,
	MODE_KEYPAD,
	MODE_MOUSE_X10,
	MODE_MOUSE_CLICK,
	MODE_MOUSE_DRAG,
	MODE_MOUSE_MOVE,
	MODE_FOCUS,
	MODE_MOUSE_UTF8,
	MODE_MOUSE_SGR,
	MODE_MOUSE_URXVT,
	MODE_MOUSE_PIXELS,
	MODE_PASTE,
	MODE_DEC_END, /* those above are DEC private modes, see terminal_modes; those below are not */
	MODE_INSERT = MODE_DEC_END,
	MODE_NEWLINE,
};

#define MODE(mode) (1U << (mode))
#define MODES_AT_START (MODE(MODE_WRAP) | MODE(MODE_VISIBLE))

/* Numbers of the DEC private modes. */
extern const uint16_t terminal_modes[MODE_DEC_END];

/* What DECSC saves. Positions count from 0. */
struct cursor {
	uint16_t row, column;
	bool origin;
	uint8_t shift; /* which of the sets is in use */
	char sets[4];  /* the final bytes that designate them; B is ASCII, 0 draws lines, A is British */
	struct cell pen;
};

struct screen {
	struct VTerm *vterm, *probe;
	struct VTermState *state;
	unsigned char *spare; /* memory for libvterm, where there is no other; so much has been used: */
	size_t spared;
	struct parser parser;
	struct grid grids[2]; /* the main and the alternate screen */
	struct history history;
	struct cursor now, saved[2];
	uint16_t top, bottom; /* the scroll region is [top, bottom) */
	uint32_t modes;
	bool alternate;
	bool filled;       /* a character has been put into the last column, and the cursor is there */
	bool pending;      /* and the next one wraps */
	bool discards;     /* what scrolls now has been deleted */
	uint8_t single;    /* the set for one character */
	uint8_t shape;     /* DECSCUSR, 0 to 6 */
	uint8_t width;     /* of the character that was measured last */
	unsigned int edge; /* the column behind the character that was last put */
	uint8_t tabs[(SCREEN_WIDTH_MAX + 7) / 8];
	size_t title_length;
	char title[TITLE_MAX];
};

static inline struct grid *terminal_grid(struct screen *screen)
{
	return &screen->grids[screen->alternate];
}

/* The cursor as it is at the start. */
struct cursor terminal_cursor(void);

bool terminal_is_tab(const struct screen *screen, unsigned int column);
void terminal_set_tab(struct screen *screen, unsigned int column, bool set);
void terminal_reset_tabs(struct screen *screen);

/* Whole characters that the cursor's character sets have been applied to. */
void terminal_print(struct screen *screen, const char *text, size_t length);

/* The cell to the left of the cursor, the whole of it if it is wide. False: there is none. */
bool terminal_left(struct screen *screen, struct cell *cell);

/* What libvterm may get: short, and no more than what it is known to do well. The next character wraps no longer. */
void terminal_send(struct screen *screen, const char *bytes, size_t length);

/* CSI with one or two arguments, as above. */
void terminal_send_csi(struct screen *screen, unsigned int first, unsigned int second, char final);

/* Sets a mode that libvterm must know: `set` is h or l. The next character wraps if it did. */
void terminal_send_mode(struct screen *screen, const char *mode, char set);

/* Moves the cursor, as far as origin mode allows. */
void terminal_move(struct screen *screen, unsigned int row, unsigned int column);

/* What the parser found, in commands.c; `user` is the screen. */
extern const struct parser_events terminal_events;
