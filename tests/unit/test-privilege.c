// SPDX-License-Identifier: Apache-2.0
/* Capabilities, as the kernel shows them to others. Each test is a child's: what is given up does not come back. */
#include "util/cleanup.h"
#include "util/privilege.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SOME (PRIVILEGE(CAP_KILL) | PRIVILEGE(CAP_SYS_PTRACE) | PRIVILEGE(CAP_CHECKPOINT_RESTORE))

/* A line of /proc/self/status. */
static uint64_t set_of(const char *field)
{
	cleanup_close int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t length = read(fd, text, sizeof(text) - 1);
	const char *line;

	text[length < 0 ? 0 : length] = '\0';
	line = strstr(text, field);
	return line ? strtoull(line + strlen(field), NULL, 16) : UINT64_MAX;
}

/* Runs it in a child, which is to find nothing wrong. */
static void in_child(int (*test)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(test());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("check %d has failed", WEXITSTATUS(status));
}

#define check(number, condition)         \
	do {                             \
		if (!(condition))        \
			return (number); \
	} while (0)

static int keep_some(void)
{
	uint64_t had = set_of("CapPrm:\t"), bounding = set_of("CapBnd:\t");

	check(1, privilege_keep(SOME) == 0);
	check(2, set_of("CapPrm:\t") == (had & SOME));
	check(3, set_of("CapEff:\t") == (had & SOME));
	check(4, set_of("CapInh:\t") == 0 && set_of("CapAmb:\t") == 0);
	check(5, set_of("CapBnd:\t") == bounding);
	check(6, privilege_keep(PRIVILEGE(CAP_KILL) | PRIVILEGE(CAP_SYS_ADMIN)) == 0); /* none comes back */
	check(7, set_of("CapEff:\t") == (had & PRIVILEGE(CAP_KILL)));
	check(8, privilege_keep(0) == 0 && set_of("CapPrm:\t") == 0);
	return 0;
}

/* Ambient ones would go to every program. */
static int keep_none_ambient(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	check(1, syscall(SYS_capget, &header, data) == 0);
	data[0].inheritable = (uint32_t)PRIVILEGE(CAP_KILL);
	check(2, syscall(SYS_capset, &header, data) == 0);
	check(3, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0L, 0L) == 0);
	check(4, set_of("CapAmb:\t") != 0);
	check(5, privilege_keep(SOME) == 0);
	check(6, set_of("CapInh:\t") == 0 && set_of("CapAmb:\t") == 0);
	return 0;
}

static int keep_as_ordinary_user(void)
{
	check(1, prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) == 0);
	check(2, setuid(65534) == 0);
	check(3, set_of("CapPrm:\t") != 0);
	check(4, privilege_keep(0) == 0);
	check(5, set_of("CapPrm:\t") != 0);
	return 0;
}

static int hide(void)
{
	check(1, prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) == 1);
	check(2, privilege_hide() == 0);
	check(3, prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) == 0);
	return 0;
}

static void test_keep(void **state)
{
	if (geteuid() != 0)
		skip();
	in_child(keep_some);
}

static void test_ambient(void **state)
{
	if (geteuid() != 0)
		skip();
	in_child(keep_none_ambient);
}

static void test_ordinary_user(void **state)
{
	if (geteuid() != 0)
		skip();
	in_child(keep_as_ordinary_user);
}

static void test_hide(void **state)
{
	in_child(hide);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_ambient),
		cmocka_unit_test(test_ordinary_user),
		cmocka_unit_test(test_hide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
