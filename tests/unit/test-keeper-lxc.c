// SPDX-License-Identifier: Apache-2.0
/*
 * What a keeper for containers ($CONSOLED_KEEPER-lxc) does with what it is told: real containers, of busybox. Needs
 * root. A container runs a script of the test's as its init, with its console as stdio.
 */
#include "pty/consoles.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <lxc/lxccontainer.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 20000 /* ms */
#define BUSYBOX "/bin/busybox"

struct fixture {
	char directory[32];
	const char *name; /* of the container: the directory's last part, which nobody else has */
	char keeper_path[512];
	struct consoles consoles; /* only what keeper_spawn() and keeper_connect() look at */
	int socket;
	pid_t keeper;
	int eventfd, master, input, pidfd;
	pid_t pid;
	uint32_t boot;
	struct ring ring;
	/* The last message. */
	struct wire_message message;
	int descriptors[WIRE_DESCRIPTORS];
	char text[512];
};

static bool readable(int fd, int timeout_ms)
{
	struct pollfd set = {.fd = fd, .events = POLLIN};

	return poll(&set, 1, timeout_ms) == 1;
}

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

/* --- the wire --- */

static void drop_descriptors(struct fixture *f)
{
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&f->descriptors[i]);
}

/* Receives the next message, and takes note of the container as a daemon does. */
static void hear(struct fixture *f)
{
	void *tail;

	drop_descriptors(f);
	assert_true(readable(f->socket, LIMIT));
	assert_int_equal(wire_receive(f->socket, &f->message, &tail, f->descriptors), 0);
	snprintf(f->text, sizeof(f->text), "%.*s", (int)f->message.tail_length, tail ? (char *)tail : "");
	free(tail);
	if (f->message.type != WIRE_STATE)
		return;
	f->pid = f->message.state.pid;
	f->boot = f->message.state.boot;
	close_fd(&f->pidfd);
	f->pidfd = move_fd(&f->descriptors[WIRE_PIDFD]);
	if (f->descriptors[WIRE_MASTER] >= 0) {
		close_fd(&f->master);
		f->master = move_fd(&f->descriptors[WIRE_MASTER]);
	}
	if (f->descriptors[WIRE_INPUT] >= 0) {
		close_fd(&f->input);
		f->input = move_fd(&f->descriptors[WIRE_INPUT]);
	}
}

/* The next state but those that tell that its init has ended: whether it boots again or ends comes next. */
static void expect_state(struct fixture *f, enum keeper_phase phase)
{
	do
		hear(f);
	while (f->message.type == WIRE_STATE && f->message.state.deaf && f->message.state.phase == KEEPER_RUNNING);
	if (f->message.type != WIRE_STATE || (f->message.state.phase == KEEPER_FAILED && phase != KEEPER_FAILED))
		fail_msg("%s", f->text);
	assert_int_equal(f->message.state.phase, phase);
	assert_int_equal(f->message.state.kind, CONSOLE_CONTAINER);
	assert_int_equal(f->pidfd >= 0, f->pid > 0);
}

static void say(struct fixture *f, struct wire_message message)
{
	assert_int_equal(wire_send(f->socket, &message, NULL, 0, NULL), 0);
}

static void stop(struct fixture *f, int timeout, bool again)
{
	say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.timeout = timeout, .again = again}});
}

static void spawn_keeper(struct fixture *f)
{
	struct error error = {0};

	f->socket = keeper_spawn(&f->consoles, CONSOLE_CONTAINER, "k", &f->keeper, &error);
	if (f->socket < 0)
		fail_msg("%s", error_text(&error));
}

static void kill_keeper(struct fixture *f)
{
	kill(f->keeper, SIGKILL);
	waitpid(f->keeper, NULL, 0);
	f->keeper = 0;
	close_fd(&f->socket);
}

/* --- the container --- */

static void write_script(struct fixture *f, const char *script)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/rootfs/init.sh", f->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nexec </dev/console >/dev/console 2>&1\n%s\n", script);
	fclose(file);
	chmod(path, 0755);
}

/* `extra` is one more item, or NULL. */
static void pack(struct fixture *f, const char *extra, bool running, bool defined, struct console_target *target)
{
	char path[64], log[64], root[64], uts[64];
	char *items[] = {root, (char *)"lxc.init.cmd=/init.sh", uts, (char *)extra, NULL};
	struct console_container container = {
		.name = f->name, .path = path, .log = log, .items = items, .running = running, .defined = defined};

	snprintf(path, sizeof(path), "%s/lxc", f->directory);
	snprintf(log, sizeof(log), "%s/log", f->directory);
	snprintf(root, sizeof(root), "lxc.rootfs.path=dir:%s/rootfs", f->directory);
	snprintf(uts, sizeof(uts), "lxc.uts.name=guest");
	if (defined)
		items[0] = NULL;
	assert_int_equal(pack_container(&container, target, NULL), 0);
}

/* Sends KEEP. */
static void keep(struct fixture *f, struct wire_state state, const char *extra, bool running, bool defined)
{
	struct wire_message message = {.type = WIRE_KEEP, .state = state};
	int descriptors[] = {
		[WIRE_EVENTFD] = f->eventfd,
		[WIRE_MASTER] = f->master,
		[WIRE_PIDFD] = state.pid > 0 ? f->pidfd : -1,
		[WIRE_INPUT] = state.pid > 0 ? f->input : -1,
	};
	cleanup_target struct console_target target = {0};

	pack(f, extra, running, defined, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, descriptors), 0);
}

/* Sends STOP for a restart with other items. */
static void restart_with(struct fixture *f, const char *extra, int timeout)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.timeout = timeout, .again = true}};
	cleanup_target struct console_target target = {0};

	pack(f, extra, false, false, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, NULL), 0);
}

static void start_with(struct fixture *f, const char *script, const char *item)
{
	write_script(f, script);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, item, false, false);
	expect_state(f, KEEPER_STARTING);
}

static void start(struct fixture *f, const char *script)
{
	start_with(f, script, NULL);
	expect_state(f, KEEPER_RUNNING);
	assert_true(f->pid > 0);
}

/* In a script: until the test says set_flag(). */
#define WAIT_FLAG "until test -e /flag; do sleep 0.01; done; "
#define POWER_OFF "poweroff -f"

static void set_flag(struct fixture *f)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/rootfs/flag", f->directory);
	close(open(path, O_WRONLY | O_CREAT, 0600));
}

/* Reads the log from `offset` on as a string, to be freed. */
static char *read_log(struct fixture *f, uint64_t offset)
{
	uint64_t lost;
	size_t size = (size_t)(ring_head(&f->ring) - offset), length = 0, got;
	char *log = malloc(size + 1);

	assert_non_null(log);
	while (length < size && (got = ring_read(&f->ring, &offset, log + length, size - length, &lost)) > 0)
		length += got;
	log[length] = '\0';
	return log;
}

static void wait_for_text(struct fixture *f, const char *text)
{
	for (int i = 0; i < LIMIT; i++) {
		cleanup_free char *log = read_log(f, ring_tail(&f->ring));
		eventfd_t rung;

		if (strstr(log, text))
			return;
		if (readable(f->eventfd, 1))
			eventfd_read(f->eventfd, &rung);
	}
	fail_msg("no \"%s\"", text);
}

static void expect_log(struct fixture *f, const char *expected)
{
	cleanup_free char *log = read_log(f, 0);

	assert_string_equal(log, expected);
}

static pid_t parent_of(pid_t pid)
{
	char path[32];
	pid_t parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %*c %d", &parent), 1);
	fclose(file);
	return parent;
}

__attribute__((format(printf, 1, 2))) static void expect_none(const char *format, ...)
{
	char pattern[128];
	va_list arguments;
	glob_t found;

	va_start(arguments, format);
	vsnprintf(pattern, sizeof(pattern), format, arguments);
	va_end(arguments);
	if (glob(pattern, 0, NULL, &found) == 0)
		fail_msg("%s is left", found.gl_pathv[0]);
	globfree(&found);
}

static void expect_nothing_left(struct fixture *f)
{
	expect_none("/sys/fs/cgroup/lxc.*.%s*", f->name);
	expect_none("/sys/fs/cgroup/*/lxc.*.%s*", f->name);
	expect_none("/run/lxc/lock%s", f->directory);
	assert_int_not_equal(run("grep -q %s/rootfs /proc/*/mountinfo 2>/dev/null", f->directory), 0);
	expect_none("%s/run/k/log-file", f->directory);
}

static void expect_end(struct fixture *f)
{
	expect_state(f, KEEPER_EXITED);
	assert_int_equal(f->pid, 0);
	assert_true(f->message.state.exit.head == ring_head(&f->ring));
	expect_nothing_left(f);
}

/* --- setting up --- */

static void make_rootfs(struct fixture *f)
{
	char *r = f->directory;

	assert_int_equal(run("mkdir -p %s/lxc %s/rootfs/bin %s/rootfs/dev %s/rootfs/proc %s/rootfs/sys &&"
			     "cp " BUSYBOX " %s/rootfs/bin/ && cd %s/rootfs/bin &&"
			     "for i in sh sleep poweroff reboot seq touch stty; do ln -s busybox $i; done",
			     r, r, r, r, r, r, r),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int place, ring;

	if (!f)
		return -1;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		f->descriptors[i] = -1;
	f->pidfd = f->input = -1;
	strcpy(f->directory, "/tmp/keeper-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->name = strrchr(f->directory, '/') + 1;
	f->consoles.directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(f->keeper_path, sizeof(f->keeper_path), "%s-lxc", getenv("CONSOLED_KEEPER"));
	f->consoles.keepers[CONSOLE_CONTAINER] = f->keeper_path;
	place = consoles_open(&f->consoles, "consoles", "k", true);
	assert_true(place >= 0);
	assert_int_equal(ring_create(place, "ring", RING_CAPACITY_DEFAULT), 0);
	ring = openat(place, "ring", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ring_open(&f->ring, ring, false), 0);
	close(ring);
	close(place);
	f->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->master = terminal_open(0, 0);
	assert_true(f->eventfd >= 0 && f->master >= 0);
	make_rootfs(f);
	spawn_keeper(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	drop_descriptors(f);
	if (f->keeper > 0)
		kill_keeper(f);
	run("timeout -s KILL 10 lxc-stop -k -n %s -P %s/lxc 2>/dev/null", f->name, f->directory);
	close_fd(&f->pidfd);
	close_fd(&f->input);
	close_fd(&f->master);
	close(f->eventfd);
	close(f->consoles.directory);
	ring_close(&f->ring);
	run("rmdir /sys/fs/cgroup/lxc.*.%s* /sys/fs/cgroup/*/lxc.*.%s* 2>/dev/null; rm -rf %s /run/lxc/lock%s", f->name,
	    f->name, f->directory, f->directory);
	free(f);
	return 0;
}

/* --- lives --- */

static void test_life(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];

	start(f, "echo first; " WAIT_FLAG "printf last; " POWER_OFF);
	wait_for_text(f, "first");
	set_flag(f);
	expect_end(f);
	expect_log(f, "first\r\nlast"); /* not \r\r\n */
	assert_int_equal(ring_boots(&f->ring, boots, 4), 1);
	assert_true(boots[0].offset == 0);
	assert_int_equal(run("test -e %s/log", f->directory), 0);
}

static void test_much_before_the_end(void **state)
{
	struct fixture *f = *state;

	start(f, "seq 1 40000; " POWER_OFF);
	expect_end(f);
	assert_true(ring_head(&f->ring) == 228894 + 40000); /* the digits with their newlines; the carriage returns */
}

static void test_ends_at_once(void **state)
{
	struct fixture *f = *state;

	start_with(f, "printf x", NULL);
	expect_state(f, KEEPER_RUNNING);
	expect_end(f);
	expect_log(f, "x");
}

static void test_input(void **state)
{
	struct fixture *f = *state;

	start(f, "echo ready; read line; echo \"<$line>\"; sleep 100");
	wait_for_text(f, "ready");
	assert_int_equal(write(f->input, "hello\n", 6), 6);
	wait_for_text(f, "<hello>");
}

static void test_size(void **state)
{
	struct winsize size = {.ws_col = 100, .ws_row = 40};
	struct fixture *f = *state;

	start(f, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done");
	wait_for_text(f, "ready");
	assert_int_equal(ioctl(f->input, TIOCSWINSZ, &size), 0);
	wait_for_text(f, "40 100");
}

static void test_stop(void **state)
{
	struct fixture *f = *state;

	start(f, "trap 'echo bye; " POWER_OFF "' PWR; echo ready; while :; do sleep 0.01; done");
	wait_for_text(f, "ready");
	stop(f, -1, false);
	expect_end(f);
	expect_log(f, "ready\r\nbye\r\n");
}

static void test_stop_with_another_signal(void **state)
{
	struct fixture *f = *state;

	start_with(f, "trap '" POWER_OFF "' USR1; echo ready; while :; do sleep 0.01; done", "lxc.signal.halt=SIGUSR1");
	expect_state(f, KEEPER_RUNNING);
	wait_for_text(f, "ready");
	stop(f, -1, false);
	expect_end(f);
}

static void test_kill_after_timeout(void **state)
{
	struct fixture *f = *state;

	start(f, "while :; do sleep 1; done"); /* takes no notice of SIGPWR */
	stop(f, 50, false);
	expect_end(f);
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	pid_t first;

	start(f, "echo here; while :; do sleep 1; done");
	first = f->pid;
	wait_for_text(f, "here");
	stop(f, 0, true);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_not_equal(f->pid, first);
	assert_int_equal(f->boot, 2);
	wait_for_text(f, "here\r\nhere\r\n");
	stop(f, 0, false);
	expect_end(f);
}

static void expect_restart(struct fixture *f)
{
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
}

/* Other items from here on: at restarts, and when the container itself boots again. */
static void test_restart_with_another(void **state)
{
	struct fixture *f = *state;

	start(f, "trap 'reboot -f' USR1; echo \"<$X>\"; while :; do sleep 0.01; done");
	wait_for_text(f, "<>");
	restart_with(f, "lxc.environment=X=new", 0);
	expect_restart(f);
	wait_for_text(f, "<>\r\n<new>\r\n");
	assert_int_equal(kill(f->pid, SIGUSR1), 0);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 3);
	wait_for_text(f, "<new>\r\n<new>\r\n");
	restart_with(f, "lxc.environment=X=newer", 0);
	expect_restart(f);
	wait_for_text(f, "<newer>\r\n");
	stop(f, 0, false);
	expect_end(f);
}

static void test_reboot(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	pid_t first;

	start(f,
	      "if test -e /second; then sleep 0.1; echo two; while :; do sleep 1; done; fi; touch /second; " WAIT_FLAG
	      "echo one; reboot -f");
	first = f->pid;
	set_flag(f);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 2);
	assert_int_not_equal(f->pid, first);
	assert_int_equal(kill(f->pid, 0), 0);
	wait_for_text(f, "one\r\ntwo\r\n");
	assert_int_equal(ring_boots(&f->ring, boots, 4), 2);
	assert_int_equal(boots[1].offset, strlen("one\r\n"));
	stop(f, 0, false);
	expect_end(f);
}

/* How many descriptors the keeper has open. */
static int descriptors_of(pid_t pid)
{
	char pattern[32];
	glob_t found;
	int count;

	snprintf(pattern, sizeof(pattern), "/proc/%d/fd/*", pid);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	count = (int)found.gl_pathc;
	globfree(&found);
	return count;
}

/* How many children the keeper has. */
static int children_of(pid_t pid)
{
	char path[64];
	int count = 0, child;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fscanf(file, "%d", &child) == 1)
		count++;
	fclose(file);
	return count;
}

static void test_many_reboots(void **state)
{
	struct fixture *f = *state;
	int before;

	start(f, "test -e /count || { echo 0 >/count; " WAIT_FLAG "}; read n </count; echo $((n + 1)) >/count;"
		 "test $n -eq 50 || exec reboot -f; echo \"boot $n\"; while :; do sleep 1; done");
	before = descriptors_of(f->keeper);
	set_flag(f);
	wait_for_text(f, "boot 50");
	do
		expect_state(f, KEEPER_RUNNING);
	while (readable(f->socket, 500));
	assert_true(f->boot > 1 && f->boot <= 51); /* one may be over before anybody has seen it */
	assert_int_equal(kill(f->pid, 0), 0);
	assert_true(descriptors_of(f->keeper) <= before);
	assert_int_equal(children_of(f->keeper), 2); /* the monitor, and one that brings the input */
	stop(f, 0, false);
	expect_end(f);
}

/* An init that is gone before it can be looked at, again and again, also the first one. */
static void test_reboots_at_once(void **state)
{
	struct fixture *f = *state;

	start_with(f, "while :; do sleep 1; done", "lxc.init.cmd=/bin/reboot -f");
	for (int i = 0; i < 20 || f->message.state.phase != KEEPER_RUNNING; i++)
		hear(f);
	assert_int_equal(run("ln -sf /init.sh %s/rootfs/bin/reboot", f->directory), 0);
	while (readable(f->socket, 500))
		hear(f);
	assert_int_equal(f->message.state.phase, KEEPER_RUNNING);
	assert_false(f->message.state.deaf);
	assert_int_equal(kill(f->pid, 0), 0);
	stop(f, 0, false);
	expect_end(f);
}

static void test_size_stays(void **state)
{
	struct winsize size = {.ws_col = 100, .ws_row = 40};
	struct fixture *f = *state;

	start(f, "if test -e /second; then sleep 0.1; stty size; touch /third; while :; do sleep 1; done; fi; "
		 "touch "
		 "/second; " WAIT_FLAG "reboot -f");
	assert_int_equal(ioctl(f->input, TIOCSWINSZ, &size), 0);
	set_flag(f);
	wait_for_text(f, "40 100");
}

/* --- freezing --- */

static void freeze(struct fixture *f, bool frozen)
{
	say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = frozen});
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->message.state.frozen, frozen);
}

static void test_freeze(void **state)
{
	struct fixture *f = *state;

	start(f, "echo ready; read line; echo \"<$line>\"; while :; do sleep 1; done");
	wait_for_text(f, "ready");
	freeze(f, true);
	assert_int_equal(write(f->input, "a\n", 2), 2);
	freeze(f, false);
	wait_for_text(f, "<a>");
	freeze(f, true);
	freeze(f, true); /* it is */
	stop(f, 0, false);
	expect_state(f, KEEPER_RUNNING); /* to be killed, it must go on */
	assert_false(f->message.state.frozen);
	expect_end(f);
}

static void test_freezes_wait_for_each_other(void **state)
{
	struct fixture *f = *state;

	start(f, "while :; do sleep 1; done");
	for (int i = 0; i < 10; i++)
		say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = i % 2 == 0});
	do
		expect_state(f, KEEPER_RUNNING);
	while (f->message.state.frozen);
	assert_false(readable(f->socket, 100)); /* the last one was to go on */
	freeze(f, true);
}

static void test_stop_of_frozen(void **state)
{
	struct fixture *f = *state;

	start(f, "trap '" POWER_OFF "' PWR; echo ready; while :; do sleep 0.01; done");
	wait_for_text(f, "ready");
	freeze(f, true);
	stop(f, -1, false);
	expect_state(f, KEEPER_RUNNING);
	expect_end(f);
}

/* --- starts that fail --- */

static void expect_failure(struct fixture *f, int code, const char *words)
{
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, words);
	assert_int_equal(f->message.state.error, code);
	expect_nothing_left(f);
}

static void test_failure(void **state)
{
	struct fixture *f = *state;

	start_with(f, "exit", "lxc.rootfs.path=dir:/nonesuch");
	expect_failure(f, -ENOENT, "Failed to open \"/nonesuch\": No such file or directory");
}

static void test_refused_item(void **state)
{
	struct fixture *f = *state;

	start_with(f, "exit", "lxc.bogus=1");
	expect_failure(f, -EINVAL, "liblxc does not take \"lxc.bogus = 1\"");
}

/* What liblxc does not take it says when the old one has ended. */
static void test_restart_with_nonsense(void **state)
{
	struct fixture *f = *state;

	start(f, "while :; do sleep 1; done");
	restart_with(f, "lxc.nonsense=1", 0);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_failure(f, -EINVAL, "liblxc does not take \"lxc.nonsense = 1\"");
	expect_nothing_left(f);
}

static void test_no_config(void **state)
{
	struct fixture *f = *state;
	char words[128];

	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, false, true);
	expect_state(f, KEEPER_STARTING);
	snprintf(words, sizeof(words), "liblxc cannot read \"%s/lxc/%s/config\"", f->directory, f->name);
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, words);
}

static void test_runs_already(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f, "while :; do sleep 1; done");
	pid = f->pid;
	kill_keeper(f);
	close_fd(&f->input);
	close_fd(&f->master);
	f->master = terminal_open(0, 0);
	spawn_keeper(f);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, false, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_non_null(strstr(f->text, "runs already"));
	assert_int_equal(kill(pid, 0), 0); /* and still does */
}

/* As the start's own hook, on the host: says that it is there, and waits. */
static void start_slowly(struct fixture *f, const char *script, const char *wait)
{
	char item[64], path[64];

	snprintf(path, sizeof(path), "%s/there", f->directory);
	snprintf(item, sizeof(item), "lxc.hook.pre-start=%s/hook", f->directory);
	assert_int_equal(run("printf '#!/bin/sh\\n>%s; exec sleep %s\\n' >%s/hook && chmod 755 %s/hook", path, wait,
			     f->directory, f->directory),
			 0);
	start_with(f, script, item);
	for (int i = 0; i < LIMIT && access(path, F_OK) < 0; i++)
		poll(NULL, 0, 1);
}

/* What the killed one has begun is nobody's any more, and must not go on. */
static void test_stop_after_keeper_was_killed_while_starting(void **state)
{
	struct fixture *f = *state;

	start_slowly(f, "exit", "1000");
	kill_keeper(f);
	spawn_keeper(f);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, false, false);
	expect_state(f, KEEPER_STARTING);
	stop(f, 0, false);
	expect_failure(f, -ECANCELED, "It was stopped while it was being started");
	assert_int_not_equal(run("grep -qs @%s/lxc/%s/command /proc/net/unix", f->directory, f->name), 0);
}

static void test_stop_while_starting(void **state)
{
	struct fixture *f = *state;

	start_slowly(f, "exit", "1000");
	stop(f, 0, false);
	expect_failure(f, -ECANCELED, "It was stopped while it was being started");
}

static void expect_numbers(struct fixture *f, int last);

/* The keeper's eldest child: what it has begun for the target. */
static pid_t job_of(pid_t keeper)
{
	char path[64];
	pid_t job = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &job), 1);
	fclose(file);
	return job;
}

/* The terminal is read meanwhile: once it is full, the monitor answers nobody, and the start asks it for its init. */
static void test_much_while_starting(void **state)
{
	struct fixture *f = *state;
	pid_t job;

	start_slowly(f, "seq 1 20000; " POWER_OFF, "0.1");
	job = job_of(f->keeper);
	kill(job, SIGSTOP);
	wait_for_text(f, "\n20000\r\n");
	kill(job, SIGCONT);
	expect_state(f, KEEPER_RUNNING);
	expect_end(f);
	expect_numbers(f, 20000);
	assert_int_equal(ring_boots(&f->ring, (struct ring_boot[4]){0}, 4), 1);
}

/* --- deaths --- */

static void test_monitor_killed(void **state)
{
	struct fixture *f = *state;
	cleanup_close int init = -1;

	start(f, "echo here; while :; do sleep 1; done");
	wait_for_text(f, "here");
	init = pidfd_open(f->pid, 0);
	assert_true(init >= 0);
	kill(parent_of(f->pid), SIGKILL);
	expect_end(f);
	assert_true(readable(init, LIMIT));
	expect_log(f, "here\r\n");
}

static void go_on(struct fixture *f);

static int kill_relay(struct fixture *f)
{
	return run("pkill -KILL -P %d console-input", f->keeper);
}

/* What brings the input is killed: another comes. */
static void test_input_killed(void **state)
{
	struct fixture *f = *state;
	start(f, "while read line; do echo \"<$line>\"; done; sleep 100");
	assert_int_equal(kill_relay(f), 0);
	expect_state(f, KEEPER_RUNNING);
	assert_true(write(f->input, "a\n", 2) == 2);
	wait_for_text(f, "<a>");
	kill(f->keeper, SIGSTOP);
	assert_int_equal(kill_relay(f), 0);
	kill_keeper(f);
	go_on(f);
	expect_state(f, KEEPER_RUNNING);
	assert_true(write(f->input, "b\n", 2) == 2);
	wait_for_text(f, "<b>");
}

static void go_on(struct fixture *f)
{
	struct wire_state last = {.phase = KEEPER_RUNNING, .pid = f->pid, .boot = f->boot};

	spawn_keeper(f);
	keep(f, last, NULL, false, false);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->pid, last.pid);
}

static void expect_numbers(struct fixture *f, int last)
{
	cleanup_free char *log = read_log(f, 0);
	char *at = log;

	for (int i = 1; i <= last; i++) {
		assert_int_equal(strtol(at, &at, 10), i);
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
	}
	assert_string_equal(at, "");
}

static void test_keeper_killed_under_output(void **state)
{
	struct fixture *f = *state;

	start(f, "seq 1 50000; " POWER_OFF);
	for (int i = 0; i < 5; i++) {
		for (int wait = 0; wait < LIMIT && ring_head(&f->ring) < (uint64_t)(i + 1) * 20000; wait++)
			readable(f->eventfd, 1);
		kill_keeper(f);
		go_on(f);
	}
	expect_end(f);
	expect_numbers(f, 50000);
}

static void test_keeper_killed_then_all_works(void **state)
{
	struct fixture *f = *state;

	start_with(f, "trap '" POWER_OFF "' USR1; echo ready; while :; do sleep 0.01; done", "lxc.signal.halt=SIGUSR1");
	expect_state(f, KEEPER_RUNNING);
	wait_for_text(f, "ready");
	kill_keeper(f);
	go_on(f);
	freeze(f, true);
	freeze(f, false);
	stop(f, -1, false); /* the new one knows the signal */
	expect_end(f);
}

static void test_reboot_without_keeper(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	pid_t first;

	start(f, "if test -e /second; then echo two; while :; do sleep 1; done; fi; touch /second; " WAIT_FLAG
		 "reboot -f");
	first = f->pid;
	kill_keeper(f);
	set_flag(f);
	assert_true(readable(f->pidfd, 0) == 0);
	for (int i = 0; i < LIMIT && kill(first, 0) == 0; i++)
		poll(NULL, 0, 1);
	go_on(f);
	expect_state(f, KEEPER_RUNNING);
	assert_int_not_equal(f->pid, first);
	assert_int_equal(f->boot, 2);
	wait_for_text(f, "two");
	assert_int_equal(ring_boots(&f->ring, boots, 4), 2);
	stop(f, 0, false);
	expect_end(f);
}

static void test_end_without_keeper(void **state)
{
	struct fixture *f = *state;

	start(f, WAIT_FLAG "printf end; " POWER_OFF);
	kill_keeper(f);
	set_flag(f);
	assert_true(readable(f->pidfd, LIMIT));
	go_on(f);
	expect_end(f);
	expect_log(f, "end");
}

static void test_keeper_killed_while_starting(void **state)
{
	struct fixture *f = *state;

	start_slowly(f, "echo here; while :; do sleep 1; done", "0.2");
	kill_keeper(f);
	spawn_keeper(f);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, false, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_text(f, "here");
	stop(f, 0, false);
	expect_end(f);
	expect_log(f, "here\r\n");
}

/* --- containers that run already --- */

static void take_on(struct fixture *f)
{
	close_fd(&f->master); /* the keeper will find what there is */
	close_fd(&f->input);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, true, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->message.state.output, CONSOLE_OUTPUT_ALL);
	while (f->input < 0) /* of one of ours it is told as soon as it is made */
		expect_state(f, KEEPER_RUNNING);
}

static void test_ours_taken_on(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f, "echo one; read line; echo \"<$line>\"; while :; do sleep 1; done");
	wait_for_text(f, "one");
	pid = f->pid;
	kill_keeper(f);
	close_fd(&f->pidfd);
	spawn_keeper(f);
	take_on(f); /* the daemon that knew more was killed too */
	assert_int_equal(f->pid, pid);
	assert_int_equal(write(f->input, "x\n", 2), 2);
	wait_for_text(f, "<x>");
	assert_int_equal(ring_boots(&f->ring, (struct ring_boot[4]){0}, 4), 1);
	stop(f, 0, false);
	expect_end(f);
}

/* Starts it as somebody else would. */
static void start_foreign(struct fixture *f, const char *script, const char *item)
{
	write_script(f, script);
	assert_int_equal(run("mkdir -p %s/lxc/%s && printf '%%s\\n' lxc.rootfs.path=dir:%s/rootfs "
			     "lxc.init.cmd=/init.sh lxc.uts.name=guest '%s' >%s/lxc/%s/config",
			     f->directory, f->name, f->directory, item, f->directory, f->name),
			 0);
	assert_int_equal(run("timeout -s KILL 10 lxc-start -n %s -P %s/lxc", f->name, f->directory), 0);
}

static void test_foreign_slot(void **state)
{
	struct fixture *f = *state;
	cleanup_close int init = -1;

	start_foreign(f, "read line; echo \"<$line>\"; while :; do sleep 1; done", "");
	take_on(f);
	init = pidfd_open(f->pid, 0);
	assert_int_equal(write(f->input, "x\n", 2), 2);
	wait_for_text(f, "<x>");
	kill_keeper(f);
	assert_false(readable(init, 50)); /* let go unharmed */
	go_on(f);
	stop(f, 0, false);
	while (f->pid > 0)
		hear(f);
	assert_int_equal(f->message.state.phase, KEEPER_EXITED);
}

/* From then on it is one of ours, with a terminal that was made for it. */
static void test_foreign_restarted(void **state)
{
	struct fixture *f = *state;
	pid_t first;

	start_foreign(f, "echo \"<$X>\"; while :; do sleep 1; done", "");
	take_on(f);
	first = f->pid;
	restart_with(f, "lxc.environment=X=new", 0);
	expect_restart(f);
	assert_int_not_equal(f->pid, first);
	assert_true(f->master >= 0);
	wait_for_text(f, "<new>");
	stop(f, 0, false);
	expect_end(f);
}

static void test_foreign_log_file(void **state)
{
	struct fixture *f = *state;
	char item[128];

	snprintf(item, sizeof(item), "lxc.console.logfile=%s/console.log", f->directory);
	start_foreign(f, "seq 1 1000; " WAIT_FLAG "seq 1001 20000; " POWER_OFF, item);
	take_on(f);
	wait_for_text(f, "\n1000\r\n");
	set_flag(f);
	kill_keeper(f);
	go_on(f);
	while (f->pid > 0)
		hear(f);
	assert_int_equal(f->message.state.phase, KEEPER_EXITED);
	expect_numbers(f, 20000);
}

/* Takes the console's slot, as lxc-console(1) does, to be given back with close(). */
static int take_slot(struct fixture *f)
{
	char path[64];
	struct lxc_container *c;
	int number = 0, master = -1, slot;

	snprintf(path, sizeof(path), "%s/lxc", f->directory);
	c = lxc_container_new(f->name, path);
	assert_non_null(c);
	slot = c->console_getfd(c, &number, &master);
	lxc_container_put(c);
	close(master);
	return slot;
}

/* The next keeper asks a monitor that gives it nothing, as one that is just ending; but the log file is known. */
static void test_foreign_log_file_not_found_again(void **state)
{
	struct fixture *f = *state;
	cleanup_close int slot = -1;
	char item[128];

	snprintf(item, sizeof(item), "lxc.console.logfile=%s/console.log", f->directory);
	start_foreign(f, "seq 1 1000; " WAIT_FLAG "seq 1001 20000; " POWER_OFF, item);
	take_on(f);
	wait_for_text(f, "\n1000\r\n");
	kill_keeper(f);
	slot = take_slot(f);
	assert_true(slot >= 0);
	assert_int_equal(run("mv %s/console.log %s/away", f->directory, f->directory), 0);
	go_on(f);
	while (f->message.state.output != CONSOLE_OUTPUT_HISTORY)
		expect_state(f, KEEPER_RUNNING);
	assert_int_equal(run("mv %s/away %s/console.log", f->directory, f->directory), 0);
	close_fd(&slot);
	set_flag(f);
	while (f->pid > 0)
		hear(f);
	expect_numbers(f, 20000);
}

/* The last of it comes when its init has ended, and its monitor before it could say how it goes on. */
static void test_foreign_log_file_at_the_end(void **state)
{
	struct fixture *f = *state;
	char item[128];
	pid_t monitor;

	snprintf(item, sizeof(item), "lxc.console.logfile=%s/console.log", f->directory);
	start_foreign(f, "printf one; while :; do sleep 1; done", item);
	take_on(f);
	wait_for_text(f, "one");
	monitor = parent_of(f->pid);
	kill(monitor, SIGSTOP);
	kill(f->pid, SIGKILL);
	do
		hear(f);
	while (!f->message.state.deaf);
	poll(NULL, 0, 50);
	assert_int_equal(run("printf two >>%s/console.log", f->directory), 0);
	kill(monitor, SIGKILL);
	expect_state(f, KEEPER_EXITED);
	expect_log(f, "onetwo");
}

/* A reboot gives it another console. (With the console's slot taken, by whomever, liblxc 5.0 ends it instead.)
 */
static void test_foreign_reboots(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	char item[128];

	snprintf(item, sizeof(item), "lxc.console.logfile=%s/console.log", f->directory);
	start_foreign(f,
		      "if test -e /second; then echo two; read line; echo \"<$line>\"; " POWER_OFF
		      "; fi; touch /second; echo one; " WAIT_FLAG "reboot -f",
		      item);
	take_on(f);
	set_flag(f);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 2);
	assert_int_equal(write(f->input, "x\n", 2), 2);
	expect_state(f, KEEPER_EXITED);
	expect_log(f, "one\r\ntwo\r\nx\r\n<x>\r\n");
	assert_int_equal(ring_boots(&f->ring, boots, 4), 2);
	assert_int_equal(boots[1].offset, strlen("one\r\n"));
}

static void test_nothing_to_take_on(void **state)
{
	struct fixture *f = *state;

	keep(f, (struct wire_state){.phase = KEEPER_STARTING}, NULL, true, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -ESRCH);
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_life),
		with(test_much_before_the_end),
		with(test_ends_at_once),
		with(test_input),
		with(test_size),
		with(test_stop),
		with(test_stop_with_another_signal),
		with(test_kill_after_timeout),
		with(test_restart),
		with(test_restart_with_another),
		with(test_restart_with_nonsense),
		with(test_reboot),
		with(test_many_reboots),
		with(test_reboots_at_once),
		with(test_size_stays),
		with(test_freeze),
		with(test_freezes_wait_for_each_other),
		with(test_stop_of_frozen),
		with(test_failure),
		with(test_refused_item),
		with(test_no_config),
		with(test_runs_already),
		with(test_stop_while_starting),
		with(test_much_while_starting),
		with(test_stop_after_keeper_was_killed_while_starting),
		with(test_monitor_killed),
		with(test_input_killed),
		with(test_keeper_killed_under_output),
		with(test_keeper_killed_then_all_works),
		with(test_reboot_without_keeper),
		with(test_end_without_keeper),
		with(test_keeper_killed_while_starting),
		with(test_ours_taken_on),
		with(test_foreign_slot),
		with(test_foreign_restarted),
		with(test_foreign_log_file),
		with(test_foreign_log_file_not_found_again),
		with(test_foreign_log_file_at_the_end),
		with(test_foreign_reboots),
		with(test_nothing_to_take_on),
	};
	const char *keeper = getenv("CONSOLED_KEEPER");
	char path[512];

	snprintf(path, sizeof(path), "%s-lxc", keeper ? keeper : "");
	if (geteuid() != 0 || access(path, X_OK) < 0 || access(BUSYBOX, X_OK) < 0 ||
	    run("lxc-start --version >/dev/null")) {
		fprintf(stderr, "skipped: needs root, busybox-static, lxc and %s\n", path);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
