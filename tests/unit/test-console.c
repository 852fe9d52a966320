// SPDX-License-Identifier: Apache-2.0
/* A program's life as its owner is told it: start, end, stop, restart, policy. */
#include "console-fixture.h"

/* --- start and end --- */

static void test_start_and_exit(void **state)
{
	struct fixture *f = *state;
	pid_t keeper;

	start(f, "echo hello; exit 3", CONSOLE_RESTART_NO);
	assert_true(console_running(f->console));
	keeper = console_keeper_pid(f->console);
	assert_true(keeper > 0);
	wait_for(f, f->starts == 1);
	wait_for(f, f->exits == 1);
	assert_true(f->exit.known);
	assert_int_equal(WEXITSTATUS(f->exit.status), 3);
	assert_true(f->exit.head == head_of(f));
	assert_false(f->again);
	assert_true(f->outputs > 0);
	assert_string_equal(text_of(f), "hello\r\n");
	assert_false(console_running(f->console));
	assert_int_equal(console_pid(f->console), 0);
	wait_for(f, kill(keeper, 0) < 0); /* it has ended, and was reaped */
}

static void test_start_twice(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;

	start(f, "sleep 60", CONSOLE_RESTART_NO);
	program.argv = (char *const[]){(char *)"true", NULL};
	assert_int_equal(start_program(f, &program), -EALREADY);
}

static void test_exec_failure(void **state)
{
	struct fixture *f = *state;

	start_argv(f, "nosuch", NULL, NULL, CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->failures == 1);
	assert_int_equal(f->error.code, -ENOENT);
	assert_string_equal(f->error.text, "exec \"nosuch\": No such file or directory");
	assert_false(console_running(f->console));
	assert_int_equal(f->starts + f->exits, 0);
	assert_int_equal(ring_boots(console_ring(f->console), (struct ring_boot[1]){0}, 1), 0);
	run(f, "echo works"); /* from within no handler, but on the same handle */
	assert_string_equal(text_of(f), "works\r\n");
}

static void test_missing_directory(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;

	program.argv = (char *const[]){(char *)"true", NULL};
	program.directory = "/nonexistent/x";
	assert_int_equal(start_program(f, &program), 0);
	wait_for(f, f->failures == 1);
	assert_string_equal(f->error.text, "directory \"/nonexistent/x\": No such file or directory");
}

/* A keeper that cannot start: it ends as soon as it is started, each time. */
static void test_useless_keeper(void **state)
{
	struct fixture *f = *state;
	char *path = f->consoles->keepers[CONSOLE_PROGRAM];

	f->consoles->keepers[CONSOLE_PROGRAM] = (char *)"/bin/false";
	start(f, "true", CONSOLE_RESTART_NO);
	wait_for(f, f->failures == 1);
	f->consoles->keepers[CONSOLE_PROGRAM] = path;
	assert_string_equal(f->error.text, "keeper: it ends before it has started anything");
	assert_int_equal(f->starts + f->exits, 0);
	assert_false(console_running(f->console));
}

static void test_missing_keeper(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;
	char *path = f->consoles->keepers[CONSOLE_PROGRAM];

	program.argv = (char *const[]){(char *)"true", NULL};
	f->consoles->keepers[CONSOLE_PROGRAM] = (char *)"/nonexistent/keeper";
	assert_int_equal(start_program(f, &program), -ENOENT);
	f->consoles->keepers[CONSOLE_PROGRAM] = path;
	assert_string_equal(f->error.text, "keeper \"/nonexistent/keeper\": No such file or directory");
	assert_false(console_running(f->console));
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;
	char *word = calloc(1, 200 * 1024);

	memset(word, 'x', 200 * 1024 - 1);
	program.argv = (char *const[]){(char *)"echo", word, NULL};
	assert_int_equal(start_program(f, &program), -E2BIG);
	free(word);
}

static void test_program_surroundings(void **state)
{
	struct fixture *f = *state;

	run(f, "tty -s && test $(ps -o sid= $$) -eq $$ && echo leads; pwd; stty size; umask;"
	       "for n in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo open $n; done");
	assert_string_equal(text_of(f), "leads\r\n/\r\n24 80\r\n0022\r\n");
}

/* The daemon opens many files; a program's select(2) must not meet a descriptor that it has no room for. */
static void test_open_files(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, raised;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	raised = (struct rlimit){before.rlim_max, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &raised), 0);
	run(f, "[ $(ulimit -Sn) -le 1024 ] && echo few");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_string_equal(text_of(f), "few\r\n");
}

static void test_user(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;

	if (geteuid() != 0)
		skip();
	program.argv =
		(char *const[]){(char *)"sh", (char *)"-c", (char *)"id -u; id -G; stat -c '%u %a' $(tty)", NULL};
	program.user = "nobody";
	program.uid = program.gid = 65534;
	assert_int_equal(start_program(f, &program), 0);
	wait_for(f, f->exits == 1);
	assert_string_equal(text_of(f), "65534\r\n65534\r\n65534 600\r\n");
}

static void test_much_then_exit(void **state)
{
	struct fixture *f = *state;

	run(f, "head -c 65536 /dev/zero | tr '\\0' x");
	assert_true(f->exit.head == 65536);
	assert_true(head_of(f) == 65536);
}

static void test_many_times(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 50; i++) {
		run(f, "echo x; exit");
		assert_int_equal(f->exits, i);
		assert_true(f->exit.head == i * strlen("x\r\n"));
	}
	assert_int_equal(f->starts, 50);
}

static void test_grandchild_keeps_slave(void **state)
{
	struct fixture *f = *state;
	uint64_t began = uv_hrtime();
	int grandchild;

	run(f, "trap '' HUP; sleep 60 & echo $!");
	assert_true(uv_hrtime() - began < 10 * UINT64_C(1000000000));
	grandchild = atoi(text_of(f));
	assert_true(grandchild > 0);
	assert_int_equal(kill(grandchild, SIGKILL), 0);
	wait_for(f, kill(grandchild, 0) < 0); /* an orphan is ours to reap */
}

/* Writes a byte every now and then for some seconds, less in all than a terminal holds; then holds it open in silence.
 */
static void dribble(const char *terminal)
{
	int fd = open(terminal, O_WRONLY | O_NOCTTY | O_CLOEXEC);

	for (int i = 0; i < 20000 && write(fd, ".", 1) == 1; i++)
		usleep(100);
	pause();
	_exit(0);
}

/* Somebody else writes whenever the keeper looks whether all has come; the end does not wait for his next byte. */
static void test_other_writer(void **state)
{
	struct fixture *f = *state;
	char terminal[32];
	pid_t writer;

	start(f, "tty; until test -e $F; do sleep 0.02; done", CONSOLE_RESTART_NO);
	wait_for(f, ends_with(text_of(f), "\r\n"));
	assert_int_equal(sscanf(text_of(f), "%31s", terminal), 1);
	writer = fork();
	if (writer == 0)
		dribble(terminal);
	wait_for(f, ends_with(text_of(f), "."));
	set_flag(f);
	wait_for(f, f->exits == 1);
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
}

/* --- stop, restart, policy --- */

static void test_stop(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_stop(f->console, 1000), -ESRCH);
	start_argv(f, "sleep", "60", NULL, CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->starts == 1);
	assert_int_equal(console_stop(f->console, -1), 0);
	wait_for(f, f->exits == 1);
	assert_true(WIFSIGNALED(f->exit.status));
	assert_false(f->again);
	assert_false(console_running(f->console));
}

static void test_stop_while_starting(void **state)
{
	struct fixture *f = *state;

	start_argv(f, "sleep", "60", NULL, CONSOLE_RESTART_NO);
	assert_int_equal(console_stop(f->console, 0), 0);
	wait_for(f, f->exits == 1);
	assert_int_equal(WTERMSIG(f->exit.status), SIGKILL);
}

static void test_stop_ignored(void **state)
{
	struct fixture *f = *state;
	uint64_t began;

	start(f, "trap '' HUP TERM; echo ready; while :; do sleep 0.05; done", CONSOLE_RESTART_NO);
	wait_for(f, ends_with(text_of(f), "ready\r\n"));
	began = uv_hrtime();
	assert_int_equal(console_stop(f->console, 300), 0);
	wait_for(f, f->exits == 1);
	assert_true(uv_hrtime() - began >= 290 * UINT64_C(1000000));
	assert_int_equal(WTERMSIG(f->exit.status), SIGKILL);
}

static void test_stop_survivors(void **state)
{
	struct fixture *f = *state;
	int survivor;

	start(f, "(trap '' HUP TERM; sleep 60) </dev/null >/dev/null 2>&1 & echo $!; wait", CONSOLE_RESTART_NO);
	wait_for(f, ends_with(text_of(f), "\r\n"));
	survivor = atoi(text_of(f));
	assert_int_equal(console_stop(f->console, 5000), 0);
	wait_for(f, f->exits == 1);
	wait_for(f, kill(survivor, 0) < 0);
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	struct ring_boot boots[4];
	pid_t first, keeper;

	start(f, "echo boot; stty -echo raw; sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "boot\r\n"));
	first = f->pid;
	keeper = console_keeper_pid(f->console);
	assert_int_equal(restart(f, "echo again; sleep 60", 5000), 0);
	wait_for(f, f->starts == 2);
	assert_int_equal(f->exits, 1);
	assert_true(f->again);
	assert_true(f->pid != first);
	assert_int_equal(console_pid(f->console), f->pid);
	assert_int_equal(console_keeper_pid(f->console), keeper);
	wait_for(f, strcmp(text_of(f), "boot\r\nagain\r\n") == 0); /* \r: the terminal is sane again */
	assert_int_equal(ring_boots(console_ring(f->console), boots, 4), 2);
	assert_int_equal(boots[0].number, 1);
	assert_int_equal(boots[1].number, 2);
	assert_true(boots[0].offset == 0);
	assert_true(boots[1].offset == strlen("boot\r\n"));
}

static void test_restart_several_times(void **state)
{
	struct fixture *f = *state;

	start(f, "echo 0; exec sleep 60", CONSOLE_RESTART_NO);
	for (unsigned i = 1; i <= 5; i++) {
		char script[64];

		wait_for(f, f->starts == i && text_of(f)[0] && ends_with(text_of(f), "\r\n"));
		snprintf(script, sizeof(script), "echo %u; exec sleep 60", i);
		assert_int_equal(restart(f, script, (int)(i % 2) * 5000), 0);
	}
	wait_for(f, f->starts == 6 && ends_with(text_of(f), "5\r\n"));
	assert_int_equal(f->exits, 5);
}

/* Whatever comes of the policy afterwards is the new program, too. */
static void test_restart_then_policy(void **state)
{
	struct fixture *f = *state;

	start(f, "echo old; exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, ends_with(text_of(f), "old\r\n"));
	assert_int_equal(restart_with_policy(f, "echo new", 5000, CONSOLE_RESTART_ALWAYS), 0);
	wait_for(f, f->starts == 3);
	wait_for(f, strcmp(text_of(f), "old\r\nnew\r\nnew\r\n") == 0);
	wait_for(f, f->exits == 3);
	assert_int_equal(console_stop(f->console, 0), 0); /* while it rests */
	wait_for(f, !f->again);
}

static void test_restart_while_it_rests(void **state)
{
	struct fixture *f = *state;

	start(f, "echo run", CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->exits == 2); /* the third time it waits for a second */
	assert_int_equal(restart(f, "echo new; exec sleep 60", -1), 0);
	wait_for(f, f->starts == 3 && ends_with(text_of(f), "new\r\n"));
	assert_int_equal(f->exits, 2);
}

static void test_restart_of_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(restart(f, "true", 0), -ESRCH);
}

/* Another kind would need another keeper: nothing is stopped. */
static void test_restart_as_another_kind(void **state)
{
	struct fixture *f = *state;
	struct console_container container = {.name = "c1", .path = "/p", .log = "/l", .items = (char *const[]){NULL}};
	cleanup_target struct console_target target = {0};

	start(f, "exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	assert_int_equal(pack_container(&container, &target, NULL), 0);
	assert_int_equal(console_restart(f->console, &target, 0, &f->error), -EINVAL);
	assert_string_equal(f->error.text, "The instance runs as a program and is configured as a container now: "
					   "stop it, then start it");
	assert_int_equal(restart(f, "echo fine; exec sleep 60", 0), 0);
	wait_for(f, f->starts == 2 && strcmp(text_of(f), "fine\r\n") == 0);
}

/* What cannot be executed is known when the old one has ended. */
static void test_restart_fails(void **state)
{
	struct fixture *f = *state;
	cleanup_target struct console_target target = {0};
	struct console_program program = program_defaults;

	start(f, "exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	program.argv = (char *const[]){(char *)"nosuch", NULL};
	assert_int_equal(pack_program(&program, &target, NULL), 0);
	assert_int_equal(console_restart(f->console, &target, 0, &f->error), 0);
	wait_for(f, f->failures == 1);
	assert_string_equal(f->error.text, "exec \"nosuch\": No such file or directory");
	assert_false(console_running(f->console));
	run(f, "echo works");
}

static void test_policy_on_failure(void **state)
{
	struct fixture *f = *state;

	start(f, "echo run; test -e $F && exit 0; touch $F; exit 4", CONSOLE_RESTART_ON_FAILURE);
	wait_for(f, f->exits == 1);
	assert_true(f->again);
	assert_int_equal(WEXITSTATUS(f->exit.status), 4);
	wait_for(f, f->exits == 2);
	assert_false(f->again);
	assert_int_equal(f->exit.status, 0);
	assert_int_equal(f->starts, 2);
	assert_string_equal(text_of(f), "run\r\nrun\r\n");
}

static void test_policy_back_off(void **state)
{
	struct fixture *f = *state;
	uint64_t began;

	start(f, "true", CONSOLE_RESTART_ALWAYS);
	wait_for(f, f->exits == 2); /* the first time it starts again at once */
	assert_true(f->again);
	began = uv_hrtime();
	wait_for(f, f->starts == 3);
	assert_true(uv_hrtime() - began > 800 * UINT64_C(1000000));
	wait_for(f, f->exits == 3);
	assert_false(console_running(f->console));
	assert_int_equal(console_stop(f->console, 1000), 0); /* while it rests */
	wait_for(f, f->exits == 4);
	assert_false(f->again);
	assert_int_equal(console_stop(f->console, 1000), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_start_and_exit),
		with(test_start_twice),
		with(test_exec_failure),
		with(test_missing_directory),
		with(test_missing_keeper),
		with(test_useless_keeper),
		with(test_too_long),
		with(test_program_surroundings),
		with(test_open_files),
		with(test_user),
		with(test_much_then_exit),
		with(test_many_times),
		with(test_grandchild_keeps_slave),
		with(test_other_writer),
		with(test_stop),
		with(test_stop_while_starting),
		with(test_stop_ignored),
		with(test_stop_survivors),
		with(test_restart),
		with(test_restart_several_times),
		with(test_restart_then_policy),
		with(test_restart_while_it_rests),
		with(test_restart_of_nothing),
		with(test_restart_as_another_kind),
		with(test_restart_fails),
		with(test_policy_on_failure),
		with(test_policy_back_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
