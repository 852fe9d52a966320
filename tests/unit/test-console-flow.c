// SPDX-License-Identifier: Apache-2.0
/* What goes through a console: output at its readers' pace, input, size, and the log that stays. */
#include "console-fixture.h"

/* --- flow control --- */

static void on_slow_turn(uv_timer_t *timer)
{
	read_some(timer->data, 8192);
}

/* 8 MiB through 64 KiB, by a reader that is never fast enough. */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	uv_timer_t slow = {.data = f};

	uv_timer_init(&f->loop, &slow);
	uv_timer_start(&slow, on_slow_turn, 1, 1);
	read_from_now(f, false);
	start(f, "exec seq 1 1100000", CONSOLE_RESTART_NO);
	wait_for(f, f->exits == 1);
	while (read_some(f, 8192) > 0)
		;
	assert_true(f->lost == 0);
	assert_int_equal(f->number, 1100000);
	assert_true(head_of(f) > 8 * 1024 * 1024);
	cursor_finish(&f->cursor, f->console);
	uv_close((uv_handle_t *)&slow, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void test_stalled_reader(void **state)
{
	struct fixture *f = *state;
	uint64_t began = uv_hrtime(), taken = 0, length;

	read_from_now(f, false);
	start(f, "exec seq 1 100000", CONSOLE_RESTART_NO);
	wait_for(f, head_of(f) == RING_CAPACITY_MIN);
	assert_true(f->cursor.holding);
	wait_for(f, f->exits == 1);
	assert_true(uv_hrtime() - began > 900 * UINT64_C(1000000));
	assert_true(uv_hrtime() - began < 8 * UINT64_C(1000000000));
	assert_false(f->cursor.holding);
	while ((length = read_some(f, 8192)) > 0)
		taken += length;
	assert_true(f->lost >= head_of(f) - RING_CAPACITY_MIN && taken > 0);
	assert_true(f->lost + taken == f->exit.head);
	assert_true(f->cursor.holding); /* it has caught up */
	cursor_finish(&f->cursor, f->console);
}

static uint64_t take_more(struct cursor *cursor)
{
	return ++container_of(cursor, struct fixture, cursor)->number;
}

/* A reader whose own peer still takes bytes is not stalled. */
static void test_progress_of_peer(void **state)
{
	struct fixture *f = *state;
	uint64_t end = uv_hrtime() + 3 * UINT64_C(1000000000); /* three chances to be let go */

	read_from_now(f, false);
	f->cursor.taken = take_more;
	start(f, "exec seq 1 100000", CONSOLE_RESTART_NO);
	wait_for(f, uv_hrtime() >= end);
	assert_true(f->cursor.holding);
	assert_true(head_of(f) == RING_CAPACITY_MIN);
	cursor_finish(&f->cursor, f->console);
	wait_for(f, f->exits == 1);
}

/* One that has let the ring go by does not hold up those that read. */
static void test_stalled_and_reading(void **state)
{
	struct fixture *f = *state;
	struct cursor stalled;

	read_from_now(f, true);
	cursor_init(&stalled, f->console, head_of(f));
	start(f, "exec seq 1 100000", CONSOLE_RESTART_NO);
	wait_for(f, f->exits == 1);
	assert_true(f->lost == 0);
	assert_int_equal(f->number, 100000);
	assert_false(stalled.holding);
	cursor_finish(&stalled, f->console);
	cursor_finish(&f->cursor, f->console);
}

/* A console that was quiet for longer than a keeper waits for a word is held for its reader like any other. */
static void test_flood_after_silence(void **state)
{
	struct fixture *f = *state;
	uint64_t end = uv_hrtime() + 2200 * UINT64_C(1000000);

	start(f, "until test -e $F; do sleep 0.02; done; exec seq 1 100000", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	read_from_now(f, false);
	wait_for(f, uv_hrtime() >= end);
	set_flag(f);
	wait_for(f, head_of(f) >= RING_CAPACITY_MIN);
	end = uv_hrtime() + 300 * UINT64_C(1000000);
	wait_for(f, uv_hrtime() >= end);
	assert_true(head_of(f) == RING_CAPACITY_MIN);
	while (f->exits == 0) {
		read_some(f, 8192);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	while (read_some(f, 8192) > 0)
		;
	assert_true(f->lost == 0);
	cursor_finish(&f->cursor, f->console);
}

/* Who comes back is told what it missed, once, and misses nothing any more, though the flood has not ended. */
static void test_stalled_reader_comes_back(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	read_from_now(f, false);
	start(f, "exec seq 1 1000000", CONSOLE_RESTART_NO);
	wait_for(f, !f->cursor.holding && head_of(f) > 4 * RING_CAPACITY_MIN);
	assert_int_equal(f->exits, 0);
	read_some(f, 8192);
	assert_true(f->lost > 0 && f->cursor.holding);
	lost = f->lost;
	f->reads = true;
	wait_for(f, f->exits == 1);
	while (read_some(f, 8192) > 0)
		;
	assert_true(f->lost == lost);
	cursor_finish(&f->cursor, f->console);
}

/* A daemon that says nothing (here: whose loop does not run) does not block the program for ever. */
static void test_stalled_daemon(void **state)
{
	struct fixture *f = *state;
	uint64_t end = uv_hrtime() + LIMIT * UINT64_C(1000000);

	start(f, "until test -e $F; do sleep 0.02; done; exec seq 1 100000", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	read_from_now(f, false);
	set_flag(f);
	while (head_of(f) < 500000 && uv_hrtime() < end)
		usleep(1000);
	assert_true(head_of(f) >= 500000);
	cursor_finish(&f->cursor, f->console);
	wait_for(f, f->exits == 1);
}

static void test_no_reader(void **state)
{
	struct fixture *f = *state;

	run(f, "exec seq 1 1000000");
	assert_int_equal(f->exit.status, 0);
	assert_true(head_of(f) == 7888896); /* 6,888,896 bytes of seq(1), and a \r each line */
}

static void test_no_timer_while_idle(void **state)
{
	struct fixture *f = *state;

	start(f, "echo x; exec sleep 60", CONSOLE_RESTART_NO);
	read_from_now(f, false);
	wait_for(f, f->starts == 1 && head_of(f) > 0);
	assert_false(uv_is_active((uv_handle_t *)&f->console->timer)); /* it has not read, but is in nobody's way */
	cursor_finish(&f->cursor, f->console);
}

/* --- input --- */

static void test_input(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_write(f->console, "x", 1), -EIO);
	start(f, "read line; echo \"got $line\"", CONSOLE_RESTART_NO);
	assert_int_equal(console_write(f->console, "early\n", 6), -EAGAIN); /* there is no terminal yet */
	wait_for(f, f->writables == 1);
	assert_int_equal(console_write(f->console, "early\n", 6), 6);
	wait_for(f, f->exits == 1);
	assert_string_equal(text_of(f), "early\r\ngot early\r\n");
	assert_int_equal(console_write(f->console, "x", 1), -EIO);
}

static void test_input_not_read(void **state)
{
	static const char chunk[1024];
	struct fixture *f = *state;
	ssize_t written = 1;

	start(f, "stty raw -echo; echo ready; until test -e $F; do sleep 0.02; done; exec cat >/dev/null",
	      CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "ready\n"));
	for (int i = 0; i < 1024 && written > 0; i++)
		written = console_write(f->console, chunk, sizeof(chunk));
	assert_int_equal(written, -EAGAIN);
	assert_int_equal(f->writables, 0);
	set_flag(f);
	wait_for(f, f->writables == 1);
	assert_true(console_write(f->console, chunk, sizeof(chunk)) > 0);
}

static void test_resize(void **state)
{
	struct fixture *f = *state;

	start(f, "until test -e $F; do sleep 0.02; done; stty size", CONSOLE_RESTART_NO);
	assert_int_equal(console_resize(f->console, 132, 43), 0);
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_string_equal(text_of(f), "43 132\r\n");
	assert_int_equal(console_resize(f->console, 80, 24), -EIO);
}

static void test_freeze(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_freeze(f->console, true), -ESRCH);
	start(f, "echo x; exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && f->outputs > 0);
	assert_int_equal(console_freeze(f->console, true), 0);
	wait_for(f, f->freezes == 1 && state_of(f->pid) == 'T');
	assert_true(console_frozen(f->console));
	assert_int_equal(console_freeze(f->console, false), 0);
	wait_for(f, f->thaws == 1 && state_of(f->pid) != 'T');
	assert_false(console_frozen(f->console));
	assert_int_equal(console_freeze(f->console, true), 0);
	assert_int_equal(console_stop(f->console, 5000), 0); /* one that is frozen can be stopped */
	wait_for(f, f->exits == 1);
	assert_true(WTERMSIG(f->exit.status) != SIGKILL);
}

/* --- the log --- */

static void test_clear(void **state)
{
	struct fixture *f = *state;

	run(f, "echo one");
	assert_int_equal(console_clear(f->console), 0);
	assert_string_equal(text_of(f), "");
	start(f, "echo two; until test -e $F; do sleep 0.02; done; echo three", CONSOLE_RESTART_NO);
	wait_for(f, strcmp(text_of(f), "two\r\n") == 0);
	assert_int_equal(console_clear(f->console), 0);
	assert_string_equal(text_of(f), "");
	set_flag(f);
	wait_for(f, f->exits == 2);
	assert_string_equal(text_of(f), "three\r\n");
}

static int move_console(struct fixture *f, const char *from, const char *to)
{
	int r = console_begin_move(f->consoles, from, to);

	return r < 0 ? r : console_end_move(f->consoles, from, to, true);
}

static bool is_named(const char *name, void *user)
{
	return strcmp(name, user) == 0;
}

/* Whether a path below the directory is there. */
static bool there(struct fixture *f, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	return access(path, F_OK) == 0;
}

/* Whoever moved it was killed halfway: before the database was changed, and after. */
static void test_settle(void **state)
{
	struct fixture *f = *state;

	run(f, "echo one");
	assert_int_equal(console_begin_move(f->consoles, "c1", "c2"), 0);
	assert_false(there(f, "consoles/c1"));
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"c1"), 0);
	assert_true(there(f, "consoles/c1/ring"));
	assert_int_equal(console_begin_move(f->consoles, "c1", "c2"), 0);
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"c2"), 0);
	assert_true(there(f, "consoles/c2/ring"));
	assert_int_equal(console_begin_move(f->consoles, "c2", ""), 0);
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"c2"), 0);
	assert_true(there(f, "consoles/c2/ring"));
	assert_string_equal(text_of(f), "one\r\n");

	/* Of two that went the first could not be removed. */
	assert_int_equal(console_begin_move(f->consoles, "c2", ""), 0);
	close_console(f);
	open_console(f, CAPACITY);
	assert_int_equal(move_console(f, "c1", "c2"), 0);
	assert_int_equal(console_begin_move(f->consoles, "c2", ""), 0);
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"other"), 0);
	assert_false(there(f, "consoles/c2"));
	assert_false(there(f, "consoles/.c2:"));
	assert_false(there(f, "run/c1"));

	/* One that was just being made: it is there with its instance, or neither is. */
	assert_int_equal(console_begin_make(f->consoles, "c1"), 0);
	close_console(f);
	open_console(f, CAPACITY);
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"c1"), 0);
	assert_true(there(f, "consoles/c1/ring"));
	assert_false(there(f, "consoles/.c1:"));
	assert_int_equal(console_begin_make(f->consoles, "c1"), 0);
	assert_int_equal(consoles_settle(f->consoles, is_named, (char *)"other"), 0);
	assert_false(there(f, "consoles/c1"));
	assert_false(there(f, "consoles/.c1:"));
}

static void test_rename(void **state)
{
	struct fixture *f = *state;

	run(f, "echo one");
	assert_int_equal(console_begin_move(f->consoles, "c1", "../c2"), -EINVAL);
	assert_int_equal(move_console(f, "c1", "c2"), 0);
	run(f, "echo two");
	assert_string_equal(text_of(f), "one\r\ntwo\r\n");
	start(f, "exec sleep 60", CONSOLE_RESTART_NO);
	assert_int_equal(console_begin_move(f->consoles, "c2", "c1"), -EBUSY);
	assert_int_equal(console_stop(f->console, 0), 0);
	wait_for(f, f->exits == 3);
	assert_int_equal(move_console(f, "c2", "c1"), 0);
}

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	char path[64];

	run(f, "echo one");
	close_console(f);
	snprintf(path, sizeof(path), "%s/consoles/c1/ring", f->directory);
	assert_int_equal(truncate(path, 100), 0);
	open_console(f, CAPACITY);
	run(f, "echo two");
	assert_string_equal(text_of(f), "two\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_small(test_slow_reader),
		with_small(test_stalled_reader),
		with_small(test_progress_of_peer),
		with_small(test_stalled_and_reading),
		with_small(test_flood_after_silence),
		with_small(test_stalled_reader_comes_back),
		with_small(test_stalled_daemon),
		with(test_no_reader),
		with(test_no_timer_while_idle),
		with(test_input),
		with(test_input_not_read),
		with(test_resize),
		with(test_freeze),
		with(test_clear),
		with(test_rename),
		with(test_broken_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
