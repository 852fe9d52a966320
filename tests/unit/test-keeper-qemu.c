// SPDX-License-Identifier: Apache-2.0
/*
 * What a keeper for virtual machines ($CONSOLED_KEEPER-qemu) does with what it is told: real machines, without KVM,
 * which run the guest of tests/guests/bootsector.S.
 */
#include "bridge/qmp.h"
#include "pty/consoles.h"
#include "pty/targets/qemu.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 60000 /* ms: without KVM, a machine on a busy host is slow */
#define READY "ready\r\n"
#define FLOOD_SIZE 65536

/* What the guest does when it is typed. */
#define HEAR_BUTTON "\x01"
#define POWER_OFF "\x04"
#define FLOOD "\x06"
#define REBOOT "\x12"

struct fixture {
	char directory[32];
	char keeper_path[512];
	struct consoles consoles; /* only what keeper_spawn() and keeper_connect() look at */
	int run;                  /* run/k */
	int socket;
	pid_t keeper;
	int eventfd, master, input, pidfd;
	pid_t pid;
	uint32_t boot;
	struct ring ring;
	int monitor; /* the daemon's */
	struct buffer heard;
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

/* --- the wire --- */

static void drop_descriptors(struct fixture *f)
{
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&f->descriptors[i]);
}

static void note(int *fd, int *descriptor)
{
	if (*descriptor < 0)
		return;
	close_fd(fd);
	*fd = move_fd(descriptor);
}

/* Receives the next message, and takes note of the machine as a daemon does. */
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
	note(&f->pidfd, &f->descriptors[WIRE_PIDFD]);
	note(&f->master, &f->descriptors[WIRE_MASTER]);
	note(&f->input, &f->descriptors[WIRE_INPUT]);
}

static void expect_state(struct fixture *f, enum keeper_phase phase)
{
	hear(f);
	if (f->message.type != WIRE_STATE || (f->message.state.phase == KEEPER_FAILED && phase != KEEPER_FAILED))
		fail_msg("%s", f->text);
	assert_int_equal(f->message.state.phase, phase);
	assert_int_equal(f->message.state.kind, CONSOLE_MACHINE);
	assert_int_equal(f->pidfd >= 0, f->pid > 0);
}

static void expect_frozen(struct fixture *f, bool frozen)
{
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->message.state.frozen, frozen);
}

static void say(struct fixture *f, struct wire_message message)
{
	assert_int_equal(wire_send(f->socket, &message, NULL, 0, NULL), 0);
}

static void stop(struct fixture *f, int timeout, bool again)
{
	say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.timeout = timeout, .again = again}});
}

static void freeze(struct fixture *f, bool frozen)
{
	say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = frozen});
	expect_frozen(f, frozen);
}

static void grant(struct fixture *f, uint64_t limit)
{
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = limit});
}

static void spawn_keeper(struct fixture *f)
{
	struct error error = {0};

	f->socket = keeper_spawn(&f->consoles, CONSOLE_MACHINE, "k", &f->keeper, &error);
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

/* --- the machine --- */

static void pack(struct fixture *f, char *const *argv, bool running, struct console_target *target)
{
	char path[512], log[64];
	struct console_machine machine = {
		.argv = argv, .environment = (char *[]){path, NULL}, .log = log, .running = running};

	snprintf(path, sizeof(path), "PATH=%s", getenv("PATH"));
	snprintf(log, sizeof(log), "%s/log", f->directory);
	assert_int_equal(pack_machine(&machine, target, NULL), 0);
}

/* Sends KEEP. */
static void keep(struct fixture *f, struct wire_state state, char *const *argv, bool running)
{
	struct wire_message message = {.type = WIRE_KEEP, .state = state};
	int descriptors[] = {
		[WIRE_EVENTFD] = f->eventfd,
		[WIRE_MASTER] = state.pid > 0 ? f->master : -1,
		[WIRE_PIDFD] = state.pid > 0 ? f->pidfd : -1,
		[WIRE_INPUT] = state.pid > 0 ? f->input : -1,
	};
	cleanup_target struct console_target target = {0};

	pack(f, argv, running, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, descriptors), 0);
}

/* The machine of all tests, with one more option and its value (or NULL). */
#define GUEST(option, value)                                                                                      \
	((char *const *)(const char *const[]){"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", \
					      "none", "-M", "q35", "-accel", "tcg", "-m", "32", "-drive",         \
					      "file=../../disk,format=raw,if=virtio", option, value, NULL})

static void keep_guest(struct fixture *f, struct wire_state state, const char *option, const char *value, bool running)
{
	keep(f, state, GUEST(option, value), running);
}

/* Sends STOP for a restart with other options. */
static void restart_with(struct fixture *f, char *const *argv, int timeout)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.timeout = timeout, .again = true}};
	cleanup_target struct console_target target = {0};

	pack(f, argv, false, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, NULL), 0);
}

static const struct wire_state starting = {.phase = KEEPER_STARTING};

static void start(struct fixture *f)
{
	keep_guest(f, starting, NULL, NULL, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_true(f->pid > 0 && f->input >= 0);
}

static void type(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->input, text, strlen(text)), strlen(text));
}

/* Reads the log as a string, to be freed. */
static char *read_log(struct fixture *f)
{
	uint64_t lost, offset = ring_tail(&f->ring);
	size_t size = (size_t)(ring_head(&f->ring) - offset), length = 0, got;
	char *log = malloc(size + 1);

	assert_non_null(log);
	while (length < size && (got = ring_read(&f->ring, &offset, log + length, size - length, &lost)) > 0)
		length += got;
	log[length] = '\0';
	return log;
}

static void wait_for_head(struct fixture *f, uint64_t head)
{
	eventfd_t rung;

	for (int i = 0; i < LIMIT && ring_head(&f->ring) < head; i++)
		if (readable(f->eventfd, 1))
			eventfd_read(f->eventfd, &rung);
	assert_true(ring_head(&f->ring) >= head);
}

static void expect_log(struct fixture *f, const char *expected)
{
	cleanup_free char *log = NULL;

	wait_for_head(f, strlen(expected));
	log = read_log(f);
	assert_string_equal(log, expected);
}

/* That `text` begins with a whole flood. Returns what is behind it. */
static const char *expect_flood(const char *text)
{
	char line[20];

	for (int i = 0; i < FLOOD_SIZE / 16; i++, text += 16) {
		snprintf(line, sizeof(line), "%04x abcdefghi\r\n", i);
		assert_memory_equal(text, line, 16);
	}
	return text;
}

static void expect_ready_and_floods(struct fixture *f, int count)
{
	cleanup_free char *log = NULL;
	const char *at;

	wait_for_head(f, strlen(READY) + (size_t)count * FLOOD_SIZE);
	log = read_log(f);
	assert_memory_equal(log, READY, strlen(READY));
	at = log + strlen(READY);
	for (int i = 0; i < count; i++)
		at = expect_flood(at);
	assert_string_equal(at, "");
}

static void expect_nothing_left(struct fixture *f)
{
	static const char *const files[] = {"console.in", "console.out", "keeper.qmp", "qmp", "qemu.pid"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (faccessat(f->run, files[i], F_OK, 0) == 0)
			fail_msg("%s is left", files[i]);
	assert_int_equal(faccessat(f->run, "keeper", F_OK, 0), 0);
}

static void expect_end(struct fixture *f)
{
	expect_state(f, KEEPER_EXITED);
	assert_int_equal(f->pid, 0);
	assert_true(f->message.state.exit.head == ring_head(&f->ring));
	expect_nothing_left(f);
}

static void expect_good_end(struct fixture *f)
{
	expect_end(f);
	assert_true(f->message.state.exit.known);
	assert_int_equal(f->message.state.exit.status, 0);
}

/* --- the other monitor --- */

/* Says something there, and waits for a message of that kind and name. */
static void ask_monitor(struct fixture *f, const char *command, enum qmp_kind kind, const char *name)
{
	cleanup_free char *line = command ? qmp_command(command, NULL, 0) : NULL;
	bool found = false;

	if (line)
		assert_int_equal(send(f->monitor, line, strlen(line), 0), strlen(line));
	while (!found) {
		struct qmp_message message;
		char data[4096];
		int r = qmp_take(&f->heard, &message);

		if (r == 0) {
			found = message.kind == kind && strcmp(message.name, name) == 0;
			qmp_finish(&message);
			continue;
		}
		assert_int_equal(r, -EAGAIN);
		assert_true(readable(f->monitor, LIMIT));
		r = (int)recv(f->monitor, data, sizeof(data), 0);
		assert_true(r > 0);
		assert_int_equal(buffer_append(&f->heard, data, (size_t)r, QMP_LINE_MAX), 0);
	}
}

static void open_monitor(struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/k/qmp", f->directory);
	f->monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->monitor, (struct sockaddr *)&address, sizeof(address)), 0);
	ask_monitor(f, "qmp_capabilities", QMP_RETURN, "");
}

/* --- setting up --- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char command[1024];
	int place, ring;

	if (!f)
		return -1;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		f->descriptors[i] = -1;
	f->pidfd = f->master = f->input = f->monitor = -1;
	strcpy(f->directory, "/tmp/keeper-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(command, sizeof(command), "%s %s/disk", getenv("CONSOLED_BOOTSECTOR"), f->directory);
	assert_int_equal(system(command), 0);
	f->consoles.directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(f->keeper_path, sizeof(f->keeper_path), "%s-qemu", getenv("CONSOLED_KEEPER"));
	f->consoles.keepers[CONSOLE_MACHINE] = f->keeper_path;
	f->run = consoles_open(&f->consoles, "run", "k", true);
	place = consoles_open(&f->consoles, "consoles", "k", true);
	assert_true(f->run >= 0 && place >= 0);
	assert_int_equal(ring_create(place, "ring", RING_CAPACITY_DEFAULT), 0);
	ring = openat(place, "ring", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ring_open(&f->ring, ring, false), 0);
	close(ring);
	close(place);
	f->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(f->eventfd >= 0);
	spawn_keeper(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];
	pid_t pid;
	int fd;

	drop_descriptors(f);
	if (f->keeper > 0)
		kill_keeper(f);
	fd = qemu_find(f->run, &pid);
	if (fd >= 0) {
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
		assert_true(readable(fd, LIMIT));
		close(fd);
	}
	close_fd(&f->monitor);
	buffer_finish(&f->heard);
	close_fd(&f->pidfd);
	close_fd(&f->input);
	close_fd(&f->master);
	close(f->eventfd);
	close(f->run);
	close(f->consoles.directory);
	ring_close(&f->ring);
	snprintf(command, sizeof(command), "rm -rf %s", f->directory);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* --- lives --- */

static void test_life(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];

	start(f);
	expect_log(f, READY);
	type(f, "hello");
	expect_log(f, READY "hello");
	type(f, "!" POWER_OFF);
	expect_good_end(f);
	expect_log(f, READY "hello!");
	assert_int_equal(ring_boots(&f->ring, boots, 4), 1);
	assert_true(boots[0].offset == 0);
}

static void test_typed_early(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, NULL, NULL, false);
	expect_state(f, KEEPER_STARTING);
	type(f, "early");
	expect_state(f, KEEPER_RUNNING);
	expect_log(f, READY "early");
}

static void test_much_before_the_end(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	type(f, FLOOD FLOOD POWER_OFF);
	expect_good_end(f);
	expect_ready_and_floods(f, 2);
}

/* A reader may be slow, and what waits for it more than a terminal would hold. */
static void test_held_at_the_end(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	grant(f, 1000);
	type(f, FLOOD FLOOD FLOOD POWER_OFF);
	for (int i = 0; i < LIMIT / 500 && !readable(f->pidfd, 500); i++)
		grant(f, 1000); /* or else it would be drained after two seconds */
	assert_true(readable(f->pidfd, 0));
	assert_true(ring_head(&f->ring) == 1000);
	grant(f, 2 * FLOOD_SIZE);
	wait_for_head(f, 2 * FLOOD_SIZE);
	assert_false(readable(f->socket, 700));
	assert_true(ring_head(&f->ring) == 2 * FLOOD_SIZE);
	grant(f, UINT64_MAX);
	expect_good_end(f);
	expect_ready_and_floods(f, 3);
}

/* One that is booting does not hear its power button: it is pressed until it does. */
static void test_stop(void **state)
{
	struct fixture *f = *state;

	start(f);
	open_monitor(f);
	expect_log(f, READY);
	stop(f, -1, false);
	ask_monitor(f, NULL, QMP_EVENT, "POWERDOWN");
	type(f, HEAR_BUTTON);
	ask_monitor(f, NULL, QMP_EVENT, "POWERDOWN");
	expect_good_end(f);
}

static void test_kill(void **state)
{
	struct fixture *f = *state;

	start(f);
	stop(f, 0, false);
	expect_good_end(f); /* it was asked */
}

static void test_kill_after_timeout(void **state)
{
	struct fixture *f = *state;

	start(f);
	kill(f->pid, SIGSTOP); /* hears nothing */
	stop(f, 50, false);
	expect_end(f);
	assert_true(WIFSIGNALED(f->message.state.exit.status));
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	pid_t first;

	start(f);
	first = f->pid;
	expect_log(f, READY);
	type(f, HEAR_BUTTON);
	stop(f, -1, true);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_not_equal(f->pid, first);
	assert_int_equal(f->boot, 2);
	expect_log(f, READY READY);
	type(f, "x");
	expect_log(f, READY READY "x");
}

static void expect_restart(struct fixture *f)
{
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
}

/* How many words QEMU's command line has that are this one. */
static int count_words(pid_t pid, const char *word)
{
	char path[32], words[8192];
	ssize_t length;
	int fd, count = 0;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = read(fd, words, sizeof(words));
	close(fd);
	for (ssize_t at = 0; at < length; at += (ssize_t)strlen(words + at) + 1)
		count += strcmp(words + at, word) == 0;
	return count;
}

/* Other options from here on; not before. */
static void test_restart_with_another(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	restart_with(f, GUEST("-name", "other"), -1);
	type(f, REBOOT);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(count_words(f->pid, "other"), 0);
	expect_log(f, READY READY);
	type(f, HEAR_BUTTON);
	expect_restart(f);
	assert_int_equal(count_words(f->pid, "other"), 1);
	expect_log(f, READY READY READY);
	restart_with(f, GUEST("-name", "third"), 0);
	expect_restart(f);
	assert_int_equal(count_words(f->pid, "third"), 1);
}

/* What QEMU does not take it says when the old one has ended. */
static void test_restart_with_nonsense(void **state)
{
	struct fixture *f = *state;

	start(f);
	restart_with(f, GUEST("-nonsense", NULL), 0);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_non_null(strstr(f->text, "-nonsense: invalid option"));
	expect_nothing_left(f);
}

static void test_reboot(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	pid_t pid;

	start(f);
	pid = f->pid;
	expect_log(f, READY);
	type(f, "a" REBOOT);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 2);
	assert_int_equal(f->pid, pid);
	expect_log(f, READY "a" READY);
	assert_int_equal(ring_boots(&f->ring, boots, 4), 2);
	assert_true(boots[1].offset == strlen(READY "a"));
	type(f, "b");
	expect_log(f, READY "a" READY "b");
	assert_false(readable(f->socket, 0)); /* the BIOS has reset once more */
	type(f, POWER_OFF);
	expect_good_end(f);
}

/* All waits but what the UART itself has got when it is reset: 16 bytes at most, and that twice. */
static void test_typed_while_it_reboots(void **state)
{
	char text[64 + 1] = REBOOT;
	struct fixture *f = *state;
	cleanup_free char *log = NULL;

	for (int i = 1; i < 64; i++)
		text[i] = (char)('0' + i);
	start(f);
	expect_log(f, READY);
	type(f, text);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, strlen(READY READY) + 31);
	for (int i = 0; i < LIMIT && !log; i++) {
		log = read_log(f);
		if (!strchr(log, text[63])) {
			free(move_pointer(log));
			readable(f->eventfd, 1);
		}
	}
	assert_non_null(log);
	assert_memory_equal(log, READY READY, strlen(READY READY));
	assert_non_null(strstr(log, text + 33));
}

static void test_reset_by_others(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	open_monitor(f);
	ask_monitor(f, "system_reset", QMP_EVENT, "RESET");
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 2);
	expect_log(f, READY READY);
	assert_false(readable(f->socket, 0));
}

/* --- freezing --- */

static void test_freeze(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	freeze(f, true);
	type(f, "abc");
	freeze(f, true); /* it is */
	expect_log(f, READY);
	freeze(f, false);
	expect_log(f, READY "abc");
	freeze(f, false);
}

static void test_freezes_in_a_row(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (int i = 0; i < 10; i++)
		say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = i % 2 == 0});
	for (int i = 0; i < 10; i++)
		expect_frozen(f, i % 2 == 0);
	assert_false(readable(f->socket, 100));
}

static void test_frozen_by_others(void **state)
{
	struct fixture *f = *state;

	start(f);
	open_monitor(f);
	ask_monitor(f, "stop", QMP_EVENT, "STOP");
	expect_frozen(f, true);
	ask_monitor(f, "cont", QMP_EVENT, "RESUME");
	expect_frozen(f, false);
}

static void test_starts_frozen(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, "-S", NULL, false);
	expect_state(f, KEEPER_STARTING);
	expect_frozen(f, false);
	expect_frozen(f, true);
	freeze(f, false);
	expect_log(f, READY);
}

/* A machine that stays when its guest has powered it off stands still, and cannot go on. */
static void test_thaw_refused(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, "-no-shutdown", NULL, false);
	expect_state(f, KEEPER_STARTING);
	expect_frozen(f, false);
	expect_log(f, READY);
	type(f, POWER_OFF);
	expect_frozen(f, true);
	say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = false});
	hear(f);
	assert_int_equal(f->message.type, WIRE_REFUSED);
	assert_int_equal(f->message.state.error, -EIO);
	assert_string_equal(f->text, "QEMU: Resetting the Virtual Machine is required");
	stop(f, 0, false);
	expect_good_end(f);
}

static void test_stop_of_frozen(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	type(f, HEAR_BUTTON "x");
	expect_log(f, READY "x");
	freeze(f, true);
	stop(f, -1, false);
	expect_frozen(f, false);
	expect_good_end(f);
}

static void test_kill_of_frozen(void **state)
{
	struct fixture *f = *state;

	start(f);
	freeze(f, true);
	stop(f, 0, false);
	expect_good_end(f);
}

/* --- starts that fail --- */

static void test_failure(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, "-M", "nonsense", false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, "qemu-system-x86_64: unsupported machine type");
	assert_int_equal(f->message.state.error, -EIO);
	expect_nothing_left(f);
}

/* By then the monitor has greeted. */
static void test_failure_of_a_device(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, "-device", "nonsense", false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_non_null(strstr(f->text, "'nonsense' is not a valid device model name"));
	expect_nothing_left(f);
}

/* What has become a qcow2 that names another file, between the daemon's look at it and the start. */
static void test_disk_that_names_another(void **state)
{
	static const uint8_t header[104] = {'Q', 'F', 'I', 0xfb, [7] = 3, [79] = 4 /* its data are elsewhere */};
	struct fixture *f = *state;
	char path[64], drive[256], words[256];
	int fd;

	snprintf(path, sizeof(path), "%s/other", f->directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
	close(fd);
	snprintf(drive, sizeof(drive),
		 "{\"driver\": \"qcow2\", \"node-name\": \"x\", \"backing\": null, "
		 "\"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}",
		 path);
	start(f);
	restart_with(f, GUEST("-blockdev", drive), 0);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -EINVAL);
	snprintf(words, sizeof(words), "%s: its header names other files;", path);
	assert_memory_equal(f->text, words, strlen(words));
	expect_nothing_left(f);
}

static void test_no_qemu(void **state)
{
	struct fixture *f = *state;

	keep(f, starting, (char *[]){(char *)"/nonexistent", NULL}, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, "/nonexistent: No such file or directory");
}

static void test_without_a_word(void **state)
{
	struct fixture *f = *state;

	keep(f, starting, (char *[]){(char *)"true", NULL}, false);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, "QEMU has ended without a word");
}

/* One that never gets as far as listening to its monitor. */
static void test_stop_while_starting(void **state)
{
	struct fixture *f = *state;

	keep(f, starting, (char *[]){(char *)"sh", (char *)"-c", (char *)"exec sleep 1000", NULL}, false);
	expect_state(f, KEEPER_STARTING);
	stop(f, 0, false);
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -ECANCELED);
	expect_nothing_left(f);
}

/* --- keepers that die --- */

static void go_on(struct fixture *f)
{
	struct wire_state last = {.phase = KEEPER_RUNNING, .pid = f->pid, .boot = f->boot};

	spawn_keeper(f);
	keep_guest(f, last, NULL, NULL, false);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->pid, last.pid);
	assert_int_equal(f->boot, last.boot);
}

static void test_keeper_killed_under_output(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	type(f, FLOOD FLOOD FLOOD FLOOD FLOOD FLOOD FLOOD FLOOD POWER_OFF);
	for (uint64_t i = 1; i < 8; i++) {
		wait_for_head(f, i * FLOOD_SIZE);
		kill_keeper(f);
		go_on(f);
	}
	expect_end(f);
	expect_ready_and_floods(f, 8);
}

static void test_keeper_killed_then_all_works(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	kill_keeper(f);
	go_on(f);
	freeze(f, true);
	freeze(f, false);
	type(f, "x" REBOOT);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->boot, 2);
	expect_log(f, READY "x" READY);
	type(f, HEAR_BUTTON);
	stop(f, -1, false);
	expect_end(f);
}

/* The daemon has nothing of the terminal any more, or never had: it is opened anew. */
static void test_keeper_killed_and_no_terminal(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	kill_keeper(f);
	close_fd(&f->master);
	close_fd(&f->input);
	go_on(f);
	assert_true(f->master >= 0 && f->input >= 0);
	type(f, "x");
	expect_log(f, READY "x");
}

static void test_frozen_without_keeper(void **state)
{
	struct fixture *f = *state;

	start(f);
	open_monitor(f);
	kill_keeper(f);
	ask_monitor(f, "stop", QMP_EVENT, "STOP");
	go_on(f);
	assert_false(f->message.state.frozen);
	expect_frozen(f, true);
}

static void test_end_without_keeper(void **state)
{
	struct fixture *f = *state;

	start(f);
	expect_log(f, READY);
	kill_keeper(f);
	type(f, FLOOD FLOOD POWER_OFF);
	assert_true(readable(f->pidfd, LIMIT));
	go_on(f);
	expect_end(f);
	expect_ready_and_floods(f, 2);
}

/* Before it could tell anybody. */
static void test_keeper_killed_while_starting(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	keep_guest(f, starting, NULL, NULL, false);
	expect_state(f, KEEPER_STARTING);
	pid = f->pid;
	kill_keeper(f);
	spawn_keeper(f);
	start(f);
	assert_int_equal(f->pid, pid);
	expect_log(f, READY);
	stop(f, 0, false);
	expect_end(f);
}

/* --- machines that run already --- */

static void forget(struct fixture *f)
{
	kill_keeper(f);
	close_fd(&f->pidfd);
	close_fd(&f->master);
	close_fd(&f->input);
}

static void take_on(struct fixture *f)
{
	spawn_keeper(f);
	keep_guest(f, starting, NULL, NULL, true);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
}

/* What it prints while there is neither a keeper nor a daemon waits in QEMU's own end. */
static void test_taken_on(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	pid_t pid;

	start(f);
	expect_log(f, READY);
	pid = f->pid;
	type(f, FLOOD);
	forget(f);
	take_on(f);
	assert_int_equal(f->pid, pid);
	expect_ready_and_floods(f, 1);
	assert_int_equal(ring_boots(&f->ring, boots, 4), 1);
	type(f, FLOOD);
	expect_ready_and_floods(f, 2);
	stop(f, 0, true); /* another is begun as usual */
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_not_equal(f->pid, pid);
	assert_int_equal(ring_boots(&f->ring, boots, 4), 2);
}

static void test_nothing_to_take_on(void **state)
{
	struct fixture *f = *state;

	keep_guest(f, starting, NULL, NULL, true);
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -ESRCH);
}

/* Its number is somebody else's now. */
static void test_found_somebody_else(void **state)
{
	struct fixture *f = *state;
	int fd = openat(f->run, "qemu.pid", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	pid_t pid;

	assert_true(dprintf(fd, "%d\n", getpid()) > 0);
	close(fd);
	assert_int_equal(qemu_find(f->run, &pid), -ESRCH);
	start(f);
	expect_log(f, READY);
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_life),
		with(test_typed_early),
		with(test_much_before_the_end),
		with(test_held_at_the_end),
		with(test_stop),
		with(test_kill),
		with(test_kill_after_timeout),
		with(test_restart),
		with(test_restart_with_another),
		with(test_restart_with_nonsense),
		with(test_reboot),
		with(test_typed_while_it_reboots),
		with(test_reset_by_others),
		with(test_freeze),
		with(test_freezes_in_a_row),
		with(test_frozen_by_others),
		with(test_starts_frozen),
		with(test_thaw_refused),
		with(test_stop_of_frozen),
		with(test_kill_of_frozen),
		with(test_failure),
		with(test_failure_of_a_device),
		with(test_disk_that_names_another),
		with(test_no_qemu),
		with(test_without_a_word),
		with(test_stop_while_starting),
		with(test_keeper_killed_under_output),
		with(test_keeper_killed_then_all_works),
		with(test_keeper_killed_and_no_terminal),
		with(test_frozen_without_keeper),
		with(test_end_without_keeper),
		with(test_keeper_killed_while_starting),
		with(test_taken_on),
		with(test_nothing_to_take_on),
		with(test_found_somebody_else),
	};
	const char *keeper = getenv("CONSOLED_KEEPER");
	char path[512];

	snprintf(path, sizeof(path), "%s-qemu", keeper ? keeper : "");
	if (access(path, X_OK) < 0 || system("qemu-system-x86_64 --version >/dev/null && as --version >/dev/null && "
					     "ld --version >/dev/null")) {
		fprintf(stderr, "skipped: needs qemu-system-x86, binutils and %s\n", path);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
