// SPDX-License-Identifier: Apache-2.0
/*
 * Taking on containers that somebody else has started, in each way there is; with liblxc, on a small root file system
 * ($CONSOLED_GUEST makes it). As root only.
 */
#include "pty/targets/cgroup.h"
#include "pty/targets/foreign.h"
#include "pty/targets/monitor.h"
#include "pty/terminal.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <lxc/lxccontainer.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 20000 /* ms */
#define WHOLE 100   /* s, of the program */
#define RING "lxc.console.buffer.size=1MB"
#define SIZE_MAX_SEEN (64 * 1024 * 1024)

static const struct foreign_past nothing = {.room = 1024 * 1024, .position = -1};

struct fixture {
	const char *directory; /* lxcpath; holds the root file system, too */
	struct console_container container;
	struct foreign foreign;
	pid_t holder;
	struct buffer seen; /* history and output, in a row */
};

/* --- waiting --- */

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool ended(int pidfd, int timeout_ms)
{
	return poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, timeout_ms) == 1;
}

#define wait_until(condition)                                          \
	do {                                                           \
		int64_t end_ = now_ms() + LIMIT;                       \
		while (!(condition)) {                                 \
			if (now_ms() > end_)                           \
				fail_msg("timed out: %s", #condition); \
			poll(NULL, 0, 5);                              \
		}                                                      \
	} while (0)

/* --- the container --- */

static void guest_path(const struct fixture *f, const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/rootfs/%s", f->directory, name);
}

static bool guest_has(const struct fixture *f, const char *name)
{
	char path[128];

	guest_path(f, name, path);
	return access(path, F_OK) == 0;
}

/* Has a command executed by one who does not use the console but for its output. */
static void in_guest(const struct fixture *f, const char *command)
{
	char path[128];
	int fd;

	guest_path(f, "commands", path);
	fd = open(path, O_WRONLY | O_CLOEXEC); /* until the guest opens it */
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "%s\n", command), strlen(command) + 1);
	close(fd);
}

/* As lxc-start(1); with a PTY of its own for the console as a keeper of ours. Does not return. */
static void become_starter(const struct fixture *f, const char *const *items, bool ours)
{
	struct lxc_container *c;
	char value[128];

	if (ours) {
		int master = terminal_open(0, 0), slave = terminal_hold_slave(master);
		struct termios settings;

		tcgetattr(slave, &settings);
		cfmakeraw(&settings);
		tcsetattr(slave, TCSANOW, &settings);
		memset(&settings, 0xff, sizeof(settings));
		ioctl(slave, TIOCSLCKTRMIOS, &settings);
		ptsname_r(master, value, sizeof(value));
		if (master != 3)
			dup2(master, 3);
		fcntl(3, F_SETFD, FD_CLOEXEC);
		setenv("LISTEN_FDS", "3", 1);
	}
	c = lxc_container_new(f->container.name, f->directory);
	if (!c || (ours && !c->set_config_item(c, "lxc.console.path", value)))
		_exit(1);
	snprintf(value, sizeof(value), "dir:%s/rootfs", f->directory);
	c->set_config_item(c, "lxc.rootfs.path", value);
	c->set_config_item(c, "lxc.uts.name", f->container.name);
	c->set_config_item(c, "lxc.mount.auto", "proc:mixed sys:mixed");
	for (; *items; items++) {
		const char *equals = strchr(*items, '=');
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)(equals - *items), *items);
		if (!c->set_config_item(c, key, equals + 1))
			_exit(1);
	}
	c->want_daemonize(c, true);
	_exit(!c->save_config(c, NULL) || !c->start(c, 0, NULL));
}

static void start(const struct fixture *f, const char *const *items, bool ours)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		become_starter(f, items, ours);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- what has been taken --- */

static void read_all(struct fixture *f, int fd)
{
	char data[65536];
	ssize_t length;

	while ((length = read(fd, data, sizeof(data))) > 0)
		assert_int_equal(buffer_append(&f->seen, data, (size_t)length, SIZE_MAX_SEEN), 0);
}

static void take(struct fixture *f, const struct foreign_past *past)
{
	struct error error = {0};

	if (foreign_take(&f->container, past, &f->foreign, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_int_equal(kill(f->foreign.init, 0), 0);
	assert_false(ended(f->foreign.monitor_pidfd, 0));
	assert_false(ended(f->foreign.init_pidfd, 0));
	assert_true(f->foreign.master >= 0);
	if (f->foreign.history >= 0)
		read_all(f, f->foreign.history);
}

static bool has_seen(const struct fixture *f, const char *text)
{
	return f->seen.length > 0 && memmem(f->seen.data, f->seen.length, text, strlen(text));
}

static void expect(struct fixture *f, const char *text)
{
	struct pollfd set = {.fd = f->foreign.ready, .events = POLLIN};
	char events[4096];

	read_all(f, f->foreign.output);
	while (!has_seen(f, text)) {
		size_t shown = f->seen.length > 400 ? f->seen.length - 400 : 0;

		if (poll(&set, 1, LIMIT) != 1)
			fail_msg("\"%s\" has not come, but %zu bytes; at last: %.*s", text, f->seen.length,
				 (int)(f->seen.length - shown), f->seen.data + shown);
		if (f->foreign.file)
			assert_true(read(f->foreign.ready, events, sizeof(events)) > 0);
		read_all(f, f->foreign.output);
	}
}

/* Whether seq(1)'s output follows BEGIN, with nothing between, missing or twice. */
static void expect_sequence(const struct fixture *f, unsigned last)
{
	const char *at = f->seen.length > 0 ? memmem(f->seen.data, f->seen.length, "BEGIN\r\n", 7) : NULL;
	const char *end = f->seen.data + f->seen.length;
	char line[32];

	assert_non_null(at);
	at += 7;
	for (unsigned number = 1; number <= last; number++) {
		int length = snprintf(line, sizeof(line), "%u\r\n", number);

		if (end - at < length || memcmp(at, line, (size_t)length) != 0)
			fail_msg("not %u but: %.*s", number, (int)(end - at < 60 ? end - at : 60), at);
		at += length;
	}
}

static void type(const struct fixture *f, const char *text)
{
	assert_int_equal(write(f->foreign.master, text, strlen(text)), strlen(text));
}

static void resize(const struct fixture *f, unsigned short width, unsigned short height)
{
	struct winsize size = {.ws_col = width, .ws_row = height};

	assert_int_equal(ioctl(f->foreign.master, TIOCSWINSZ, &size), 0);
}

/* Input reaches the guest, a new size does, and tells who is on the console. */
static void expect_input(struct fixture *f)
{
	expect(f, "/ # "); /* the shell's prompt */
	type(f, "echo $((6 * 7))typed\r");
	expect(f, "42typed\r\n");
	type(f, "sh -c 'trap \"echo 7\\$(stty size)\" WINCH; echo $((1 + 2))set; while sleep 0.1; do :; done'\r");
	expect(f, "3set\r\n");
	resize(f, 101, 31);
	expect(f, "731 101\r\n");
	type(f, "\003"); /* ^C: the kernel throws away what waits in the terminal, under the monitor's hands */
	type(f, "echo $((2 * 4))over\r");
	expect(f, "8over\r\n/ # \033[6n"); /* all that busybox prints of a prompt */
}

/* --- one who has the slot --- */

static void hold_slot(struct fixture *f)
{
	int ends[2];
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	f->holder = fork();
	assert_true(f->holder >= 0);
	if (f->holder == 0) {
		struct foreign foreign;

		if (foreign_take(&f->container, &nothing, &foreign, NULL) < 0 || foreign.slot < 0)
			_exit(1);
		(void)!write(ends[1], "", 1);
		for (;;)
			pause();
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
}

static void kill_holder(struct fixture *f)
{
	assert_int_equal(kill(f->holder, SIGKILL), 0);
	assert_int_equal(waitpid(f->holder, NULL, 0), f->holder);
	f->holder = 0;
}

/* Whether the monitor waits for somebody to read what it writes. */
static bool hangs(const struct fixture *f)
{
	struct monitor monitor;
	char path[32], text[64] = "";
	bool writes = true;

	assert_int_equal(monitor_find(&monitor, &f->container), 0);
	snprintf(path, sizeof(path), "/proc/%d/syscall", monitor.pid);
	monitor_finish(&monitor);
	for (int i = 0; i < 20 && writes; i++) { /* it may just be there */
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		assert_true(read(fd, text, sizeof(text) - 1) > 0);
		close(fd);
		writes = strtol(text, NULL, 10) == SYS_write;
		poll(NULL, 0, 5);
	}
	return writes;
}

/* --- fixture --- */

/* Ends what runs without asking it, and removes what liblxc leaves. */
static void end_container(const struct console_container *container)
{
	char path[160];
	struct monitor monitor;

	if (monitor_find(&monitor, container) == 0) {
		pidfd_send_signal(monitor.init_pidfd, SIGKILL, NULL, 0);
		if (!ended(monitor.pidfd, 5000))
			pidfd_send_signal(monitor.pidfd, SIGKILL, NULL, 0);
		ended(monitor.pidfd, 5000);
		monitor_finish(&monitor);
	}
	cgroups_remove_of(container->name);
	snprintf(path, sizeof(path), "%s/log", container->path);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s/config", container->path, container->name);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static const struct foreign untaken = {
	.init_pidfd = -1,
	.monitor_pidfd = -1,
	.master = -1,
	.history = -1,
	.output = -1,
	.ready = -1,
	.slot = -1,
};

/* `*state` is what main() has made; a fixture for each test comes in its place. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->container = *(const struct console_container *)*state;
	f->directory = f->container.path;
	f->foreign = untaken;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->holder > 0)
		kill_holder(f);
	foreign_finish(&f->foreign);
	end_container(&f->container);
	buffer_finish(&f->seen);
	free(f);
	return 0;
}

/* --- tests --- */

static void says_that_none_runs(void **state)
{
	struct fixture *f = *state;
	struct error error = {0};

	assert_int_equal(foreign_take(&f->container, &nothing, &f->foreign, &error), -ESRCH);
	assert_non_null(strstr(error.text, f->container.name));
	assert_int_equal(f->foreign.master, -1);
}

static void start_with_log(struct fixture *f)
{
	char item[128];

	snprintf(item, sizeof(item), "lxc.console.logfile=%s/log", f->directory);
	start(f, (const char *const[]){item, NULL}, false);
}

static void follows_a_log_file(void **state)
{
	struct fixture *f = *state;
	struct foreign_past past = nothing;

	start_with_log(f);
	in_guest(f, "echo BEGIN; seq 1 3000; echo END");
	take(f, &past);
	assert_true(f->foreign.file);
	assert_int_equal(f->foreign.kind, CONSOLE_OUTPUT_ALL);
	assert_int_equal(f->foreign.slot, -1);
	assert_int_equal(f->foreign.position, 0);
	expect(f, "END\r\n");
	expect_sequence(f, 3000);
	expect(f, "first line of the boot\r\n");
	expect_input(f);

	/* The keeper dies, the container prints on, the next one goes on at the same byte. */
	past.position = (int64_t)f->seen.length;
	foreign_finish(&f->foreign);
	in_guest(f, "echo BEGIN; seq 1 20000; echo DONE");
	buffer_consume(&f->seen, f->seen.length);
	take(f, &past);
	assert_int_equal(f->foreign.position, past.position);
	expect(f, "DONE\r\n");
	assert_memory_equal(f->seen.data, "BEGIN\r\n1\r\n", 10);
	expect_sequence(f, 20000);
}

static void gives_the_end_of_a_log_file(void **state)
{
	struct foreign_past past = {.room = 7, .position = -1};
	struct fixture *f = *state;
	char path[128];

	start_with_log(f);
	take(f, &nothing);
	expect(f, "/ # ");
	in_guest(f, "echo 0123456789");
	expect(f, "0123456789\r\n");
	foreign_finish(&f->foreign);
	buffer_consume(&f->seen, f->seen.length);
	take(f, &past);
	expect(f, "56789\r\n");
	assert_int_equal(f->seen.length, 7);
	foreign_finish(&f->foreign);

	/* One that has been emptied begins anew. */
	past.position = (int64_t)f->foreign.position + 7;
	snprintf(path, sizeof(path), "%s/log", f->directory);
	assert_int_equal(truncate(path, 0), 0);
	buffer_consume(&f->seen, f->seen.length);
	take(f, &past);
	assert_int_equal(f->foreign.position, 0);
	in_guest(f, "echo anew");
	expect(f, "anew\r\n");
	assert_int_equal(f->seen.length, 6);
}

/* liblxc makes a new console for each boot, with the same log file; the monitor stays. */
static void takes_again_after_a_reboot(void **state)
{
	struct foreign_past past = nothing;
	struct fixture *f = *state;
	pid_t init, monitor;

	start_with_log(f);
	take(f, &past);
	expect(f, "/ # ");
	init = f->foreign.init;
	monitor = f->foreign.monitor;
	past.position = (int64_t)f->seen.length;
	in_guest(f, "reboot");
	assert_true(ended(f->foreign.init_pidfd, LIMIT));
	foreign_finish(&f->foreign);
	buffer_consume(&f->seen, f->seen.length);
	wait_until(foreign_take(&f->container, &past, &f->foreign, NULL) == 0);
	assert_int_not_equal(f->foreign.init, init);
	assert_int_equal(f->foreign.monitor, monitor);
	expect(f, "first line of the boot\r\n");
	expect_input(f);
}

static void takes_the_slot(void **state)
{
	struct fixture *f = *state;

	start(f, (const char *const[]){NULL}, false);
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
	assert_false(f->foreign.file);
	assert_int_equal(f->foreign.kind, CONSOLE_OUTPUT_ALL);
	in_guest(f, "echo BEGIN; seq 1 20000; echo END");
	expect(f, "END\r\n");
	expect_sequence(f, 20000);
	type(f, "\r");
	expect_input(f);

	foreign_finish(&f->foreign);
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
}

static void cuts_a_flood_exactly(void **state)
{
	struct fixture *f = *state;

	start(f, (const char *const[]){RING, NULL}, false);
	in_guest(f, "touch /flood; echo BEGIN; seq 1 100000; echo END");
	wait_until(guest_has(f, "flood"));
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
	expect(f, "END\r\n");
	expect_sequence(f, 100000);
	assert_memory_equal(f->seen.data, "first line of the boot\r\n", 24);
}

/* A second keeper leaves out what the first one has read already. */
static void leaves_out_what_is_known(void **state)
{
	struct foreign_past past = nothing;
	struct fixture *f = *state;

	start(f, (const char *const[]){RING, NULL}, false);
	in_guest(f, "echo BEGIN; seq 1 100");
	take(f, &past);
	expect(f, "\r\n100\r\n");
	in_guest(f, "seq 101 2000");
	expect(f, "\r\n2000\r\n");
	foreign_finish(&f->foreign);
	in_guest(f, "seq 2001 3000; touch /printed");
	wait_until(guest_has(f, "printed"));
	past.tail = f->seen.data;
	past.tail_length = f->seen.length;
	take(f, &past);
	expect(f, "\r\n3000\r\n");
	expect_sequence(f, 3000);
}

static void goes_without_a_taken_slot(void **state)
{
	struct fixture *f = *state;

	start(f, (const char *const[]){RING, NULL}, false);
	hold_slot(f);
	in_guest(f, "echo printed; touch /printed");
	wait_until(guest_has(f, "printed"));
	take(f, &nothing);
	assert_int_equal(f->foreign.kind, CONSOLE_OUTPUT_HISTORY);
	assert_int_equal(f->foreign.output, -1);
	assert_int_equal(f->foreign.ready, -1);
	assert_int_equal(f->foreign.slot, -1);
	assert_true(has_seen(f, "printed\r\n"));
	resize(f, 77, 33);
	type(f, "echo $(stty size) >/typed\recho >/done\r");
	wait_until(guest_has(f, "done"));
	foreign_finish(&f->foreign);

	kill_holder(f);
	in_guest(f, "cat /typed");
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
	expect(f, "33 77\r\n");
}

/* The holder of the slot has not read, and dies: the monitor hangs. */
static void hang(struct fixture *f, const char *const *items)
{
	start(f, items, false);
	hold_slot(f);
	in_guest(f, "echo BEGIN; seq 1 100000; echo END");
	wait_until(hangs(f));
	kill_holder(f);
	assert_true(hangs(f));
}

static void frees_a_hung_monitor(void **state)
{
	struct fixture *f = *state;

	hang(f, (const char *const[]){NULL});
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
	assert_true(has_seen(f, "BEGIN\r\n1\r\n2\r\n")); /* what the holder had left unread */
	expect(f, "END\r\n");
}

static void frees_a_hung_monitor_with_history(void **state)
{
	struct fixture *f = *state;

	hang(f, (const char *const[]){RING, NULL});
	take(f, &nothing);
	assert_true(f->foreign.slot >= 0);
	expect(f, "END\r\n");
	expect_sequence(f, 100000);
}

static void finds_a_console_of_ours(void **state)
{
	struct fixture *f = *state;

	start(f, (const char *const[]){NULL}, true);
	in_guest(f, "echo BEGIN; seq 1 100000; echo END"); /* nobody reads: the monitor hangs */
	wait_until(hangs(f));
	take(f, &nothing);
	assert_true(f->foreign.ours);
	assert_int_equal(f->foreign.output, f->foreign.master);
	assert_int_equal(f->foreign.ready, f->foreign.master);
	expect(f, "END\r\n");
	expect_sequence(f, 100000);
	assert_memory_equal(f->seen.data, "first line of the boot\r\n", 24);
	type(f, "\r");
	expect_input(f);
}

/* However much is typed into a guest that does not read, nobody but it waits. */
static void never_blocks_on_input(void **state)
{
	struct fixture *f = *state;
	char lines[4096];
	ssize_t n = 0;

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 2 ? '\n' : 'x';
	start_with_log(f);
	take(f, &nothing);
	expect(f, "/ # ");
	type(f, "stty -echo; echo $((1 + 1))waits; sleep 1000\r");
	expect(f, "2waits\r\n");
	for (size_t total = 0; n >= 0 && total < 16 * 1024 * 1024; total += (size_t)n)
		n = write(f->foreign.master, lines, sizeof(lines));
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	foreign_finish(&f->foreign);
	take(f, &nothing); /* the monitor answers */
	in_guest(f, "echo still here");
	expect(f, "still here\r\n");
}

static int run_group(struct console_container *container)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(says_that_none_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(follows_a_log_file, setup, teardown),
		cmocka_unit_test_setup_teardown(gives_the_end_of_a_log_file, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_again_after_a_reboot, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_the_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(cuts_a_flood_exactly, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_out_what_is_known, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_without_a_taken_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(frees_a_hung_monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(frees_a_hung_monitor_with_history, setup, teardown),
		cmocka_unit_test_setup_teardown(finds_a_console_of_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(never_blocks_on_input, setup, teardown),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = container;
	signal(SIGPIPE, SIG_IGN);
	alarm(WHOLE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The tests run in a child, so that what they start is ended however they end. */
int main(void)
{
	char directory[] = "/tmp/foreign-XXXXXX", name[32], command[256];
	struct console_container container = {.name = name, .path = directory, .running = true};
	int status = 0;
	pid_t pid;

	if (geteuid() != 0) {
		fputs("skipped: containers are started as root only\n", stderr);
		return 77;
	}
	if (!mkdtemp(directory))
		return 1;
	snprintf(name, sizeof(name), "foreign-%d", getpid());
	snprintf(command, sizeof(command), "sh '%s' %s/rootfs", getenv("CONSOLED_GUEST"), directory);
	if (system(command) != 0)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(run_group(&container));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		status = 1;
	end_container(&container);
	snprintf(command, sizeof(command), "rm -rf %s /run/lxc/lock%s", directory, directory);
	return system(command) != 0 || status != 0;
}
