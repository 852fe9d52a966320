// SPDX-License-Identifier: Apache-2.0
/*
 * A descriptor that the loop looks at: owns both the descriptor and the uv handle, which cannot be freed before its
 * close callback has run. With no events wanted it costs the loop nothing.
 */
#pragma once

#include <uv.h>

struct watch;

/*
 * `events`: UV_READABLE, UV_WRITABLE; 0 when the kernel reports an error or a hang-up alone. That comes again and
 * again, unless the watch is destroyed or set to 0.
 */
typedef void (*watch_callback)(void *user, int events);

/* Takes over `fd` (and closes it if it fails). -errno. */
int watch_create(struct watch **watch, uv_loop_t *loop, int fd, watch_callback callback, void *user);

/* Closes the descriptor at once; no callback comes any more. NULL is allowed. */
void watch_destroy(struct watch *watch);

/* Which events are wanted; 0 = none. */
void watch_set(struct watch *watch, int events);

int watch_fd(const struct watch *watch);
