// SPDX-License-Identifier: Apache-2.0
/*
 * For tests of the WebSocket engine: clients made by hand, that live on the same loop as the server. A client is a
 * non-blocking socket which the test reads between turns of the loop.
 */
#pragma once

#include "bridge/websocket.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h> /* needs some of the above */

#define PATIENCE_MS 10000
#define TURN_MS 2
#define RECEIVE_SIZE 4096
#define STREAM_SIZE (16U * 1024 * 1024)
#define PIECE_SIZE (32U * 1024)
#define MIB ((size_t)1024 * 1024)

/* RFC 6455 section 5.2 */
enum opcode {
	CONTINUATION = 0,
	TEXT = 1,
	BINARY = 2,
	CLOSE = 8,
	PING = 9,
	PONG = 10,
	FIN = 0x80,
};

static const struct identity somebody = {.uid = 4000000000};

struct fixture {
	uv_loop_t loop;
	struct limits limits;
	struct clients clients;
	struct websockets *engine;
};

/* One connection: the client's socket and what came out of it, and what the server's callbacks saw. */
struct connection {
	struct fixture *fixture;
	int fd, server_fd;
	struct buffer received;
	bool ended;

	struct websocket *websocket;
	unsigned int opened, written, closed, code;
	unsigned int messages, pieces, firsts;
	enum websocket_kind kind;
	struct buffer message; /* what came of the message, or of all where `collects` */
	size_t largest, sent;
	bool collects, echoes, pauses, streams, closes;
};

static inline int64_t now_ms(void)
{
	return (int64_t)(uv_hrtime() / 1000000);
}

static inline uint32_t next_random(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

/* ---- the server's side ---- */

static inline unsigned char stream_byte(size_t offset)
{
	return (unsigned char)(offset * 7 + offset / 251);
}

/* Sends the stream as far as the socket takes it. */
static inline void stream(struct connection *connection)
{
	while (connection->sent < STREAM_SIZE && websocket_ready(connection->websocket)) {
		unsigned char *scratch = websocket_scratch(connection->websocket);

		for (size_t i = 0; i < PIECE_SIZE; i++)
			scratch[i] = stream_byte(connection->sent + i);
		if (websocket_send_scratch(connection->websocket, WEBSOCKET_BINARY, PIECE_SIZE) < 0)
			return; /* the client has gone */
		connection->sent += PIECE_SIZE;
	}
	if (connection->sent < STREAM_SIZE)
		websocket_want_write(connection->websocket);
	else if (connection->closes)
		websocket_close(connection->websocket, 0, NULL);
}

static inline void on_open(struct websocket *websocket, void *user)
{
	struct connection *connection = user;

	assert_int_equal(connection->opened++, 0);
	if (connection->pauses)
		websocket_pause(websocket, true);
	if (connection->streams)
		stream(connection);
}

static inline void on_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
			      size_t length, bool first, bool last)
{
	struct connection *connection = user;

	assert_int_equal(connection->opened, 1);
	assert_int_equal(connection->closed, 0);
	assert_true(length <= RECEIVE_SIZE);
	if (first && !connection->collects)
		connection->message.length = 0;
	connection->firsts += first;
	connection->pieces++;
	connection->kind = kind;
	if (length > connection->largest)
		connection->largest = length;
	assert_int_equal(buffer_append(&connection->message, data, length, 64 * MIB), 0);
	if (connection->pauses)
		websocket_pause(websocket, true);
	if (!last)
		return;
	connection->messages++;
	if (connection->echoes && websocket_ready(websocket))
		assert_int_equal(websocket_send(websocket, kind, connection->message.data, connection->message.length),
				 0);
}

static inline void on_writable(struct websocket *websocket, void *user)
{
	struct connection *connection = user;

	assert_true(websocket_ready(websocket));
	connection->written++;
	if (connection->streams)
		stream(connection);
}

static inline void on_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct connection *connection = user;

	assert_ptr_equal(websocket, connection->websocket);
	assert_int_equal(connection->closed++, 0);
	connection->code = code;
	connection->websocket = NULL;
}

static const struct websocket_handler handler = {on_open, on_message, on_writable, on_closed};

/* ---- the client's side ---- */

static inline void receive(struct connection *connection, size_t limit)
{
	char data[64 * 1024];

	while (!connection->ended && connection->fd >= 0 && limit > 0) {
		ssize_t got = recv(connection->fd, data, limit < sizeof(data) ? limit : sizeof(data), MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			connection->ended = true;
			return;
		}
		limit -= (size_t)got;
		assert_int_equal(buffer_append(&connection->received, data, (size_t)got, 64 * MIB), 0);
	}
}

/* One turn of the loop, after waiting a little for something to happen there. */
static inline void turn(struct fixture *fixture)
{
	struct pollfd loop = {.fd = uv_backend_fd(&fixture->loop), .events = POLLIN};
	int timeout = uv_backend_timeout(&fixture->loop);

	poll(&loop, 1, timeout < 0 || timeout > TURN_MS ? TURN_MS : timeout);
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

/* Turns the loop, with the client reading, until the condition holds; it must within PATIENCE_MS. */
#define wait_for(connection, condition)                                 \
	for (int64_t start_ = now_ms(); !(condition);) {                \
		if (now_ms() - start_ > PATIENCE_MS)                    \
			fail_msg("never came to hold: %s", #condition); \
		turn((connection)->fixture);                            \
		receive(connection, SIZE_MAX);                          \
	}

/* Lets pass what is under way, for tests that something does not happen. */
static inline void settle(struct connection *connection)
{
	for (int i = 0; i < 20; i++) {
		turn(connection->fixture);
		receive(connection, SIZE_MAX);
	}
}

static inline void client_send(struct connection *connection, const void *data, size_t length)
{
	int64_t start = now_ms();

	for (size_t sent = 0; sent < length;) {
		ssize_t some =
			send(connection->fd, (const char *)data + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (some > 0) {
			sent += (size_t)some;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		assert_true(now_ms() - start < PATIENCE_MS);
		turn(connection->fixture);
		receive(connection, SIZE_MAX);
	}
}

/* Appends a masked frame to `wire`; `head` is the first byte. */
static inline void add_frame(struct buffer *wire, unsigned int head, const void *payload, size_t length)
{
	static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
	unsigned char header[14] = {(unsigned char)head};
	size_t size = 2;

	if (length < 126) {
		header[1] = (unsigned char)length;
	} else {
		size_t bytes = length < 65536 ? 2 : 8;

		header[1] = bytes == 2 ? 126 : 127;
		for (size_t i = 0; i < bytes; i++)
			header[size++] = (unsigned char)((uint64_t)length >> 8 * (bytes - 1 - i));
	}
	header[1] |= 0x80;
	memcpy(header + size, mask, 4);
	size += 4;
	assert_int_equal(buffer_append(wire, header, size, 64 * MIB), 0);
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = ((const unsigned char *)payload)[i] ^ mask[i % 4];

		assert_int_equal(buffer_append(wire, &byte, 1, 64 * MIB), 0);
	}
}

static inline void client_frame(struct connection *connection, unsigned int head, const void *payload, size_t length)
{
	struct buffer wire = {0};

	add_frame(&wire, head, payload, length);
	client_send(connection, wire.data, wire.length);
	buffer_finish(&wire);
}

struct frame {
	unsigned int head;
	const unsigned char *payload;
	size_t length, size; /* of the payload, of the whole */
};

/* Whether a whole frame has been received. */
static inline bool next_frame(const struct connection *connection, struct frame *frame)
{
	const unsigned char *data = (const unsigned char *)connection->received.data;
	size_t have = connection->received.length, size = 2;
	uint64_t length;

	if (have < 2)
		return false;
	length = data[1]; /* a mask bit from the server makes this fail */
	if (length >= 126) {
		size_t bytes = length == 126 ? 2 : 8;

		assert_true(length <= 127);
		if (have < size + bytes)
			return false;
		length = 0;
		for (size_t i = 0; i < bytes; i++)
			length = length << 8 | data[size++];
	}
	if (have - size < length)
		return false;
	*frame = (struct frame){data[0], data + size, length, size + length};
	return true;
}

static inline void expect_frame(struct connection *connection, unsigned int head, const void *payload, size_t length)
{
	struct frame frame = {0};

	wait_for(connection, next_frame(connection, &frame) || connection->ended);
	assert_true(next_frame(connection, &frame));
	assert_int_equal(frame.head, head);
	assert_int_equal(frame.length, length);
	if (length)
		assert_memory_equal(frame.payload, payload, length);
	buffer_consume(&connection->received, frame.size);
}

static inline void expect_close(struct connection *connection, unsigned int code)
{
	struct frame frame = {0};

	wait_for(connection, next_frame(connection, &frame) || connection->ended);
	assert_true(next_frame(connection, &frame));
	assert_int_equal(frame.head, FIN | CLOSE);
	if (code) {
		assert_true(frame.length >= 2);
		assert_int_equal(frame.payload[0] << 8 | frame.payload[1], code);
	} else {
		assert_int_equal(frame.length, 0);
	}
	buffer_consume(&connection->received, frame.size);
}

static inline void client_close(struct connection *connection, unsigned int code, const char *reason)
{
	unsigned char payload[125] = {(unsigned char)(code >> 8), (unsigned char)code};

	memcpy(payload + 2, reason, strlen(reason));
	client_frame(connection, FIN | CLOSE, payload, code ? 2 + strlen(reason) : 0);
}

/* ---- both ---- */

#define REQUEST                                                 \
	"GET /1.0/operations/x/websocket?secret=y HTTP/1.1\r\n" \
	"Host: unix.socket\r\nUser-Agent: test\r\n"             \
	"Connection: Upgrade\r\nUpgrade: websocket\r\n"         \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"       \
	"Sec-WebSocket-Version: 13\r\n"

static inline void pair_unix(struct connection *connection, struct fixture *fixture)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	connection->fixture = fixture;
	connection->server_fd = pair[0];
	connection->fd = pair[1];
}

/* Over TCP, where sends may be cut, with small buffers. */
static inline void pair_tcp(struct connection *connection, struct fixture *fixture)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	cleanup_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int small = 16 * 1024;

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	connection->fixture = fixture;
	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(connection->fd >= 0);
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(connection->fd, (struct sockaddr *)&address, size), 0);
	connection->server_fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(connection->server_fd >= 0);
	setsockopt(connection->server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
}

/* Gives the server its end of the pair. Nothing is told meanwhile. */
static inline void adopt(struct connection *connection)
{
	assert_int_equal(websockets_adopt(connection->fixture->engine, connection->server_fd, &somebody, &handler,
					  connection, &connection->websocket),
			 0);
	assert_int_equal(websocket_fd(connection->websocket), connection->server_fd);
	assert_int_equal(connection->opened, 0);
	assert_int_equal(connection->closed, 0);
}

/* Takes the server's answer off what was received, into `head`. */
static inline bool take_head(struct connection *connection, char head[static 1024])
{
	const char *end = connection->received.length
				  ? memmem(connection->received.data, connection->received.length, "\r\n\r\n", 4)
				  : NULL;
	size_t length;

	if (!end)
		return false;
	length = (size_t)(end + 4 - connection->received.data);
	assert_true(length < 1024);
	memcpy(head, connection->received.data, length);
	head[length] = '\0';
	buffer_consume(&connection->received, length);
	return true;
}

/* Makes the upgrade with further header lines, and `early` right behind it. */
static inline void upgrade(struct connection *connection, const char *headers, const struct buffer *early,
			   char head[static 1024])
{
	struct buffer wire = {0};

	assert_int_equal(buffer_append(&wire, REQUEST, strlen(REQUEST), MIB), 0);
	assert_int_equal(buffer_append(&wire, headers, strlen(headers), MIB), 0);
	assert_int_equal(buffer_append(&wire, "\r\n", 2, MIB), 0);
	if (early)
		assert_int_equal(buffer_append(&wire, early->data, early->length, MIB), 0);
	assert_int_equal(send(connection->fd, wire.data, wire.length, 0), wire.length);
	buffer_finish(&wire);
	adopt(connection);
	wait_for(connection, take_head(connection, head));
	assert_int_equal(strncmp(head, "HTTP/1.1 101 ", 13), 0);
	wait_for(connection, connection->opened == 1);
}

static inline void connect_client(struct connection *connection, struct fixture *fixture)
{
	char head[1024];

	pair_unix(connection, fixture);
	upgrade(connection, "", NULL, head);
}

static inline void disconnect(struct connection *connection)
{
	close_fd(&connection->fd);
	if (connection->websocket)
		wait_for(connection, connection->closed == 1);
	buffer_finish(&connection->received);
	buffer_finish(&connection->message);
}

static inline int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct websockets_config config = {
		.receive_size = RECEIVE_SIZE, .handshake = 1, .clients = &fixture->clients};

	assert_non_null(fixture);
	limits_init(&fixture->limits);
	clients_init(&fixture->clients, &fixture->limits);
	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	assert_int_equal(websockets_create(&fixture->engine, &fixture->loop, &config), 0);
	*state = fixture;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *fixture = *state;

	websockets_destroy(fixture->engine);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	assert_int_equal(fixture->clients.count, 0);
	free(fixture);
	return 0;
}
