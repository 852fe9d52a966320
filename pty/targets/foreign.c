// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/foreign.h"
#include "pty/targets/monitor.h"
#include "pty/targets/relay.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <lxc/lxccontainer.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define FREE_MS 2000 /* a monitor frees a slot that nobody holds at once, unless something is wrong with it */
#define DRAIN_MAX (1024 * 1024)
#define CUT_TRIES 10
#define OVERLAP_MIN 16 /* fewer equal bytes may be chance: better twice than not at all */

#define cleanup_buffer __attribute__((cleanup(buffer_finish)))

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Reads what is in a slot until the monitor has closed its end; to `into`, if that is not NULL. */
static void drain_until_closed(int slot_master, struct buffer *into)
{
	int64_t until = now_ms() + FREE_MS;
	struct pollfd set = {.fd = slot_master, .events = POLLIN};
	char data[4096];

	for (int64_t left = FREE_MS; left > 0 && poll(&set, 1, (int)left) > 0; left = until - now_ms()) {
		ssize_t length = read(slot_master, data, sizeof(data));

		if (length <= 0)
			return;
		if (into)
			buffer_append(into, data, (size_t)length, DRAIN_MAX);
	}
}

/*
 * A monitor whose slot's holder died without having read all hangs in a write to it, if the container prints much, and
 * so does everybody who asks it something. Reading in the holder's place frees it: it sees then that the holder is
 * gone, and closes its end. Nobody else will ever see that output: it is the history's beginning.
 */
static void free_slot(const struct monitor *monitor, struct buffer *history)
{
	cleanup_close int fd = monitor_orphan(monitor);

	if (fd >= 0)
		drain_until_closed(fd, history);
}

/* --- the history --- */

/* How many bytes `second` begins with that `first` ends with. */
static size_t overlap(const void *first, size_t first_length, const void *second, size_t second_length)
{
	size_t length = first_length < second_length ? first_length : second_length;

	while (length >= OVERLAP_MIN && memcmp((const char *)first + first_length - length, second, length) != 0)
		length--;
	return length >= OVERLAP_MIN ? length : 0;
}

/*
 * How many bytes at the beginning of `early`, the first from the slot, the history has too, from `before` on. Those
 * that came before the slot was raw have a CR too much; they are all in the history.
 */
static size_t known_of(const struct buffer *early, const struct buffer *history, size_t before)
{
	const char *at = early->data, *end = early->data + early->length;

	if (history->length == before)
		return 0;
	while (at) {
		size_t known = overlap(history->data + before, history->length - before, at, (size_t)(end - at));

		if (known > 0)
			return (size_t)(at - early->data) + known;
		at = memmem(at, (size_t)(end - at), "\r\r\n", 3);
		at = at ? at + 3 : NULL;
	}
	return 0;
}

/* Writes what liblxc's ring buffer has got since it was read last (reading empties it) to `fd`. */
static int copy_log(struct lxc_container *c, int fd)
{
	uint64_t size = 0; /* all */
	struct lxc_console_log log = {.read = true, .read_max = &size};
	int r = c->console_log(c, &log);

	for (size_t done = 0; r == 0 && done < size;) {
		ssize_t n = write(fd, log.data + done, size - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return r == -ENODATA ? 0 : r;
}

/* Reads once, if there is something. */
static int read_some(int fd, struct buffer *into)
{
	char data[4096];
	ssize_t length = read(fd, data, sizeof(data));

	return length <= 0 ? -EAGAIN : buffer_append(into, data, (size_t)length, SIZE_MAX);
}

/*
 * Appends what the ring buffer has got since it was read last to `log`. 0; -EFAULT: there is no ring buffer.
 *
 * Reads `output`, if that is not -1, to `early` all the while: the monitor answers only if it can write there. So
 * another process asks.
 */
static int read_log(struct lxc_container *c, struct buffer *log, int output, struct buffer *early)
{
	cleanup_close int file = memfd_create("console log", MFD_CLOEXEC), child = -1;
	struct pollfd set[2] = {{.events = POLLIN}, {.fd = output, .events = POLLIN}};
	pid_t pid = file < 0 ? -1 : fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(-copy_log(c, file));
	}
	child = pidfd_open(pid, 0);
	for (set[0].fd = child; child >= 0 && poll(set, 2, -1) > 0 && !set[0].revents;)
		if (read_some(output, early) < 0) /* it hangs up: the container ends */
			set[1].fd = -1;
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -EIO;
	lseek(file, 0, SEEK_SET);
	while (read_some(file, log) == 0)
		;
	return -WEXITSTATUS(status);
}

/* --- the ways to the output --- */

/* A running container's item, to be freed; NULL: it has none, or an empty one. */
static char *running_item(struct lxc_container *c, const char *key)
{
	char *value = c->get_running_config_item(c, key);

	if (value && *value)
		return value;
	free(value);
	return NULL;
}

static uint64_t place_in_file(uint64_t size, const struct foreign_past *past)
{
	if (past->position >= 0)
		return (uint64_t)past->position <= size ? (uint64_t)past->position : 0; /* it was emptied */
	return size > past->room ? size - past->room : 0;
}

/* 1: the log file is followed; 0: there is none that holds all. */
static int take_file(struct foreign *foreign, const struct monitor *monitor, struct lxc_container *c,
		     const struct foreign_past *past)
{
	cleanup_free char *path = running_item(c, "lxc.console.logfile"), *size = running_item(c, "lxc.console.size");
	cleanup_close int file = -1, watch = -1;
	struct stat is;
	char name[32];

	if (!path || (size && strcmp(size, "0") != 0))
		return 0;
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file < 0 || fstat(file, &is) < 0 || !S_ISREG(is.st_mode) || !monitor_has_open(monitor, &is))
		return 0;
	foreign->position = place_in_file((uint64_t)is.st_size, past);
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file); /* this very file */
	if (watch < 0 || inotify_add_watch(watch, name, IN_MODIFY) < 0 ||
	    lseek(file, (off_t)foreign->position, SEEK_SET) < 0)
		return -errno;
	foreign->file = true;
	foreign->output = move_fd(&file);
	foreign->ready = move_fd(&watch);
	return 1;
}

/* What comes through the slot is what the container has printed: no CR added to each LF, as liblxc has it. */
static void make_raw(int master)
{
	struct termios settings;

	if (tcgetattr(master, &settings) < 0)
		return;
	cfmakeraw(&settings);
	tcsetattr(master, TCSANOW, &settings);
}

static bool open_slot(struct foreign *foreign, struct lxc_container *c)
{
	int number = 0, master = -1, slot = c->console_getfd(c, &number, &master);

	if (slot < 0 || master < 0)
		return false;
	make_raw(master);
	fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK); /* the monitor has the same, but never reads or writes there */
	fcntl(master, F_SETFD, FD_CLOEXEC);
	fcntl(slot, F_SETFD, FD_CLOEXEC);
	foreign->slot = slot;
	foreign->output = foreign->ready = master;
	return true;
}

static void close_slot(struct foreign *foreign)
{
	close_fd(&foreign->slot);
	drain_until_closed(foreign->output, NULL);
	close_fd(&foreign->output);
	foreign->ready = -1;
}

/*
 * Takes the slot if it is free, and before it what the ring buffer has kept. The monitor writes what it reads to both,
 * at once. So if the ring buffer is empty again right after the slot was taken, then history and output meet exactly;
 * otherwise the slot is given back (what came through it is in the ring buffer too) and all is tried again. With a
 * container that never stops printing that may not come about: then the part that is in both is found by comparing,
 * which is exact unless the output repeats itself. A ring buffer that wraps around meanwhile loses what it loses.
 *
 * Without a ring buffer, bytes that are printed while the slot is being taken, for some 100 microseconds, may be lost,
 * or get a CR too much.
 */
static int take_slot(struct foreign *foreign, struct lxc_container *c, struct buffer *history, bool *kept)
{
	cleanup_buffer struct buffer early = {0};
	size_t before;
	int r;

	for (int tries = CUT_TRIES;; tries--) {
		r = read_log(c, history, -1, NULL);
		*kept = r == 0;
		before = history->length;
		if (!open_slot(foreign, c))
			return 0;
		if (r == 0)
			read_log(c, history, foreign->output, &early);
		if (history->length == before || tries == 0)
			break;
		close_slot(foreign);
		buffer_consume(&early, early.length);
	}
	while (early.length < history->length - before && read_some(foreign->output, &early) == 0)
		;
	buffer_consume(&early, known_of(&early, history, before));
	return buffer_append(history, early.data, early.length, SIZE_MAX);
}

/* Puts what is not known yet into a file. */
static int keep_history(struct foreign *foreign, const struct buffer *history, size_t known)
{
	const char *data = history->data + known;
	size_t length = history->length - known;

	if (length == 0)
		return 0;
	foreign->history = memfd_create("console history", MFD_CLOEXEC);
	if (foreign->history < 0)
		return -errno;
	while (length > 0) {
		ssize_t n = write(foreign->history, data, length);

		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return lseek(foreign->history, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* With the monitor's help: its config, its slot, its ring buffer. `unread` has been taken from the slot already. */
static int take_output(struct foreign *foreign, const struct monitor *monitor, struct lxc_container *c,
		       const struct foreign_past *past, const struct buffer *unread)
{
	cleanup_buffer struct buffer history = {0};
	bool kept = false;
	size_t known;
	int r;

	r = take_file(foreign, monitor, c, past);
	if (r != 0)
		return r < 0 ? r : 0;
	r = take_slot(foreign, c, &history, &kept);
	if (r < 0)
		return r;
	foreign->kind = foreign->output >= 0 ? CONSOLE_OUTPUT_ALL : CONSOLE_OUTPUT_HISTORY;
	if (!kept)
		return keep_history(foreign, unread, 0);
	known = overlap(past->tail, past->tail_length, history.data, history.length);
	return keep_history(foreign, &history, known); /* and what was unread is in there too */
}

/* Input and sizes go to the console itself; a container may have none. */
static int take_input(struct foreign *foreign, const struct monitor *monitor)
{
	cleanup_close int console = monitor_console(monitor);

	if (console < 0)
		return 0;
	foreign->master = relay_start(console, monitor->pidfd);
	return foreign->master < 0 ? foreign->master : 0;
}

static bool take_own(struct foreign *foreign, const struct monitor *monitor)
{
	foreign->master = monitor_own_master(monitor);
	foreign->ours = foreign->master >= 0;
	foreign->output = foreign->ready = foreign->master;
	return foreign->ours;
}

static int take_others(struct foreign *foreign, const struct monitor *monitor,
		       const struct console_container *container, const struct foreign_past *past)
{
	cleanup_buffer struct buffer unread = {0};
	struct lxc_container *c;
	int r;

	free_slot(monitor, &unread); /* before anything is asked */
	c = lxc_container_new(container->name, container->path);
	if (!c)
		return -EINVAL;
	c->set_config_item(c, "lxc.uts.name", container->name); /* liblxc asks nobody about one without any config */
	if (strcmp(c->state(c), "STARTING") == 0)               /* it has no console yet */
		c->wait(c, "RUNNING|STOPPING|STOPPED|ABORTING", -1);
	r = take_own(foreign, monitor) ? 0 : take_input(foreign, monitor); /* it may have been between two boots */
	if (r == 0 && !foreign->ours)
		r = take_output(foreign, monitor, c, past, &unread);
	lxc_container_put(c);
	return r;
}

int foreign_take(const struct console_container *container, const struct foreign_past *past, struct foreign *foreign,
		 struct error *error)
{
	struct monitor monitor;
	int r = monitor_find(&monitor, container);

	*foreign = (struct foreign){
		.init_pidfd = -1,
		.monitor_pidfd = -1,
		.master = -1,
		.history = -1,
		.output = -1,
		.ready = -1,
		.slot = -1,
		.kind = CONSOLE_OUTPUT_ALL,
	};
	if (r < 0)
		return error_set(error, r, "Container \"%s\" is not running", container->name);
	foreign->init = monitor.init;
	foreign->init_pidfd = monitor.init_pidfd;
	foreign->monitor = monitor.pid;
	foreign->monitor_pidfd = monitor.pidfd;
	r = take_own(foreign, &monitor) ? 0 : take_others(foreign, &monitor, container, past);
	if (r == 0)
		return 0;
	foreign_finish(foreign);
	return error_set(error, r, "Container \"%s\": %s", container->name, strerror(-r));
}

void foreign_finish(struct foreign *foreign)
{
	if (foreign->ready == foreign->output)
		foreign->ready = -1;
	if (foreign->output == foreign->master)
		foreign->output = -1;
	close_fd(&foreign->init_pidfd);
	close_fd(&foreign->monitor_pidfd);
	close_fd(&foreign->master);
	close_fd(&foreign->history);
	close_fd(&foreign->output);
	close_fd(&foreign->ready);
	close_fd(&foreign->slot);
}
