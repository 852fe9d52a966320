// SPDX-License-Identifier: Apache-2.0
/*
 * Targets as a keeper gets them and gives them back (KEEP, HELLO): flat bytes, of a version with the wire. Unpacking
 * checks everything and makes one allocation, to be freed with free(), that holds copies of all.
 */
#pragma once

#include "pty/targets/container.h"
#include "pty/targets/machine.h"
#include "pty/targets/program.h"

#include <stddef.h>

/* Flattens into `*packed`, to be freed by the caller. -E2BIG: more than WIRE_TAIL_MAX bytes. */
int pack_program(const struct console_program *program, void **packed, size_t *length);
int pack_container(const struct console_container *container, void **packed, size_t *length);
int pack_machine(const struct console_machine *machine, void **packed, size_t *length);

/* -EBADMSG: not one. */
int unpack_program(const void *packed, size_t length, struct console_program **program);
int unpack_container(const void *packed, size_t length, struct console_container **container);
int unpack_machine(const void *packed, size_t length, struct console_machine **machine);
