// SPDX-License-Identifier: Apache-2.0
#include "bridge/qmp.h"
#include "monitor-peer.h"

#define SHORT_MS 400 /* what a QEMU is given here that will not answer */

struct visit {
	struct peer peer;
	struct monitor *monitor;
	unsigned int done;
	struct error error; /* its code is 0 if all went well */
};

static void on_done(struct monitor *monitor, void *user, const struct error *error)
{
	struct visit *visit = user;

	assert_ptr_equal(monitor, visit->monitor);
	visit->done++;
	if (error) {
		assert_true(error->code < 0);
		visit->error = *error;
	}
}

static int setup(void **state)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	peer_init(&visit->peer);
	*state = visit;
	return 0;
}

static int teardown(void **state)
{
	struct visit *visit = *state;

	peer_finish(&visit->peer);
	free(visit);
	return 0;
}

static const struct monitor_step errand[] = {{.command = "first"}, {.command = "second"}, {0}};

static int begin(struct visit *visit, const struct monitor_step *steps, unsigned int timeout_ms)
{
	return monitor_visit(&visit->monitor, &visit->peer.loop, visit->peer.directory, steps, timeout_ms, on_done,
			     visit, &visit->error);
}

static void go(struct visit *visit, const struct monitor_step *steps, unsigned int timeout_ms)
{
	peer_listen(&visit->peer, 4);
	uv_update_time(&visit->peer.loop);
	assert_int_equal(begin(visit, steps, timeout_ms), 0);
	assert_int_equal(visit->done, 0);
}

static void wait_done(struct visit *visit)
{
	int turns = 0;

	while (!visit->done)
		assert_true(turn(&visit->peer, &turns));
	turn(&visit->peer, &turns);
	assert_int_equal(visit->done, 1);
}

static void expect_failure(struct visit *visit, int code, const char *text)
{
	wait_done(visit);
	assert_int_equal(visit->error.code, code);
	assert_string_equal(error_text(&visit->error), text);
	if (visit->peer.fd >= 0)
		peer_hear_end(&visit->peer);
}

static void expect_success(struct visit *visit)
{
	wait_done(visit);
	assert_int_equal(visit->error.code, 0);
	peer_hear_end(&visit->peer);
}

/* --- how it goes --- */

static void test_errand(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;
	json_auto_t *arguments = json_pack("{s:i}", "n", 5);
	cleanup_close int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct monitor_step steps[] = {{"first", arguments, .fd = file}, {.command = "second"}, {0}};

	go(visit, steps, PATIENCE_MS);
	close_fd(&peer->directory); /* borrowed during the call */
	peer_greet(peer);
	assert_string_equal(peer_hear(peer), "{\"execute\":\"first\",\"arguments\":{\"n\":5},\"id\":2}");
	assert_true(peer->given >= 0);
	assert_int_equal(fcntl(peer->given, F_GETFL) & O_ACCMODE, O_WRONLY);
	close_fd(&peer->given);
	peer_say(peer, "{\"return\": {\"fd\": 13}, \"id\": 2}\r\n");
	assert_string_equal(peer_hear(peer), "{\"execute\":\"second\",\"id\":3}");
	assert_int_equal(peer->given, -1);
	assert_int_equal(visit->done, 0);
	peer_say(peer, "{\"return\": {}, \"id\": 3}\r\n");
	expect_success(visit);
	peer->directory = open(peer->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void test_in_pieces(void **state)
{
	static const struct {
		const char *said, *heard;
	} rows[] = {
		{GREETING, INTRODUCTION},
		{"{\"return\": {}, \"id\": 1}\r\n", "{\"execute\":\"first\",\"id\":2}"},
		{"{\"return\": {}, \"id\": 2}\r\n", "{\"execute\":\"second\",\"id\":3}"},
		{"{\"return\": {}, \"id\": 3}\r\n", NULL},
	};
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;

	go(visit, errand, PATIENCE_MS);
	peer_accept(peer);
	peer_hear_nothing(peer); /* the greeting comes first */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (const char *at = rows[i].said; *at; at++) {
			char byte, piece[] = {*at, '\0'};
			int turns = 0;

			assert_int_equal(take_byte(peer, &byte), -1);
			assert_int_equal(visit->done, 0);
			peer_say(peer, piece);
			turn(peer, &turns);
		}
		if (rows[i].heard)
			assert_string_equal(peer_hear(peer), rows[i].heard);
	}
	expect_success(visit);
}

static void test_events(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;

	go(visit, errand, PATIENCE_MS);
	peer_accept(peer);
	peer_say(peer, EVENT GREETING EVENT);
	assert_string_equal(peer_hear(peer), INTRODUCTION);
	peer_say(peer, EVENT "{\"return\": {}, \"id\": 1}\r\n" EVENT);
	assert_non_null(strstr(peer_hear(peer), "first"));
	peer_say(peer, EVENT EVENT "{\"return\": {}, \"id\": 2}\r\n" EVENT);
	assert_non_null(strstr(peer_hear(peer), "second"));
	peer_say(peer, EVENT);
	peer_hear_nothing(peer);
	assert_int_equal(visit->done, 0);
	peer_say(peer, "{\"return\": {}, \"id\": 3}\r\n" EVENT "and what is said then does not matter\r\n");
	expect_success(visit);
}

static void test_nothing_to_ask(void **state)
{
	struct visit *visit = *state;

	go(visit, &errand[2], PATIENCE_MS);
	peer_greet(&visit->peer);
	expect_success(visit);
}

static void test_error(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;

	go(visit, errand, PATIENCE_MS);
	peer_greet(peer);
	peer_hear(peer);
	peer_say(peer, "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such screen\"}}\r\n");
	expect_failure(visit, -EIO, "QEMU: no such screen");
}

static void test_may_fail(void **state)
{
	static const struct monitor_step steps[] = {{.command = "first", .may_fail = true}, {.command = "second"}, {0}};
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;

	go(visit, steps, PATIENCE_MS);
	peer_greet(peer);
	peer_hear(peer);
	peer_say(peer, "{\"id\": 2, \"error\": {\"desc\": \"no\"}}\r\n");
	assert_non_null(strstr(peer_hear(peer), "second"));
	peer_say(peer, "{\"id\": 3, \"error\": {\"desc\": \"no, either\"}}\r\n");
	expect_failure(visit, -EIO, "QEMU: no, either");
}

/* --- what goes wrong --- */

enum stage {
	CONNECTED,
	HALF_GREETED,
	GREETED,  /* the introduction is made */
	ASKED,    /* for the first thing */
	ANSWERED, /* and for the second */
	STAGES,
};

/* Brings a visit as far as that. */
static void reach(struct visit *visit, enum stage stage, unsigned int timeout_ms)
{
	struct peer *peer = &visit->peer;

	go(visit, errand, timeout_ms);
	peer_accept(peer);
	if (stage >= HALF_GREETED)
		peer_say(peer, "{\"QMP\": ");
	if (stage >= GREETED) {
		peer_say(peer, "{}}\n");
		peer_hear(peer);
	}
	if (stage >= ASKED) {
		peer_say(peer, "{\"return\": {}, \"id\": 1}\n");
		peer_hear(peer);
	}
	if (stage >= ANSWERED) {
		peer_say(peer, "{\"return\": {}, \"id\": 2}\n");
		peer_hear(peer);
	}
	peer_hear_nothing(peer);
	assert_int_equal(visit->done, 0);
}

/* Plays `play` once for each stage, each time with a visit of its own. */
static void at_each_stage(void (*play)(struct visit *visit, enum stage stage))
{
	for (int stage = CONNECTED; stage < STAGES; stage++) {
		void *state;

		setup(&state);
		play(state, stage);
		teardown(&state);
	}
}

static void play_hang_up(struct visit *visit, enum stage stage)
{
	reach(visit, stage, PATIENCE_MS);
	peer_hang_up(&visit->peer);
	expect_failure(visit, -EPIPE, "QEMU has hung up");
}

static void test_hang_up(void **state)
{
	at_each_stage(play_hang_up);
}

/* It hangs up with what was said unread, which the kernel tells by a reset. */
static void test_hang_up_without_listening(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;
	int turns = 0;

	go(visit, errand, PATIENCE_MS);
	peer_accept(peer);
	peer_say(peer, GREETING);
	turn(peer, &turns);
	peer_hang_up(peer);
	expect_failure(visit, -EPIPE, "QEMU has hung up");
}

/* The same, with something of its own to be heard before the reset. */
static void test_hang_up_after_an_event(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;
	uint64_t before = uv_hrtime();
	int turns = 0;

	go(visit, errand, PATIENCE_MS);
	peer_accept(peer);
	peer_say(peer, GREETING);
	turn(peer, &turns);
	peer_say(peer, EVENT);
	peer_hang_up(peer);
	expect_failure(visit, -EPIPE, "QEMU has hung up");
	assert_in_range((uv_hrtime() - before) / 1000000, 0, PATIENCE_MS / 2);
}

/* It is gone before it can be asked. */
static void test_hang_up_after_greeting(void **state)
{
	struct visit *visit = *state;

	go(visit, errand, PATIENCE_MS);
	peer_accept(&visit->peer);
	peer_say(&visit->peer, GREETING);
	peer_hang_up(&visit->peer);
	expect_failure(visit, -EPIPE, "QEMU has hung up");
}

static void play_garbage(struct visit *visit, enum stage stage)
{
	reach(visit, stage, PATIENCE_MS);
	peer_say(&visit->peer, "SPICE/1.0 hello\r\n");
	expect_failure(visit, -EBADMSG, "QEMU's monitor does not speak QMP");
}

static void test_garbage(void **state)
{
	at_each_stage(play_garbage);
}

/* Well-formed, and out of place. */
static void test_out_of_turn(void **state)
{
	static const struct {
		enum stage stage;
		const char *text;
	} rows[] = {
		{CONNECTED, "{\"return\": {}, \"id\": 0}\n"},
		{CONNECTED, "{\"return\": {}, \"id\": 1}\n"},
		{CONNECTED, "{\"error\": {}}\n"},
		{GREETED, "{\"QMP\": {}}\n"},
		{GREETED, "{\"return\": {}, \"id\": 2}\n"},
		{ASKED, "{\"return\": {}, \"id\": 1}\n"},
		{ASKED, "{\"return\": {}, \"id\": 3}\n"},
		{ASKED, "{\"error\": {\"desc\": \"no\"}}\n"},
		{ASKED, "{\"return\": {}}\n"},
		{ANSWERED, "{\"QMP\": {}}\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *each;

		setup(&each);
		reach(each, rows[i].stage, PATIENCE_MS);
		peer_say(&((struct visit *)each)->peer, rows[i].text);
		expect_failure(each, -EBADMSG, "QEMU's monitor does not speak QMP");
		teardown(&each);
	}
}

/* A line without end is not kept for ever. */
static void test_endless_line(void **state)
{
	static const char piece[1024] = {[0 ... 1023] = ' '};
	struct visit *visit = *state;
	size_t sent = 0;
	int turns = 0;

	reach(visit, ASKED, PATIENCE_MS);
	while (!visit->done && sent < 2 * QMP_LINE_MAX) {
		if (send(visit->peer.fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0)
			sent += sizeof(piece);
		else
			assert_true(turn(&visit->peer, &turns));
	}
	expect_failure(visit, -EBADMSG, "QEMU's monitor does not speak QMP");
	assert_true(sent >= QMP_LINE_MAX);
}

static void play_silence(struct visit *visit, enum stage stage)
{
	uint64_t before = uv_hrtime(), took;

	reach(visit, stage, SHORT_MS);
	expect_failure(visit, -ETIMEDOUT, "QEMU does not answer");
	took = (uv_hrtime() - before) / 1000000;
	assert_in_range(took, SHORT_MS - 1, PATIENCE_MS); /* the loop's clock has whole milliseconds */
}

static void test_silence(void **state)
{
	at_each_stage(play_silence);
}

/* Events are no answer, however many there are. */
static void test_events_alone(void **state)
{
	struct visit *visit = *state;
	int turns = 0;

	reach(visit, ASKED, SHORT_MS);
	while (!visit->done) {
		send(visit->peer.fd, EVENT, strlen(EVENT), MSG_NOSIGNAL);
		assert_true(turn(&visit->peer, &turns));
	}
	expect_failure(visit, -ETIMEDOUT, "QEMU does not answer");
}

static void play_cancel(struct visit *visit, enum stage stage)
{
	reach(visit, stage, PATIENCE_MS);
	monitor_cancel(visit->monitor);
	uv_run(&visit->peer.loop, UV_RUN_DEFAULT);
	peer_hear_end(&visit->peer);
	assert_int_equal(visit->done, 0);
}

static void test_cancel(void **state)
{
	at_each_stage(play_cancel);
	monitor_cancel(NULL);
}

/* More than the socket takes: whoever does not listen to that is given up. */
static void test_does_not_fit(void **state)
{
	struct visit *visit = *state;
	size_t length = 16 * 1024 * 1024;
	cleanup_free char *text = malloc(length + 1);
	json_auto_t *arguments = NULL;

	memset(text, 'x', length);
	text[length] = '\0';
	arguments = json_pack("{s:s}", "text", text);
	go(visit, (struct monitor_step[]){{"first", arguments}, {0}}, PATIENCE_MS);
	peer_greet(&visit->peer);
	wait_done(visit);
	assert_int_equal(visit->error.code, -ENOBUFS);
}

/* --- the way there --- */

/* Fills the backlog of a listener that has one of 0: there is room for one connection. */
static int fill(struct peer *peer)
{
	struct sockaddr_un address = address_in(peer->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	peer_listen(peer, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void test_queue(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;
	int other = fill(peer);

	assert_int_equal(begin(visit, errand, PATIENCE_MS), 0);
	peer_accept(peer); /* the other one */
	close_fd(&peer->fd);
	peer_greet(peer);
	for (int id = 2; id <= 3; id++) {
		char answer[64];

		peer_hear(peer);
		snprintf(answer, sizeof(answer), "{\"return\": {}, \"id\": %d}\r\n", id);
		peer_say(peer, answer);
	}
	expect_success(visit);
	close(other);
}

static void test_queue_that_does_not_move(void **state)
{
	struct visit *visit = *state;
	int other = fill(&visit->peer);

	assert_int_equal(begin(visit, errand, SHORT_MS), 0);
	expect_failure(visit, -ETIMEDOUT, "QEMU does not answer");
	close(other);
}

static void test_cancel_in_the_queue(void **state)
{
	struct visit *visit = *state;
	int other = fill(&visit->peer);

	assert_int_equal(begin(visit, errand, PATIENCE_MS), 0);
	monitor_cancel(visit->monitor);
	uv_run(&visit->peer.loop, UV_RUN_DEFAULT);
	assert_int_equal(visit->done, 0);
	close(other);
}

/* QEMU ends while one waits to be let in. */
static void test_hang_up_on_the_queue(void **state)
{
	struct visit *visit = *state;
	int other = fill(&visit->peer);

	assert_int_equal(begin(visit, errand, PATIENCE_MS), 0);
	close_fd(&visit->peer.listener);
	expect_failure(visit, -EPIPE, "QEMU has hung up");
	close(other);
}

static void expect_refusal(struct visit *visit, const char *text)
{
	assert_int_equal(begin(visit, errand, PATIENCE_MS), -EIO);
	uv_run(&visit->peer.loop, UV_RUN_DEFAULT);
	assert_int_equal(visit->done, 0);
	assert_string_equal(visit->error.text, text);
}

static void test_nobody_there(void **state)
{
	struct visit *visit = *state;
	struct peer *peer = &visit->peer;

	expect_refusal(visit, "QEMU's monitor cannot be reached: No such file or directory");
	peer_listen(peer, 1);
	close_fd(&peer->listener);
	expect_refusal(visit, "QEMU's monitor cannot be reached: Connection refused");
}

/* A QEMU that has been taken over could have us speak with somebody else's. */
static void test_link(void **state)
{
	struct visit *visit = *state;
	struct peer other;

	peer_init(&other);
	peer_listen(&other, 1);
	assert_int_equal(symlinkat(address_in(other.path).sun_path, visit->peer.directory, MONITOR_SOCKET), 0);
	expect_refusal(visit, "QEMU's monitor cannot be reached: Connection refused");
	assert_int_equal(accept(other.listener, NULL, NULL), -1);
	peer_finish(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_errand),
		TEST(test_in_pieces),
		TEST(test_events),
		TEST(test_nothing_to_ask),
		TEST(test_error),
		TEST(test_may_fail),
		cmocka_unit_test(test_hang_up),
		TEST(test_hang_up_without_listening),
		TEST(test_hang_up_after_an_event),
		TEST(test_hang_up_after_greeting),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_out_of_turn),
		TEST(test_endless_line),
		cmocka_unit_test(test_silence),
		TEST(test_events_alone),
		cmocka_unit_test(test_cancel),
		TEST(test_does_not_fit),
		TEST(test_queue),
		TEST(test_queue_that_does_not_move),
		TEST(test_cancel_in_the_queue),
		TEST(test_hang_up_on_the_queue),
		TEST(test_nobody_there),
		TEST(test_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
