// SPDX-License-Identifier: Apache-2.0
#include "instances/keys.h"

#include "instances/layout.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* As xterm numbers them, less one ("PC-Style Function Keys" in its ctlseqs). */
enum {
	SHIFT = 1,
	ALT = 2,
	CTRL = 4,
	SUPER = 8,
};

static const struct {
	const char *name, *code;
	unsigned int modifier;
} modifiers[] = {
	{"ctrl-", "ctrl", CTRL},
	{"alt-", "alt", ALT},
	{"shift-", "shift", SHIFT},
	{"super-", "meta_l", SUPER},
};

#define MODIFIERS (sizeof(modifiers) / sizeof(modifiers[0]))

#define ENCODED_MAX 16 /* bytes of a key, and a NUL */

/* What a terminal sends. */
enum form {
	NOTHING, /* on a keyboard only */
	BREAK,   /* on a serial line only */
	BYTE,    /* this byte */
	LETTER,  /* ESC [ and this letter */
	FIRST,   /* ESC O and this letter; one of the first four function keys */
	NUMBER,  /* ESC [ this number ~ */
};

struct key {
	const char *name, *code; /* ours, QEMU's */
	enum form form;
	const char *sent;
};

static const struct key keys[] = {
	{"enter", "ret", BYTE, "\r"},
	{"return", "ret", BYTE, "\r"},
	{"ret", "ret", BYTE, "\r"},
	{"tab", "tab", BYTE, "\t"},
	{"esc", "esc", BYTE, "\x1b"},
	{"escape", "esc", BYTE, "\x1b"},
	{"backspace", "backspace", BYTE, "\x7f"},
	{"space", "spc", BYTE, " "},
	{"spc", "spc", BYTE, " "},
	{"up", "up", LETTER, "A"},
	{"down", "down", LETTER, "B"},
	{"right", "right", LETTER, "C"},
	{"left", "left", LETTER, "D"},
	{"end", "end", LETTER, "F"},
	{"home", "home", LETTER, "H"},
	{"insert", "insert", NUMBER, "2"},
	{"ins", "insert", NUMBER, "2"},
	{"delete", "delete", NUMBER, "3"},
	{"del", "delete", NUMBER, "3"},
	{"pageup", "pgup", NUMBER, "5"},
	{"pgup", "pgup", NUMBER, "5"},
	{"pagedown", "pgdn", NUMBER, "6"},
	{"pgdn", "pgdn", NUMBER, "6"},
	{"f1", "f1", FIRST, "P"},
	{"f2", "f2", FIRST, "Q"},
	{"f3", "f3", FIRST, "R"},
	{"f4", "f4", FIRST, "S"},
	{"f5", "f5", NUMBER, "15"},
	{"f6", "f6", NUMBER, "17"},
	{"f7", "f7", NUMBER, "18"},
	{"f8", "f8", NUMBER, "19"},
	{"f9", "f9", NUMBER, "20"},
	{"f10", "f10", NUMBER, "21"},
	{"f11", "f11", NUMBER, "23"},
	{"f12", "f12", NUMBER, "24"},
	{"break", NULL, BREAK, NULL},
	{"altgr", "alt_r", NOTHING, NULL},
	{"super", "meta_l", NOTHING, NULL},
};

/* Those that only a keyboard has, and for which we have QEMU's names. */
static const char *const others[] = {
	"ctrl",       "ctrl_r",  "alt",   "alt_r",    "shift",    "shift_r",     "meta_l",      "meta_r",
	"menu",       "compose", "print", "sysrq",    "pause",    "caps_lock",   "num_lock",    "scroll_lock",
	"less",       "kp_0",    "kp_1",  "kp_2",     "kp_3",     "kp_4",        "kp_5",        "kp_6",
	"kp_7",       "kp_8",    "kp_9",  "kp_enter", "kp_add",   "kp_subtract", "kp_multiply", "kp_divide",
	"kp_decimal", "power",   "sleep", "wake",     "volumeup", "volumedown",  "audiomute",
};

/* --- names --- */

static unsigned int take_modifiers(const char **name)
{
	unsigned int taken = 0;
	size_t i = 0;

	while (i < MODIFIERS) {
		size_t length = strlen(modifiers[i].name);

		if (strncasecmp(*name, modifiers[i].name, length) == 0 && (*name)[length]) {
			taken |= modifiers[i].modifier;
			*name += length;
			i = 0;
		} else {
			i++;
		}
	}
	return taken;
}

static const struct key *find(const char *name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcasecmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static const char *find_other(const char *name)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcasecmp(others[i], name) == 0)
			return others[i];
	return NULL;
}

/* What stands for itself. */
static bool is_character(const char *name)
{
	return isprint((unsigned char)name[0]) && !name[1];
}

static int unknown(const char *name, struct error *error)
{
	return error_set(error, -EINVAL, "Unknown key \"%s\"", name);
}

/* --- a terminal --- */

static int add_bytes(struct keys *typed, const char *bytes, size_t length, struct error *error)
{
	int r = buffer_append(&typed->bytes, bytes, length, KEYS_BYTES_MAX);

	return r == -EMSGSIZE ? error_set(error, r, "More than %d bytes to type", KEYS_BYTES_MAX) : r;
}

/* The byte that a character is, with what is held down of ctrl and shift; -1: none. */
static int press(char c, unsigned int held)
{
	if (held & SHIFT && !isalpha((unsigned char)c))
		return -1;
	if (!(held & CTRL))
		return held & SHIFT ? toupper((unsigned char)c) : c;
	if (c == '?')
		return 0x7f;
	return c == ' ' || (c >= '@' && c <= '_') || isalpha((unsigned char)c) ? c & 0x1f : -1;
}

/* The same with alt, which is an ESC before it. Returns how many bytes; 0: there is nothing to send. */
static size_t encode_byte(char c, unsigned int held, char bytes[static ENCODED_MAX])
{
	size_t length = 0;
	int code = (unsigned char)c;

	if (c == '\t' && held == SHIFT)
		return (size_t)sprintf(bytes, "\x1b[Z");
	if (held & (CTRL | SHIFT))
		code = isprint((unsigned char)c) ? press(c, held) : -1;
	if (code < 0)
		return 0;
	if (held & ALT)
		bytes[length++] = 0x1b;
	bytes[length++] = (char)code;
	return length;
}

static size_t encode_key(const struct key *key, unsigned int held, char bytes[static ENCODED_MAX])
{
	if (key->form == NOTHING || key->form == BREAK)
		return 0;
	if (key->form == BYTE)
		return encode_byte(key->sent[0], held, bytes);
	if (key->form == NUMBER && held)
		return (size_t)sprintf(bytes, "\x1b[%s;%u~", key->sent, held + 1);
	if (key->form == NUMBER)
		return (size_t)sprintf(bytes, "\x1b[%s~", key->sent);
	if (held)
		return (size_t)sprintf(bytes, "\x1b[1;%u%s", held + 1, key->sent);
	return (size_t)sprintf(bytes, "\x1b%c%s", key->form == FIRST ? 'O' : '[', key->sent);
}

static int add_break(struct keys *typed, struct error *error)
{
	if (!typed->serial)
		return error_set(error, -EINVAL, "Key \"break\" is only for serial ports");
	if (typed->break_count == KEYS_BREAKS_MAX)
		return error_set(error, -EMSGSIZE, "More than %d breaks to send", KEYS_BREAKS_MAX);
	typed->breaks[typed->break_count++] = typed->bytes.length;
	return 0;
}

static int add_to_terminal(struct keys *typed, const char *name, const char *base, unsigned int held,
			   struct error *error)
{
	const struct key *key = find(base);
	char bytes[ENCODED_MAX];
	size_t length;

	if (key && key->form == BREAK && !held)
		return add_break(typed, error);
	if (!key && !is_character(base) && !find_other(base))
		return unknown(name, error);
	length = key ? encode_key(key, held, bytes) : is_character(base) ? encode_byte(base[0], held, bytes) : 0;
	if (length == 0 || held & SUPER)
		return error_set(error, -EINVAL, "Key \"%s\" sends nothing on a terminal", name);
	return add_bytes(typed, bytes, length, error);
}

/* --- a keyboard --- */

static int add_chord(struct keys *typed, const struct chord *chord, struct error *error)
{
	struct chord *grown;

	if (typed->chord_count == KEYS_CHORDS_MAX)
		return error_set(error, -EMSGSIZE, "More than %d keys to type", KEYS_CHORDS_MAX);
	grown = reallocarray(typed->chords, typed->chord_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	typed->chords = grown;
	typed->chords[typed->chord_count++] = *chord;
	return 0;
}

/* -EINVAL: so many keys are not pressed at once. */
static int make_chord(struct chord *chord, unsigned int held, const char *code)
{
	size_t count = 0;

	*chord = (struct chord){0};
	for (size_t i = 0; i < MODIFIERS; i++)
		if (held & modifiers[i].modifier) {
			if (count == CHORD_KEYS_MAX - 1)
				return -EINVAL;
			chord->codes[count++] = modifiers[i].code;
		}
	chord->codes[count] = code;
	return 0;
}

static int add_to_keyboard(struct keys *typed, const char *name, const char *base, unsigned int held,
			   struct error *error)
{
	const struct key *key = find(base);
	const char *code = key ? key->code : find_other(base);
	struct chord chord;
	bool shift;

	if (key && key->form == BREAK)
		return add_break(typed, error);
	if (!code && is_character(base)) {
		code = layout_find(base[0], &shift);
		held |= shift ? SHIFT : 0;
	}
	if (!code || make_chord(&chord, held, code) < 0)
		return unknown(name, error);
	return add_chord(typed, &chord, error);
}

static int type_text(struct keys *typed, const char *text, struct error *error)
{
	struct chord chord;
	const char *code;
	bool shift;
	int r = 0;

	for (; *text && r == 0; text++) {
		code = layout_find(*text, &shift);
		if (!code)
			return error_set(error, -EINVAL, "There is no key for byte 0x%02x of the text on a US keyboard",
					 (unsigned char)*text);
		make_chord(&chord, shift ? SHIFT : 0, code);
		r = add_chord(typed, &chord, error);
	}
	return r;
}

/* --- both --- */

int keys_add_text(struct keys *typed, const char *text, struct error *error)
{
	return typed->keyboard ? type_text(typed, text, error) : add_bytes(typed, text, strlen(text), error);
}

int keys_add_key(struct keys *typed, const char *name, struct error *error)
{
	const char *base = name;
	unsigned int held = take_modifiers(&base);

	return typed->keyboard ? add_to_keyboard(typed, name, base, held, error)
			       : add_to_terminal(typed, name, base, held, error);
}

void keys_finish(struct keys *typed)
{
	buffer_finish(&typed->bytes);
	free(typed->chords);
	*typed = (struct keys){0};
}
