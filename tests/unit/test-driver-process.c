// SPDX-License-Identifier: Apache-2.0
/* What a program's config means for its keeper. */
#include "instances/driver.h"

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define NO_ENTRY 1999999999 /* a user that this machine has not */

static const struct driver_context context = {.directory = "/nonexistent"};

/* What the keeper would get, the caller's to free; NULL: refused, with the words in `error`. */
static struct console_program *prepare(const char *config, struct error *error)
{
	struct store_row row = {.type = INSTANCE_CONTAINER, .config = json_loads(config, 0, NULL)};
	struct console_program *program = NULL;
	struct console_target target = {0};

	*error = (struct error){0};
	row.devices = json_object();
	assert_non_null(row.config);
	if (driver_process.prepare(&row, &context, &target, error) == 0)
		assert_int_equal(unpack_program(target.data, target.length, &program), 0);
	free(target.data);
	json_decref(row.config);
	json_decref(row.devices);
	return program;
}

/* The value of a variable that is there once, else NULL. */
static const char *variable(const struct console_program *program, const char *name)
{
	const char *found = NULL;

	for (char *const *entry = program->environment; *entry; entry++)
		if (strncmp(*entry, name, strlen(name)) == 0 && (*entry)[strlen(name)] == '=') {
			assert_null(found);
			found = *entry + strlen(name) + 1;
		}
	return found;
}

static void test_environment(void **state)
{
	struct error error;
	struct console_program *program =
		prepare("{\"process.command\": \"sh -c 'a b'\", \"environment.TERM\": \"vt100\","
			" \"environment.MORE\": \"x=y\", \"process.restart\": \"always\"}",
			&error);

	assert_non_null(program);
	assert_string_equal(program->argv[2], "a b");
	assert_int_equal(program->restart, CONSOLE_RESTART_ALWAYS);
	assert_string_equal(variable(program, "TERM"), "vt100"); /* once: in place of the one that it would have had */
	assert_string_equal(variable(program, "MORE"), "x=y");
	assert_string_equal(variable(program, "LANG"), "C.UTF-8");
	free(program);
}

static void test_too_many_variables(void **state)
{
	json_t *config = json_pack("{s:s}", "process.command", "true");
	struct error error;
	char *text;

	for (int i = 0; i < 5000; i++) {
		char key[32];

		snprintf(key, sizeof(key), "environment.V%d", i);
		json_object_set_new(config, key, json_string(""));
	}
	text = json_dumps(config, 0);
	json_decref(config);
	assert_null(prepare(text, &error));
	free(text);
	assert_int_equal(error.code, -E2BIG);
	assert_string_equal(error.text, "environment: Argument list too long");
}

/* What was right when it was set need not be when it is started. */
static void test_user(void **state)
{
	const struct passwd *nobody = getpwuid(NOBODY);
	struct console_program *program;
	struct error error;

	if (geteuid() != 0 || !nobody)
		skip();
	program = prepare("{\"process.command\": \"true\", \"process.user\": \"65534\"}", &error);
	assert_non_null(program);
	assert_int_equal(program->uid, NOBODY);
	assert_string_equal(program->user, nobody->pw_name);
	assert_string_equal(variable(program, "HOME"), nobody->pw_dir);
	free(program);
	assert_null(prepare("{\"process.command\": \"true\", \"process.user\": \"nobody-of-that-name\"}", &error));
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.text, "process.user: no such user: nobody-of-that-name");
	assert_null(prepare("{\"process.command\": \"true\", \"process.user\": \"1999999999\"}", &error));
	assert_string_equal(error.text, "process.user: no such user: 1999999999");
}

static void test_ordinary_daemon(void **state)
{
	struct console_program *program;
	struct error error;

	if (geteuid() != 0)
		skip();
	assert_int_equal(seteuid(NOBODY), 0);
	assert_null(prepare("{\"process.command\": \"true\", \"process.user\": \"root\"}", &error));
	assert_int_equal(error.code, -EPERM);
	assert_string_equal(error.text, "process.user: only a daemon that runs as root can be another user");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(seteuid(NO_ENTRY), 0); /* runs things all the same */
	program = prepare("{\"process.command\": \"true\"}", &error);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(program);
	assert_string_equal(variable(program, "HOME"), "/");
	assert_string_equal(variable(program, "SHELL"), "/bin/sh");
	assert_string_equal(variable(program, "USER"), "");
	free(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_too_many_variables),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_ordinary_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
