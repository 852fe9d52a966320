// SPDX-License-Identifier: Apache-2.0
/* The daemon's handle, with real keepers ($CONSOLED_KEEPER) and real programs on real terminals. */
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

#define LIMIT 20000 /* ms; no wait takes longer, even with sanitizers on a busy machine */
#define CAPACITY RING_CAPACITY_DEFAULT

struct fixture {
	char directory[32];
	uv_loop_t loop;
	uv_timer_t tick; /* wakes the loop now and then, for waits on what is no event */
	struct consoles *consoles;
	struct console *console;
	unsigned outputs, writables, starts, failures, exits;
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

static const struct console_handler handler = {
	.output = on_output,
	.writable = on_writable,
	.started = on_started,
	.failed = on_failed,
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

static void start_argv(struct fixture *f, const char *first, const char *second, const char *third,
		       enum console_restart restart)
{
	struct console_program program = program_defaults;
	struct error error = {0};

	program.argv = (char *const[]){(char *)first, (char *)second, (char *)third, NULL};
	program.restart = restart;
	if (console_start(f->console, &program, &error) < 0)
		fail_msg("%s", error_text(&error));
}

/* Runs a script, in which $F is a file of the test's own. */
static void start(struct fixture *f, const char *script, enum console_restart restart)
{
	char text[1024];

	snprintf(text, sizeof(text), "F=%s/flag; %s", f->directory, script);
	start_argv(f, "sh", "-c", text, restart);
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
	struct error error = {0};

	start(f, "sleep 60", CONSOLE_RESTART_NO);
	program.argv = (char *const[]){(char *)"true", NULL};
	assert_int_equal(console_start(f->console, &program, &error), -EALREADY);
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
	struct error error = {0};

	program.argv = (char *const[]){(char *)"true", NULL};
	program.directory = "/nonexistent/x";
	assert_int_equal(console_start(f->console, &program, &error), 0);
	wait_for(f, f->failures == 1);
	assert_string_equal(f->error.text, "directory \"/nonexistent/x\": No such file or directory");
}

/* A keeper that cannot start: it ends as soon as it is started, each time. */
static void test_useless_keeper(void **state)
{
	struct fixture *f = *state;
	char *path = f->consoles->keeper;

	f->consoles->keeper = (char *)"/bin/false";
	start(f, "true", CONSOLE_RESTART_NO);
	wait_for(f, f->failures == 1);
	f->consoles->keeper = path;
	assert_string_equal(f->error.text, "keeper: it ends before it has started anything");
	assert_int_equal(f->starts + f->exits, 0);
	assert_false(console_running(f->console));
}

static void test_missing_keeper(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;
	struct error error = {0};
	char *path = f->consoles->keeper;

	program.argv = (char *const[]){(char *)"true", NULL};
	f->consoles->keeper = (char *)"/nonexistent/keeper";
	assert_int_equal(console_start(f->console, &program, &error), -ENOENT);
	f->consoles->keeper = path;
	assert_string_equal(error.text, "keeper \"/nonexistent/keeper\": No such file or directory");
	assert_false(console_running(f->console));
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	struct console_program program = program_defaults;
	struct error error = {0};
	char *word = calloc(1, 200 * 1024);

	memset(word, 'x', 200 * 1024 - 1);
	program.argv = (char *const[]){(char *)"echo", word, NULL};
	assert_int_equal(console_start(f->console, &program, &error), -E2BIG);
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
	struct error error = {0};

	if (geteuid() != 0)
		skip();
	program.argv =
		(char *const[]){(char *)"sh", (char *)"-c", (char *)"id -u; id -G; stat -c '%u %a' $(tty)", NULL};
	program.user = "nobody";
	program.uid = program.gid = 65534;
	assert_int_equal(console_start(f->console, &program, &error), 0);
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
	assert_int_equal(console_restart(f->console, 5000), 0);
	wait_for(f, f->starts == 2);
	assert_int_equal(f->exits, 1);
	assert_true(f->again);
	assert_true(f->pid != first);
	assert_int_equal(console_pid(f->console), f->pid);
	assert_int_equal(console_keeper_pid(f->console), keeper);
	wait_for(f, strcmp(text_of(f), "boot\r\nboot\r\n") == 0); /* \r: the terminal is sane again */
	assert_int_equal(ring_boots(console_ring(f->console), boots, 4), 2);
	assert_int_equal(boots[0].number, 1);
	assert_int_equal(boots[1].number, 2);
	assert_true(boots[0].offset == 0);
	assert_true(boots[1].offset == strlen("boot\r\n"));
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
	wait_for(f, console_running(f->console));
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

static void test_keeper_killed_restart(void **state)
{
	struct fixture *f = *state;

	start(f, "echo run; exec sleep 60", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1 && ends_with(text_of(f), "run\r\n"));
	assert_int_equal(kill(console_keeper_pid(f->console), SIGSTOP), 0); /* it does not get to hear this: */
	assert_int_equal(console_restart(f->console, 5000), 0);
	kill_keeper(f);
	wait_for(f, f->starts == 2);
	assert_true(f->again);
	wait_for(f, strcmp(text_of(f), "run\r\nrun\r\n") == 0);
}

/* Killed with something unread on both sides: its socket then tells an error (ECONNRESET) before its last words. */
static void test_keeper_killed_unread(void **state)
{
	struct fixture *f = *state;

	start(f, "until test -e $F; do sleep 0.02; done; exit 8", CONSOLE_RESTART_NO);
	for (int i = 0; i < LIMIT && !has_boot(f); i++)
		usleep(1000); /* the loop stands still meanwhile */
	assert_int_equal(kill(console_keeper_pid(f->console), SIGSTOP), 0);
	assert_int_equal(console_restart(f->console, -1), 0);
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
	wait_for(f, state_of(f->pid) == 'T');
	assert_int_equal(console_freeze(f->console, false), 0);
	wait_for(f, state_of(f->pid) != 'T');
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

static void test_rename(void **state)
{
	struct fixture *f = *state;

	run(f, "echo one");
	assert_int_equal(console_rename(f->consoles, "c1", "../c2"), -EINVAL);
	assert_int_equal(console_rename(f->consoles, "c1", "c2"), 0);
	run(f, "echo two");
	assert_string_equal(text_of(f), "one\r\ntwo\r\n");
	start(f, "exec sleep 60", CONSOLE_RESTART_NO);
	assert_int_equal(console_rename(f->consoles, "c2", "c1"), -EBUSY);
	assert_int_equal(console_stop(f->console, 0), 0);
	wait_for(f, f->exits == 3);
	assert_int_equal(console_rename(f->consoles, "c2", "c1"), 0);
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

#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_small(test) cmocka_unit_test_setup_teardown(test, setup_small, teardown)

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
		with(test_policy_on_failure),
		with(test_policy_back_off),
		with(test_found_again),
		with(test_exit_is_kept),
		with(test_policy_without_daemon),
		with(test_keeper_killed_status),
		with(test_keeper_killed_restart),
		with(test_keeper_killed_unread),
		with_small(test_keeper_killed_in_flood),
		with(test_keeper_hopeless),
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
