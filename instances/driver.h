// SPDX-License-Identifier: Apache-2.0
/*
 * What an instance's config means: a driver turns it into something a keeper can run. One per kind of instance; the
 * first whose serves() says yes has it.
 */
#pragma once

#include "instances/store.h"
#include "pty/console.h"
#include "util/error.h"

#include <stdbool.h>

struct driver {
	const char *name;
	bool (*serves)(const struct store_row *row);
	/*
	 * Starts the instance on its console. 0: the console's `started` or `failed` follows. Errors in words, naming
	 * the key; nothing runs then.
	 */
	int (*start)(const struct store_row *row, struct console *console, struct error *error);
};

/* A program on a PTY: process.command and its kin. */
extern const struct driver driver_process;

/* The driver for `row`, or NULL: its config names nothing to run. */
const struct driver *driver_find(const struct store_row *row);
