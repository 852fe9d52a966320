// SPDX-License-Identifier: Apache-2.0
#include "spice/monitor.h"
#include "bridge/qmp.h"
#include "util/cleanup.h"
#include "util/local.h"

#include <string.h>
#include <sys/socket.h>

#define KNOCK_EVERY 20 /* ms, at a socket whose backlog is full */
#define READ_SIZE 4096

struct monitor {
	uv_timer_t timer; /* at first for the next attempt to connect, then for the end of the time */
	uv_poll_t poll;
	unsigned int open_handles;
	int socket_file; /* what is to be connected to; -1 when it is */
	int fd;          /* the connection; -1 until then */
	uint64_t deadline;
	const struct monitor_step *steps;
	json_int_t id; /* of the command under way: 0 none, as the greeting has yet to come; 1 qmp_capabilities; ... */
	struct buffer heard;
	monitor_done done;
	void *user;
};

static const struct monitor_step introduction = {.command = "qmp_capabilities"};

/* --- the end --- */

static void on_closed(uv_handle_t *handle)
{
	struct monitor *monitor = handle->data;

	if (--monitor->open_handles == 0)
		free(monitor);
}

void monitor_cancel(struct monitor *monitor)
{
	if (!monitor)
		return;
	if (monitor->fd >= 0)
		uv_close((uv_handle_t *)&monitor->poll, on_closed);
	uv_close((uv_handle_t *)&monitor->timer, on_closed);
	close_fd(&monitor->fd);
	close_fd(&monitor->socket_file);
	buffer_finish(&monitor->heard);
}

/* `r`: 0 if all went well. */
static void finish(struct monitor *monitor, int r, struct error *error)
{
	error->code = r;
	monitor_cancel(monitor);
	monitor->done(monitor, monitor->user, r < 0 ? error : NULL);
}

static int hung_up(struct error *error)
{
	return error_set(error, -EPIPE, "QEMU has hung up");
}

/* --- what is said --- */

/*
 * Before it QEMU has taken and answered everything, so there is room for the few hundred bytes of a command: if there
 * is not, whoever answers does not listen.
 */
static int say(struct monitor *monitor, char *line, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec piece = {.iov_base = line, .iov_len = strlen(line)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	ssize_t sent;

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (fd > 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	sent = sendmsg(monitor->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	return sent == (ssize_t)piece.iov_len ? 0 : -ENOBUFS;
}

static int ask(struct monitor *monitor, const struct monitor_step *step)
{
	cleanup_free char *line = qmp_command(step->command, json_incref(step->arguments), ++monitor->id);

	return line ? say(monitor, line, step->fd) : -ENOMEM;
}

/* The step that the command under way belongs to. */
static const struct monitor_step *current(const struct monitor *monitor)
{
	return monitor->id == 1 ? &introduction : &monitor->steps[monitor->id - 2];
}

/* 1: all has been answered; as below. */
static int go_on(struct monitor *monitor)
{
	const struct monitor_step *next = monitor->id == 0 ? &introduction : &monitor->steps[monitor->id - 1];

	return next->command ? ask(monitor, next) : 1;
}

static int on_message(struct monitor *monitor, const struct qmp_message *message, struct error *error)
{
	if (message->kind == QMP_EVENT)
		return 0;
	if ((message->kind == QMP_GREETING) != (monitor->id == 0) || message->id != monitor->id)
		return -EBADMSG;
	if (message->kind == QMP_ERROR && !current(monitor)->may_fail)
		return error_set(error, -EIO, "QEMU: %s", message->name);
	return go_on(monitor);
}

/* Hears what has come. 0: more is to come. */
static int hear(struct monitor *monitor, struct error *error)
{
	struct qmp_message message;
	char data[READ_SIZE];
	ssize_t length = recv(monitor->fd, data, sizeof(data), MSG_DONTWAIT);
	int r;

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (length <= 0)
		return -EPIPE;
	r = buffer_append(&monitor->heard, data, (size_t)length, 2 * QMP_LINE_MAX);
	while (r == 0) {
		r = qmp_take(&monitor->heard, &message);
		if (r < 0)
			break;
		r = on_message(monitor, &message, error);
		qmp_finish(&message);
	}
	return r == -EAGAIN ? 0 : r;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct monitor *monitor = poll->data;
	struct error error = {0};
	int r = hear(monitor, &error);

	if (status < 0 && r == 0) /* the socket has an error, at which libuv has stopped; recv() tells it at the end */
		uv_poll_start(poll, UV_READABLE, on_readable);
	if (r == -EPIPE || r == -ECONNRESET)
		r = hung_up(&error);
	if (r == -EBADMSG)
		error_set(&error, r, "QEMU's monitor does not speak QMP");
	if (r != 0)
		finish(monitor, r < 0 ? r : 0, &error);
}

/* --- the way there --- */

static void on_timer(uv_timer_t *timer);

/* Waits for what is to be heard, and for `deadline`. */
static int listen_to(struct monitor *monitor, int fd)
{
	uv_loop_t *loop = monitor->timer.loop;
	int r = uv_poll_init(loop, &monitor->poll, fd);

	if (r < 0)
		return r;
	monitor->poll.data = monitor;
	monitor->open_handles++;
	uv_poll_start(&monitor->poll, UV_READABLE, on_readable);
	return uv_timer_start(&monitor->timer, on_timer, monitor->deadline - uv_now(loop), 0);
}

/* -EAGAIN: its backlog is full. */
static int knock(struct monitor *monitor)
{
	cleanup_close int fd = local_connect(monitor->socket_file);
	int r;

	if (fd < 0)
		return fd;
	r = listen_to(monitor, fd);
	if (r < 0)
		return r;
	close_fd(&monitor->socket_file);
	monitor->fd = move_fd(&fd);
	return 0;
}

static int unreachable(int r, struct error *error)
{
	return error_set(error, -EIO, "QEMU's monitor cannot be reached: %s", strerror(-r));
}

static void on_timer(uv_timer_t *timer)
{
	struct monitor *monitor = timer->data;
	struct error error = {0};
	int r;

	if (uv_now(timer->loop) >= monitor->deadline) {
		finish(monitor, error_set(&error, -ETIMEDOUT, "QEMU does not answer"), &error);
		return;
	}
	r = knock(monitor);
	if (r < 0 && r != -EAGAIN)
		finish(monitor, r == -ECONNREFUSED ? hung_up(&error) : unreachable(r, &error), &error);
}

int monitor_visit(struct monitor **result, uv_loop_t *loop, int directory, const struct monitor_step *steps,
		  unsigned int timeout_ms, monitor_done done, void *user, struct error *error)
{
	cleanup_close int file = local_open(directory, MONITOR_SOCKET);
	struct monitor *monitor;
	int r;

	if (file < 0)
		return unreachable(file, error);
	monitor = malloc(sizeof(*monitor));
	if (!monitor)
		return -ENOMEM;
	*monitor = (struct monitor){
		.timer.data = monitor,
		.open_handles = 1,
		.socket_file = move_fd(&file),
		.fd = -1,
		.deadline = uv_now(loop) + timeout_ms,
		.steps = steps,
		.done = done,
		.user = user,
	};
	uv_timer_init(loop, &monitor->timer);
	r = knock(monitor);
	if (r == -EAGAIN)
		r = uv_timer_start(&monitor->timer, on_timer, KNOCK_EVERY, KNOCK_EVERY);
	if (r < 0) {
		monitor_cancel(monitor);
		return unreachable(r, error);
	}
	*result = monitor;
	return 0;
}
