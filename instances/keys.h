// SPDX-License-Identifier: Apache-2.0
/*
 * Text and the names of keys, as what a terminal sends, or as what is pressed on a keyboard.
 *
 * A name is a printable ASCII character (`a`, `A`, `-`) or a word (`enter`, `up`, `f1`), of any case, behind any of
 * `ctrl-`, `alt-`, `shift-`, `super-`. A terminal sends what xterm and a VT220 do, in their normal modes: which modes
 * the program at the other end has set is not looked at. A keyboard has the US layout, and QEMU's names for its keys
 * are known as well (QKeyCode).
 */
#pragma once

#include "spice/keyboard.h"
#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

#define KEYS_BYTES_MAX (64 * 1024)
#define KEYS_CHORDS_MAX 1024
#define KEYS_BREAKS_MAX 16

struct keys {
	bool keyboard; /* otherwise a terminal */
	bool serial;   /* a terminal whose line can be broken (the key `break`) */

	struct buffer bytes;            /* of a terminal */
	size_t breaks[KEYS_BREAKS_MAX]; /* each comes before the byte at this place */
	size_t break_count;

	struct chord *chords; /* of a keyboard */
	size_t chord_count;
};

/*
 * Appends. A line's end in the text is the enter key on a keyboard, and itself to a terminal. -EINVAL: it cannot be
 * typed; -EMSGSIZE: it is too much; both in words; -ENOMEM.
 */
int keys_add_text(struct keys *keys, const char *text, struct error *error);
int keys_add_key(struct keys *keys, const char *name, struct error *error);

/* Releases the memory. */
void keys_finish(struct keys *keys);
