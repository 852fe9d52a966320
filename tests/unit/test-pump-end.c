// SPDX-License-Identifier: Apache-2.0
/* The ends of a pump: the stream's, the client's, the user's, and what fails. */
#include "tests/unit/pump-peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- the stream's end ---- */

/* A viewer that takes a little at a time gets every byte, and then the clean end. */
static void end_slowly(struct viewer *viewer, bool reset)
{
	static const size_t sips[] = {1, 4000, 70000, 13, 100000};
	unsigned char *bytes = pattern(MIB);
	size_t sent;

	if (reset) { /* it goes with bytes of the viewer's unread */
		client_frame(&viewer->peer, FIN | BINARY, "unread", 6);
		settle(&viewer->peer);
	}
	sent = stuff(viewer, viewer->stream, bytes, MIB);
	close_fd(&viewer->stream);
	for (int i = 0; i < 20; i++)
		turn(viewer->peer.fixture);
	assert_true(is_calm(viewer));
	assert_int_equal(viewer->closed, 0);
	for (size_t i = 0; viewer->shown.length < sent; i++) {
		turn(viewer->peer.fixture);
		receive(&viewer->peer, sips[i % (sizeof(sips) / sizeof(*sips))]);
		show(viewer);
		assert_false(viewer->peer.ended);
	}
	expect_pattern(&viewer->shown, sent);
	expect_clean_end(viewer);
	free(bytes);
	finish(viewer);
}

static void test_stream_ends(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct viewer viewer = {0};

		if (i % 2)
			pair_tcp(&viewer.peer, *state);
		connect_viewer(&viewer, *state);
		end_slowly(&viewer, i / 2);
	}
}

/* Nobody has read anything, and the pump has more to deliver than it has told; the handshake may still be under way. */
static void test_stream_ends_at_once(void **state)
{
	struct viewer viewer = {0};

	create(&viewer, *state, NULL);
	assert_int_equal(join(&viewer), 0);
	assert_int_equal(send(viewer.stream, "bye", 3, 0), 3);
	close_fd(&viewer.stream);
	expect_head(&viewer);
	expect_frame(&viewer.peer, FIN | BINARY, "bye", 3);
	expect_clean_end(&viewer);
	finish(&viewer);
}

/* It takes no more; what it still has to say is delivered, and the viewer is not held up. */
static void test_stream_deaf(void **state)
{
	struct viewer viewer = {0};
	struct buffer wire = {0};
	uint32_t random = 4;

	add_messages(&wire, MIB, &random);
	connect_viewer(&viewer, *state);
	assert_int_equal(shutdown(viewer.stream, SHUT_RD), 0);
	client_send(&viewer.peer, wire.data, wire.length);
	wait_for(&viewer.peer, is_calm(&viewer));
	assert_int_equal(viewer.closed, 0);
	assert_int_equal(send(viewer.stream, "bye", 3, 0), 3);
	expect_frame(&viewer.peer, FIN | BINARY, "bye", 3);
	close_fd(&viewer.stream);
	expect_clean_end(&viewer);
	buffer_finish(&wire);
	finish(&viewer);
}

/* It goes, and the viewer's bytes, which wait for it, with it. */
static void test_stream_ends_stalled(void **state)
{
	struct viewer viewer = {0};
	struct buffer wire = {0};
	uint32_t random = 5;

	add_messages(&wire, 2 * MIB, &random);
	connect_viewer(&viewer, *state);
	stuff(&viewer, viewer.peer.fd, wire.data, wire.length);
	close_fd(&viewer.stream);
	expect_frame(&viewer.peer, FIN | TEXT, "", 0);
	expect_close(&viewer.peer, 0);
	buffer_finish(&wire);
	finish(&viewer);
}

/* ---- the client's end ---- */

static void test_client_closes(void **state)
{
	struct viewer viewer = {0};

	connect_viewer(&viewer, *state);
	client_frame(&viewer.peer, FIN | BINARY, "last", 4);
	client_close(&viewer.peer, 1000, "done");
	until(&viewer, viewer.stream_ended);
	assert_int_equal(viewer.typed.length, 4);
	expect_close(&viewer.peer, 1000);
	until(&viewer, viewer.closed == 1 && viewer.peer.ended);
	assert_int_equal(viewer.peer.received.length, 0);
	finish(&viewer);
}

/* In the middle of a flood towards it, over a unix socket and TCP. */
static void test_client_drops(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct viewer viewer = {0};
		unsigned char *bytes = pattern(MIB);

		if (i % 2)
			pair_tcp(&viewer.peer, *state);
		connect_viewer(&viewer, *state);
		if (i / 2)
			stuff(&viewer, viewer.stream, bytes, MIB);
		close_fd(&viewer.peer.fd);
		until(&viewer, viewer.closed == 1 && viewer.stream_ended);
		free(bytes);
		finish(&viewer);
	}
}

/*
 * LXD's end mark: everything in front of it arrives, and nothing behind it. The stream is behind, so that the mark
 * comes while bytes in front of it are still kept: at some of these lengths.
 */
static void test_end_mark(void **state)
{
	unsigned char *bytes = pattern(MIB);

	for (size_t length = 256 * 1024; length < 272 * 1024; length += 500) {
		struct viewer viewer = {.hears = SIZE_MAX};
		struct buffer wire = {0};
		size_t sent;

		for (size_t at = 0; at < length; at += 500)
			add_frame(&wire, FIN | BINARY, bytes + at, length - at < 500 ? length - at : 500);
		add_frame(&wire, FIN | TEXT, "", 0);
		add_frame(&wire, FIN | BINARY, "late", 4);
		connect_viewer(&viewer, *state);
		sent = stuff(&viewer, viewer.peer.fd, wire.data, wire.length);
		while (sent < wire.length) {
			ssize_t some = send(viewer.peer.fd, wire.data + sent, wire.length - sent, MSG_DONTWAIT);

			sent += some > 0 ? (size_t)some : 0;
			turn(*state);
			take(&viewer, 5000);
		}
		until(&viewer, viewer.stream_ended);
		expect_pattern(&viewer.typed, length);
		expect_pattern(&viewer.heard, length);
		expect_frame(&viewer.peer, FIN | TEXT, "", 0);
		expect_close(&viewer.peer, 0);
		client_close(&viewer.peer, 0, "");
		until(&viewer, viewer.closed == 1 && viewer.peer.ended);
		buffer_finish(&wire);
		finish(&viewer);
	}
	free(bytes);
}

static void test_end_mark_early(void **state)
{
	struct viewer viewer = {0};
	struct buffer early = {0};

	add_frame(&early, FIN | BINARY, "last", 4);
	add_frame(&early, FIN | TEXT, "", 0);
	add_frame(&early, FIN | BINARY, "late", 4);
	create(&viewer, *state, &early);
	expect_head(&viewer);
	settle(&viewer.peer);
	assert_int_equal(viewer.closed, 0);
	assert_int_equal(viewer.peer.received.length, 0);
	assert_int_equal(join(&viewer), 0);
	until(&viewer, viewer.stream_ended);
	assert_int_equal(viewer.typed.length, 4);
	assert_memory_equal(viewer.typed.data, "last", 4);
	expect_frame(&viewer.peer, FIN | TEXT, "", 0);
	expect_close(&viewer.peer, 0);
	buffer_finish(&early);
	finish(&viewer);
}

/* ---- the user's end ---- */

static void test_close(void **state)
{
	struct viewer viewer = {0};
	struct frame frame;

	connect_viewer(&viewer, *state);
	assert_int_equal(send(viewer.stream, "never shown", 11, 0), 11);
	pump_close(viewer.pump, 1011, "The virtual machine has no SPICE server");
	pump_close(viewer.pump, 0, NULL);
	take(&viewer, SIZE_MAX);
	assert_true(viewer.stream_ended); /* at once */
	assert_int_equal(viewer.closed, 0);
	wait_for(&viewer.peer, next_frame(&viewer.peer, &frame));
	assert_int_equal(frame.length, 41);
	assert_memory_equal(frame.payload + 2, "The virtual machine has no SPICE server", 39);
	expect_close(&viewer.peer, 1011);
	settle(&viewer.peer);
	assert_int_equal(viewer.closed, 0); /* the client has not answered */
	client_close(&viewer.peer, 1011, "");
	until(&viewer, viewer.closed == 1);
	finish(&viewer);
}

/* Who is paused is not seen to go; whoever ends the pump then need not wait. */
static void test_close_after_drop(void **state)
{
	struct viewer viewer = {0};
	struct buffer wire = {0};
	uint32_t random = 8;
	int64_t start;

	add_messages(&wire, MIB, &random);
	connect_viewer(&viewer, *state);
	stuff(&viewer, viewer.peer.fd, wire.data, wire.length);
	close_fd(&viewer.peer.fd);
	settle(&viewer.peer);
	assert_int_equal(viewer.closed, 0);
	start = now_ms();
	pump_close(viewer.pump, 0, NULL);
	until(&viewer, viewer.closed == 1);
	assert_in_range(now_ms() - start, 0, 900); /* the second that a client has to answer a Close frame */
	buffer_finish(&wire);
	finish(&viewer);
}

/* The user's clean end is that of a stream. */
static void test_close_clean(void **state)
{
	struct viewer viewer = {0};

	connect_viewer(&viewer, *state);
	pump_close(viewer.pump, 0, NULL);
	expect_clean_end(&viewer);
	finish(&viewer);
}

/* A viewer that does not read what was sent, nor the Close frame, is left in the end. */
static void test_close_stalled(void **state)
{
	struct viewer viewer = {0};
	unsigned char *bytes = pattern(MIB);
	int64_t start;

	connect_viewer(&viewer, *state);
	stuff(&viewer, viewer.stream, bytes, MIB);
	pump_close(viewer.pump, 0, NULL);
	for (start = now_ms(); !viewer.closed && now_ms() - start < PATIENCE_MS;)
		turn(*state);
	assert_int_equal(viewer.closed, 1);
	free(bytes);
	finish(&viewer);
}

static void test_close_before_open(void **state)
{
	struct viewer alone = {0}, joined = {0};

	create(&alone, *state, NULL);
	pump_close(alone.pump, 1008, NULL);
	assert_int_equal(alone.closed, 0);
	create(&joined, *state, NULL);
	assert_int_equal(join(&joined), 0);
	pump_close(joined.pump, 1008, NULL);
	assert_int_equal(joined.closed, 0);
	expect_head(&alone);
	expect_close(&alone.peer, 1008);
	expect_head(&joined);
	expect_close(&joined.peer, 1008);
	finish(&alone);
	finish(&joined);
}

/* The client may know already that it is connected. */
static void test_close_clean_before_open(void **state)
{
	struct viewer viewer = {0};

	create(&viewer, *state, NULL);
	assert_int_equal(join(&viewer), 0);
	pump_close(viewer.pump, 0, NULL);
	expect_head(&viewer);
	expect_clean_end(&viewer);
	finish(&viewer);
}

static void test_close_before_join(void **state)
{
	struct viewer viewer = {0};
	struct buffer early = {0};

	add_frame(&early, FIN | BINARY, "kept", 4);
	create(&viewer, *state, &early);
	expect_head(&viewer);
	settle(&viewer.peer);
	pump_close(viewer.pump, 1011, NULL);
	assert_int_equal(join(&viewer), -EPIPE);
	take(&viewer, SIZE_MAX);
	assert_true(viewer.stream_ended);
	expect_close(&viewer.peer, 1011);
	client_close(&viewer.peer, 1011, "");
	until(&viewer, viewer.closed == 1);
	buffer_finish(&early);
	finish(&viewer);
}

/* ---- what fails ---- */

static size_t open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* A file cannot be waited for. The pump waits for a better one. */
static void test_join_fails(void **state)
{
	struct viewer viewer = {0};
	int file = memfd_create("file", MFD_CLOEXEC);
	size_t fds;

	assert_true(file >= 0);
	create(&viewer, *state, NULL);
	fds = open_fds();
	assert_int_equal(pump_join(viewer.pump, file), -EPERM);
	assert_int_equal(open_fds(), fds - 1);
	expect_head(&viewer);
	assert_int_equal(join(&viewer), 0);
	client_frame(&viewer.peer, FIN | BINARY, "x", 1);
	until(&viewer, viewer.typed.length == 1);
	finish(&viewer);
}

/* An engine without room for the connection's number. */
static void test_create_fails(void **state)
{
	struct fixture *fixture = *state;
	const struct websockets_config config = {
		.receive_size = RECEIVE_SIZE, .handshake = 1, .clients = &fixture->clients};
	struct viewer viewer = {0};
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
	assert_int_equal(pump_create(&viewer.pump, engine, &fixture->loop, high, &somebody, &silent, &viewer), -EMFILE);
	assert_int_equal(fcntl(high, F_GETFD), -1); /* was consumed */
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	websockets_destroy(engine);
	assert_int_equal(viewer.closed, 0);
}

/* Any end, at any moment of a flood both ways: told once, and nothing is left. */
static void test_ends_at_random(void **state)
{
	struct buffer wire = {0};
	unsigned char *bytes = pattern(MIB);
	uint32_t random = 6;
	size_t fds = open_fds();

	add_messages(&wire, MIB, &random);
	add_frame(&wire, FIN | TEXT, "", 0);
	for (int i = 0; i < 300; i++) {
		struct viewer viewer = {0};
		unsigned int end = next_random(&random) % 200, kind = next_random(&random) % 5;
		size_t sent = 0;

		create(&viewer, *state, NULL);
		if (kind != 4)
			assert_int_equal(join(&viewer), 0);
		for (unsigned int step = 0; step < end % 20; step++) {
			ssize_t some = send(viewer.peer.fd, wire.data + sent, wire.length - sent, MSG_DONTWAIT);

			sent += some > 0 ? (size_t)some : 0;
			if (viewer.stream >= 0)
				send(viewer.stream, bytes, next_random(&random) % 70000, MSG_NOSIGNAL);
			uv_run(&viewer.peer.fixture->loop, UV_RUN_NOWAIT);
			if (end < 150)
				receive(&viewer.peer, next_random(&random) % 70000);
			if (end > 50)
				take(&viewer, next_random(&random) % 70000);
		}
		if (kind == 0)
			close_fd(&viewer.peer.fd);
		if (kind == 1)
			close_fd(&viewer.stream);
		if (kind == 2)
			shutdown(viewer.peer.fd, SHUT_WR);
		if (kind >= 3 && viewer.pump)
			pump_close(viewer.pump, 1001, NULL);
		uv_run(&viewer.peer.fixture->loop, UV_RUN_NOWAIT);
		finish(&viewer);
	}
	settle(&(struct connection){.fixture = *state, .fd = -1});
	assert_int_equal(open_fds(), fds);
	buffer_finish(&wire);
	free(bytes);
}

/* teardown() could not close the loop if anything were left on it. */
static void test_engine_destroyed(void **state)
{
	struct fixture *fixture = *state;
	struct viewer viewers[42] = {0};
	unsigned char *bytes = pattern(MIB);
	struct buffer wire = {0};
	uint32_t random = 7;

	add_messages(&wire, MIB, &random);
	for (size_t i = 0; i < 42; i++) {
		struct viewer *viewer = &viewers[i];

		create(viewer, fixture, NULL);
		if (i % 7 == 0)
			continue;
		expect_head(viewer);
		if (i % 7 == 1)
			continue;
		assert_int_equal(join(viewer), 0);
		if (i % 7 == 3)
			stuff(viewer, viewer->stream, bytes, MIB);
		if (i % 7 == 4)
			stuff(viewer, viewer->peer.fd, wire.data, wire.length);
		if (i % 7 == 5)
			pump_close(viewer->pump, 0, NULL);
		if (i % 7 == 6)
			close_fd(i % 2 ? &viewer->stream : &viewer->peer.fd);
	}
	websockets_destroy(fixture->engine);
	fixture->engine = NULL;
	for (size_t i = 0; i < 42; i++)
		finish(&viewers[i]);
	free(bytes);
	buffer_finish(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stream_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_ends_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_ends_stalled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_mark_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_after_drop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_stalled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_before_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_clean_before_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_before_join, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends_at_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_engine_destroyed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
