// SPDX-License-Identifier: Apache-2.0
/* Bytes both ways, and those who do not read them. */
#include "tests/unit/pump-peer.h"

/* ---- bytes both ways ---- */

/* Everything at random: what is sent and taken at either end, and how much at a time. */
static void exchange(struct viewer *viewer, size_t length, uint32_t random)
{
	struct buffer wire = {0};
	unsigned char *bytes = pattern(length);
	size_t out = 0, in = 0;

	add_messages(&wire, length, &random);
	for (int64_t start = now_ms(); viewer->shown.length < length || viewer->typed.length < length;) {
		size_t some = next_random(&random) % 150000;
		ssize_t sent = send(viewer->stream, bytes + out, some < length - out ? some : length - out, 0);

		out += sent > 0 ? (size_t)sent : 0;
		some = next_random(&random) % 150000;
		if (some > wire.length - in)
			some = wire.length - in;
		sent = send(viewer->peer.fd, wire.data + in, some, MSG_DONTWAIT);
		in += sent > 0 ? (size_t)sent : 0;
		turn(viewer->peer.fixture);
		if (next_random(&random) % 3)
			receive(&viewer->peer, next_random(&random) % 200000);
		if (next_random(&random) % 3)
			take(viewer, next_random(&random) % 200000);
		show(viewer);
		assert_true(now_ms() - start < 4 * PATIENCE_MS);
	}
	expect_pattern(&viewer->shown, length);
	expect_pattern(&viewer->typed, length);
	buffer_finish(&wire);
	free(bytes);
}

static void test_exchange_unix(void **state)
{
	struct viewer viewer = {.hears = SIZE_MAX};

	connect_viewer(&viewer, *state);
	exchange(&viewer, 8 * MIB, 1);
	expect_pattern(&viewer.heard, 8 * MIB);
	finish(&viewer);
}

/* Over TCP a send may be cut: the engine keeps the rest. */
static void test_exchange_tcp(void **state)
{
	struct viewer viewer = {0};

	pair_tcp(&viewer.peer, *state);
	connect_viewer(&viewer, *state);
	exchange(&viewer, 4 * MIB, 2);
	finish(&viewer);
}

static void test_round_trips(void **state)
{
	struct viewer viewer = {0};

	connect_viewer(&viewer, *state);
	for (size_t i = 0; i < 300; i++) {
		unsigned char byte = stream_byte(i);

		client_frame(&viewer.peer, FIN | BINARY, &byte, 1);
		until(&viewer, viewer.typed.length == i + 1);
		assert_int_equal(send(viewer.stream, &byte, 1, 0), 1);
		until(&viewer, viewer.shown.length == i + 1);
	}
	expect_pattern(&viewer.shown, 300);
	expect_pattern(&viewer.typed, 300);
	assert_true(is_calm(&viewer));
	finish(&viewer);
}

/* The handler hears a prefix, whole pieces of it, and is not asked again. */
static void test_input(void **state)
{
	struct viewer viewer = {.hears = 10};

	create(&viewer, *state, NULL);
	expect_head(&viewer);
	client_frame(&viewer.peer, FIN | BINARY, "before", 6); /* is heard before it goes on */
	assert_int_equal(join(&viewer), 0);
	until(&viewer, viewer.typed.length == 6);
	client_frame(&viewer.peer, FIN | BINARY, "", 0); /* says nothing */
	client_frame(&viewer.peer, FIN | TEXT, ", then", 6);
	client_frame(&viewer.peer, FIN | BINARY, " more", 5);
	until(&viewer, viewer.typed.length == 17);
	assert_memory_equal(viewer.typed.data, "before, then more", 17);
	assert_int_equal(viewer.inputs, 2);
	assert_int_equal(viewer.heard.length, 12);
	assert_memory_equal(viewer.heard.data, "before, then", 12);
	finish(&viewer);
}

/* ---- who does not read ---- */

static void stall_viewer(struct viewer *viewer, struct fixture *fixture)
{
	unsigned char *bytes = pattern(4 * MIB);
	size_t held;
	int unsent;

	connect_viewer(viewer, fixture);
	assert_false(viewer->blocked);
	assert_int_equal(pump_unsent(viewer->pump), 0);
	held = stuff(viewer, viewer->stream, bytes, 4 * MIB);
	print_message("%zu KiB for a viewer that does not read\n", held / 1024);
	assert_in_range(held, 1, HELD_MAX);
	assert_true(is_calm(viewer));
	client_frame(&viewer->peer, FIN | BINARY, "still heard", 11); /* the other direction goes on */
	while (viewer->typed.length < 11) {
		turn(fixture);
		take(viewer, SIZE_MAX);
	}
	assert_true(viewer->blocked);
	unsent = pump_unsent(viewer->pump);
	assert_true(unsent > 0);
	wait_for(&viewer->peer, pump_unsent(viewer->pump) < unsent); /* it reads */
	until(viewer, viewer->shown.length == held);
	wait_for(&viewer->peer, !viewer->blocked && pump_unsent(viewer->pump) == 0);
	assert_int_equal(send(viewer->stream, bytes + held, 1000, 0), 1000);
	until(viewer, viewer->shown.length == held + 1000);
	expect_pattern(&viewer->shown, held + 1000);
	assert_true(is_calm(viewer));
	free(bytes);
	finish(viewer);
}

static void test_viewer_stalls(void **state)
{
	struct viewer viewer = {0};

	stall_viewer(&viewer, *state);
}

static void test_viewer_stalls_tcp(void **state)
{
	struct viewer viewer = {0};

	pair_tcp(&viewer.peer, *state);
	stall_viewer(&viewer, *state);
}

static void test_stream_stalls(void **state)
{
	struct viewer viewer = {0};
	struct buffer wire = {0};
	uint32_t random = 3;
	size_t held;

	add_messages(&wire, 2 * MIB, &random);
	connect_viewer(&viewer, *state);
	held = stuff(&viewer, viewer.peer.fd, wire.data, wire.length);
	print_message("%zu KiB for a stream that does not read\n", held / 1024);
	assert_in_range(held, 1, HELD_MAX);
	assert_true(is_calm(&viewer));
	assert_int_equal(send(viewer.stream, "still shown", 11, 0), 11); /* the other direction goes on */
	wait_for(&viewer.peer, (show(&viewer), viewer.shown.length == 11));
	for (size_t sent = held; sent < wire.length;) {
		ssize_t some = send(viewer.peer.fd, wire.data + sent, wire.length - sent, MSG_DONTWAIT);

		sent += some > 0 ? (size_t)some : 0;
		turn(*state);
		take(&viewer, 10000);
	}
	until(&viewer, viewer.typed.length == 2 * MIB);
	expect_pattern(&viewer.typed, 2 * MIB);
	assert_true(is_calm(&viewer));
	buffer_finish(&wire);
	finish(&viewer);
}

/* Before it is joined: what came with the handshake is kept, and the client has to wait with the rest. */
static void test_before_join(void **state)
{
	struct viewer viewer = {.hears = SIZE_MAX};
	struct buffer early = {0}, wire = {0};
	unsigned char *bytes = pattern(MIB);
	size_t held;

	add_frame(&early, FIN | BINARY, bytes, 1000);
	add_frame(&wire, FIN | BINARY, bytes + 1000, MIB - 1000);
	create(&viewer, *state, &early);
	expect_head(&viewer);
	held = stuff(&viewer, viewer.peer.fd, wire.data, wire.length);
	assert_in_range(held, 1, KERNEL_MAX);
	assert_int_equal(viewer.inputs, 0);
	assert_true(is_calm(&viewer));
	assert_int_equal(join(&viewer), 0);
	while (held < wire.length) {
		ssize_t some = send(viewer.peer.fd, wire.data + held, wire.length - held, MSG_DONTWAIT);

		held += some > 0 ? (size_t)some : 0;
		turn(*state);
		take(&viewer, SIZE_MAX);
	}
	until(&viewer, viewer.typed.length == MIB);
	expect_pattern(&viewer.typed, MIB);
	expect_pattern(&viewer.heard, MIB);
	free(bytes);
	buffer_finish(&early);
	buffer_finish(&wire);
	finish(&viewer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exchange_unix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exchange_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trips, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_viewer_stalls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_viewer_stalls_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_stalls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_join, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
