// SPDX-License-Identifier: Apache-2.0
/* What keeper and daemon receive from each other: a record, and the target in it. */
#include "pty/pack.h"
#include "pty/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A program that was accepted is one that packs to the same again. */
static void check_program(const void *data, size_t length)
{
	struct console_program *program;
	struct console_target packed;

	if (unpack_program(data, length, &program) < 0)
		return;
	if (pack_program(program, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(program);
}

static void check_container(const void *data, size_t length)
{
	struct console_container *container;
	struct console_target packed;

	if (unpack_container(data, length, &container) < 0)
		return;
	if (pack_container(container, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(container);
}

static void check_machine(const void *data, size_t length)
{
	struct console_machine *machine;
	struct console_target packed;

	if (unpack_machine(data, length, &machine) < 0)
		return;
	if (pack_machine(machine, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(machine);
}

static void check_serial(const void *data, size_t length)
{
	struct console_serial *serial;
	struct console_target packed;

	if (unpack_serial(data, length, &serial) < 0)
		return;
	if (pack_serial(serial, &packed, NULL) < 0 || packed.length != length || memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(serial);
}

static void check_target(const void *data, size_t length)
{
	check_program(data, length);
	check_container(data, length);
	check_machine(data, length);
	check_serial(data, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message message;
	const void *tail;

	if (wire_decode(data, size, &message, &tail) == 0)
		check_target(tail, message.tail_length);
	check_target(data, size);
	return 0;
}
