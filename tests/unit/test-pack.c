// SPDX-License-Identifier: Apache-2.0
/* Targets as they are packed. */
#include "pty/pack.h"

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
	void *packed;
	size_t length;

	assert_int_equal(pack_program(&program, &packed, &length), 0);
	assert_int_equal(unpack_program(packed, length, &same), 0);
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
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(unpack_program(packed, cut, &same), -EBADMSG);
	free(packed);
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
	void *packed;
	size_t length;

	assert_int_equal(pack_container(&container, &packed, &length), 0);
	assert_int_equal(unpack_container(packed, length, &same), 0);
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
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(unpack_container(packed, cut, &same), -EBADMSG);
	free(packed);
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
		void *packed;
		size_t length;

		assert_int_equal(pack_container(&container, &packed, &length), 0);
		assert_int_equal(unpack_container(packed, length, &same), -EBADMSG);
		free(packed);
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
	void *packed;
	size_t length;

	assert_int_equal(pack_machine(&machine, &packed, &length), 0);
	assert_int_equal(unpack_machine(packed, length, &same), 0);
	for (int i = 0; i < 3; i++)
		assert_string_equal(same->argv[i], machine.argv[i]);
	assert_null(same->argv[3]);
	assert_string_equal(same->environment[0], "X=1");
	assert_null(same->environment[1]);
	assert_string_equal(same->log, "/tmp/log");
	assert_true(same->running);
	free(same);
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(unpack_machine(packed, cut, &same), -EBADMSG);
	free(packed);
}

static void test_wrong_machine(void **state)
{
	struct console_machine none = {
		.argv = (char *const[]){NULL}, .environment = (char *const[]){NULL}, .log = "/l"};
	struct console_machine relative = {
		.argv = (char *const[]){(char *)"qemu", NULL}, .environment = (char *const[]){NULL}, .log = "l"};
	struct console_machine *same;
	void *packed;
	size_t length;

	assert_int_equal(pack_machine(&none, &packed, &length), 0);
	assert_int_equal(unpack_machine(packed, length, &same), -EBADMSG);
	free(packed);
	assert_int_equal(pack_machine(&relative, &packed, &length), 0);
	assert_int_equal(unpack_machine(packed, length, &same), -EBADMSG);
	free(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),         cmocka_unit_test(test_container),
		cmocka_unit_test(test_wrong_container), cmocka_unit_test(test_machine),
		cmocka_unit_test(test_wrong_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
