// SPDX-License-Identifier: Apache-2.0
/*
 * Targets, which are what keepers keep, as a keeper gets them (KEEP, STOP) and run/NAME/target has them: flat bytes, of
 * a version with the wire. Unpacking checks everything and makes one allocation, to be freed with free(), that holds
 * copies of all.
 */
#pragma once

#include "pty/targets/container.h"
#include "pty/targets/machine.h"
#include "pty/targets/program.h"
#include "pty/targets/serial.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept, and so which keeper it needs. */
enum console_kind {
	CONSOLE_PROGRAM,
	CONSOLE_CONTAINER,
	CONSOLE_MACHINE,
	CONSOLE_SERIAL,
	CONSOLE_KINDS,
};

/* A packed target, and what a console has to know of it. */
struct console_target {
	enum console_kind kind;
	bool running;           /* it runs already, and is to be taken on */
	uint16_t width, height; /* of the terminal that is made for it */
	void *data;
	size_t length;
};

/*
 * Flattens into `target`, which is overwritten, and the caller's to finish. -E2BIG: more than WIRE_TAIL_MAX bytes;
 * -ENOMEM; there is nothing to finish then.
 */
int pack_program(const struct console_program *program, struct console_target *target, struct error *error);
int pack_container(const struct console_container *container, struct console_target *target, struct error *error);
int pack_machine(const struct console_machine *machine, struct console_target *target, struct error *error);
int pack_serial(const struct console_serial *serial, struct console_target *target, struct error *error);

/* Frees the bytes. Nothing happens to an empty one. */
void console_target_finish(struct console_target *target);

#define cleanup_target __attribute__((cleanup(console_target_finish)))

/* -EBADMSG: not one. */
int unpack_program(const void *packed, size_t length, struct console_program **program);
int unpack_container(const void *packed, size_t length, struct console_container **container);
int unpack_machine(const void *packed, size_t length, struct console_machine **machine);
int unpack_serial(const void *packed, size_t length, struct console_serial **serial);
