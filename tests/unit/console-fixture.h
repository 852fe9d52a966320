// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of the daemon's handle share: a console with real keepers ($CONSOLED_KEEPER) and real programs on real
 * terminals, and an owner who notes what it is told. To be included once in a program, which uses what it needs.
 */
#pragma once

#include "pty/console.h"
#include "pty/consoles.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wunused-function"

#define LIMIT 20000 /* ms; no wait takes longer, even with sanitizers on a busy machine */
#define CAPACITY RING_CAPACITY_DEFAULT

struct fixture {
	char directory[32];
	uv_loop_t loop;
	uv_timer_t tick; /* wakes the loop now and then, for waits on what is no event */
	struct consoles *consoles;
	struct console *console;
	unsigned outputs, writables, starts, failures, exits, freezes, thaws, refusals;
	pid_t pid;
	struct error error;
	struct console_exit exit;
	bool again;
	/* A reader that checks the output of seq(1). */
	struct cursor cursor;
	bool reads;
	uint64_t number, lost;
	char line[32];
	size_t line_length;
};

/* --- the owner's side --- */

/* Takes the output of seq(1): each number must be the last one plus 1. */
static void check_sequence(struct fixture *f, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char expected[32];

		assert_true(f->line_length < sizeof(f->line) - 1);
		f->line[f->line_length++] = data[i];
		if (data[i] != '\n')
			continue;
		f->line[f->line_length] = '\0';
		f->line_length = 0;
		snprintf(expected, sizeof(expected), "%llu\r\n", (unsigned long long)++f->number);
		assert_string_equal(f->line, expected);
	}
}

static size_t read_some(struct fixture *f, size_t size)
{
	char data[32768];
	uint64_t lost;
	size_t length = cursor_read(&f->cursor, f->console, data, size, &lost);

	f->lost += lost;
	if (f->lost == 0)
		check_sequence(f, data, length);
	return length;
}

static void on_output(struct console *console, void *user)
{
	struct fixture *f = user;

	f->outputs++;
	while (f->reads && read_some(f, 32768) > 0)
		;
}

static void on_writable(struct console *console, void *user)
{
	((struct fixture *)user)->writables++;
}

static void on_started(struct console *console, void *user, pid_t pid)
{
	struct fixture *f = user;

	f->starts++;
	f->pid = pid;
}

static void on_failed(struct console *console, void *user, const struct error *error)
{
	struct fixture *f = user;

	f->failures++;
	f->error = *error;
}

static void on_exited(struct console *console, void *user, const struct console_exit *ended, bool again)
{
	struct fixture *f = user;

	f->exits++;
	f->exit = *ended;
	f->again = again;
}

static void on_frozen(struct console *console, void *user, bool frozen)
{
	struct fixture *f = user;

	f->freezes += frozen;
	f->thaws += !frozen;
}

static void on_refused(struct console *console, void *user, const struct error *error)
{
	struct fixture *f = user;

	f->refusals++;
	f->error = *error;
}

static const struct console_handler handler = {
	.output = on_output,
	.writable = on_writable,
	.started = on_started,
	.failed = on_failed,
	.frozen = on_frozen,
	.refused = on_refused,
	.exited = on_exited,
};

/* --- helpers --- */

#define wait_for(f, condition)                                           \
	do {                                                             \
		uint64_t end_ = uv_hrtime() + LIMIT * UINT64_C(1000000); \
		while (!(condition)) {                                   \
			if (uv_hrtime() > end_)                          \
				fail_msg("timed out: %s", #condition);   \
			uv_run(&(f)->loop, UV_RUN_ONCE);                 \
		}                                                        \
	} while (0)

static void on_tick(uv_timer_t *timer)
{
}

static void open_console(struct fixture *f, uint64_t capacity)
{
	struct error error = {0};

	assert_int_equal(consoles_create(&f->consoles, &f->loop, f->directory, getenv("CONSOLED_KEEPER")), 0);
	if (console_create(&f->console, f->consoles, "c1", capacity, &handler, f, &error) < 0)
		fail_msg("%s", error_text(&error));
}

/* As a daemon that ends: the keeper goes on. */
static void close_console(struct fixture *f)
{
	console_destroy(f->console);
	consoles_destroy(f->consoles);
	f->console = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->directory, "/tmp/console-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->tick);
	uv_timer_start(&f->tick, on_tick, 10, 10);
	open_console(f, CAPACITY);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (console_running(f->console)) {
		unsigned exits = f->exits;

		console_stop(f->console, 0);
		wait_for(f, f->exits > exits && !console_running(f->console));
	}
	assert_int_equal(console_remove(f->consoles, "c1"), 0);
	close_console(f);
	uv_close((uv_handle_t *)&f->tick, NULL);
	while (uv_run(&f->loop, UV_RUN_NOWAIT))
		;
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (const char *const *name = (const char *const[]){"run", "consoles", "flag", NULL}; *name; name++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", f->directory, *name);
		remove(path);
	}
	assert_int_equal(rmdir(f->directory), 0);
	free(f);
	return 0;
}

/* A ring of another size than setup()'s: the smallest, so that it is soon full. */
static int setup_small(void **state)
{
	struct fixture *f;

	if (setup(state) < 0)
		return -1;
	f = *state;
	assert_int_equal(console_remove(f->consoles, "c1"), 0);
	close_console(f);
	open_console(f, RING_CAPACITY_MIN);
	return 0;
}

static const struct console_program program_defaults = {
	.environment = (char *const[]){(char *)"PATH=/usr/bin:/bin", (char *)"LC_ALL=C", NULL},
	.directory = "/",
};

/* Whether it went well is noted in f->error, too. */
static int start_program(struct fixture *f, const struct console_program *program)
{
	cleanup_target struct console_target target = {0};
	int r = pack_program(program, &target, &f->error);

	return r == 0 ? console_start(f->console, &target, &f->error) : r;
}

static void start_argv(struct fixture *f, const char *first, const char *second, const char *third,
		       enum console_restart restart)
{
	struct console_program program = program_defaults;

	program.argv = (char *const[]){(char *)first, (char *)second, (char *)third, NULL};
	program.restart = restart;
	if (start_program(f, &program) < 0)
		fail_msg("%s", error_text(&f->error));
}

/* Runs a script, in which $F is a file of the test's own. */
static void start(struct fixture *f, const char *script, enum console_restart restart)
{
	char text[1024];

	snprintf(text, sizeof(text), "F=%s/flag; %s", f->directory, script);
	start_argv(f, "sh", "-c", text, restart);
}

/* Restarts with another script. */
static int restart_with_policy(struct fixture *f, const char *script, int timeout_ms, enum console_restart policy)
{
	cleanup_target struct console_target target = {0};
	struct console_program program = program_defaults;
	char text[1024];

	snprintf(text, sizeof(text), "F=%s/flag; %s", f->directory, script);
	program.argv = (char *const[]){(char *)"sh", (char *)"-c", text, NULL};
	program.restart = policy;
	assert_int_equal(pack_program(&program, &target, &f->error), 0);
	return console_restart(f->console, &target, timeout_ms, &f->error);
}

static int restart(struct fixture *f, const char *script, int timeout_ms)
{
	return restart_with_policy(f, script, timeout_ms, CONSOLE_RESTART_NO);
}

static void run(struct fixture *f, const char *script)
{
	unsigned exits = f->exits;

	start(f, script, CONSOLE_RESTART_NO);
	wait_for(f, f->exits > exits);
}

static void set_flag(struct fixture *f)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/flag", f->directory);
	close(open(path, O_WRONLY | O_CREAT, 0600));
}

/* All that is in the log, as a string that lives until the next call. */
static const char *text_of(struct fixture *f)
{
	static char text[4096];
	uint64_t offset = ring_tail(console_ring(f->console)), lost;
	size_t length = ring_read(console_ring(f->console), &offset, text, sizeof(text) - 1, &lost);

	text[length] = '\0';
	return text;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static char state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state;
}

static uint64_t head_of(struct fixture *f)
{
	return ring_head(console_ring(f->console));
}

static bool has_boot(struct fixture *f)
{
	struct ring_boot boot;

	return ring_boots(console_ring(f->console), &boot, 1) > 0;
}

static void read_from_now(struct fixture *f, bool reads)
{
	f->reads = reads;
	cursor_init(&f->cursor, f->console, head_of(f));
}

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_small(test) cmocka_unit_test_setup_teardown(test, setup_small, teardown)
