// SPDX-License-Identifier: Apache-2.0
/* A picture of what a virtual machine's screen shows, as PNG; from QEMU's monitor, through memory alone. */
#pragma once

#include "util/error.h"

#include <stddef.h>
#include <uv.h>

#define SCREENSHOT_MAX (64 * 1024 * 1024) /* bytes; a larger one is refused */

struct screenshot;

/*
 * The picture (`png`, malloc'ed, the callee's from here on), or NULL and `error`. Called once, from the loop; the
 * screenshot is gone when this returns.
 */
typedef void (*screenshot_done)(void *user, char *png, size_t length, const struct error *error);

/*
 * Has QEMU, whose private directory is `directory` (borrowed during the call), take a picture; `timeout_ms` bounds all
 * of it. -errno with the reason: `done` will not be called.
 */
int screenshot_take(struct screenshot **screenshot, uv_loop_t *loop, int directory, unsigned int timeout_ms,
		    screenshot_done done, void *user, struct error *error);

/* Nobody wants it any more; `done` will not be called. NULL is allowed. */
void screenshot_cancel(struct screenshot *screenshot);
