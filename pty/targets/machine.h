// SPDX-License-Identifier: Apache-2.0
/* A QEMU virtual machine, as the daemon tells a keeper for machines (consoled-keeper-qemu) what to start. */
#pragma once

#include <stdbool.h>

/* What a keeper is to run: a machine. */
struct console_machine {
	/*
	 * QEMU and its options, NULL-terminated; argv[0] is looked up in the PATH of `environment`. "auto" behind
	 * "-accel" is decided by the keeper (targets/accel.h), which also adds the console and the monitors, see
	 * targets/qemu.h.
	 */
	char *const *argv;
	char *const *environment; /* NULL-terminated "NAME=value" */
	const char *log;          /* what QEMU prints, absolute: begun anew with each start */
	bool running;             /* it runs already: its keeper and daemon are both gone; it is to be taken on */
};
