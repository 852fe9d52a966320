// SPDX-License-Identifier: Apache-2.0
#include "bridge/pump.h"

#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define FRAMES_PER_TURN 16                    /* then the loop serves others */
#define KEPT_MAX (2 * WEBSOCKET_SCRATCH_SIZE) /* of a paused client: two of the largest pieces */

#define CLOSE_CLEAN 0             /* an empty Close frame: 1005 at the peer */
#define CLOSE_INTERNAL_ERROR 1011 /* RFC 6455 section 7.4.1 */

struct pump {
	const struct pump_handler *handler;
	void *user;
	uv_loop_t *loop;
	struct websocket *websocket; /* NULL: gone */
	uv_poll_t stream;
	int fd;             /* of the stream; -1: not joined, or closed */
	int watched;        /* what `stream` waits for */
	struct buffer kept; /* of the client's bytes, while the stream does not take them: the client is paused then */
	bool joined;        /* libuv knows `stream` */
	bool listened;      /* the handler wants to see the input */
	bool blocked;       /* the WebSocket does not take: the stream is not read */
	bool done;          /* the client's end mark came behind `kept` */
	bool ending;
};

static void pump_free_when_unused(struct pump *pump)
{
	if (pump->websocket || pump->joined)
		return;
	pump->handler->closed(pump, pump->user);
	free(pump);
}

/* --- the stream --- */

static void on_stream_closed(uv_handle_t *handle)
{
	struct pump *pump = handle->data;

	pump->joined = false;
	pump_free_when_unused(pump);
}

static void pump_leave_stream(struct pump *pump)
{
	buffer_finish(&pump->kept);
	if (pump->fd < 0)
		return;
	uv_close((uv_handle_t *)&pump->stream, on_stream_closed);
	close_fd(&pump->fd);
}

/*
 * How much of the client's bytes the stream takes now. One that has failed takes all, to nowhere: what it sent before
 * is still to be delivered, and its end is seen behind that. It must not get what comes later, with a hole in front.
 */
static size_t pump_send(struct pump *pump, const void *data, size_t length)
{
	ssize_t sent = send(pump->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		return (size_t)sent;
	if (errno == EAGAIN)
		return 0;
	shutdown(pump->fd, SHUT_WR);
	return length;
}

/* Sends what was kept; the client goes on when it is gone. */
static void pump_flush(struct pump *pump)
{
	buffer_consume(&pump->kept, pump_send(pump, pump->kept.data, pump->kept.length));
	if (pump->kept.length)
		return;
	buffer_finish(&pump->kept);
	if (pump->done)
		pump_close(pump, CLOSE_CLEAN, NULL);
	else
		websocket_pause(pump->websocket, false);
}

static void pump_set_blocked(struct pump *pump, bool blocked)
{
	if (pump->blocked == blocked)
		return;
	pump->blocked = blocked;
	if (pump->handler->blocked)
		pump->handler->blocked(pump, pump->user, blocked);
}

static void pump_count(struct pump *pump, size_t sent, size_t received)
{
	if (pump->handler->passed)
		pump->handler->passed(pump, pump->user, sent, received);
}

/* Moves bytes from the stream to the WebSocket, as long as there are some and they are taken. */
static void pump_output(struct pump *pump)
{
	for (unsigned int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t got;

		pump_set_blocked(pump, !websocket_accepts(pump->websocket));
		if (pump->blocked) {
			websocket_want_write(pump->websocket);
			return;
		}
		got = recv(pump->fd, websocket_scratch(pump->websocket), WEBSOCKET_SCRATCH_SIZE, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			pump_close(pump, CLOSE_CLEAN, NULL);
			return;
		}
		websocket_send_scratch(pump->websocket, WEBSOCKET_BINARY, (size_t)got);
		pump_count(pump, (size_t)got, 0);
		if (got < WEBSOCKET_SCRATCH_SIZE) /* that was all */
			return;
	}
}

static void pump_watch(struct pump *pump);

static void on_stream(uv_poll_t *poll, int status, int events)
{
	struct pump *pump = poll->data;

	if (status < 0) {
		/* The socket has an error, at which libuv has stopped. recv() and send() know which. */
		pump->watched = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if ((events & UV_WRITABLE) && pump->kept.length)
		pump_flush(pump);
	if ((events & UV_READABLE) && !pump->ending)
		pump_output(pump);
	pump_watch(pump);
}

/* Any change costs two epoll_ctl(2). */
static void pump_watch(struct pump *pump)
{
	int events = (pump->blocked ? 0 : UV_READABLE) | (pump->kept.length ? UV_WRITABLE : 0);

	if (pump->fd < 0 || events == pump->watched)
		return;
	pump->watched = events;
	if (events)
		uv_poll_start(&pump->stream, events, on_stream);
	else
		uv_poll_stop(&pump->stream);
}

int pump_join(struct pump *pump, int fd)
{
	int r = pump->ending ? -EPIPE : uv_poll_init(pump->loop, &pump->stream, fd);

	if (r < 0) {
		close(fd);
		return r;
	}
	pump->stream.data = pump;
	pump->fd = fd;
	pump->joined = true;
	pump_flush(pump);
	pump_watch(pump);
	return 0;
}

/* --- the WebSocket --- */

static void on_open(struct websocket *websocket, void *user)
{
}

/* Hands bytes to the stream. What it does not take now is kept, and the client is not read until it is gone. */
static void pump_input(struct pump *pump, const char *data, size_t length)
{
	size_t taken = 0;

	if (pump->fd >= 0 && pump->kept.length == 0)
		taken = pump_send(pump, data, length);
	if (taken == length)
		return;
	websocket_pause(pump->websocket, true);
	if (buffer_append(&pump->kept, data + taken, length - taken, KEPT_MAX) < 0)
		pump_close(pump, CLOSE_INTERNAL_ERROR, "no memory for input");
	pump_watch(pump);
}

static void on_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
		       size_t length, bool first, bool last)
{
	struct pump *pump = user;

	if (pump->done)
		return;
	if (kind == WEBSOCKET_TEXT && length == 0 && first && last) {
		pump->done = true;
		if (pump->kept.length == 0)
			pump_close(pump, CLOSE_CLEAN, NULL);
	} else if (length > 0) {
		if (pump->listened)
			pump->listened = pump->handler->input(pump, pump->user, data, length);
		pump_count(pump, 0, length);
		pump_input(pump, data, length);
	}
}

static void on_writable(struct websocket *websocket, void *user)
{
	struct pump *pump = user;

	pump_output(pump);
	pump_watch(pump);
}

static void on_websocket_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct pump *pump = user;

	pump->websocket = NULL;
	pump->ending = true;
	pump_leave_stream(pump);
	pump_free_when_unused(pump);
}

/* --- both --- */

int pump_create(struct pump **pump, struct websockets *engine, uv_loop_t *loop, int fd, const struct identity *identity,
		const struct pump_handler *handler, void *user)
{
	static const struct websocket_handler websocket_handler = {
		.open = on_open,
		.message = on_message,
		.writable = on_writable,
		.closed = on_websocket_closed,
	};
	struct pump *created = calloc(1, sizeof(*created));
	int r;

	if (!created) {
		close(fd);
		return -ENOMEM;
	}
	created->handler = handler;
	created->user = user;
	created->loop = loop;
	created->fd = -1;
	created->listened = handler->input;
	r = websockets_adopt(engine, fd, identity, &websocket_handler, created, &created->websocket);
	if (r < 0) {
		free(created);
		return r;
	}
	websocket_pause(created->websocket, true);
	*pump = created;
	return 0;
}

int pump_unsent(const struct pump *pump)
{
	int queued = 0;

	if (pump->websocket)
		ioctl(websocket_fd(pump->websocket), SIOCOUTQ, &queued);
	return queued;
}

void pump_close(struct pump *pump, unsigned int code, const char *reason)
{
	if (pump->ending)
		return;
	pump->ending = true;
	pump_leave_stream(pump);
	if (code == CLOSE_CLEAN && websocket_accepts(pump->websocket))
		websocket_send(pump->websocket, WEBSOCKET_TEXT, "", 0);
	websocket_close(pump->websocket, code, reason);
}
