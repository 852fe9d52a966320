// SPDX-License-Identifier: Apache-2.0
/* What a keeper ($CONSOLED_KEEPER) does with what it is told: the wire itself, without the daemon's half. */
#include "pty/consoles.h"
#include "pty/target_file.h"
#include "pty/terminal.h"
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 20000 /* ms */

struct fixture {
	char directory[32];
	struct consoles consoles; /* only what keeper_spawn() and keeper_connect() look at */
	int socket;
	pid_t keeper;
	int eventfd, master;
	struct ring ring;
	/* The last message. */
	struct wire_message message;
	int descriptors[WIRE_DESCRIPTORS];
	void *tail; /* and its text, where it is one */
	char text[256];
};

static void drop_descriptors(struct fixture *f)
{
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&f->descriptors[i]);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd set = {.fd = fd, .events = POLLIN};

	return poll(&set, 1, timeout_ms) == 1;
}

/* Receives the next message, or -EPIPE. */
static int hear(struct fixture *f)
{
	const char *text;
	int r;

	drop_descriptors(f);
	free(f->tail);
	assert_true(readable(f->socket, LIMIT));
	r = wire_receive(f->socket, &f->message, &f->tail, f->descriptors);
	text = f->tail ? f->tail : "";
	snprintf(f->text, sizeof(f->text), "%.*s", r < 0 ? 0 : (int)f->message.tail_length, text);
	return r;
}

static void expect_state(struct fixture *f, enum keeper_phase phase)
{
	assert_int_equal(hear(f), 0);
	assert_int_equal(f->message.type, WIRE_STATE);
	assert_int_equal(f->message.state.phase, phase);
	assert_int_equal(f->descriptors[WIRE_PIDFD] >= 0, f->message.state.pid > 0);
}

static void say(struct fixture *f, struct wire_message message)
{
	assert_int_equal(wire_send(f->socket, &message, NULL, 0, NULL), 0);
}

static void connect_again(struct fixture *f)
{
	pid_t pid;

	f->socket = keeper_connect(&f->consoles, "k", &pid);
	assert_true(f->socket >= 0);
	assert_int_equal(pid, f->keeper);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error error = {0};
	int place, ring;

	if (!f)
		return -1;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		f->descriptors[i] = -1;
	strcpy(f->directory, "/tmp/keeper-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->consoles.directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->consoles.keepers[CONSOLE_PROGRAM] = getenv("CONSOLED_KEEPER");
	place = consoles_open(&f->consoles, "consoles", "k", true);
	assert_true(place >= 0);
	assert_int_equal(ring_create(place, "ring", RING_CAPACITY_MIN), 0);
	ring = openat(place, "ring", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ring_open(&f->ring, ring, false), 0);
	close(ring);
	close(place);
	f->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->master = terminal_open(0, 0);
	assert_true(f->eventfd >= 0 && f->master >= 0);
	f->socket = keeper_spawn(&f->consoles, CONSOLE_PROGRAM, "k", &f->keeper, &error);
	if (f->socket < 0)
		fail_msg("%s", error_text(&error));
	*state = f;
	return 0;
}

static void remove_tree(const char *directory)
{
	static const char *const names[] = {"consoles/k/ring",
					    "consoles/k",
					    "consoles",
					    "run/k/keeper",
					    "run/k/target",
					    "run/k",
					    "run",
					    "flag",
					    ""};
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	drop_descriptors(f);
	free(f->tail);
	if (f->keeper > 0) {
		kill(f->keeper, SIGKILL); /* with the last master its program is hung up */
		waitpid(f->keeper, NULL, 0);
	}
	if (f->socket >= 0)
		close(f->socket);
	close(f->master);
	close(f->eventfd);
	close(f->consoles.directory);
	ring_close(&f->ring);
	remove_tree(f->directory);
	free(f);
	return 0;
}

/* Packs a shell script, in which $F is a file of the test's own. */
static void pack_script(struct fixture *f, const char *script, enum console_restart restart,
			struct console_target *target)
{
	char text[512];
	struct console_program program = {
		.argv = (char *const[]){(char *)"sh", (char *)"-c", text, NULL},
		.environment = (char *const[]){(char *)"PATH=/usr/bin:/bin", NULL},
		.directory = "/",
		.restart = restart,
	};

	snprintf(text, sizeof(text), "F=%s/flag; %s", f->directory, script);
	assert_int_equal(pack_program(&program, target, NULL), 0);
}

static void send_keep(struct fixture *f, const struct console_target *target)
{
	struct wire_message message = {.type = WIRE_KEEP, .state = {.phase = KEEPER_STARTING}};
	int descriptors[WIRE_DESCRIPTORS] = {f->eventfd, f->master, -1, -1};

	assert_int_equal(wire_send(f->socket, &message, target->data, target->length, descriptors), 0);
}

static void keep(struct fixture *f, const char *script, enum console_restart restart)
{
	cleanup_target struct console_target target = {0};

	pack_script(f, script, restart, &target);
	send_keep(f, &target);
}

/* Sends STOP for a restart with another script, as the daemon does it, or without the word that it leaves behind. */
static void say_restart(struct fixture *f, const char *script, int timeout, bool left)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.timeout = timeout, .again = true}};
	cleanup_close int directory = consoles_open(&f->consoles, "run", "k", true);
	cleanup_target struct console_target target = {0};

	pack_script(f, script, CONSOLE_RESTART_NO, &target);
	if (left)
		assert_int_equal(target_file_write(directory, target.data, target.length), 0);
	assert_int_equal(wire_send(f->socket, &message, target.data, target.length, NULL), 0);
}

static void restart_with(struct fixture *f, const char *script, int timeout)
{
	say_restart(f, script, timeout, true);
}

static void set_flag(struct fixture *f)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/flag", f->directory);
	close(open(path, O_WRONLY | O_CREAT, 0600));
}

static void expect_end(struct fixture *f)
{
	int status;

	assert_int_equal(hear(f), -EPIPE);
	assert_int_equal(waitpid(f->keeper, &status, 0), f->keeper);
	assert_int_equal(status, 0);
	f->keeper = 0;
}

/* Waits until the ring's head is at least `head`. */
static void wait_for_head(struct fixture *f, uint64_t head)
{
	eventfd_t rung;

	for (int i = 0; i < LIMIT && ring_head(&f->ring) < head; i++) /* without a daemon it does not ring */
		if (readable(f->eventfd, 1))
			assert_int_equal(eventfd_read(f->eventfd, &rung), 0);
	assert_true(ring_head(&f->ring) >= head);
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	eventfd_t rung;

	keep(f, "printf abc; exit 9", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	expect_state(f, KEEPER_EXITED);
	assert_int_equal(f->message.state.pid, 0);
	assert_true(f->message.state.exit.known);
	assert_int_equal(WEXITSTATUS(f->message.state.exit.status), 9);
	assert_true(f->message.state.exit.head == 3);
	assert_int_equal(eventfd_read(f->eventfd, &rung), 0);
	say(f, (struct wire_message){.type = WIRE_BYE});
	expect_end(f);
}

static void test_failure_is_told_later(void **state)
{
	struct fixture *f = *state;
	struct console_program program = {
		.argv = (char *const[]){(char *)"/nosuch", NULL},
		.environment = (char *const[]){NULL},
		.directory = "/",
	};
	cleanup_target struct console_target target = {0};

	assert_int_equal(pack_program(&program, &target, NULL), 0);
	send_keep(f, &target);
	expect_state(f, KEEPER_STARTING);
	close_fd(&f->socket);
	connect_again(f);
	assert_int_equal(hear(f), 0);
	assert_int_equal(f->message.type, WIRE_HELLO);
	do
		assert_int_equal(hear(f), 0); /* it may still have been STARTING */
	while (f->message.state.phase != KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -ENOENT);
	assert_string_equal(f->text, "exec \"/nosuch\": No such file or directory");
}

static void test_ends_without_orders(void **state)
{
	struct fixture *f = *state;
	int status;

	close_fd(&f->socket);
	assert_int_equal(waitpid(f->keeper, &status, 0), f->keeper);
	assert_int_equal(status, 0);
	f->keeper = 0;
}

static void test_nonsense_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct wire_message wrong = {.version = WIRE_VERSION + 1, .type = WIRE_BYE};
	char large[sizeof(wrong) + 4000] = {0};
	int pair[WIRE_DESCRIPTORS] = {f->eventfd, f->eventfd, -1, -1};

	assert_int_equal(send(f->socket, "x", 1, 0), 1);
	assert_int_equal(send(f->socket, &wrong, sizeof(wrong), 0), sizeof(wrong));
	assert_int_equal(send(f->socket, large, sizeof(large), 0), sizeof(large));
	wrong.type = WIRE_GRANT;
	assert_int_equal(wire_send(f->socket, &wrong, NULL, 0, pair), 0); /* with what does not belong to it */
	wrong.type = WIRE_STATE;
	assert_int_equal(wire_send(f->socket, &wrong, NULL, 0, NULL), 0); /* a keeper's word */
	say(f, (struct wire_message){.type = WIRE_BYE});                  /* too early */
	say(f, (struct wire_message){.type = WIRE_STOP});
	restart_with(f, "exit 1", 0); /* likewise */
	keep(f, "exit 0", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	expect_state(f, KEEPER_EXITED);
}

static void test_broken_program(void **state)
{
	struct fixture *f = *state;
	struct wire_message message = {.type = WIRE_KEEP};

	assert_int_equal(wire_send(f->socket, &message, "nonsense", 8, (int[]){f->eventfd, f->master, -1, -1}), 0);
	expect_end(f);
}

static void test_hello(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	keep(f, "until test -e $F; do sleep 0.02; done; printf end", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	pid = f->message.state.pid;
	close_fd(&f->socket);
	connect_again(f);
	assert_int_equal(hear(f), 0);
	assert_int_equal(f->message.type, WIRE_HELLO);
	assert_int_equal(f->message.state.pid, pid);
	for (int i = 0; i <= WIRE_PIDFD; i++)
		assert_true(f->descriptors[i] >= 0);
	expect_state(f, KEEPER_RUNNING);
	close_fd(&f->socket);
	set_flag(f);
	wait_for_head(f, 3); /* nobody is there, and yet */
	connect_again(f);
	assert_int_equal(hear(f), 0);
	do
		assert_int_equal(hear(f), 0);
	while (f->message.state.phase != KEEPER_EXITED);
	close_fd(&f->socket); /* that was no BYE: it tells the next one too */
	connect_again(f);
	assert_int_equal(hear(f), 0);
	expect_state(f, KEEPER_EXITED);
	assert_true(f->message.state.exit.head == 3);
	say(f, (struct wire_message){.type = WIRE_BYE});
	expect_end(f);
}

static void test_one_daemon_at_a_time(void **state)
{
	struct fixture *f = *state;
	int first = f->socket;

	keep(f, "exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	connect_again(f);
	assert_false(readable(f->socket, 100)); /* it waits */
	close(first);
	assert_int_equal(hear(f), 0);
	assert_int_equal(f->message.type, WIRE_HELLO);
}

static void test_held_then_granted(void **state)
{
	struct fixture *f = *state;

	keep(f, "exec cat /dev/zero", CONSOLE_RESTART_NO);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = 10000});
	wait_for_head(f, 10000);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = 30000});
	wait_for_head(f, 30000);
	assert_true(ring_head(&f->ring) == 30000); /* not one more */
	wait_for_head(f, 1000000);                 /* but not for ever, without a word from the daemon */
}

static void test_held_until_daemon_dies(void **state)
{
	struct fixture *f = *state;

	keep(f, "exec cat /dev/zero", CONSOLE_RESTART_NO);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = 10000});
	wait_for_head(f, 10000);
	close_fd(&f->socket);
	wait_for_head(f, 1000000);
}

/* What the program left in the terminal waits for the limit too, and the exit for it. */
static void test_held_while_draining(void **state)
{
	struct fixture *f = *state;

	keep(f, "head -c 4000 /dev/zero", CONSOLE_RESTART_NO);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = 1000});
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 1000);
	assert_false(readable(f->socket, 1000)); /* longer than any grace */
	assert_true(ring_head(&f->ring) == 1000);
	say(f, (struct wire_message){.type = WIRE_GRANT, .limit = UINT64_MAX});
	expect_state(f, KEEPER_EXITED);
	assert_true(f->message.state.exit.head == 4000);
}

static void test_policy_without_daemon(void **state)
{
	struct fixture *f = *state;

	keep(f, "printf x; exit 1", CONSOLE_RESTART_ON_FAILURE);
	expect_state(f, KEEPER_STARTING);
	close_fd(&f->socket);
	wait_for_head(f, 3); /* the second at once, the third after a second */
	assert_int_equal(ring_boots(&f->ring, (struct ring_boot[4]){0}, 4), 3);
	connect_again(f);
	say(f, (struct wire_message){.type = WIRE_STOP});
	do
		assert_int_equal(hear(f), 0);
	while (f->message.type != WIRE_STATE || f->message.state.phase != KEEPER_EXITED);
}

/* --- restarts --- */

static void test_restart_with_another(void **state)
{
	struct fixture *f = *state;

	keep(f, "printf old; exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 3);
	restart_with(f, "printf new; exit 4", -1);
	expect_state(f, KEEPER_RESTING);
	assert_true(WIFSIGNALED(f->message.state.exit.status));
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	expect_state(f, KEEPER_EXITED);
	assert_int_equal(WEXITSTATUS(f->message.state.exit.status), 4);
	assert_true(f->message.state.exit.head == 6);
	assert_int_equal(ring_boots(&f->ring, (struct ring_boot[4]){0}, 4), 2);
}

/* Without another target: as a daemon says it to a keeper that has got the new one by KEEP. */
static void test_restart_with_the_same(void **state)
{
	struct fixture *f = *state;

	keep(f, "printf run; exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 3);
	say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.again = true}});
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 6);
}

/* The one that comes last counts; and a stop after all. */
static void test_restart_said_twice(void **state)
{
	struct fixture *f = *state;

	keep(f, "trap '' HUP TERM; printf old; while :; do sleep 0.02; done", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 3);
	restart_with(f, "printf wrong", -1);
	restart_with(f, "trap '' HUP TERM; printf new; while :; do sleep 0.02; done", 0);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 6);
	restart_with(f, "printf never", -1);
	say(f, (struct wire_message){.type = WIRE_STOP});
	expect_state(f, KEEPER_EXITED);
	assert_true(f->message.state.exit.head == 6);
}

/* A keeper's own word for what is to be started counts for nothing with its starter. */
static void test_restart_without_the_daemons_word(void **state)
{
	struct fixture *f = *state;

	keep(f, "printf run; exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 3);
	say_restart(f, "printf wrong; exit 4", 0, false);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 6);
	assert_false(readable(f->socket, 100)); /* it has not exited */
}

/* What is there in place of the daemon's word is not started. */
static void test_restart_with_damaged_word(void **state)
{
	static const char *const words[] = {"", "nonsense"};
	struct fixture *f = *state;
	cleanup_close int directory = consoles_open(&f->consoles, "run", "k", true);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		keep(f, "exec sleep 60", CONSOLE_RESTART_NO);
		expect_state(f, KEEPER_STARTING);
		expect_state(f, KEEPER_RUNNING);
		assert_int_equal(target_file_write(directory, words[i], strlen(words[i])), 0);
		say(f, (struct wire_message){.type = WIRE_STOP, .stop = {.again = true}});
		expect_state(f, KEEPER_RESTING);
		expect_state(f, KEEPER_FAILED);
		assert_int_equal(f->message.state.error, -EBADMSG);
		say(f, (struct wire_message){.type = WIRE_BYE});
		expect_end(f);
		close_fd(&f->socket);
		target_file_remove(directory);
		f->socket = keeper_spawn(&f->consoles, CONSOLE_PROGRAM, "k", &f->keeper, NULL);
		assert_true(f->socket >= 0);
	}
}

/* A daemon that comes meanwhile knows itself what is to be started. */
static void test_restart_in_hello(void **state)
{
	struct fixture *f = *state;

	keep(f, "trap '' HUP TERM; printf x; while :; do sleep 0.02; done", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	wait_for_head(f, 1);
	restart_with(f, "printf other", -1);
	close_fd(&f->socket);
	connect_again(f);
	assert_int_equal(hear(f), 0);
	assert_int_equal(f->message.type, WIRE_HELLO);
	assert_int_equal(f->message.state.phase, KEEPER_RUNNING);
	assert_int_equal(f->message.tail_length, 0);
	say(f, (struct wire_message){.type = WIRE_STOP}); /* it would not end by itself */
	expect_state(f, KEEPER_RUNNING);
	expect_state(f, KEEPER_EXITED);
}

/* A target that the keeper cannot make sense of: the restart has failed. */
static void test_restart_with_nonsense(void **state)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.again = true}};
	struct fixture *f = *state;

	keep(f, "exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(wire_send(f->socket, &message, "nonsense", 8, NULL), 0);
	expect_state(f, KEEPER_RESTING);
	expect_state(f, KEEPER_FAILED);
	assert_int_equal(f->message.state.error, -EBADMSG);
	assert_string_equal(f->text, "keeper: Bad message");
	say(f, (struct wire_message){.type = WIRE_BYE});
	expect_end(f);
}

/* Only what starts something brings a target. */
static void test_stop_with_target(void **state)
{
	struct wire_message message = {.type = WIRE_STOP};
	struct fixture *f = *state;

	keep(f, "exec sleep 60", CONSOLE_RESTART_NO);
	expect_state(f, KEEPER_STARTING);
	expect_state(f, KEEPER_RUNNING);
	assert_int_equal(wire_send(f->socket, &message, "nonsense", 8, NULL), 0);
	assert_false(readable(f->socket, 100));
	say(f, message);
	expect_state(f, KEEPER_EXITED);
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_life),
		with(test_failure_is_told_later),
		with(test_ends_without_orders),
		with(test_nonsense_is_ignored),
		with(test_broken_program),
		with(test_hello),
		with(test_one_daemon_at_a_time),
		with(test_held_then_granted),
		with(test_held_until_daemon_dies),
		with(test_held_while_draining),
		with(test_policy_without_daemon),
		with(test_restart_with_another),
		with(test_restart_with_the_same),
		with(test_restart_said_twice),
		with(test_restart_without_the_daemons_word),
		with(test_restart_with_damaged_word),
		with(test_restart_in_hello),
		with(test_restart_with_nonsense),
		with(test_stop_with_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
