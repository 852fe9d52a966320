// SPDX-License-Identifier: Apache-2.0
/*
 * What an instance's config means: a driver turns it into something a keeper can run. One per kind of instance; the
 * first whose serves() says yes has it.
 */
#pragma once

#include "instances/store.h"
#include "pty/pack.h"
#include "util/error.h"

#include <stdbool.h>

/* Where and how an instance is started. */
struct driver_context {
	const char *directory; /* the daemon's own, absolute */
	bool running;          /* it runs already, without a keeper: it is to be taken on as it is */
	bool again;            /* it runs, and is to be stopped before: what it has taken for itself comes back then */
};

struct driver {
	const char *name;
	bool (*serves)(const struct store_row *row);
	/*
	 * Whether config and devices make sense together; asked when they are set. -EINVAL naming the key. May be NULL.
	 */
	int (*check)(const struct store_row *row, struct error *error);
	/*
	 * Packs what a keeper is to run, and makes what must be there before (a disk). Errors in words, naming the key;
	 * nothing is started or stopped here.
	 */
	int (*prepare)(const struct store_row *row, const struct driver_context *context, struct console_target *target,
		       struct error *error);
	/* Whether it runs although nobody keeps it: keeper and daemon are both gone. NULL: then it does not. */
	bool (*runs)(const struct store_row *row, const char *directory);
	/* It is being deleted: removes what crashes may have left of it outside its directories. May be NULL. */
	void (*forget)(const struct store_row *row);
};

/* A program on a PTY: process.command and its kin. */
extern const struct driver driver_process;

/* A serial device: serial.device and its kin. */
extern const struct driver driver_serial;

/* An LXC container: on the rootfs that device `root` names, or one that is defined below lxc.lxcpath. */
extern const struct driver driver_lxc;

/* A QEMU virtual machine: what has that type. */
extern const struct driver driver_qemu;

/* The driver for `row`, or NULL: its config names nothing to run. */
const struct driver *driver_find(const struct store_row *row);

/* driver::check() of the one for `row`; 0 where there is none. */
int driver_check(const struct store_row *row, struct error *error);
