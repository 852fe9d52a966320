// SPDX-License-Identifier: Apache-2.0
/* What the command line leaves open, and paths. What is said about it is in tests/api/test_command_line.py. */
#include "daemon/options.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define PARSE(options, ...) parse(options, (char *[]){(char *)"consoled", __VA_ARGS__, NULL})

static char said[1000]; /* on stderr, by the last parse() */

/* With a keeper that there is, unless the arguments name another. */
static int parse(struct options *options, char **argv)
{
	int before = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC), count = 0, r;
	ssize_t length;

	while (argv[count])
		count++;
	assert_true(before >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
	optind = 0; /* getopt_long(3): begins anew */
	r = options_parse(options, count, argv);
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	length = pread(file, said, sizeof(said) - 1, 0);
	assert_true(length >= 0);
	said[length] = '\0';
	close(before);
	close(file);
	return r;
}

static void test_all(void **state)
{
	struct options options;

	assert_int_equal(PARSE(&options, (char *)"--dir", (char *)"/d", (char *)"--keeper", (char *)"/bin/true",
			       (char *)"--group", (char *)"g", (char *)"--attach-timeout", (char *)"86400",
			       (char *)"-v"),
			 0);
	assert_string_equal(options.directory, "/d");
	assert_string_equal(options.keeper, "/bin/true");
	assert_string_equal(options.group, "g");
	assert_int_equal(options.attach_timeout, 86400);
	assert_int_equal(options.level, LOG_LEVEL_INFO);
	assert_int_equal(PARSE(&options, (char *)"--dir=/d", (char *)"--keeper=/bin/true"), 0);
	assert_null(options.group);
	assert_int_equal(options.attach_timeout, 300);
	assert_int_equal(options.level, LOG_LEVEL_WARN);
	assert_string_equal(said, "");
}

/* A path holds wherever the daemon and its keepers stand. */
static void test_paths(void **state)
{
	char place[] = "/tmp/options-XXXXXX", expected[64], too_long[PATH_MAX + 1] = "/";
	cleanup_close int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct options options;

	assert_non_null(mkdtemp(place));
	assert_int_equal(chdir(place), 0);
	snprintf(expected, sizeof(expected), "%s/d", place);
	assert_int_equal(PARSE(&options, (char *)"--dir=d", (char *)"--keeper=/bin/true"), 0);
	assert_string_equal(options.directory, expected);
	assert_int_equal(rmdir(place), 0);
	assert_int_equal(PARSE(&options, (char *)"--dir=d", (char *)"--keeper=/bin/true"), -EINVAL);
	assert_non_null(strstr(said, "the current directory is gone"));
	assert_int_equal(fchdir(before), 0);
	memset(too_long + 1, 'x', PATH_MAX - 1);
	assert_int_equal(PARSE(&options, (char *)"--dir", too_long, (char *)"--keeper=/bin/true"), -EINVAL);
	assert_non_null(strstr(said, "not a path: /xxx"));
}

/* Without --dir it is the system's for root, and everyone else's own. */
static void test_default_directory(void **state)
{
	char too_long[PATH_MAX + 1] = "/";
	uid_t before = geteuid();
	struct options options;

	unsetenv("XDG_STATE_HOME");
	if (before == 0) {
		assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), 0);
		assert_string_equal(options.directory, "/var/lib/consoled");
		assert_int_equal(seteuid(NOBODY), 0);
	}
	setenv("HOME", "/home/x", 1);
	assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), 0);
	assert_string_equal(options.directory, "/home/x/.local/state/consoled");
	setenv("XDG_STATE_HOME", "not/absolute", 1); /* which the specification says to ignore */
	assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), 0);
	assert_string_equal(options.directory, "/home/x/.local/state/consoled");
	setenv("XDG_STATE_HOME", "/state", 1);
	assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), 0);
	assert_string_equal(options.directory, "/state/consoled");
	memset(too_long + 1, 'x', PATH_MAX - 1);
	setenv("XDG_STATE_HOME", too_long, 1);
	assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), -EINVAL);
	assert_non_null(strstr(said, "too long"));
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	assert_int_equal(PARSE(&options, (char *)"--keeper=/bin/true"), -EINVAL);
	assert_non_null(strstr(said, "use --dir"));
	assert_int_equal(seteuid(before), 0);
}

/* This program has no keeper beside it: then it is the installed one. */
static void test_default_keeper(void **state)
{
	struct options options;

	if (PARSE(&options, (char *)"--dir=/d") < 0)
		assert_non_null(strstr(said, "no keeper to start: /"));
	assert_non_null(strstr(options.keeper, "/consoled/consoled-keeper"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_default_directory),
		cmocka_unit_test(test_default_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
