// SPDX-License-Identifier: Apache-2.0
#include "pty/console.h"
#include "pty/consoles.h"
#include "pty/target_file.h"
#include "pty/terminal.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HELLO_TIMEOUT 1000 /* ms; a keeper answers within microseconds */

/* --- create, destroy --- */

/* Waits for a keeper's first words. -EPIPE: it is ending. */
static int hear_hello(struct console *console, int fd)
{
	struct pollfd poll_set = {.fd = fd, .events = POLLIN};
	int descriptors[WIRE_DESCRIPTORS];
	struct wire_message message;
	cleanup_free void *tail = NULL;
	int r;

	do
		r = poll(&poll_set, 1, HELLO_TIMEOUT);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	r = wire_receive(fd, &message, &tail, descriptors);
	if (r < 0)
		return r;
	r = -EBADMSG;
	if (message.type == WIRE_HELLO && descriptors[WIRE_EVENTFD] >= 0)
		r = console_watch_bell(console, move_fd(&descriptors[WIRE_EVENTFD]));
	if (r == 0)
		r = console_watch_terminal(console, &descriptors[WIRE_MASTER], &descriptors[WIRE_INPUT]);
	if (r == 0) {
		console->pid = message.state.pid;
		console->pidfd = move_fd(&descriptors[WIRE_PIDFD]);
		console->phase = console_phase(&message.state);
		console->kind = (enum console_kind)message.state.kind;
		console->output = (enum console_output)message.state.output;
		console->frozen = message.state.frozen;
		console->deaf = message.state.deaf;
		console->boot = message.state.boot;
		if (console->kind == CONSOLE_SERIAL && console->input) /* a break of the daemon that is gone */
			ioctl(watch_fd(console->input), TIOCCBRK);
	}
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&descriptors[i]);
	return r;
}

/* What a keeper says of that is not believed. */
static void read_target(struct console *console)
{
	cleanup_close int directory = consoles_open(console->consoles, "run", console->name, false);
	int r = directory;

	if (r >= 0)
		r = target_file_read(directory, &console->target, &console->target_length);
	if (r < 0)
		log_warn("%s: its keeper could not be replaced: run/%s/target: %s", console->name, console->name,
			 strerror(-r));
}

static int write_target(const struct console *console, const void *data, size_t length)
{
	cleanup_close int directory = consoles_open(console->consoles, "run", console->name, true);

	return directory < 0 ? directory : target_file_write(directory, data, length);
}

/* Finds the keeper that an earlier daemon has left, if any. */
static int find_keeper(struct console *console)
{
	pid_t pid;
	cleanup_close int fd = keeper_connect(console->consoles, console->name, &pid);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = hear_hello(console, fd);
	if (r < 0)
		return r == -EPIPE ? 0 : r;
	read_target(console);
	return console_watch_keeper(console, move_fd(&fd), pid);
}

/* There is no writer: what a power cut may have left can be looked at. */
static int mend_ring(const struct console *console, int place)
{
	uint64_t lost;
	int r = ring_mend(place, "ring", &lost);

	if (lost > 0)
		log_warn("%s: the machine went down, and %" PRIu64 " bytes of the log were lost", console->name, lost);
	return r;
}

static int open_ring(struct console *console, uint64_t capacity)
{
	cleanup_close int place = consoles_open(console->consoles, "consoles", console->name, true);
	cleanup_close int fd = -1;
	int r;

	if (place < 0)
		return place;
	r = console->socket ? 0 : mend_ring(console, place);
	if (r == 0) {
		fd = openat(place, "ring", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : ring_open(&console->ring, fd, false);
	}
	if (r != -ENOENT && (r != -EBADMSG || console->socket))
		return r;
	if (r == -EBADMSG)
		log_warn("%s: its log is broken or of another version; a new one begins", console->name);
	close_fd(&fd);
	r = ring_create(place, "ring", capacity);
	if (r < 0)
		return r;
	fd = openat(place, "ring", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : ring_open(&console->ring, fd, false);
}

int console_set_capacity(struct console *console, uint64_t capacity)
{
	cleanup_close int place = -1, fd = -1;
	struct ring fresh;
	int r;

	if (capacity == console->ring.capacity)
		return 0;
	if (console->socket)
		return -EBUSY;
	place = consoles_open(console->consoles, "consoles", console->name, false);
	r = place < 0 ? place : ring_resize(place, "ring", capacity);
	if (r < 0)
		return r;
	fd = openat(place, "ring", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : ring_open(&fresh, fd, false);
	if (r < 0)
		return r;
	ring_close(&console->ring);
	console->ring = fresh;
	return 0;
}

static void free_console(uv_handle_t *timer)
{
	struct console *console = timer->data;

	free(console);
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	console_become_idle(console);
	ring_close(&console->ring);
	list_remove(&console->link);
	uv_close((uv_handle_t *)&console->timer, free_console);
}

int console_create(struct console **result, struct consoles *consoles, const char *name, uint64_t capacity,
		   const struct console_handler *handler, void *user, struct error *error)
{
	struct console *console = calloc(1, sizeof(*console));
	int r;

	if (!console)
		return error_set(error, -ENOMEM, "console of \"%s\": %s", name, strerror(ENOMEM));
	console->consoles = consoles;
	console->handler = handler;
	console->user = user;
	console->pidfd = console->master = -1;
	console->granted = UINT64_MAX;
	list_init(&console->cursors);
	list_append(&consoles->list, &console->link);
	uv_timer_init(consoles->loop, &console->timer);
	console->timer.data = console;
	snprintf(console->name, sizeof(console->name), "%s", name); /* too long a one is refused by what opens it */
	r = strlen(name) > CONSOLE_NAME_MAX ? -EINVAL : find_keeper(console);
	if (r == 0)
		r = open_ring(console, capacity);
	if (r < 0) {
		console_destroy(console);
		return error_set(error, r, "console of \"%s\": %s", name, strerror(-r));
	}
	console->told = ring_head(&console->ring);
	*result = console;
	return 0;
}

/* --- what the owner asks --- */

bool console_running(const struct console *console)
{
	return console->phase == KEEPER_STARTING || console->phase == KEEPER_RUNNING;
}

bool console_frozen(const struct console *console)
{
	return console->phase == KEEPER_RUNNING && console->frozen;
}

pid_t console_pid(const struct console *console)
{
	return console->phase == KEEPER_RUNNING ? console->pid : 0;
}

pid_t console_keeper_pid(const struct console *console)
{
	return console->keeper_pid;
}

const struct ring *console_ring(const struct console *console)
{
	return &console->ring;
}

enum console_output console_output(const struct console *console)
{
	return console->output;
}

static int open_bell(struct console *console, struct error *error)
{
	int r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	r = r < 0 ? -errno : console_watch_bell(console, r);
	return r < 0 ? error_set(error, r, "eventfd: %s", strerror(-r)) : 0;
}

static int open_terminal(struct console *console, uint16_t width, uint16_t height, struct error *error)
{
	int master = terminal_open(width, height), input = -1;
	int r = master < 0 ? master : console_watch_terminal(console, &master, &input);

	return r < 0 ? error_set(error, r, "terminal: %s", strerror(-r)) : 0;
}

static void take_target(struct console *console, struct console_target *target)
{
	free(console->target);
	console->target = move_pointer(target->data);
	console->target_length = target->length;
}

int console_start(struct console *console, struct console_target *target, struct error *error)
{
	int r;

	if (console->phase != KEEPER_IDLE)
		return error_set(error, -EALREADY, "The instance is already running");
	console->kind = target->kind;
	console->output = CONSOLE_OUTPUT_ALL;
	take_target(console, target);
	r = write_target(console, console->target, console->target_length);
	r = r < 0 ? error_set(error, r, "console of \"%s\": %s", console->name, strerror(-r))
		  : open_bell(console, error);
	/* One that runs has a terminal, and so has a serial device; a machine has FIFOs. The keeper finds them. */
	if (r == 0 && !target->running && target->kind != CONSOLE_MACHINE && target->kind != CONSOLE_SERIAL)
		r = open_terminal(console, target->width, target->height, error);
	if (r == 0) {
		console->phase = KEEPER_STARTING;
		r = console_start_keeper(console, error);
	}
	if (r < 0) {
		console_become_idle(console);
		return r;
	}
	flow_begin(console);
	return 0;
}

/* `target`: what to start then, NULL: nothing. */
static int stop(struct console *console, struct console_target *target, int timeout_ms)
{
	bool again = target != NULL;
	int r;

	if (console->phase == KEEPER_IDLE)
		return -ESRCH;
	r = console_tell_stop(console, timeout_ms, again, target);
	if (r < 0)
		return r;
	console->stopping = !(again && console->phase == KEEPER_RESTING); /* that only shortens its rest */
	console->again = again;
	console->stop_timeout = timeout_ms;
	return 0;
}

int console_stop(struct console *console, int timeout_ms)
{
	return stop(console, NULL, timeout_ms);
}

int console_restart(struct console *console, struct console_target *target, int timeout_ms, struct error *error)
{
	static const char *const kinds[CONSOLE_KINDS] = {"a program", "a container", "a virtual machine",
							 "a serial device"};
	int r;

	if (console->phase != KEEPER_IDLE && target->kind != console->kind)
		return error_set(error, -EINVAL,
				 "The instance runs as %s and is configured as %s now: stop it, then start it",
				 kinds[console->kind], kinds[target->kind]);
	r = console->phase == KEEPER_IDLE ? -ESRCH : write_target(console, target->data, target->length);
	if (r == 0) {
		r = stop(console, target, timeout_ms);
		if (r < 0)
			write_target(console, console->target, console->target_length);
	}
	if (r < 0)
		return error_set(error, r, "The instance could not be signalled: %s", strerror(-r));
	take_target(console, target); /* for the next keeper, which may go on with the old one still: that is stopped */
	return 0;
}

int console_freeze(struct console *console, bool frozen)
{
	int r;

	if (console->phase != KEEPER_RUNNING)
		return -ESRCH;
	console->freeze = frozen;
	r = console_tell_freeze(console);
	console->freezing = r == 0;
	return r;
}

int console_resize(struct console *console, uint16_t width, uint16_t height)
{
	struct winsize size = {.ws_col = width, .ws_row = height};

	if (console->kind == CONSOLE_SERIAL) /* it would take one, and tell nobody */
		return -ENOTTY;
	if (!console->input)
		return -EIO;
	return ioctl(watch_fd(console->input), TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int console_size(const struct console *console, uint16_t *width, uint16_t *height)
{
	struct winsize size = {0};

	if (console->kind == CONSOLE_SERIAL)
		return -ENOTTY;
	if (!console->input)
		return -EIO;
	if (ioctl(watch_fd(console->input), TIOCGWINSZ, &size) < 0)
		return -errno;
	if (!size.ws_col || !size.ws_row)
		return -ENODATA;
	*width = size.ws_col;
	*height = size.ws_row;
	return 0;
}

/* Whether there is somebody to type to just now. */
static bool listens(const struct console *console)
{
	return console->phase == KEEPER_RUNNING && console->input && !console->deaf && !console->line_break;
}

ssize_t console_write(struct console *console, const void *data, size_t length)
{
	ssize_t written = -1;

	if (console->phase == KEEPER_IDLE)
		return -EIO;
	if (console_unplugged(console))
		return -ENXIO;
	errno = EAGAIN; /* between two boots: the next one, or the end, is told */
	if (listens(console))
		written = write(watch_fd(console->input), data, length);
	if (written < 0 && errno != EAGAIN && errno != EIO && errno != EINTR)
		return -errno;
	if (written < (ssize_t)length) {
		console->input_blocked = true;
		if (listens(console))
			watch_set(console->input, UV_WRITABLE);
	}
	return written < 0 ? -EAGAIN : written; /* EIO: it has ended, but its keeper has not said so yet */
}

int console_clear(struct console *console)
{
	cleanup_close int place = consoles_open(console->consoles, "consoles", console->name, false);
	cleanup_close int fd = place < 0 ? -1 : openat(place, "ring", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct ring ring;
	int r, tries = 0;

	if (fd < 0)
		return place < 0 ? place : -errno;
	/*
	 * A clear stores one number that the keeper never does, so it need not be asked. But while it writes, a ring
	 * may look wrong to who opens it for writing, if enough is written between two looks.
	 */
	do
		r = ring_open(&ring, fd, true);
	while (r == -EBADMSG && console->socket && ++tries < 5);
	if (r < 0)
		return r;
	ring_clear(&ring);
	ring_close(&ring);
	return 0;
}

int console_open_directory(const struct console *console)
{
	return consoles_open(console->consoles, "run", console->name, false);
}
