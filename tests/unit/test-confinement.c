// SPDX-License-Identifier: Apache-2.0
/* What a confined process can do, what it cannot, and what it does not survive. Each try is a child's. */
#include "pty/confinement.h"
#include "util/cleanup.h"
#include "util/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define WELL 42

static const int calls[] = {SYS_timerfd_create, -1};
static const unsigned long requests[] = {FIONREAD, 0};
static const struct confinement confinement = {.privileges = PRIVILEGE(CAP_KILL), .calls = calls, .requests = requests};

/* Runs it in a confined child: returns the wait status. */
static int confined(void (*act)(void))
{
	const struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		if (confine(&confinement) < 0)
			_exit(1);
		act();
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_well(void (*act)(void))
{
	int status = confined(act);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), WELL);
}

static void expect_killed(void (*act)(void))
{
	int status = confined(act);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void end_if(bool well)
{
	_exit(well ? WELL : 3);
}

/* --- what it needs --- */

static void read_and_write(void)
{
	int ends[2] = {STDIN_FILENO, STDOUT_FILENO}, waiting;
	struct pollfd set = {.fd = ends[0]};

	poll(&set, 1, 0);
	end_if(write(-1, "", 1) < 0 && errno == EBADF && read(-1, &waiting, 1) < 0 && errno == EBADF &&
	       ioctl(-1, FIONREAD, &waiting) < 0 && errno == EBADF);
}

static void take_memory(void)
{
	void *small = malloc(100), *large = malloc((size_t)16 << 20);

	end_if(small && large && memset(large, 1, (size_t)16 << 20));
}

static void call_what_was_added(void)
{
	end_if(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) >= 0);
}

static void test_allowed(void **state)
{
	expect_well(read_and_write);
	expect_well(take_memory);
	expect_well(call_what_was_added);
}

/* --- what it does not --- */

static bool refused(long result)
{
	return result == -1 && errno == EPERM;
}

static void touch_files(void)
{
	end_if(refused(syscall(SYS_unlinkat, AT_FDCWD, "/nosuch", 0)) &&
	       refused(syscall(SYS_mkdirat, AT_FDCWD, "/nosuch/nosuch", 0700)) &&
	       refused(syscall(SYS_fchmodat, AT_FDCWD, "/nosuch", 0700)) &&
	       refused(syscall(SYS_getdents64, 0, NULL, 0)));
}

static void touch_processes(void)
{
	end_if(refused(syscall(SYS_kill, 0, 0)) && refused(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0)) &&
	       refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)) &&
	       refused(syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, NULL)));
}

/* Characters typed into somebody's terminal, say. */
static void ask_a_driver(void)
{
	char c = 'x';

	end_if(refused(ioctl(-1, TIOCSTI, &c)) && refused(ioctl(-1, TIOCSCTTY, 0)));
}

static void make_code(void)
{
	end_if(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	       errno == EPERM &&
	       mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

#ifndef CONSOLED_INSTRUMENTED
static void open_a_file(void)
{
	end_if(refused(open("/dev/null", O_RDONLY | O_CLOEXEC)));
}
#endif

static void test_refused(void **state)
{
	expect_well(touch_files);
	expect_well(touch_processes);
	expect_well(ask_a_driver);
	expect_well(make_code);
#ifndef CONSOLED_INSTRUMENTED
	expect_well(open_a_file);
#endif
}

/* --- what only somebody else in it would do --- */

static void execute(void)
{
	execl("/bin/true", "true", NULL);
}

static void connect_to_the_internet(void)
{
	socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void connect_to_others(void)
{
	socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void look_into_others(void)
{
	ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void write_into_others(void)
{
	syscall(SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0);
}

static void become_another(void)
{
	syscall(SYS_setuid, 0);
}

static void load_a_module(void)
{
	syscall(SYS_finit_module, -1, "", 0);
}

#ifdef __x86_64__
static void call_by_another_number(void)
{
	syscall(0x40000000 | SYS_getpid);
}
#endif

static void test_killed(void **state)
{
	expect_killed(execute);
	expect_killed(connect_to_the_internet);
	expect_killed(connect_to_others);
	expect_killed(look_into_others);
	expect_killed(write_into_others);
	expect_killed(become_another);
	expect_killed(load_a_module);
#ifdef __x86_64__
	expect_killed(call_by_another_number);
#endif
}

/* --- how it looks from outside --- */

static void expect_line(const char *status, const char *line)
{
	if (!strstr(status, line))
		fail_msg("no \"%s\" in\n%s", line, status);
}

static void test_status(void **state)
{
	char path[40], text[4096] = "", line[40], ready;
	int up[2], down[2];
	pid_t pid;
	FILE *file;

	assert_true(pipe2(up, O_CLOEXEC) == 0 && pipe2(down, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		close(down[1]);
		ready = confine(&confinement) == 0 ? 'y' : 'n';
		(void)!write(up[1], &ready, 1);
		(void)!read(down[0], &ready, 1); /* until the parent has looked */
		_exit(0);
	}
	assert_int_equal(read(up[0], &ready, 1), 1);
	assert_int_equal(ready, 'y');
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	expect_line(text, "\nNoNewPrivs:\t1\n");
	expect_line(text, "\nSeccomp:\t2\n");
	snprintf(line, sizeof(line), "\nCapEff:\t%016llx\n",
		 geteuid() == 0 ? (unsigned long long)confinement.privileges : 0);
	expect_line(text, line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
