// SPDX-License-Identifier: Apache-2.0
/*
 * A visit to QEMU's monitor: a connection to the socket `qmp` in a machine's private directory, for one errand. QEMU
 * listens to one visitor at a time, the others queue in the socket's backlog; so visits are short, and bounded.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#define MONITOR_SOCKET "qmp"
#define MONITOR_TIMEOUT_MS 10000 /* what an errand of a few commands is given */

struct monitor;

/* One thing to ask. An array of these is an errand; a row without `command` ends it. */
struct monitor_step {
	const char *command;
	json_t *arguments; /* borrowed until the end of the visit; NULL: none */
	int fd;            /* to go along with it (SCM_RIGHTS); borrowed; 0: none */
	bool may_fail;     /* QEMU may say no to it */
};

/*
 * The visit is over: every step has been answered (`error` is NULL), or `error` says what went wrong: QEMU's own words
 * (-EIO), -ETIMEDOUT, -EPIPE: it has ended, -EBADMSG: it does not speak QMP, and what the system says. Called once,
 * from the loop; the monitor is gone when this returns.
 */
typedef void (*monitor_done)(struct monitor *monitor, void *user, const struct error *error);

/*
 * Goes there and asks, one step after the other; the first error ends the visit, and so do `timeout_ms` for all of it.
 * `directory` is borrowed during the call, `steps` until `done`. -errno with the reason (-EIO: nobody is there): `done`
 * will not be called.
 */
int monitor_visit(struct monitor **monitor, uv_loop_t *loop, int directory, const struct monitor_step *steps,
		  unsigned int timeout_ms, monitor_done done, void *user, struct error *error);

/* Breaks off the visit; `done` will not be called. NULL is allowed. */
void monitor_cancel(struct monitor *monitor);
