// SPDX-License-Identifier: Apache-2.0
/* Daemons and keepers that come, go and die, and a program that does not notice. */
#include "console-fixture.h"

/* --- the daemon comes and goes --- */

static void test_found_again(void **state)
{
	struct fixture *f = *state;
	pid_t pid, keeper;

	start(f, "echo one; until test -e $F; do sleep 0.02; done; echo two; exit 5", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "one\r\n"));
	pid = console_pid(f->console);
	keeper = console_keeper_pid(f->console);
	close_console(f);
	open_console(f, CAPACITY);
	assert_true(console_running(f->console));
	assert_int_equal(console_pid(f->console), pid);
	assert_int_equal(console_keeper_pid(f->console), keeper);
	assert_int_equal(console_remove(f->consoles, "c1"), -EBUSY);
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_int_equal(f->starts, 1);
	assert_true(f->exit.known);
	assert_int_equal(WEXITSTATUS(f->exit.status), 5);
	assert_string_equal(text_of(f), "one\r\ntwo\r\n");
}

static void test_exit_is_kept(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f, "until test -e $F; do sleep 0.02; done; echo end; exit 6", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	pid = f->pid;
	close_console(f);
	set_flag(f);
	while (kill(pid, 0) == 0) /* reaped by its keeper */
		uv_run(&f->loop, UV_RUN_ONCE);
	open_console(f, CAPACITY);
	assert_int_equal(f->exits, 0); /* not before the loop's next turn */
	wait_for(f, f->exits == 1);
	assert_int_equal(WEXITSTATUS(f->exit.status), 6);
	assert_string_equal(text_of(f), "end\r\n");
	assert_false(console_running(f->console));
}

static void test_policy_without_daemon(void **state)
{
	struct fixture *f = *state;

	start(f, "test -e $F && echo two && exec sleep 60; echo one; until test -e $F; do sleep 0.02; done",
	      CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "one\r\n"));
	close_console(f);
	set_flag(f);
	open_console(f, CAPACITY);
	wait_for(f, strcmp(text_of(f), "one\r\ntwo\r\n") == 0);
	wait_for(f, f->console->boot == 2 && console_running(f->console)); /* and not still as HELLO has told it */
}

/* --- the keeper dies --- */

static void kill_keeper(struct fixture *f)
{
	pid_t keeper = console_keeper_pid(f->console);

	assert_true(keeper > 0);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	wait_for(f, console_keeper_pid(f->console) != keeper);
}

static void test_keeper_killed_status(void **state)
{
	struct fixture *f = *state;

	start(f, "echo ready; until test -e $F; do sleep 0.02; done; echo end; exit 7", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "ready\r\n"));
	kill_keeper(f);
	assert_true(console_running(f->console));
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_true(f->exit.known);
	assert_int_equal(WEXITSTATUS(f->exit.status), 7);
	assert_int_equal(f->starts, 1);
	assert_string_equal(text_of(f), "ready\r\nend\r\n");
}

/* The program has ended by the time that its keeper's death is noticed, behind what the keeper has said before. */
static void test_keeper_killed_before_the_end(void **state)
{
	struct fixture *f = *state;
	siginfo_t info;

	start(f, "echo runs; until test -e $F; do sleep 0.02; done; exit 7", CONSOLE_RESTART_NO);
	for (int i = 0; i < LIMIT && !ends_with(text_of(f), "runs\r\n"); i++)
		usleep(1000); /* the loop stands still: all that is told waits */
	assert_int_equal(kill(console_keeper_pid(f->console), SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)console_keeper_pid(f->console), &info, WEXITED | WNOWAIT), 0);
	set_flag(f);
	while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0 && info.si_status != 7)
		waitpid(info.si_pid, NULL, 0); /* the keeper, its starter */
	wait_for(f, f->exits == 1);
	assert_true(f->exit.known);
	assert_int_equal(WEXITSTATUS(f->exit.status), 7);
}

static void test_keeper_killed_restart(void **state)
{
	struct fixture *f = *state;

	start(f, "echo run; exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "run\r\n"));
	assert_int_equal(kill(console_keeper_pid(f->console), SIGSTOP), 0); /* it does not get to hear this: */
	assert_int_equal(restart(f, "echo other; exec sleep 60", 5000), 0);
	kill_keeper(f);
	wait_for(f, f->starts == 2);
	assert_true(f->again);
	wait_for(f, strcmp(text_of(f), "run\r\nother\r\n") == 0);
}

/* Ends, when it is asked to, as soon as the test says set_flag(). (The shell would tell how its sleep(1) has ended.) */
#define SLOW_TO_END                                                                                          \
	"exec 2>/dev/null; trap 'until test -e $F; do sleep 0.02; done; exit' TERM; trap '' HUP; echo old; " \
	"while :; do sleep 0.02; done"

/* The old one takes its time; meanwhile keepers die, and the last of them starts the new one. */
static void test_killed_while_it_is_restarted(void **state)
{
	struct fixture *f = *state;

	start(f, SLOW_TO_END, CONSOLE_RESTART_NO);
	wait_for(f, ends_with(text_of(f), "old\r\n"));
	assert_int_equal(restart(f, "echo new; exec sleep 60", -1), 0);
	kill_keeper(f);
	kill_keeper(f);
	assert_int_equal(f->exits, 0);
	set_flag(f);
	wait_for(f, f->starts == 2);
	wait_for(f, strcmp(text_of(f), "old\r\nnew\r\n") == 0);
	kill_keeper(f); /* the next one knows what it keeps */
	assert_int_equal(restart(f, "echo last; exec sleep 60", 0), 0);
	wait_for(f, f->starts == 3 && ends_with(text_of(f), "last\r\n"));
}

/* A daemon that comes while it is restarted knows what is to be started, and tells it to the next keeper. */
static void test_restarted_without_daemon(void **state)
{
	struct fixture *f = *state;

	start(f, SLOW_TO_END, CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "old\r\n"));
	assert_int_equal(restart_with_policy(f, "rm $F; echo new; until test -e $F; do sleep 0.02; done", -1,
					     CONSOLE_RESTART_ALWAYS),
			 0);
	close_console(f);
	open_console(f, CAPACITY);
	set_flag(f);
	wait_for(f, strcmp(text_of(f), "old\r\nnew\r\n") == 0 && f->starts == 2);
	kill_keeper(f);
	set_flag(f);
	wait_for(f, strcmp(text_of(f), "old\r\nnew\r\nnew\r\n") == 0 && f->starts == 3);
}

/* Killed with something unread on both sides: its socket then tells an error (ECONNRESET) before its last words. */
static void test_keeper_killed_unread(void **state)
{
	struct fixture *f = *state;

	start(f, "until test -e $F; do sleep 0.02; done; exit 8", CONSOLE_RESTART_NO);
	for (int i = 0; i < LIMIT && !has_boot(f); i++)
		usleep(1000); /* the loop stands still meanwhile */
	assert_int_equal(kill(console_keeper_pid(f->console), SIGSTOP), 0);
	assert_int_equal(restart(f, "until test -e $F; do sleep 0.02; done; exit 8", -1), 0);
	kill_keeper(f);
	wait_for(f, f->starts > 0);
	set_flag(f);
	wait_for(f, f->exits > 0 && !f->again);
}

/* Four deaths are chance (see the next test), so this is done with five programs. */
static void test_keeper_killed_in_flood(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 1; round <= 5; round++) {
		f->number = 0;
		f->console->deaths = 0; /* as if time had passed */
		read_from_now(f, true);
		start(f, "exec seq 1 300000", CONSOLE_RESTART_NO);
		for (unsigned i = 1; i <= 4; i++) {
			wait_for(f, f->number > i * 50000);
			kill_keeper(f);
		}
		wait_for(f, f->exits == round);
		assert_true(f->exit.known);
		assert_int_equal(f->exit.status, 0);
		assert_true(f->exit.head == f->cursor.offset);
		assert_int_equal(f->number, 300000);
		assert_true(f->lost == 0);
		cursor_finish(&f->cursor, f->console);
	}
}

static void test_keeper_hopeless(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f, "exec sleep 60", CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->starts == 1);
	pid = f->pid;
	for (int i = 0; i < 5; i++)
		kill_keeper(f);
	wait_for(f, f->exits == 1);
	assert_false(f->again);
	assert_false(console_running(f->console));
	wait_for(f, kill(pid, 0) < 0);
	run(f, "echo again");
	assert_true(ends_with(text_of(f), "again\r\n"));
}

/* There may be no memory for another one just then. */
static void test_keeper_revived_later(void **state)
{
	struct fixture *f = *state;
	char *path = f->consoles->keepers[CONSOLE_PROGRAM];

	start(f, "echo ready; until test -e $F; do sleep 0.02; done; echo end; exit 8", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "ready\r\n"));
	f->consoles->keepers[CONSOLE_PROGRAM] = (char *)"/nonexistent/keeper";
	assert_int_equal(kill(console_keeper_pid(f->console), SIGKILL), 0);
	wait_for(f, f->console->deaths == 2); /* its own, and of the one that was not started */
	f->consoles->keepers[CONSOLE_PROGRAM] = path;
	assert_int_equal(console_pid(f->console), f->pid);
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_true(f->exit.known);
	assert_int_equal(WEXITSTATUS(f->exit.status), 8);
	assert_string_equal(text_of(f), "ready\r\nend\r\n");
}

/* What a keeper says with descriptors waits until there is room for them. */
static void test_no_descriptor_left(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	start(f, "echo runs; until test -e $F; do sleep 0.02; done; exit 9", CONSOLE_RESTART_NO);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	wait_for(f, ends_with(text_of(f), "runs\r\n") && uv_is_active((uv_handle_t *)&f->console->timer));
	assert_int_equal(f->starts, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	wait_for(f, f->starts == 1);
	assert_true(console_pid(f->console) > 0);
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_int_equal(WEXITSTATUS(f->exit.status), 9);
}

/* One whose keepers cannot be started any more is not left running unseen. */
static void test_keeper_lost(void **state)
{
	struct fixture *f = *state;
	char *path = f->consoles->keepers[CONSOLE_PROGRAM];
	pid_t pid;

	start(f, "exec sleep 60", CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->starts == 1);
	pid = f->pid;
	f->consoles->keepers[CONSOLE_PROGRAM] = (char *)"/nonexistent/keeper";
	assert_int_equal(kill(console_keeper_pid(f->console), SIGKILL), 0);
	wait_for(f, f->exits == 1);
	f->consoles->keepers[CONSOLE_PROGRAM] = path;
	assert_false(f->again);
	assert_false(console_running(f->console));
	wait_for(f, kill(pid, 0) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_found_again),
		with(test_exit_is_kept),
		with(test_policy_without_daemon),
		with(test_keeper_killed_status),
		with(test_keeper_killed_before_the_end),
		with(test_keeper_killed_restart),
		with(test_killed_while_it_is_restarted),
		with(test_restarted_without_daemon),
		with(test_keeper_killed_unread),
		with_small(test_keeper_killed_in_flood),
		with(test_keeper_hopeless),
		with(test_keeper_revived_later),
		with(test_no_descriptor_left),
		with(test_keeper_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
