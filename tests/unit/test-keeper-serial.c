// SPDX-License-Identifier: Apache-2.0
/*
 * What a keeper for serial devices ($CONSOLED_KEEPER-serial) does with what it is told. The devices are links to
 * pseudo-terminals, of which the test has the other end.
 */
#include "pty/consoles.h"
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
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 20000 /* ms */

struct fixture {
	char directory[32], keeper_path[512], device[64];
	struct consoles consoles; /* only what keeper_spawn() and keeper_connect() look at */
	int socket;
	pid_t keeper;
	int board;                  /* the other end of the line; -1: unplugged */
	int eventfd, master, input; /* the daemon's */
	struct ring ring;
	/* The last message. */
	struct wire_message message;
	int descriptors[WIRE_DESCRIPTORS];
	char text[256];
};

static bool readable(int fd, int timeout_ms)
{
	struct pollfd set = {.fd = fd, .events = POLLIN};

	return poll(&set, 1, timeout_ms) == 1;
}

/* --- the line --- */

static void plug_in_at(struct fixture *f, const char *path)
{
	char name[64];

	f->board = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(f->board >= 0 && unlockpt(f->board) == 0);
	assert_int_equal(ptsname_r(f->board, name, sizeof(name)), 0);
	assert_int_equal(symlink(name, path), 0);
}

static void plug_in(struct fixture *f)
{
	plug_in_at(f, f->device);
}

static void unplug(struct fixture *f)
{
	assert_int_equal(unlink(f->device), 0);
	close_fd(&f->board);
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void expect_text(int fd, const char *text)
{
	char got[64] = "";
	size_t length = 0;

	while (length < strlen(text)) {
		ssize_t r;

		assert_true(readable(fd, LIMIT));
		r = read(fd, got + length, strlen(text) - length);
		assert_true(r > 0);
		length += (size_t)r;
	}
	assert_string_equal(got, text);
}

static void expect_log(struct fixture *f, const char *text)
{
	char got[256] = "";
	uint64_t lost, offset = ring_tail(&f->ring);

	for (int i = 0; i < LIMIT && ring_head(&f->ring) < strlen(text); i++)
		poll(NULL, 0, 1); /* without a daemon nothing is rung */
	ring_read(&f->ring, &offset, got, sizeof(got) - 1, &lost);
	assert_string_equal(got, text);
}

/* Whether somebody has the device open. */
static bool is_open(const struct fixture *f)
{
	struct pollfd set = {.fd = f->board};

	return poll(&set, 1, 0) == 0;
}

/* --- the wire --- */

static void note(int *fd, int *descriptor)
{
	if (*descriptor < 0)
		return;
	close_fd(fd);
	*fd = move_fd(descriptor);
}

/* Receives the next message, and takes note of the line as a daemon does. */
static void hear(struct fixture *f)
{
	cleanup_free void *tail = NULL;

	assert_true(readable(f->socket, LIMIT));
	assert_int_equal(wire_receive(f->socket, &f->message, &tail, f->descriptors), 0);
	snprintf(f->text, sizeof(f->text), "%.*s", (int)f->message.tail_length, tail ? (char *)tail : "");
	note(&f->master, &f->descriptors[WIRE_MASTER]);
	note(&f->input, &f->descriptors[WIRE_INPUT]);
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&f->descriptors[i]);
	assert_int_equal(f->message.state.pid, 0);
}

static void expect_state(struct fixture *f, enum keeper_phase phase)
{
	hear(f);
	if (f->message.type != WIRE_STATE || f->message.state.phase != phase)
		fail_msg("type %d, phase %d: %s", f->message.type, (int)f->message.state.phase, f->text);
	assert_int_equal(f->message.state.kind, CONSOLE_SERIAL);
}

static void expect_line(struct fixture *f, bool away, unsigned boot)
{
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(f->message.state.deaf, away);
	assert_int_equal(f->message.state.boot, boot);
	if (!away)
		return;
	close_fd(&f->master);
	close_fd(&f->input);
}

static void say(struct fixture *f, struct wire_message message)
{
	assert_int_equal(wire_send(f->socket, &message, NULL, 0, NULL), 0);
}

static void pack(const char *device, struct console_target *target)
{
	assert_int_equal(pack_serial(
				 &(struct console_serial){
					 .device = device,
					 .speed = 9600,
					 .data_bits = 8,
					 .stop_bits = 1,
					 .parity = 'n',
				 },
				 target, NULL),
			 0);
}

static void keep(struct fixture *f, struct wire_state state)
{
	struct wire_message message = {.type = WIRE_KEEP, .state = state};
	cleanup_target struct console_target target = {0};
	int descriptors[] = {
		[WIRE_EVENTFD] = f->eventfd, [WIRE_MASTER] = f->master, [WIRE_PIDFD] = -1, [WIRE_INPUT] = f->input};

	pack(f->device, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, descriptors), 0);
}

static void restart_with(struct fixture *f, const char *device)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.timeout = -1, .again = true}};
	cleanup_target struct console_target target = {0};

	pack(device, &target);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, NULL), 0);
}

static void start(struct fixture *f)
{
	keep(f, (struct wire_state){.phase = KEEPER_STARTING});
	expect_state(f, KEEPER_STARTING);
	expect_line(f, false, 1);
	assert_true(f->master >= 0 && f->input >= 0);
}

static void stop(struct fixture *f, int timeout)
{
	say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.timeout = timeout}});
	expect_state(f, KEEPER_EXITED);
	close_fd(&f->master);
	close_fd(&f->input);
	assert_true(f->message.state.exit.head == ring_head(&f->ring));
	assert_false(f->message.state.exit.known);
}

static void spawn_keeper(struct fixture *f)
{
	struct error error = {0};

	f->socket = keeper_spawn(&f->consoles, CONSOLE_SERIAL, "k", &f->keeper, &error);
	if (f->socket < 0)
		fail_msg("%s", error_text(&error));
}

/* Kills it, and starts another. */
static void replace_keeper(struct fixture *f)
{
	kill(f->keeper, SIGKILL);
	waitpid(f->keeper, NULL, 0);
	close_fd(&f->socket);
	spawn_keeper(f);
}

/* --- fixture --- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int place, ring;

	if (!f)
		return -1;
	f->master = f->input = -1;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		f->descriptors[i] = -1;
	strcpy(f->directory, "/tmp/serial-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->device, sizeof(f->device), "%s/tty", f->directory);
	snprintf(f->keeper_path, sizeof(f->keeper_path), "%s-serial", getenv("CONSOLED_KEEPER"));
	f->consoles.directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->consoles.keepers[CONSOLE_SERIAL] = f->keeper_path;
	place = consoles_open(&f->consoles, "consoles", "k", true);
	assert_true(place >= 0);
	assert_int_equal(ring_create(place, "ring", RING_CAPACITY_MIN), 0);
	ring = openat(place, "ring", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ring_open(&f->ring, ring, false), 0);
	close(ring);
	close(place);
	f->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	plug_in(f);
	spawn_keeper(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"consoles/k/ring", "consoles/k", "consoles", "run/k/keeper", "run/k", "run", "tty", "other", ""};
	struct fixture *f = *state;
	char path[64];

	kill(f->keeper, SIGKILL);
	waitpid(f->keeper, NULL, 0);
	for (int *const *fd = (int *const[]){&f->socket, &f->board, &f->master, &f->input, &f->eventfd, NULL}; *fd;
	     fd++)
		close_fd(*fd);
	close(f->consoles.directory);
	ring_close(&f->ring);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		remove(path);
	}
	assert_int_equal(access(f->directory, F_OK), -1);
	free(f);
	return 0;
}

/* --- tests --- */

static void test_life(void **state)
{
	struct fixture *f = *state;
	int status;

	start(f);
	send_text(f->board, "a\r\n\3\4");
	expect_log(f, "a\r\n\3\4");
	send_text(f->input, "b\n\3\4");
	expect_text(f->board, "b\n\3\4");
	stop(f, -1);
	assert_false(is_open(f));
	say(f, (struct wire_message){.type = WIRE_BYE});
	assert_int_equal(waitpid(f->keeper, &status, 0), f->keeper);
	assert_int_equal(status, 0);
	spawn_keeper(f);
}

/* What has been received belongs to the log, also if it came at the last moment. */
static void test_last_words(void **state)
{
	struct fixture *f = *state;

	start(f);
	kill(f->keeper, SIGSTOP); /* so that both come at once */
	send_text(f->board, "last words");
	say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.timeout = 0}});
	kill(f->keeper, SIGCONT);
	expect_state(f, KEEPER_EXITED);
	expect_log(f, "last words");
}

static void test_failure(void **state)
{
	struct fixture *f = *state;
	char words[128];

	unplug(f);
	keep(f, (struct wire_state){.phase = KEEPER_STARTING});
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -ENOENT);
	snprintf(words, sizeof(words), "serial.device: %s: No such file or directory", f->device);
	assert_string_equal(f->text, words);
}

static void test_unplugged(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (unsigned boot = 2; boot < 5; boot++) {
		unplug(f);
		expect_line(f, true, boot - 1);
		plug_in(f);
		expect_line(f, false, boot);
		assert_true(f->message.state.exit.head == ring_head(&f->ring));
		send_text(f->board, "x");
		expect_log(f, &"xxx"[4 - boot]); /* what is in the line is gone with it */
		send_text(f->input, "y");
		expect_text(f->board, "y");
	}
}

/* One that has been there for some time is looked for at once: its adapter may have come back already. */
static void test_back_already(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_false(readable(f->socket, 1200)); /* that time */
	kill(f->keeper, SIGSTOP);
	unplug(f);
	plug_in(f);
	kill(f->keeper, SIGCONT);
	expect_line(f, true, 1);
	assert_true(readable(f->socket, 2000)); /* nothing tells it, and in 5 s it would look again */
	expect_line(f, false, 2);
}

static void test_stop_while_away(void **state)
{
	struct fixture *f = *state;

	start(f);
	unplug(f);
	expect_line(f, true, 1);
	stop(f, -1);
}

static void test_adoption(void **state)
{
	struct fixture *f = *state;
	struct termios settings;

	start(f);
	send_text(f->board, "one,");
	expect_log(f, "one,");
	replace_keeper(f);
	send_text(f->board, "two,");
	assert_true(is_open(f));
	keep(f, (struct wire_state){.phase = KEEPER_RUNNING, .boot = 7});
	expect_line(f, false, 7);
	send_text(f->board, "three");
	expect_log(f, "one,two,three");
	assert_int_equal(tcgetattr(f->board, &settings), 0);
	assert_int_equal(cfgetospeed(&settings), B9600);
	stop(f, -1);
	assert_false(is_open(f));
}

static void test_adoption_while_away(void **state)
{
	struct fixture *f = *state;

	start(f);
	unplug(f);
	expect_line(f, true, 1);
	replace_keeper(f);
	keep(f, (struct wire_state){.phase = KEEPER_RUNNING, .boot = 1, .deaf = 1});
	expect_line(f, true, 1);
	plug_in(f);
	expect_line(f, false, 2);
	assert_true(f->master >= 0);
}

/* Nobody saw the line go. */
static void test_adoption_of_a_dead_line(void **state)
{
	struct fixture *f = *state;

	start(f);
	kill(f->keeper, SIGSTOP);
	unplug(f);
	replace_keeper(f);
	keep(f, (struct wire_state){.phase = KEEPER_RUNNING, .boot = 1});
	expect_line(f, false, 1);
	expect_line(f, true, 1);
	plug_in(f);
	expect_line(f, false, 2);
}

/* A daemon that comes later hears of all there is. */
static void test_another_daemon(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f);
	close_fd(&f->socket);
	close_fd(&f->master);
	close_fd(&f->input);
	f->socket = keeper_connect(&f->consoles, "k", &pid);
	assert_int_equal(pid, f->keeper);
	hear(f);
	assert_int_equal(f->message.type, WIRE_HELLO);
	expect_line(f, false, 1);
	send_text(f->input, "new");
	expect_text(f->board, "new");
}

/* The daemon has the first device open still. */
static void test_restart(void **state)
{
	struct fixture *f = *state;
	int board;
	char other[64];

	start(f);
	restart_with(f, f->device);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_line(f, false, 2);
	snprintf(other, sizeof(other), "%s/other", f->directory);
	board = f->board;
	plug_in_at(f, other);
	restart_with(f, other);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_line(f, false, 3);
	close(board);
	send_text(f->board, "there");
	expect_log(f, "there");
	restart_with(f, "/nosuch");
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_FAILED);
	assert_string_equal(f->text, "serial.device: /nosuch: No such file or directory");
}

static void test_no_freezing(void **state)
{
	struct fixture *f = *state;

	start(f);
	say(f, (struct wire_message){.type = WIRE_FREEZE, .frozen = true});
	hear(f);
	assert_int_equal(f->message.type, WIRE_REFUSED);
	assert_int_equal(f->message.state.error, -EOPNOTSUPP);
}

static void test_held(void **state)
{
	struct fixture *f = *state;

	start(f);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = 4});
	say(f, (struct wire_message){.type = WIRE_FREEZE}); /* answered behind it */
	hear(f);
	send_text(f->board, "abcdefgh");
	expect_log(f, "abcd");
	stop(f, 0);
	assert_true(ring_head(&f->ring) == 4);
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_life),
		with(test_last_words),
		with(test_failure),
		with(test_unplugged),
		with(test_back_already),
		with(test_stop_while_away),
		with(test_adoption),
		with(test_adoption_while_away),
		with(test_adoption_of_a_dead_line),
		with(test_another_daemon),
		with(test_restart),
		with(test_no_freezing),
		with(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
