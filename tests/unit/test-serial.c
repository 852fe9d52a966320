// SPDX-License-Identifier: Apache-2.0
/*
 * Serial lines, their locks and breaks, on pseudo-terminals: what these have not got (breaks, speeds that cannot be,
 * ports without hardware) this program's own ioctl() plays.
 */
#include "pty/targets/path_watch.h"
#include "pty/targets/serial.h"
#include "pty/targets/uucp_lock.h"
#include "tests/unit/console-fixture.h"
#include "util/cleanup.h"

#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>

/* As in asm/termbits.h, which cannot be where termios.h is. */
struct termios2 {
	tcflag_t c_iflag, c_oflag, c_cflag, c_lflag;
	cc_t c_line, c_cc[19];
	speed_t c_ispeed, c_ospeed;
};

/* What ioctl() has seen, and what it plays. */
static struct {
	unsigned begun, ended; /* breaks */
	uint64_t begun_at, ended_at;
	int unsent;     /* in the way of a break */
	uint32_t speed; /* the only one that the device does; 0: all */
	bool dead;      /* without hardware */
} port;

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;
	long r;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (request == TIOCSBRK) {
		port.begun++;
		port.begun_at = uv_hrtime();
	}
	if (request == TIOCCBRK) {
		port.ended++;
		port.ended_at = uv_hrtime();
	}
	if (request == TIOCMGET && port.dead) {
		errno = EIO;
		return -1;
	}
	r = syscall(SYS_ioctl, fd, request, argument);
	if (request == TIOCOUTQ && r == 0)
		*(int *)argument += port.unsent;
	if (request == TCGETS2 && r == 0 && port.speed)
		((struct termios2 *)argument)->c_ospeed = port.speed;
	return (int)r;
}

/* A line: its other end, and the path of its device. */
static int make_line(char path[64])
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	assert_true(master >= 0 && unlockpt(master) == 0);
	assert_int_equal(ptsname_r(master, path, 64), 0);
	return master;
}

#define LINE(path)                                                                               \
	{                                                                                        \
		.device = (path), .speed = 115200, .data_bits = 8, .stop_bits = 1, .parity = 'n' \
	}

static int forget(void **state)
{
	memset(&port, 0, sizeof(port));
	return 0;
}

/* --- opening --- */

static void expect_refusal(const struct console_serial *config, int code, const char *words)
{
	struct serial *serial;
	struct error error = {0};

	assert_int_equal(serial_open(&serial, config, &error), code);
	assert_non_null(strstr(error.text, words));
}

static void test_refusals(void **state)
{
	char path[64];
	cleanup_close int master = make_line(path);
	struct console_serial config = LINE(path);
	struct serial *serial;

	expect_refusal(&(struct console_serial)LINE("/nosuch"), -ENOENT, "serial.device: /nosuch: No such file");
	expect_refusal(&(struct console_serial)LINE("/etc/passwd"), -ENOTTY, "/etc/passwd is not a serial device");
	expect_refusal(&(struct console_serial)LINE("/dev/zero"), -ENOTTY, "/dev/zero is not a serial device");
	port.dead = true;
	expect_refusal(&config, -EIO, "has no hardware behind it");
	port.dead = false;
	port.speed = 9600;
	expect_refusal(&config, -EINVAL, "does not do 115200 baud; it would do 9600");
	port.speed = 120000; /* near enough */
	assert_int_equal(serial_open(&serial, &config, NULL), 0);
	expect_refusal(&config, -EBUSY, "is in use by another program");
	serial_close(serial);
	assert_int_equal(serial_open(&serial, &config, NULL), 0);
	serial_close(serial);
}

/* A descriptor that somebody else keeps (the daemon) is in nobody's way. */
static void test_close_lets_go(void **state)
{
	char path[64];
	cleanup_close int master = make_line(path);
	struct console_serial config = LINE(path);
	cleanup_close int kept = -1;
	struct serial *serial;
	int exclusive = 1;

	assert_int_equal(serial_open(&serial, &config, NULL), 0);
	kept = fcntl(serial_fd(serial), F_DUPFD_CLOEXEC, 0);
	assert_int_equal(ioctl(kept, TIOCGEXCL, &exclusive), 0);
	assert_int_equal(exclusive, 1);
	serial_close(serial);
	assert_int_equal(ioctl(kept, TIOCGEXCL, &exclusive), 0);
	assert_int_equal(exclusive, 0);
	assert_int_equal(serial_open(&serial, &config, NULL), 0);
	serial_close(serial);
}

/* One that is not ours is not changed. */
static void test_hands_off(void **state)
{
	char path[64];
	cleanup_close int master = make_line(path);
	cleanup_close int other = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct console_serial config = LINE(path);
	struct termios2 before, after;
	int exclusive = 1;

	assert_int_equal(ioctl(other, TCGETS2, &before), 0);
	assert_int_equal(flock(other, LOCK_EX), 0);
	expect_refusal(&config, -EBUSY, "is in use by another program");
	assert_int_equal(ioctl(other, TCGETS2, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(ioctl(other, TIOCGEXCL, &exclusive), 0);
	assert_int_equal(exclusive, 0);
}

/* --- lock files --- */

static void lock_path(char path[64], const char *directory)
{
	snprintf(path, 64, "%s/LCK..ttyX0", directory);
}

static void write_lock(const char *directory, const char *text)
{
	char path[64];
	FILE *file;

	lock_path(path, directory);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_lock(const char *directory, const char *text)
{
	char path[64], got[32] = "";
	FILE *file;

	lock_path(path, directory);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(got, 1, sizeof(got) - 1, file) > 0);
	fclose(file);
	assert_string_equal(got, text);
}

static pid_t dead_pid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void test_locks(void **state)
{
	char directory[] = "/tmp/lock-XXXXXX", path[64], ours[32], text[32];
	struct uucp_lock lock;
	struct error error = {0};

	assert_non_null(mkdtemp(directory));
	lock_path(path, directory);
	snprintf(ours, sizeof(ours), "%10d\n", (int)getpid());
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", false, &error), 0);
	assert_string_equal(lock.path, path);
	expect_lock(directory, ours);
	uucp_unlock(&lock);
	assert_int_equal(access(path, F_OK), -1);
	uucp_unlock(&lock);

	snprintf(text, sizeof(text), "%10d\n", (int)dead_pid());
	write_lock(directory, text);
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", false, &error), 0);
	expect_lock(directory, ours);

	snprintf(text, sizeof(text), "%10d\n", (int)getppid()); /* somebody has taken it from us */
	write_lock(directory, text);
	uucp_unlock(&lock);
	expect_lock(directory, text);
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", false, &error), -EBUSY);
	assert_non_null(strstr(error.text, path));
	assert_string_equal(lock.path, "");
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", true, &error), 0);
	expect_lock(directory, ours);
	uucp_unlock(&lock);

	write_lock(directory, "what?\n"); /* nobody knows whose it is */
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", false, &error), -EBUSY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0); /* nothing else is left either */
	assert_int_equal(uucp_lock(&lock, directory, "ttyX0", false, &error), 0);
	assert_string_equal(lock.path, "");
}

/* --- waiting for a path --- */

static bool heard(int fd)
{
	struct pollfd set = {.fd = fd, .events = POLLIN};

	return poll(&set, 1, 0) == 1;
}

static void touch(const char *path)
{
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* Whether a watch for a/link notices that something is made, where that does. */
static bool notices(const char *made)
{
	char path[PATH_MAX];
	cleanup_close int fd = -1;
	cleanup_free char *here = getcwd(NULL, 0);

	snprintf(path, sizeof(path), "%s/a/link", here);
	fd = path_watch(path);
	assert_true(fd >= 0 && !heard(fd));
	touch(made);
	return heard(fd);
}

static void test_path_watch(void **state)
{
	char directory[] = "/tmp/watch-XXXXXX", path[PATH_MAX];
	cleanup_free char *before = getcwd(NULL, 0);
	cleanup_close int fd = -1;

	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	assert_true(notices("a1")); /* as long as there is no a, where it would be */
	assert_int_equal(mkdir("a", 0700), 0);
	assert_int_equal(mkdir("b", 0700), 0);
	assert_false(notices("a2"));
	assert_true(notices("a/other"));
	assert_int_equal(symlink("../b/device", "a/link"), 0);
	assert_true(notices("b/device"));
	snprintf(path, sizeof(path), "%s/a/link", directory);
	fd = path_watch(path);
	assert_int_equal(chmod("b/device", 0660), 0); /* as udev does in the end */
	assert_true(heard(fd));
	assert_int_equal(unlink("a/link"), 0);
	assert_int_equal(symlink("link", "a/link"), 0); /* leads nowhere, for ever */
	assert_true(notices("a/more"));
	for (const char *const *name =
		     (const char *const[]){"a/link", "a/other", "a/more", "b/device", "a1", "a2", "a", "b", NULL};
	     *name; name++)
		assert_int_equal(remove(*name), 0);
	assert_int_equal(chdir(before), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* --- breaks --- */

static int start_line(struct fixture *f)
{
	char path[64];
	int master = make_line(path);
	struct console_serial config = LINE(path);
	cleanup_target struct console_target target = {0};

	assert_int_equal(pack_serial(&config, &target, NULL), 0);
	if (console_start(f->console, &target, &f->error) < 0)
		fail_msg("%s", error_text(&f->error));
	wait_for(f, f->starts == 1);
	assert_int_equal(console_pid(f->console), 0);
	assert_true(console_running(f->console));
	return master;
}

static void expect_written(struct fixture *f, int master, const char *text)
{
	char got[16] = "";

	assert_int_equal(console_write(f->console, text, strlen(text)), strlen(text));
	assert_int_equal(read(master, got, sizeof(got)), strlen(text));
	assert_string_equal(got, text);
}

static void test_break(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);
	uint64_t length;

	assert_int_equal(console_send_break(f->console), 0);
	assert_int_equal(console_write(f->console, "x", 1), -EAGAIN);
	assert_int_equal(console_send_break(f->console), -EAGAIN);
	wait_for(f, f->writables == 1);
	assert_int_equal(port.begun, 1);
	assert_int_equal(port.ended, 1);
	length = (port.ended_at - port.begun_at) / 1000000;
	assert_true(length >= 250);
	expect_written(f, master, "x");
}

/* TIOCSBRK would wait for what is unsent, and the daemon with it. */
static void test_break_behind_output(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);
	uint64_t until = uv_hrtime() + UINT64_C(200) * 1000000;

	port.unsent = 5;
	assert_int_equal(console_send_break(f->console), 0);
	wait_for(f, uv_hrtime() > until);
	assert_int_equal(port.begun, 0);
	port.unsent = 0;
	wait_for(f, port.ended == 1);
	assert_int_equal(port.begun, 1);
}

static void test_break_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);

	port.unsent = 5;
	assert_int_equal(console_send_break(f->console), 0);
	assert_int_equal(console_write(f->console, "x", 1), -EAGAIN);
	wait_for(f, f->writables == 1);
	assert_int_equal(port.begun, 0);
	expect_written(f, master, "x");
}

/* Whoever has begun one may be gone. */
static void test_break_of_an_earlier_daemon(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);

	assert_int_equal(console_send_break(f->console), 0);
	wait_for(f, port.begun == 1);
	close_console(f);
	port.ended = 0;
	open_console(f, CAPACITY);
	assert_int_equal(port.ended, 1);
	expect_written(f, master, "x");
}

static void test_stop_in_a_break(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);

	assert_int_equal(console_send_break(f->console), 0);
	wait_for(f, port.begun == 1);
	assert_int_equal(console_stop(f->console, 0), 0);
	wait_for(f, f->exits == 1);
	assert_int_equal(port.ended, 1);
}

static void test_unplugged(void **state)
{
	struct fixture *f = *state;
	int master = start_line(f);

	assert_int_equal(console_send_break(f->console), 0);
	assert_int_equal(console_write(f->console, "x", 1), -EAGAIN);
	close(master);
	wait_for(f, console_write(f->console, "x", 1) == -ENXIO);
	assert_true(f->writables > 0);
	assert_int_equal(console_send_break(f->console), -ENXIO);
	assert_true(console_running(f->console));
}

static void test_no_line_no_break(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_send_break(f->console), -EIO);
	start(f, "exec cat", CONSOLE_RESTART_NO);
	wait_for(f, f->starts == 1);
	assert_int_equal(console_send_break(f->console), -EOPNOTSUPP);
	assert_int_equal(port.begun, 0);
}

/* A size would be taken by the device, and mean nothing. */
static void test_no_size(void **state)
{
	struct fixture *f = *state;
	cleanup_close int master = start_line(f);
	uint16_t width, height;

	assert_int_equal(console_resize(f->console, 80, 24), -ENOTTY);
	assert_int_equal(console_size(f->console, &width, &height), -ENOTTY);
}

static int setup_fresh(void **state)
{
	forget(state);
	return setup(state);
}

#define with_console(test) cmocka_unit_test_setup_teardown(test, setup_fresh, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refusals, forget),
		cmocka_unit_test_setup(test_close_lets_go, forget),
		cmocka_unit_test_setup(test_hands_off, forget),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_path_watch),
		with_console(test_break),
		with_console(test_break_behind_output),
		with_console(test_break_that_cannot_be),
		with_console(test_break_of_an_earlier_daemon),
		with_console(test_stop_in_a_break),
		with_console(test_unplugged),
		with_console(test_no_line_no_break),
		with_console(test_no_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
