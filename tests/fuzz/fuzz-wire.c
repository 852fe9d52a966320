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
	size_t packed_length;
	void *packed;

	if (unpack_program(data, length, &program) < 0)
		return;
	if (pack_program(program, &packed, &packed_length) < 0 || packed_length != length ||
	    memcmp(packed, data, length) != 0)
		abort();
	free(packed);
	free(program);
}

static void check_container(const void *data, size_t length)
{
	struct console_container *container;
	size_t packed_length;
	void *packed;

	if (unpack_container(data, length, &container) < 0)
		return;
	if (pack_container(container, &packed, &packed_length) < 0 || packed_length != length ||
	    memcmp(packed, data, length) != 0)
		abort();
	free(packed);
	free(container);
}

static void check_machine(const void *data, size_t length)
{
	struct console_machine *machine;
	size_t packed_length;
	void *packed;

	if (unpack_machine(data, length, &machine) < 0)
		return;
	if (pack_machine(machine, &packed, &packed_length) < 0 || packed_length != length ||
	    memcmp(packed, data, length) != 0)
		abort();
	free(packed);
	free(machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message message;
	const void *tail;

	if (wire_decode(data, size, &message, &tail) == 0)
		check_program(tail, message.tail_length);
	check_program(data, size);
	check_container(data, size);
	check_machine(data, size);
	return 0;
}
