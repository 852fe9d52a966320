// SPDX-License-Identifier: Apache-2.0
/* Sockets that are full, slow, gone, or written to from elsewhere, and an engine that is destroyed with them. */
#include "tests/unit/websocket-peer.h"

/* A peer that never reads either. */
static void test_close_unread(void **state)
{
	struct connection connection = {0};
	static char payload[WEBSOCKET_SCRATCH_SIZE];
	size_t sent = 0;
	int64_t start;

	connect_client(&connection, *state);
	for (; websocket_ready(connection.websocket); sent += sizeof(payload))
		assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, payload, sizeof(payload)), 0);
	assert_in_range(sent, 1, MIB);
	websocket_want_write(connection.websocket);
	websocket_ping(connection.websocket);
	for (int i = 0; i < 20; i++)
		turn(connection.fixture);
	assert_int_equal(connection.written, 0);
	start = now_ms();
	websocket_close(connection.websocket, 0, NULL);
	while (!connection.closed && now_ms() - start < PATIENCE_MS)
		turn(connection.fixture);
	assert_int_equal(connection.closed, 1);
	disconnect(&connection);
}

/* While paused the kernel's buffer is all that a client can fill; afterwards everything comes, in order. */
static void test_pause(void **state)
{
	struct connection connection = {.collects = true};
	struct buffer wire = {0};
	unsigned char *payload = malloc(MIB);
	size_t sent = 0;
	ssize_t some;

	assert_non_null(payload);
	for (size_t i = 0; i < MIB; i++)
		payload[i] = stream_byte(i);
	for (size_t i = 0; i < MIB; i += PIECE_SIZE)
		add_frame(&wire, FIN | BINARY, payload + i, PIECE_SIZE);
	connect_client(&connection, *state);
	websocket_pause(connection.websocket, true);
	for (int i = 0; i < 50; i++) {
		while ((some = send(connection.fd, wire.data + sent, wire.length - sent, MSG_DONTWAIT)) > 0)
			sent += (size_t)some;
		turn(*state);
	}
	assert_true(sent < MIB / 2);
	assert_int_equal(connection.pieces, 0);
	websocket_pause(connection.websocket, false);
	client_send(&connection, wire.data + sent, wire.length - sent);
	wait_for(&connection, connection.message.length == MIB);
	assert_memory_equal(connection.message.data, payload, MIB);
	buffer_finish(&wire);
	free(payload);
	disconnect(&connection);
}

/* Pausing at each piece: at most one more comes; what was read already comes when resumed, room to write or not. */
static void test_pause_in_message(void **state)
{
	struct connection connection = {.collects = true, .pauses = true};
	static char filler[WEBSOCKET_SCRATCH_SIZE];
	struct buffer wire = {0};
	char head[1024];

	for (int i = 0; i < 200; i++)
		add_frame(&wire, FIN | TEXT, "0123456789012345678901234567890123456789", 40);
	pair_unix(&connection, *state);
	upgrade(&connection, "", &wire, head);
	settle(&connection);
	assert_int_equal(connection.pieces, 0); /* paused by on_open */
	while (websocket_ready(connection.websocket))
		websocket_send(connection.websocket, WEBSOCKET_BINARY, filler, sizeof(filler));
	for (unsigned int last = 0; connection.message.length < 200 * 40; last = connection.pieces) {
		int64_t start = now_ms();

		websocket_pause(connection.websocket, false);
		while (connection.pieces == last && now_ms() - start < PATIENCE_MS)
			turn(*state);
		for (int i = 0; i < 3; i++)
			turn(*state);
		assert_in_range(connection.pieces - last, 1, 2);
	}
	assert_int_equal(connection.messages, 200);
	buffer_finish(&wire);
	disconnect(&connection);
}

/* Messages cut anywhere, on their way and by fragments, with pauses at any moment: every byte comes once. */
static void test_pause_at_random(void **state)
{
	struct connection connection = {.collects = true};
	struct buffer wire = {0}, expected = {0};
	size_t sent = 0, messages = 100;
	uint32_t random = 1;

	for (size_t i = 0; i < messages; i++) {
		static unsigned char payload[20000];
		size_t length = next_random(&random) % (i % 8 ? 300 : sizeof(payload));
		size_t cut = i % 3 ? 0 : length / 2;

		for (size_t k = 0; k < length; k++)
			payload[k] = (unsigned char)next_random(&random);
		if (cut)
			add_frame(&wire, BINARY, payload, cut);
		add_frame(&wire, FIN | (cut ? CONTINUATION : BINARY), payload + cut, length - cut);
		assert_int_equal(buffer_append(&expected, payload, length, 64 * MIB), 0);
	}
	connect_client(&connection, *state);
	for (int64_t start = now_ms(); connection.messages < messages;) {
		size_t some = next_random(&random) % 3000 + 1;
		ssize_t took = 0;

		if (some > wire.length - sent)
			some = wire.length - sent;
		if (some)
			took = send(connection.fd, wire.data + sent, some, MSG_DONTWAIT);
		sent += took > 0 ? (size_t)took : 0;
		connection.pauses = next_random(&random) % 4 == 0;
		websocket_pause(connection.websocket, next_random(&random) % 2);
		turn(*state);
		assert_true(now_ms() - start < PATIENCE_MS);
	}
	assert_int_equal(connection.message.length, expected.length);
	assert_memory_equal(connection.message.data, expected.data, expected.length);
	connection.pauses = false;
	websocket_pause(connection.websocket, false);
	buffer_finish(&wire);
	buffer_finish(&expected);
	disconnect(&connection);
}

/* Checks what came of the stream and drops it. Returns its length. */
static size_t check_stream(struct connection *connection, size_t offset)
{
	struct frame frame;
	size_t checked = 0;

	while (next_frame(connection, &frame) && frame.head == (FIN | BINARY)) {
		for (size_t i = 0; i < frame.length; i++)
			if (frame.payload[i] != stream_byte(offset + checked + i))
				fail_msg("wrong byte at %zu", offset + checked + i);
		checked += frame.length;
		buffer_consume(&connection->received, frame.size);
	}
	return checked;
}

/* A reader that takes a little at a time gets every byte, and then the Close frame. */
static void read_slowly(struct connection *connection)
{
	static const size_t sips[] = {1, 4000, 70000, 13, 200000, 1000000};
	int64_t start = now_ms();
	size_t got = 0;

	for (size_t i = 0; got < STREAM_SIZE; i++) {
		turn(connection->fixture);
		receive(connection, sips[i % (sizeof(sips) / sizeof(*sips))]);
		got += check_stream(connection, got);
		assert_true(now_ms() - start < 60000);
	}
	assert_int_equal(got, STREAM_SIZE);
	expect_close(connection, 0);
	client_close(connection, 0, "");
	wait_for(connection, connection->closed == 1);
	assert_int_equal(connection->code, 1005);
	assert_true(connection->written > 10);
	disconnect(connection);
}

static void test_stream_unix(void **state)
{
	struct connection connection = {.streams = true, .closes = true};
	char head[1024];

	pair_unix(&connection, *state);
	upgrade(&connection, "", NULL, head);
	read_slowly(&connection);
}

/* Over TCP a send may be cut: the engine keeps the rest, and is not ready meanwhile. */
static void test_stream_tcp(void **state)
{
	struct connection connection = {.streams = true, .closes = true};
	char head[1024];

	pair_tcp(&connection, *state);
	upgrade(&connection, "", NULL, head);
	read_slowly(&connection);
}

static void test_partial(void **state)
{
	static char payload[WEBSOCKET_SCRATCH_SIZE];
	struct connection connection = {0};
	char head[1024];

	pair_tcp(&connection, *state);
	upgrade(&connection, "", NULL, head);
	assert_true(websocket_ready(connection.websocket));
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, payload, sizeof(payload)), 0);
	assert_false(websocket_ready(connection.websocket));
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, "x", 1), -EAGAIN);
	websocket_want_write(connection.websocket);
	websocket_ping(connection.websocket);
	expect_frame(&connection, FIN | BINARY, payload, sizeof(payload));
	wait_for(&connection, connection.written == 1);
	expect_frame(&connection, FIN | PING, "keepalive", 9);
	/* A Close frame waits behind what is kept. */
	while (websocket_ready(connection.websocket))
		assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, payload, sizeof(payload)), 0);
	websocket_close(connection.websocket, 4000, NULL);
	for (struct frame frame; !next_frame(&connection, &frame) || frame.head == (FIN | BINARY);) {
		wait_for(&connection, next_frame(&connection, &frame));
		if (frame.head == (FIN | BINARY))
			expect_frame(&connection, FIN | BINARY, payload, sizeof(payload));
	}
	expect_close(&connection, 4000);
	client_close(&connection, 4000, "");
	wait_for(&connection, connection.closed == 1);
	assert_int_equal(connection.code, 4000);
	assert_int_equal(connection.written, 1);
	disconnect(&connection);
}

/* Another handle on the loop, as a console is. */
struct source {
	uv_poll_t poll;
	int fd;
	struct connection *connection;
	unsigned int sent;
};

static void on_source(uv_poll_t *poll, int status, int events)
{
	struct source *source = poll->data;
	unsigned char byte;

	while (recv(source->fd, &byte, 1, MSG_DONTWAIT) == 1) {
		if (!source->connection->websocket)
			continue;
		/* Mixed with what asks for a callback, in one turn. */
		websocket_want_write(source->connection->websocket);
		if (websocket_ready(source->connection->websocket)) {
			assert_int_equal(websocket_send(source->connection->websocket, WEBSOCKET_BINARY, &byte, 1), 0);
			source->sent++;
		}
	}
}

/* Sending from the callback of another fd, with the library's own callbacks, pongs and input in between. */
static void test_send_from_elsewhere(void **state)
{
	struct connection connection = {0};
	struct source source = {.connection = &connection};
	struct fixture *fixture = *state;
	int pair[2];

	connect_client(&connection, fixture);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	source.fd = pair[0];
	source.poll.data = &source;
	assert_int_equal(uv_poll_init(&fixture->loop, &source.poll, pair[0]), 0);
	assert_int_equal(uv_poll_start(&source.poll, UV_READABLE, on_source), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned char byte = (unsigned char)i;

		assert_int_equal(send(pair[1], &byte, 1, 0), 1);
		client_frame(&connection, FIN | (i % 3 ? TEXT : PING), &byte, 1);
		if (i % 4)
			continue;
		turn(fixture);
		receive(&connection, SIZE_MAX);
	}
	wait_for(&connection, source.sent == 2000);
	settle(&connection);
	for (unsigned int binary = 0; binary < 2000;) {
		struct frame frame;

		wait_for(&connection, next_frame(&connection, &frame));
		if (frame.head == (FIN | BINARY))
			assert_int_equal(frame.payload[0], (unsigned char)binary++);
		else
			assert_int_equal(frame.head, FIN | PONG);
		buffer_consume(&connection.received, frame.size);
	}
	assert_true(connection.written > 0);
	/* The peer goes; the next sends come before the loop has told us. */
	close_fd(&connection.fd);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(send(pair[1], "x", 1, 0), 1);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, "x", 1), -EPIPE);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, "x", 1), -EPIPE);
	disconnect(&connection);
	uv_close((uv_handle_t *)&source.poll, NULL);
	turn(fixture);
	close_fd(&pair[0]);
	close_fd(&pair[1]);
}

/* A send that fails while paused, when nothing else would tell that the peer has gone. */
static void test_send_fails_paused(void **state)
{
	struct connection connection = {.pauses = true};

	connect_client(&connection, *state);
	close_fd(&connection.fd);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, "x", 1), -EPIPE);
	wait_for(&connection, connection.closed == 1);
	assert_int_equal(connection.code, 1006);
	disconnect(&connection);
}

/* Clients that vanish in the middle of a flood both ways. */
static void test_abrupt(void **state)
{
	static char payload[PIECE_SIZE];

	for (int i = 0; i < 200; i++) {
		struct connection connection = {.streams = true};
		struct buffer wire = {0};
		char head[1024];

		pair_unix(&connection, *state);
		upgrade(&connection, "", NULL, head);
		add_frame(&wire, FIN | BINARY, payload, sizeof(payload));
		send(connection.fd, wire.data, wire.length - (size_t)i, MSG_DONTWAIT);
		for (int turns = 0; turns < i % 5; turns++) {
			turn(*state);
			receive(&connection, 1000);
		}
		buffer_finish(&wire);
		disconnect(&connection);
	}
}

/* teardown() destroys the engine with this state: opening, idle, streaming, paused, closing, just failing. */
static void test_destroy_open(void **state)
{
	struct fixture *fixture = *state;
	struct connection connections[40] = {0};
	char head[1024];

	for (size_t i = 0; i < 40; i++) {
		struct connection *connection = &connections[i];

		connection->streams = i % 6 == 1;
		connection->pauses = i % 6 == 2;
		pair_unix(connection, fixture);
		if (i % 6 == 0) {
			adopt(connection);
			continue;
		}
		upgrade(connection, "", NULL, head);
		if (i % 6 == 3)
			websocket_close(connection->websocket, 0, NULL);
		if (i % 6 == 4)
			send(connection->fd, "\x83\x81....x", 7, MSG_DONTWAIT);
		if (i % 6 == 5)
			close_fd(&connection->fd);
	}
	websockets_destroy(fixture->engine);
	fixture->engine = NULL;
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(connections[i].closed, 1);
		assert_null(connections[i].websocket);
		disconnect(&connections[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_close_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_in_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_at_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_unix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_from_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_fails_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy_open, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
