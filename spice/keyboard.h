// SPDX-License-Identifier: Apache-2.0
/*
 * Typing on a virtual machine's keyboard, by its monitor. QEMU presses the keys of a chord, holds them, lets go of them
 * and waits as long; what is to be typed meanwhile it queues, and drops when the queue is full. So this types a few
 * chords at a time, and waits until they have been typed.
 */
#pragma once

#include "spice/monitor.h"

#include <stddef.h>

#define CHORD_KEYS_MAX 4
#define KEYBOARD_HOLD_MS 10 /* twice that for each chord */

/* Keys that are pressed together: QEMU's names for them (QKeyCode), static; NULL: no more. */
struct chord {
	const char *codes[CHORD_KEYS_MAX];
};

struct keyboard;

/*
 * All has been typed (`error` is NULL), or `error` says what went wrong, as of a visit to the monitor; a part may have
 * been typed then. Called once, from the loop; the keyboard is gone when this returns.
 */
typedef void (*keyboard_done)(void *user, const struct error *error);

/*
 * Types. `directory` is borrowed during the call, `chords` until `done`. -errno with the reason: `done` will not be
 * called.
 */
int keyboard_type(struct keyboard **keyboard, uv_loop_t *loop, int directory, const struct chord *chords, size_t count,
		  keyboard_done done, void *user, struct error *error);

/* Types no more; `done` will not be called. NULL is allowed. */
void keyboard_cancel(struct keyboard *keyboard);
