// SPDX-License-Identifier: Apache-2.0
/* The engine's part of the protocol: handshake, messages, closing, and clients that break the rules. */
#include "tests/unit/websocket-peer.h"
#include "util/log.h"

#include <fcntl.h>
#include <libwebsockets.h> /* for its log alone */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static void test_handshake(void **state)
{
	struct connection connection = {0};
	char head[1024];

	pair_unix(&connection, *state);
	upgrade(&connection, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", NULL, head);
	/* The key and its answer are those of RFC 6455 section 1.3. */
	assert_non_null(strcasestr(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_non_null(strcasestr(head, "\r\nUpgrade: websocket\r\n"));
	assert_null(strcasestr(head, "Sec-WebSocket-Extensions"));
	assert_null(strcasestr(head, "Sec-WebSocket-Protocol"));
	assert_int_equal(connection.received.length, 0);
	disconnect(&connection);
	assert_int_equal(connection.code, 1006);
}

/* Any subprotocol will do; the first one is accepted, as browsers insist on one. */
static void test_subprotocol(void **state)
{
	static const char *const offers[][2] = {
		{"Sec-WebSocket-Protocol: binary\r\n", "\r\nSec-WebSocket-Protocol: binary\r\n"},
		{"Sec-WebSocket-Protocol: v1.channel, base64\r\n", "\r\nSec-WebSocket-Protocol: v1.channel\r\n"},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
		struct connection connection = {.echoes = true};
		char head[1024];

		pair_unix(&connection, *state);
		upgrade(&connection, offers[i][0], NULL, head);
		if (offers[i][1])
			assert_non_null(strstr(head, offers[i][1]));
		else
			assert_null(strcasestr(head, "Sec-WebSocket-Protocol"));
		client_frame(&connection, FIN | BINARY, "x", 1);
		expect_frame(&connection, FIN | BINARY, "x", 1);
		disconnect(&connection);
	}
}

/* What a client sends without waiting for the 101 arrives, in order, with the head or behind it. */
static void test_early(void **state)
{
	struct connection connection = {.collects = true};
	struct buffer wire = {0};
	char head[1024];

	for (unsigned char i = 0; i < 100; i++)
		add_frame(&wire, FIN | BINARY, &i, 1);
	pair_unix(&connection, *state);
	upgrade(&connection, "", &wire, head);
	wait_for(&connection, connection.messages == 100);
	for (unsigned char i = 0; i < 100; i++)
		assert_int_equal(connection.message.data[i], i);
	buffer_finish(&wire);
	disconnect(&connection);
}

static void test_no_request(void **state)
{
	struct connection connection = {0}, other = {0};

	connect_client(&other, *state);
	pair_unix(&connection, *state);
	client_send(&connection, "GET /1.0 HTTP/1.1\r\n", 19);
	adopt(&connection);
	wait_for(&connection, connection.closed == 1); /* after the second that setup() allows */
	assert_int_equal(connection.opened, 0);
	assert_int_equal(connection.code, 1006);
	disconnect(&connection);
	assert_int_equal(other.closed, 0); /* the limit was for the handshake alone */
	disconnect(&other);
}

static void test_close_before_open(void **state)
{
	struct connection connection = {0};
	char head[1024];

	pair_unix(&connection, *state);
	client_send(&connection, REQUEST "\r\n", strlen(REQUEST "\r\n"));
	adopt(&connection);
	assert_true(websocket_ready(connection.websocket));
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_TEXT, "x", 1), 0);
	websocket_want_write(connection.websocket);
	websocket_close(connection.websocket, 1000, NULL);
	wait_for(&connection, take_head(&connection, head));
	expect_frame(&connection, FIN | TEXT, "x", 1);
	expect_close(&connection, 1000); /* the 101 is out: the peer is told */
	wait_for(&connection, connection.closed == 1 && connection.ended);
	assert_int_equal(connection.opened, 0);
	assert_int_equal(connection.written, 0);
	disconnect(&connection);
}

/* Sizes around those where the header changes, both ways. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, RECEIVE_SIZE, RECEIVE_SIZE + 1, 65535, 65536};
	static unsigned char payload[WEBSOCKET_SCRATCH_SIZE];
	struct connection connection = {.echoes = true};

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = stream_byte(i);
	connect_client(&connection, *state);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		unsigned int opcode = i % 2 ? TEXT : BINARY;
		unsigned int pieces = connection.pieces;

		client_frame(&connection, FIN | opcode, payload, sizes[i]);
		expect_frame(&connection, FIN | opcode, payload, sizes[i]);
		assert_int_equal(connection.firsts, i + 1);
		assert_int_equal(connection.messages, i + 1);
		assert_true(connection.pieces - pieces <= 2 + sizes[i] / RECEIVE_SIZE * 2);
	}
	client_frame(&connection, FIN | TEXT, "", 0);
	expect_frame(&connection, FIN | TEXT, "", 0);
	assert_int_equal(connection.kind, WEBSOCKET_TEXT);
	assert_int_equal(connection.largest, RECEIVE_SIZE);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_TEXT, payload, sizeof(payload) + 1), -EMSGSIZE);
	disconnect(&connection);
}

static void test_fragments(void **state)
{
	struct connection connection = {.echoes = true};

	connect_client(&connection, *state);
	client_frame(&connection, TEXT, "one ", 4);
	client_frame(&connection, FIN | PING, "are you there", 13);
	expect_frame(&connection, FIN | PONG, "are you there", 13);
	client_frame(&connection, CONTINUATION, "", 0);
	client_frame(&connection, CONTINUATION, "two ", 4);
	client_frame(&connection, FIN | PONG, "unasked", 7);
	client_frame(&connection, FIN | CONTINUATION, "three", 5);
	expect_frame(&connection, FIN | TEXT, "one two three", 13);
	assert_int_equal(connection.firsts, 1);
	/* As LXD fragments its larger events: everything, then an empty end. */
	client_frame(&connection, TEXT, "all", 3);
	client_frame(&connection, FIN | CONTINUATION, "", 0);
	expect_frame(&connection, FIN | TEXT, "all", 3);
	/* An empty beginning. */
	client_frame(&connection, BINARY, "", 0);
	client_frame(&connection, FIN | CONTINUATION, "x", 1);
	expect_frame(&connection, FIN | BINARY, "x", 1);
	disconnect(&connection);
}

/* What the server has not read yet. */
static int unread(const struct connection *connection)
{
	int bytes = -1;

	assert_int_equal(ioctl(connection->fd, SIOCOUTQ, &bytes), 0);
	return bytes;
}

/* Every byte in a read of its own. */
static void test_dribble(void **state)
{
	struct connection connection = {.echoes = true};
	struct buffer wire = {0};

	connect_client(&connection, *state);
	add_frame(&wire, FIN | TEXT, "hello", 5);
	add_frame(&wire, FIN | PING, "p", 1);
	add_frame(&wire, FIN | BINARY, "", 0);
	for (size_t i = 0; i < wire.length; i++) {
		client_send(&connection, wire.data + i, 1);
		wait_for(&connection, unread(&connection) == 0);
	}
	expect_frame(&connection, FIN | TEXT, "hello", 5);
	expect_frame(&connection, FIN | PONG, "p", 1);
	expect_frame(&connection, FIN | BINARY, "", 0);
	buffer_finish(&wire);
	disconnect(&connection);
}

static void test_ping(void **state)
{
	struct connection connection = {0};

	connect_client(&connection, *state);
	websocket_ping(connection.websocket);
	expect_frame(&connection, FIN | PING, "keepalive", 9);
	client_frame(&connection, FIN | PONG, "keepalive", 9);
	settle(&connection);
	assert_int_equal(connection.pieces, 0);
	assert_int_equal(connection.closed, 0);
	disconnect(&connection);
}

static void test_peer_closes(void **state)
{
	static const struct {
		unsigned int code, answer, told;
		const char *reason;
	} cases[] = {
		{1000, 1000, 1000, "Detaching from console"},
		{4001, 4001, 4001, ""},
		{1001, 1001, 1001, ""},
		{0, 0, 1005, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct connection connection = {0};

		connect_client(&connection, *state);
		client_close(&connection, cases[i].code, cases[i].reason);
		client_frame(&connection, FIN | BINARY, "late", 4); /* is nobody's */
		expect_close(&connection, cases[i].answer);
		wait_for(&connection, connection.closed == 1 && connection.ended);
		assert_int_equal(connection.code, cases[i].told);
		assert_int_equal(connection.messages, 0);
		assert_int_equal(connection.received.length, 0);
		disconnect(&connection);
	}
}

static void test_peer_vanishes(void **state)
{
	struct connection connection = {0}, half = {0};

	connect_client(&connection, *state);
	disconnect(&connection);
	assert_int_equal(connection.code, 1006);
	connect_client(&half, *state);
	client_frame(&half, FIN | TEXT, "last", 4);
	assert_int_equal(shutdown(half.fd, SHUT_WR), 0);
	wait_for(&half, half.closed == 1 && half.ended);
	assert_int_equal(half.code, 1006);
	assert_int_equal(half.messages, 1);
	assert_int_equal(half.received.length, 0); /* it did nothing wrong: no Close frame says so */
	disconnect(&half);
}

/* The one clean end of a console: everything, then an empty Close frame. */
static void test_close_empty(void **state)
{
	struct connection connection = {0};

	connect_client(&connection, *state);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, "bye", 3), 0);
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_TEXT, "", 0), 0);
	websocket_close(connection.websocket, 0, NULL);
	websocket_close(connection.websocket, 1001, "twice");
	assert_false(websocket_ready(connection.websocket));
	assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_TEXT, "", 0), -EPIPE);
	expect_frame(&connection, FIN | BINARY, "bye", 3);
	expect_frame(&connection, FIN | TEXT, "", 0);
	expect_close(&connection, 0);
	assert_int_equal(connection.closed, 0);
	client_frame(&connection, FIN | TEXT, "in between", 10); /* is nobody's */
	client_close(&connection, 0, "");
	wait_for(&connection, connection.closed == 1 && connection.ended);
	assert_int_equal(connection.code, 1005);
	assert_int_equal(connection.messages, 0);
	assert_int_equal(connection.received.length, 0);
	disconnect(&connection);
}

static void test_close_reason(void **state)
{
	struct connection connection = {.pauses = true};
	struct frame frame;

	connect_client(&connection, *state); /* is paused: the answer must be seen all the same */
	websocket_close(connection.websocket, 1008, "Taken over");
	wait_for(&connection, next_frame(&connection, &frame));
	assert_int_equal(frame.length, 12);
	assert_memory_equal(frame.payload + 2, "Taken over", 10);
	expect_close(&connection, 1008);
	client_close(&connection, 1008, "Taken over");
	wait_for(&connection, connection.closed == 1);
	assert_int_equal(connection.code, 1008);
	disconnect(&connection);
}

/* A peer that does not answer a Close frame, and goes on talking, is left after a second. */
static void test_close_unanswered(void **state)
{
	struct connection connection = {0};
	int64_t start;

	connect_client(&connection, *state);
	start = now_ms();
	websocket_close(connection.websocket, 0, NULL);
	expect_close(&connection, 0);
	client_frame(&connection, FIN | TEXT, "what", 4);
	wait_for(&connection, connection.closed == 1 && connection.ended);
	assert_in_range(now_ms() - start, 800, 3000);
	assert_int_equal(connection.code, 1006);
	disconnect(&connection);
}

static void test_violations(void **state)
{
	static const struct {
		const char *name;
		size_t length;
		const char *bytes;
	} cases[] = {
		{"unmasked text", 3, "\x81\x01x"},
		{"unmasked fragment", 3, "\x02\x01x"},
		{"unmasked medium", 4 + 126,
		 "\x82\x7e\x00\x7e"
		 "123456789012345678901234567890123456789012345678901234567890123"
		 "123456789012345678901234567890123456789012345678901234567890123"},
		{"reserved bit 1", 7, "\xc1\x81\1\2\3\4x"},
		{"reserved bit 2", 7, "\xa1\x81\1\2\3\4x"},
		{"reserved bit 3", 7, "\x91\x81\1\2\3\4x"},
		{"reserved opcode", 7, "\x83\x81\1\2\3\4x"},
		{"reserved control opcode", 7, "\x8b\x81\1\2\3\4x"},
		{"fragmented ping", 7, "\x09\x81\1\2\3\4x"},
		{"ping of 126 bytes", 8, "\x89\xfe\x00\x7e\1\2\3\4"},
		{"ping of 65536 bytes", 14, "\x89\xff\0\0\0\0\0\1\0\0\1\2\3\4"},
		{"close of 126 bytes", 8, "\x88\xfe\x00\x7e\1\2\3\4"},
		{"close of 1 byte", 7, "\x88\x81\1\2\3\4x"},
		{"close of a code that must not be sent", 8, "\x88\x82\0\0\0\0\x03\xed"},
		{"continuation of nothing", 7, "\x80\x81\1\2\3\4x"},
		{"beginning within a message", 14, "\x01\x81\1\2\3\4x\x81\x81\1\2\3\4x"},
		{"length of 2^63", 14, "\x82\xff\x80\0\0\0\0\0\0\0\1\2\3\4"},
		{"length of 2^64-1", 14, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4"},
	};

	static const unsigned char answer[] = {FIN | CLOSE, 0x82, 0, 0, 0, 0, 1002 >> 8, 1002 & 0xff};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct connection connection = {0};

		connect_client(&connection, *state);
		print_message("%s\n", cases[i].name);
		client_send(&connection, cases[i].bytes, cases[i].length);
		expect_close(&connection, 1002);
		send(connection.fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL); /* perhaps too late */
		wait_for(&connection, connection.closed == 1 && connection.ended);
		assert_int_equal(connection.received.length, 0); /* one Close frame, not two */
		disconnect(&connection);
	}
}

/* The largest length that may be announced costs nothing, where it is allowed. */
static void test_endless(void **state)
{
	struct fixture *fixture = *state;
	static const unsigned char head[] = {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
	static char zeros[PIECE_SIZE];
	struct connection connection = {0};

	fixture->limits.message_size = UINT64_MAX;
	connect_client(&connection, *state);
	client_send(&connection, head, sizeof(head));
	for (int i = 0; i < 32; i++)
		client_send(&connection, zeros, sizeof(zeros));
	wait_for(&connection, connection.message.length == 32 * sizeof(zeros));
	assert_int_equal(connection.firsts, 1);
	assert_int_equal(connection.messages, 0);
	disconnect(&connection);
}

/* limits.message_size: of one frame, whose header tells, and of all fragments. */
static void test_too_big(void **state)
{
	static const unsigned char head[] = {0x82, 0xfe, 0x10, 0x01, 0, 0, 0, 0},
				   first[] = {0x02, 0xfe, 0x10, 0, 0, 0, 0, 0}, second[] = {0x80, 0x81, 0, 0, 0, 0};
	static char zeros[4096];
	struct fixture *fixture = *state;
	struct connection whole = {0}, pieces = {0};

	fixture->limits.message_size = sizeof(zeros);
	connect_client(&whole, fixture);
	client_send(&whole, head, sizeof(head));
	client_send(&whole, zeros, 1);
	expect_close(&whole, 1009);
	assert_int_equal(whole.pieces, 0);
	disconnect(&whole);

	connect_client(&pieces, fixture);
	client_send(&pieces, first, sizeof(first));
	client_send(&pieces, zeros, sizeof(zeros));
	wait_for(&pieces, pieces.message.length == sizeof(zeros));
	client_send(&pieces, second, sizeof(second));
	client_send(&pieces, zeros, 1);
	expect_close(&pieces, 1009);
	assert_int_equal(pieces.messages, 0);
	disconnect(&pieces);
}

/* Whatever comes in: the connection ends, or waits for more; others are not touched. */
static void test_garbage(void **state)
{
	struct connection witness = {.echoes = true};
	uint32_t random = 1;

	connect_client(&witness, *state);
	for (int i = 0; i < 300; i++) {
		struct connection connection = {.echoes = true};
		unsigned char garbage[512];

		connect_client(&connection, *state);
		for (size_t k = 0; k < sizeof(garbage); k++) {
			random = random * 1664525 + 1013904223;
			garbage[k] = (unsigned char)(random >> 24);
		}
		garbage[0] &= 0x8f; /* more of it gets past the reserved bits */
		send(connection.fd, garbage, sizeof(garbage), MSG_DONTWAIT | MSG_NOSIGNAL);
		turn(*state);
		receive(&connection, SIZE_MAX);
		disconnect(&connection);
	}
	client_frame(&witness, FIN | TEXT, "still here", 10);
	expect_frame(&witness, FIN | TEXT, "still here", 10);
	disconnect(&witness);
}

/* lws has tables for the fds that may be open when it starts. */
static void test_fd_too_high(void **state)
{
	struct fixture *fixture = *state;
	const struct websockets_config config = {
		.receive_size = RECEIVE_SIZE, .handshake = 1, .clients = &fixture->clients};
	struct connection connection = {0};
	struct websockets *engine;
	struct rlimit limit, low;
	int pair[2], high;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(websockets_create(&engine, &fixture->loop, &config), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	high = fcntl(pair[0], F_DUPFD_CLOEXEC, 64);
	assert_true(high >= 64);
	assert_int_equal(websockets_adopt(engine, high, &somebody, &handler, &connection, &connection.websocket),
			 -EMFILE);
	assert_int_equal(fcntl(high, F_GETFD), -1); /* was consumed */
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	websockets_destroy(engine);
}

/* No secret gets into the log, whatever lws may have to say. */
static void test_log(void **state)
{
	char text[1024] = "";
	int saved = dup(STDERR_FILENO);
	cleanup_close int file = memfd_create("log", MFD_CLOEXEC);

	assert_true(saved >= 0 && file >= 0);
	assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
	log_set_level(LOG_LEVEL_DEBUG);
	lwsl_err("Bad request /1.0/operations/1/websocket?secret=4711 HTTP/1.1\n");
	lwsl_notice("And here is one more\n");
	lwsl_info("Method: 'GET' request for '/?secret=4711'\n");
	log_set_level(LOG_LEVEL_WARN);
	lwsl_notice("Not to be seen\n");
	dup2(saved, STDERR_FILENO);
	close_fd(&saved);
	assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "warn "));
	assert_non_null(strstr(text, "Bad request /1.0/operations/1/websocket?secret=...\n"));
	assert_non_null(strstr(text, "And here is one more\n"));
	assert_null(strstr(text, "4711"));
	assert_null(strstr(text, "Not to be seen"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handshake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_subprotocol, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_before_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dribble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_vanishes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_unanswered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_violations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_big, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fd_too_high, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
