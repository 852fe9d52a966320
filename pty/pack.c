// SPDX-License-Identifier: Apache-2.0
#include "pty/pack.h"
#include "pty/wire.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A program's fixed part; behind it directory, user ("" = none), argv and environment, each with its NUL. */
struct packed_program {
	uint32_t argc, envc;
	uint32_t uid, gid;
	uint32_t restart;
	uint16_t width, height;
};

/* A container's; behind it name, path, log and the items. */
struct packed_container {
	uint32_t count;
	uint8_t defined, running;
	uint16_t width, height;
	uint16_t reserved;
};

/* A machine's; behind it log, argv and environment. */
struct packed_machine {
	uint32_t argc, envc;
	uint32_t running;
};

/* A serial device's; behind it the device. */
struct packed_serial {
	uint32_t speed;
	uint8_t data_bits, stop_bits, parity, flow;
};

/* --- strings, one behind the other --- */

static int append_string(struct buffer *buffer, const char *string)
{
	return buffer_append(buffer, string, strlen(string) + 1, WIRE_TAIL_MAX);
}

static int append_strings(struct buffer *buffer, char *const *strings, uint32_t *count)
{
	int r = 0;

	for (*count = 0; r == 0 && strings[*count]; ++*count)
		r = append_string(buffer, strings[*count]);
	return r;
}

/* Puts the fixed part, which is complete now, to the place kept for it; or undoes all. */
static int finish(struct buffer *buffer, int r, const void *fixed, size_t size, struct console_target *target,
		  struct error *error)
{
	static const char *const names[CONSOLE_KINDS] = {"program", "container", "virtual machine", "serial device"};

	if (r < 0) {
		buffer_finish(buffer);
		r = r == -EMSGSIZE ? -E2BIG : r;
		return error_set(error, r, "%s: %s", names[target->kind], strerror(-r));
	}
	memcpy(buffer->data, fixed, size);
	target->data = buffer->data;
	target->length = buffer->length;
	return 0;
}

void console_target_finish(struct console_target *target)
{
	free(move_pointer(target->data));
}

/* Takes the next string of [*at, end), or returns NULL if none ends there. */
static char *next_string(char **at, char *end)
{
	char *string = *at;
	char *terminator = memchr(string, '\0', (size_t)(end - string));

	if (!terminator)
		return NULL;
	*at = terminator + 1;
	return string;
}

static bool next_vector(char **at, char *end, char **vector, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		vector[i] = next_string(at, end);
		if (!vector[i])
			return false;
	}
	vector[count] = NULL;
	return true;
}

/* --- programs --- */

int pack_program(const struct console_program *program, struct console_target *target, struct error *error)
{
	struct packed_program fixed = {
		.uid = program->uid,
		.gid = program->gid,
		.restart = program->restart,
		.width = program->width,
		.height = program->height,
	};
	struct buffer buffer = {0};
	int r;

	*target = (struct console_target){.kind = CONSOLE_PROGRAM, .width = program->width, .height = program->height};
	r = buffer_append(&buffer, &fixed, sizeof(fixed), WIRE_TAIL_MAX);
	if (r == 0)
		r = append_string(&buffer, program->directory);
	if (r == 0)
		r = append_string(&buffer, program->user ? program->user : "");
	if (r == 0)
		r = append_strings(&buffer, program->argv, &fixed.argc);
	if (r == 0)
		r = append_strings(&buffer, program->environment, &fixed.envc);
	return finish(&buffer, r, &fixed, sizeof(fixed), target, error);
}

static bool program_valid(const struct packed_program *fixed, size_t rest)
{
	return fixed->argc > 0 && fixed->restart <= CONSOLE_RESTART_ALWAYS &&
	       (uint64_t)fixed->argc + fixed->envc + 2 <= rest; /* each string has at least its NUL */
}

int unpack_program(const void *packed, size_t length, struct console_program **result)
{
	cleanup_free struct console_program *program = NULL;
	struct packed_program fixed;
	char **argv, **environment, *at, *end;
	size_t vectors, rest;

	if (length < sizeof(fixed) || length > WIRE_TAIL_MAX)
		return -EBADMSG;
	memcpy(&fixed, packed, sizeof(fixed));
	rest = length - sizeof(fixed);
	if (!program_valid(&fixed, rest))
		return -EBADMSG;
	vectors = ((size_t)fixed.argc + fixed.envc + 2) * sizeof(char *);
	program = malloc(sizeof(*program) + vectors + rest);
	if (!program)
		return -ENOMEM;
	argv = (char **)(program + 1);
	environment = argv + fixed.argc + 1;
	at = (char *)argv + vectors;
	end = at + rest;
	memcpy(at, (const char *)packed + sizeof(fixed), rest);
	*program = (struct console_program){
		.argv = argv,
		.environment = environment,
		.uid = fixed.uid,
		.gid = fixed.gid,
		.restart = (enum console_restart)fixed.restart,
		.width = fixed.width,
		.height = fixed.height,
	};
	program->directory = next_string(&at, end);
	program->user = next_string(&at, end);
	if (!program->directory || program->directory[0] != '/' || !program->user)
		return -EBADMSG;
	if (!next_vector(&at, end, argv, fixed.argc) || !next_vector(&at, end, environment, fixed.envc) || at != end)
		return -EBADMSG;
	if (program->user[0] == '\0')
		program->user = NULL;
	*result = move_pointer(program);
	return 0;
}

/* --- containers --- */

int pack_container(const struct console_container *container, struct console_target *target, struct error *error)
{
	struct packed_container fixed = {
		.defined = container->defined,
		.running = container->running,
		.width = container->width,
		.height = container->height,
	};
	struct buffer buffer = {0};
	int r;

	*target = (struct console_target){.kind = CONSOLE_CONTAINER,
					  .running = container->running,
					  .width = container->width,
					  .height = container->height};
	r = buffer_append(&buffer, &fixed, sizeof(fixed), WIRE_TAIL_MAX);
	if (r == 0)
		r = append_string(&buffer, container->name);
	if (r == 0)
		r = append_string(&buffer, container->path);
	if (r == 0)
		r = append_string(&buffer, container->log);
	if (r == 0)
		r = append_strings(&buffer, container->items, &fixed.count);
	return finish(&buffer, r, &fixed, sizeof(fixed), target, error);
}

static bool container_valid(const struct console_container *container)
{
	return container->name && container->name[0] && !strchr(container->name, '/') && container->path &&
	       container->path[0] == '/' && container->log && container->log[0] == '/';
}

int unpack_container(const void *packed, size_t length, struct console_container **result)
{
	cleanup_free struct console_container *container = NULL;
	struct packed_container fixed;
	size_t vector, rest;
	char **items, *at, *end;

	if (length < sizeof(fixed) || length > WIRE_TAIL_MAX)
		return -EBADMSG;
	memcpy(&fixed, packed, sizeof(fixed));
	rest = length - sizeof(fixed);
	if (fixed.defined > 1 || fixed.running > 1 || fixed.reserved != 0 || (uint64_t)fixed.count + 3 > rest)
		return -EBADMSG;
	vector = ((size_t)fixed.count + 1) * sizeof(char *);
	container = malloc(sizeof(*container) + vector + rest);
	if (!container)
		return -ENOMEM;
	items = (char **)(container + 1);
	at = (char *)items + vector;
	end = at + rest;
	memcpy(at, (const char *)packed + sizeof(fixed), rest);
	*container = (struct console_container){
		.items = items,
		.defined = fixed.defined,
		.running = fixed.running,
		.width = fixed.width,
		.height = fixed.height,
	};
	container->name = next_string(&at, end);
	container->path = container->name ? next_string(&at, end) : NULL;
	container->log = container->path ? next_string(&at, end) : NULL;
	if (!container_valid(container) || !next_vector(&at, end, items, fixed.count) || at != end)
		return -EBADMSG;
	*result = move_pointer(container);
	return 0;
}

/* --- machines --- */

int pack_machine(const struct console_machine *machine, struct console_target *target, struct error *error)
{
	struct packed_machine fixed = {.running = machine->running};
	struct buffer buffer = {0};
	int r;

	*target = (struct console_target){.kind = CONSOLE_MACHINE, .running = machine->running};
	r = buffer_append(&buffer, &fixed, sizeof(fixed), WIRE_TAIL_MAX);
	if (r == 0)
		r = append_string(&buffer, machine->log);
	if (r == 0)
		r = append_strings(&buffer, machine->argv, &fixed.argc);
	if (r == 0)
		r = append_strings(&buffer, machine->environment, &fixed.envc);
	return finish(&buffer, r, &fixed, sizeof(fixed), target, error);
}

int unpack_machine(const void *packed, size_t length, struct console_machine **result)
{
	cleanup_free struct console_machine *machine = NULL;
	struct packed_machine fixed;
	char **argv, **environment, *at, *end;
	size_t vectors, rest;

	if (length < sizeof(fixed) || length > WIRE_TAIL_MAX)
		return -EBADMSG;
	memcpy(&fixed, packed, sizeof(fixed));
	rest = length - sizeof(fixed);
	if (fixed.argc == 0 || fixed.running > 1 || (uint64_t)fixed.argc + fixed.envc + 1 > rest)
		return -EBADMSG;
	vectors = ((size_t)fixed.argc + fixed.envc + 2) * sizeof(char *);
	machine = malloc(sizeof(*machine) + vectors + rest);
	if (!machine)
		return -ENOMEM;
	argv = (char **)(machine + 1);
	environment = argv + fixed.argc + 1;
	at = (char *)argv + vectors;
	end = at + rest;
	memcpy(at, (const char *)packed + sizeof(fixed), rest);
	*machine = (struct console_machine){.argv = argv, .environment = environment, .running = fixed.running};
	machine->log = next_string(&at, end);
	if (!machine->log || machine->log[0] != '/')
		return -EBADMSG;
	if (!next_vector(&at, end, argv, fixed.argc) || !next_vector(&at, end, environment, fixed.envc) || at != end)
		return -EBADMSG;
	*result = move_pointer(machine);
	return 0;
}

/* --- serial devices --- */

int pack_serial(const struct console_serial *serial, struct console_target *target, struct error *error)
{
	struct packed_serial fixed = {
		.speed = serial->speed,
		.data_bits = serial->data_bits,
		.stop_bits = serial->stop_bits,
		.parity = (uint8_t)serial->parity,
		.flow = (uint8_t)serial->flow,
	};
	struct buffer buffer = {0};
	int r;

	*target = (struct console_target){.kind = CONSOLE_SERIAL};
	r = buffer_append(&buffer, &fixed, sizeof(fixed), WIRE_TAIL_MAX);
	if (r == 0)
		r = append_string(&buffer, serial->device);
	return finish(&buffer, r, &fixed, sizeof(fixed), target, error);
}

static bool serial_valid(const struct packed_serial *fixed)
{
	return fixed->speed > 0 && fixed->data_bits >= 5 && fixed->data_bits <= 8 && fixed->stop_bits >= 1 &&
	       fixed->stop_bits <= 2 && fixed->parity && strchr("neo", fixed->parity) && fixed->flow < SERIAL_FLOWS;
}

int unpack_serial(const void *packed, size_t length, struct console_serial **result)
{
	cleanup_free struct console_serial *serial = NULL;
	struct packed_serial fixed;
	char *at, *end;
	size_t rest;

	if (length < sizeof(fixed) || length > WIRE_TAIL_MAX)
		return -EBADMSG;
	memcpy(&fixed, packed, sizeof(fixed));
	if (!serial_valid(&fixed))
		return -EBADMSG;
	rest = length - sizeof(fixed);
	serial = malloc(sizeof(*serial) + rest);
	if (!serial)
		return -ENOMEM;
	at = (char *)(serial + 1);
	end = at + rest;
	memcpy(at, (const char *)packed + sizeof(fixed), rest);
	*serial = (struct console_serial){
		.speed = fixed.speed,
		.data_bits = fixed.data_bits,
		.stop_bits = fixed.stop_bits,
		.parity = (char)fixed.parity,
		.flow = (enum serial_flow)fixed.flow,
	};
	serial->device = next_string(&at, end);
	if (!serial->device || serial->device[0] != '/' || at != end)
		return -EBADMSG;
	*result = move_pointer(serial);
	return 0;
}
