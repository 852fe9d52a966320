// SPDX-License-Identifier: Apache-2.0
/* Pings: over TCP, as long as there are such connections, and nowhere else. */
#include "tests/unit/websocket-peer.h"

#include <netinet/tcp.h>

#define PING_MS 20

static int setup_pings(void **state)
{
	struct websockets_config config = {.receive_size = RECEIVE_SIZE, .handshake = 1, .ping = PING_MS};
	struct fixture *fixture;
	int r = setup(state);

	if (r < 0)
		return r;
	fixture = *state;
	websockets_destroy(fixture->engine);
	config.clients = &fixture->clients;
	return websockets_create(&fixture->engine, &fixture->loop, &config);
}

static void connect_tcp(struct connection *connection, struct fixture *fixture)
{
	char head[1024];

	pair_tcp(connection, fixture);
	upgrade(connection, "", NULL, head);
}

/* Takes what came off, and tells how many pings were among it. */
static unsigned int count_pings(struct connection *connection)
{
	struct frame frame;
	unsigned int pings = 0;

	for (; next_frame(connection, &frame); buffer_consume(&connection->received, frame.size))
		pings += frame.head == (FIN | PING);
	return pings;
}

static void wait_for_pings(struct connection *connection, unsigned int count)
{
	unsigned int pings = 0;

	wait_for(connection, (pings += count_pings(connection)) >= count);
}

static void test_tcp(void **state)
{
	struct connection connection = {.echoes = true};
	unsigned int timeout = 0;
	socklen_t size = sizeof(timeout);

	connect_tcp(&connection, *state);
	assert_int_equal(getsockopt(connection.server_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size), 0);
	assert_int_equal(timeout, 30000);
	for (int i = 0; i < 3; i++) {
		expect_frame(&connection, FIN | PING, "keepalive", 9);
		client_frame(&connection, FIN | PONG, "keepalive", 9);
	}
	assert_int_equal(connection.pieces, 0);
	assert_int_equal(connection.closed, 0);
	disconnect(&connection);
}

static void test_unix(void **state)
{
	struct connection connection = {0}, tcp = {0};

	connect_client(&connection, *state);
	connect_tcp(&tcp, *state);
	wait_for_pings(&tcp, 5);
	receive(&connection, SIZE_MAX);
	assert_int_equal(connection.received.length, 0);
	disconnect(&connection);
	disconnect(&tcp);
}

static void look_at(uv_handle_t *handle, void *user)
{
	bool *pinging = user;

	if (handle->type == UV_TIMER && uv_is_active(handle) && uv_timer_get_repeat((uv_timer_t *)handle) == PING_MS)
		*pinging = true;
}

static bool is_pinging(struct fixture *fixture)
{
	bool pinging = false;

	uv_walk(&fixture->loop, look_at, &pinging);
	return pinging;
}

/* An idle daemon does not wake up. */
static void test_timer(void **state)
{
	struct connection first = {0}, second = {0}, again = {0}, local = {0};

	assert_false(is_pinging(*state));
	connect_client(&local, *state);
	assert_false(is_pinging(*state));
	connect_tcp(&first, *state);
	connect_tcp(&second, *state);
	assert_true(is_pinging(*state));
	disconnect(&first);
	assert_true(is_pinging(*state));
	wait_for_pings(&second, 1);
	disconnect(&second);
	assert_false(is_pinging(*state));
	connect_tcp(&again, *state);
	assert_true(is_pinging(*state));
	wait_for_pings(&again, 1);
	disconnect(&again);
	disconnect(&local);
	assert_false(is_pinging(*state));
}

/* However long a peer does not read, it finds one ping behind what was sent, and those of the time since then. */
static void test_unread(void **state)
{
	static char payload[WEBSOCKET_SCRATCH_SIZE];
	struct connection connection = {0}, clock = {0};
	unsigned int pings = 0, ticks = 0;
	struct frame frame;
	size_t sent = 0, got = 0;

	connect_tcp(&connection, *state);
	connect_tcp(&clock, *state);
	for (; websocket_ready(connection.websocket); sent += sizeof(payload))
		assert_int_equal(websocket_send(connection.websocket, WEBSOCKET_BINARY, payload, sizeof(payload)), 0);
	wait_for_pings(&clock, 15);
	for (int64_t start = now_ms(); got < sent || pings == 0;) {
		turn(*state);
		receive(&clock, SIZE_MAX);
		ticks += count_pings(&clock);
		receive(&connection, SIZE_MAX);
		while (next_frame(&connection, &frame)) {
			got += frame.head == (FIN | BINARY) ? frame.length : 0;
			pings += frame.head == (FIN | PING);
			buffer_consume(&connection.received, frame.size);
		}
		assert_true(now_ms() - start < PATIENCE_MS);
	}
	assert_int_equal(got, sent);
	assert_in_range(pings, 1, ticks + 2);
	disconnect(&connection);
	disconnect(&clock);
}

/* Nothing is read while paused; the ping is what finds that the peer has gone. */
static void test_gone_while_paused(void **state)
{
	struct connection connection = {.pauses = true};

	connect_tcp(&connection, *state);
	close_fd(&connection.fd);
	wait_for(&connection, connection.closed == 1);
	assert_int_equal(connection.code, 1006);
	disconnect(&connection);
}

static void test_engine_destroyed(void **state)
{
	struct fixture *fixture = *state;
	struct connection connection = {0};

	connect_tcp(&connection, fixture);
	websockets_destroy(fixture->engine);
	fixture->engine = NULL;
	assert_int_equal(connection.closed, 1);
	disconnect(&connection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tcp, setup_pings, teardown),
		cmocka_unit_test_setup_teardown(test_unix, setup_pings, teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup_pings, teardown),
		cmocka_unit_test_setup_teardown(test_unread, setup_pings, teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_paused, setup_pings, teardown),
		cmocka_unit_test_setup_teardown(test_engine_destroyed, setup_pings, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
