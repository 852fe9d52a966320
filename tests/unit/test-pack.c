// SPDX-License-Identifier: Apache-2.0
/* Targets as they are packed. */
#include "pty/pack.h"
#include "pty/wire.h"
#include "util/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_program(void **state)
{
	struct console_program program = {
		.argv = (char *const[]){(char *)"a", (char *)"", (char *)"c d", NULL},
		.environment = (char *const[]){(char *)"X=1", NULL},
		.directory = "/tmp",
		.user = "nobody",
		.uid = 1,
		.gid = 2,
		.restart = CONSOLE_RESTART_ALWAYS,
		.width = 3,
		.height = 4,
	};
	struct console_program *same;
	struct console_target packed;

	assert_int_equal(pack_program(&program, &packed, NULL), 0);
	assert_int_equal(packed.kind, CONSOLE_PROGRAM);
	assert_false(packed.running);
	assert_int_equal(packed.width, 3);
	assert_int_equal(packed.height, 4);
	assert_int_equal(unpack_program(packed.data, packed.length, &same), 0);
	for (int i = 0; i < 3; i++)
		assert_string_equal(same->argv[i], program.argv[i]);
	assert_null(same->argv[3]);
	assert_string_equal(same->environment[0], "X=1");
	assert_null(same->environment[1]);
	assert_string_equal(same->directory, "/tmp");
	assert_string_equal(same->user, "nobody");
	assert_int_equal(same->uid, 1);
	assert_int_equal(same->gid, 2);
	assert_int_equal(same->restart, CONSOLE_RESTART_ALWAYS);
	assert_int_equal(same->width, 3);
	assert_int_equal(same->height, 4);
	free(same);
	for (size_t cut = 0; cut < packed.length; cut++)
		assert_int_equal(unpack_program(packed.data, cut, &same), -EBADMSG);
	console_target_finish(&packed);
}

static void test_container(void **state)
{
	struct console_container container = {
		.name = "c1",
		.path = "/var/lib/lxc",
		.defined = true,
		.items = (char *const[]){(char *)"lxc.uts.name=c1", (char *)"lxc.environment=A=b\nc", NULL},
		.log = "/tmp/log",
		.width = 3,
		.height = 4,
	};
	struct console_container *same;
	struct console_target packed;

	assert_int_equal(pack_container(&container, &packed, NULL), 0);
	assert_int_equal(packed.kind, CONSOLE_CONTAINER);
	assert_false(packed.running);
	assert_int_equal(packed.width, 3);
	assert_int_equal(packed.height, 4);
	assert_int_equal(unpack_container(packed.data, packed.length, &same), 0);
	assert_string_equal(same->name, "c1");
	assert_string_equal(same->path, "/var/lib/lxc");
	assert_true(same->defined);
	assert_false(same->running);
	assert_string_equal(same->items[0], "lxc.uts.name=c1");
	assert_string_equal(same->items[1], "lxc.environment=A=b\nc");
	assert_null(same->items[2]);
	assert_string_equal(same->log, "/tmp/log");
	assert_int_equal(same->width, 3);
	assert_int_equal(same->height, 4);
	free(same);
	for (size_t cut = 0; cut < packed.length; cut++)
		assert_int_equal(unpack_container(packed.data, cut, &same), -EBADMSG);
	console_target_finish(&packed);
}

/* A name is a directory's and a socket's: none that would lead elsewhere. */
static void test_wrong_container(void **state)
{
	static const char *const wrong[][3] = {
		{"", "/p", "/l"}, {"a/b", "/p", "/l"}, {"c", "p", "/l"}, {"c", "/p", "l"}, {"c", "/p", ""}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct console_container container = {
			.name = wrong[i][0], .path = wrong[i][1], .log = wrong[i][2], .items = (char *const[]){NULL}};
		struct console_container *same;
		struct console_target packed;

		assert_int_equal(pack_container(&container, &packed, NULL), 0);
		assert_int_equal(unpack_container(packed.data, packed.length, &same), -EBADMSG);
		console_target_finish(&packed);
	}
}

static void test_machine(void **state)
{
	struct console_machine machine = {
		.argv = (char *const[]){(char *)"qemu", (char *)"-m", (char *)"16", NULL},
		.environment = (char *const[]){(char *)"X=1", NULL},
		.log = "/tmp/log",
		.running = true,
	};
	struct console_machine *same;
	struct console_target packed;

	assert_int_equal(pack_machine(&machine, &packed, NULL), 0);
	assert_int_equal(packed.kind, CONSOLE_MACHINE);
	assert_true(packed.running);
	assert_int_equal(unpack_machine(packed.data, packed.length, &same), 0);
	for (int i = 0; i < 3; i++)
		assert_string_equal(same->argv[i], machine.argv[i]);
	assert_null(same->argv[3]);
	assert_string_equal(same->environment[0], "X=1");
	assert_null(same->environment[1]);
	assert_string_equal(same->log, "/tmp/log");
	assert_true(same->running);
	free(same);
	for (size_t cut = 0; cut < packed.length; cut++)
		assert_int_equal(unpack_machine(packed.data, cut, &same), -EBADMSG);
	console_target_finish(&packed);
}

static void test_wrong_machine(void **state)
{
	struct console_machine none = {
		.argv = (char *const[]){NULL}, .environment = (char *const[]){NULL}, .log = "/l"};
	struct console_machine relative = {
		.argv = (char *const[]){(char *)"qemu", NULL}, .environment = (char *const[]){NULL}, .log = "l"};
	struct console_machine *same;
	struct console_target packed;

	assert_int_equal(pack_machine(&none, &packed, NULL), 0);
	assert_int_equal(unpack_machine(packed.data, packed.length, &same), -EBADMSG);
	console_target_finish(&packed);
	assert_int_equal(pack_machine(&relative, &packed, NULL), 0);
	assert_int_equal(unpack_machine(packed.data, packed.length, &same), -EBADMSG);
	console_target_finish(&packed);
}

static void test_serial(void **state)
{
	struct console_serial serial = {
		.device = "/dev/ttyUSB0",
		.speed = 9600,
		.data_bits = 7,
		.stop_bits = 2,
		.parity = 'e',
		.flow = SERIAL_FLOW_XONXOFF,
	};
	struct console_serial *same;
	struct console_target packed;

	assert_int_equal(pack_serial(&serial, &packed, NULL), 0);
	assert_int_equal(packed.kind, CONSOLE_SERIAL);
	assert_false(packed.running);
	assert_int_equal(unpack_serial(packed.data, packed.length, &same), 0);
	assert_string_equal(same->device, "/dev/ttyUSB0");
	assert_int_equal(same->speed, 9600);
	assert_int_equal(same->data_bits, 7);
	assert_int_equal(same->stop_bits, 2);
	assert_int_equal(same->parity, 'e');
	assert_int_equal(same->flow, SERIAL_FLOW_XONXOFF);
	free(same);
	for (size_t cut = 0; cut < packed.length; cut++)
		assert_int_equal(unpack_serial(packed.data, cut, &same), -EBADMSG);
	console_target_finish(&packed);
}

static void test_wrong_serial(void **state)
{
	static const struct console_serial wrong[] = {
		{"dev", 9600, 8, 1, 'n', SERIAL_FLOW_NONE}, {"", 9600, 8, 1, 'n', SERIAL_FLOW_NONE},
		{"/d", 0, 8, 1, 'n', SERIAL_FLOW_NONE},     {"/d", 9600, 4, 1, 'n', SERIAL_FLOW_NONE},
		{"/d", 9600, 9, 1, 'n', SERIAL_FLOW_NONE},  {"/d", 9600, 8, 0, 'n', SERIAL_FLOW_NONE},
		{"/d", 9600, 8, 3, 'n', SERIAL_FLOW_NONE},  {"/d", 9600, 8, 1, 'm', SERIAL_FLOW_NONE},
		{"/d", 9600, 8, 1, '\0', SERIAL_FLOW_NONE}, {"/d", 9600, 8, 1, 'n', SERIAL_FLOWS},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct console_serial *same;
		struct console_target packed;

		assert_int_equal(pack_serial(&wrong[i], &packed, NULL), 0);
		assert_int_equal(unpack_serial(packed.data, packed.length, &same), -EBADMSG);
		console_target_finish(&packed);
	}
}

static void test_too_long(void **state)
{
	cleanup_free char *word = calloc(1, WIRE_TAIL_MAX + 1);
	char *argv[] = {(char *)"echo", word, NULL}, *none[] = {NULL};
	struct console_program program = {.argv = argv, .environment = none, .directory = "/"};
	struct console_container container = {.name = "c", .path = "/p", .log = "/l", .items = argv};
	struct console_machine machine = {.argv = argv, .environment = none, .log = "/l"};
	struct console_serial serial = {.device = word};
	struct console_target packed;
	struct error error = {0};

	memset(word, 'x', WIRE_TAIL_MAX);
	assert_int_equal(pack_program(&program, &packed, &error), -E2BIG);
	assert_string_equal(error.text, "program: Argument list too long");
	assert_null(packed.data);
	assert_int_equal(pack_container(&container, &packed, &error), -E2BIG);
	assert_string_equal(error.text, "container: Argument list too long");
	assert_int_equal(pack_machine(&machine, &packed, &error), -E2BIG);
	assert_string_equal(error.text, "virtual machine: Argument list too long");
	assert_int_equal(pack_serial(&serial, &packed, &error), -E2BIG);
	assert_string_equal(error.text, "serial device: Argument list too long");
	console_target_finish(&packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),         cmocka_unit_test(test_container),
		cmocka_unit_test(test_wrong_container), cmocka_unit_test(test_machine),
		cmocka_unit_test(test_wrong_machine),   cmocka_unit_test(test_serial),
		cmocka_unit_test(test_wrong_serial),    cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
