// SPDX-License-Identifier: Apache-2.0
/* For tests of pumps: viewers made by hand, and the streams that their WebSockets are joined with, all on one loop. */
#pragma once

#include "bridge/pump.h"
#include "tests/unit/websocket-peer.h"

#include <stdlib.h>

#define HELD_MAX ((size_t)512 * 1024)   /* that a peer which does not read may cost, the kernel's buffers included */
#define KERNEL_MAX ((size_t)256 * 1024) /* the part of it that one kernel buffer may be */

struct viewer {
	struct connection peer; /* its WebSocket's other end */
	struct pump *pump;
	int stream; /* the other end of what it is joined with */
	bool stream_ended;
	struct buffer shown; /* of the stream's bytes, to the viewer */
	struct buffer typed; /* of the viewer's bytes, to the stream */
	struct buffer heard; /* by the handler */
	size_t hears;        /* so much, then no more */
	unsigned int inputs, closed;
	bool blocked;
};

/* ---- the pump's user ---- */

static inline bool on_input(struct pump *pump, void *user, const void *data, size_t length)
{
	struct viewer *viewer = user;

	assert_ptr_equal(pump, viewer->pump);
	assert_true(length > 0);
	assert_true(viewer->heard.length < viewer->hears);
	assert_int_equal(viewer->closed, 0);
	viewer->inputs++;
	assert_int_equal(buffer_append(&viewer->heard, data, length, 64 * MIB), 0);
	return viewer->heard.length < viewer->hears;
}

static inline void on_blocked(struct pump *pump, void *user, bool blocked)
{
	struct viewer *viewer = user;

	assert_ptr_equal(pump, viewer->pump);
	assert_int_equal(viewer->closed, 0);
	assert_true(blocked != viewer->blocked);
	viewer->blocked = blocked;
}

static inline void on_pump_closed(struct pump *pump, void *user)
{
	struct viewer *viewer = user;

	assert_ptr_equal(pump, viewer->pump);
	assert_int_equal(viewer->closed++, 0);
	viewer->pump = NULL;
}

static const struct pump_handler silent = {.blocked = on_blocked, .closed = on_pump_closed};
static const struct pump_handler hearing = {.input = on_input, .blocked = on_blocked, .closed = on_pump_closed};

/* ---- both ends ---- */

/* Sends the viewer's request, and `early` right behind it, for the pump to answer. */
static inline void create(struct viewer *viewer, struct fixture *fixture, const struct buffer *early)
{
	const char request[] = REQUEST "\r\n";

	viewer->stream = -1;
	if (!viewer->peer.fixture)
		pair_unix(&viewer->peer, fixture);
	assert_int_equal(send(viewer->peer.fd, request, strlen(request), 0), strlen(request));
	if (early)
		assert_int_equal(send(viewer->peer.fd, early->data, early->length, 0), early->length);
	assert_int_equal(pump_create(&viewer->pump, fixture->engine, &fixture->loop, viewer->peer.server_fd, &somebody,
				     viewer->hears ? &hearing : &silent, viewer),
			 0);
	assert_int_equal(viewer->closed, 0);
}

static inline void expect_head(struct viewer *viewer)
{
	char head[1024];

	wait_for(&viewer->peer, take_head(&viewer->peer, head));
	assert_int_equal(strncmp(head, "HTTP/1.1 101 ", 13), 0);
}

static inline int join(struct viewer *viewer)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	viewer->stream = pair[1];
	return pump_join(viewer->pump, pair[0]);
}

static inline void connect_viewer(struct viewer *viewer, struct fixture *fixture)
{
	create(viewer, fixture, NULL);
	assert_int_equal(join(viewer), 0);
	expect_head(viewer);
}

/* What the stream's end got, at most `limit` bytes more. */
static inline void take(struct viewer *viewer, size_t limit)
{
	char data[64 * 1024];

	while (!viewer->stream_ended && viewer->stream >= 0 && limit > 0) {
		ssize_t got = recv(viewer->stream, data, limit < sizeof(data) ? limit : sizeof(data), MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			viewer->stream_ended = true;
			return;
		}
		limit -= (size_t)got;
		assert_int_equal(buffer_append(&viewer->typed, data, (size_t)got, 64 * MIB), 0);
	}
}

/* Takes the binary messages off what the viewer received. */
static inline void show(struct viewer *viewer)
{
	struct frame frame;

	while (next_frame(&viewer->peer, &frame) && frame.head == (FIN | BINARY)) {
		assert_int_equal(buffer_append(&viewer->shown, frame.payload, frame.length, 64 * MIB), 0);
		buffer_consume(&viewer->peer.received, frame.size);
	}
}

/* Turns the loop, with both ends reading, until the condition holds. */
#define until(viewer, condition) wait_for(&(viewer)->peer, (take(viewer, SIZE_MAX), show(viewer), (condition)))

static inline void expect_pattern(const struct buffer *buffer, size_t length)
{
	assert_int_equal(buffer->length, length);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)buffer->data[i] != stream_byte(i))
			fail_msg("wrong byte at %zu", i);
}

static inline unsigned char *pattern(size_t length)
{
	unsigned char *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = stream_byte(i);
	return bytes;
}

/* Sends as much as is taken while nobody reads at the other end; at most `length`. */
static inline size_t stuff(struct viewer *viewer, int fd, const void *data, size_t length)
{
	size_t sent = 0;

	for (int idle = 0; idle < 50; idle++) {
		ssize_t some;

		while ((some = send(fd, (const char *)data + sent, length - sent, MSG_DONTWAIT)) > 0) {
			sent += (size_t)some;
			idle = 0;
		}
		turn(viewer->peer.fixture);
	}
	return sent;
}

/* Nothing keeps the loop turning. */
static inline bool is_calm(const struct viewer *viewer)
{
	struct pollfd loop = {.fd = uv_backend_fd(&viewer->peer.fixture->loop), .events = POLLIN};

	return poll(&loop, 1, 0) == 0;
}

static inline void finish(struct viewer *viewer)
{
	close_fd(&viewer->peer.fd);
	close_fd(&viewer->stream);
	if (viewer->pump)
		wait_for(&viewer->peer, viewer->closed == 1);
	assert_int_equal(viewer->closed, 1);
	buffer_finish(&viewer->peer.received);
	buffer_finish(&viewer->shown);
	buffer_finish(&viewer->typed);
	buffer_finish(&viewer->heard);
}

static inline void expect_clean_end(struct viewer *viewer)
{
	expect_frame(&viewer->peer, FIN | TEXT, "", 0);
	expect_close(&viewer->peer, 0);
	client_close(&viewer->peer, 0, "");
	until(viewer, viewer->closed == 1 && viewer->peer.ended);
	assert_int_equal(viewer->peer.received.length, 0);
}

/* A client's messages of random sizes, some in fragments, that carry the pattern. */
static inline void add_messages(struct buffer *wire, size_t length, uint32_t *random)
{
	unsigned char *bytes = pattern(length);

	for (size_t at = 0, size; at < length; at += size) {
		size_t cut = next_random(random) % 3 ? 0 : 1;

		size = 1 + next_random(random) % (next_random(random) % 8 ? 500 : 100000);
		if (size > length - at)
			size = length - at;
		cut *= size / 3;
		if (cut)
			add_frame(wire, BINARY, bytes + at, cut);
		add_frame(wire,
			  FIN | (cut                       ? CONTINUATION
				 : next_random(random) % 2 ? BINARY
							   : TEXT),
			  bytes + at + cut, size - cut);
	}
	free(bytes);
}
