// SPDX-License-Identifier: Apache-2.0
/* An LXC container, as the daemon tells a keeper for containers (consoled-keeper-lxc) what to start or to adopt. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How much of the console's output there is to be had. */
enum console_output {
	CONSOLE_OUTPUT_ALL,
	CONSOLE_OUTPUT_HISTORY, /* what was printed until it was taken on: somebody else reads it now */
	CONSOLE_OUTPUTS,
};

/* What a keeper is to run: a container. */
struct console_container {
	const char *name; /* liblxc's, below `path` */
	const char *path; /* lxcpath, absolute: exists already */
	/*
	 * Its config is `path`/`name`/config (lxc.container.conf(5)); `items` go over it. Otherwise `items` are all
	 * there is.
	 */
	bool defined;
	/*
	 * It runs already, and is to be taken on as it is: somebody else has started it, or the keeper and the daemon
	 * that did are both gone. Then `items` mean nothing until it is started again.
	 */
	bool running;
	/*
	 * lxc.container.conf(5), one "key=value" each, in this order, without blanks around the '='; ended by NULL.
	 * What says where the console and liblxc's log are (lxc.console.*, lxc.log.file) is set by the keeper, after
	 * them.
	 */
	char *const *items;
	const char *log;        /* liblxc's log, absolute: begun anew with each start */
	uint16_t width, height; /* 0: 80x24 */
};
