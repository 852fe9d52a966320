// SPDX-License-Identifier: Apache-2.0
#include "monitor-peer.h"
#include "spice/screenshot.h"

#include <unistd.h>

#define SHORT_MS 400
#define SIGNATURE "\x89PNG\r\n\x1a\n"
#define END "\0\0\0\0IEND\xae\x42\x60\x82"

struct shoot {
	struct peer peer;
	struct screenshot *screenshot;
	unsigned int done;
	char *png;
	size_t length;
	struct error error;
};

static void on_done(void *user, char *png, size_t length, const struct error *error)
{
	struct shoot *shoot = user;

	assert_int_equal(png == NULL, error != NULL);
	shoot->done++;
	shoot->png = png;
	shoot->length = length;
	if (error)
		shoot->error = *error;
}

static int setup(void **state)
{
	struct shoot *shoot = calloc(1, sizeof(*shoot));

	peer_init(&shoot->peer);
	*state = shoot;
	return 0;
}

static int teardown(void **state)
{
	struct shoot *shoot = *state;

	peer_finish(&shoot->peer);
	free(shoot->png);
	free(shoot);
	return 0;
}

static void go(struct shoot *shoot, unsigned int timeout_ms)
{
	peer_listen(&shoot->peer, 1);
	assert_int_equal(screenshot_take(&shoot->screenshot, &shoot->peer.loop, shoot->peer.directory, timeout_ms,
					 on_done, shoot, &shoot->error),
			 0);
}

enum stage {
	CONNECTED,
	CLEARING,
	GIVING,
	DUMPING,
	TAKING_BACK,
	STAGES,
};

static const char *const commands[STAGES] = {
	[CLEARING] = "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1668247155},\"id\":2}",
	[GIVING] = "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1668247155},\"id\":3}",
	[DUMPING] =
		"{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"/dev/fdset/1668247155\",\"format\":\"png\"},"
		"\"id\":4}",
	[TAKING_BACK] = "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1668247155},\"id\":5}",
};

static const char *const answers[STAGES] = {
	[CLEARING] =
		"{\"id\": 2, \"error\": {\"desc\": \"File descriptor named 'fdset-id:1668247155' not found\"}}\r\n",
	[GIVING] = "{\"return\": {\"fd\": 13, \"fdset-id\": 1668247155}, \"id\": 3}\r\n",
	[DUMPING] = "{\"return\": {}, \"id\": 4}\r\n",
	[TAKING_BACK] = "{\"return\": {}, \"id\": 5}\r\n",
};

/* Hears and answers what comes before `stage`, whose command is heard only. */
static void reach(struct shoot *shoot, enum stage stage)
{
	struct peer *peer = &shoot->peer;

	if (stage == CONNECTED) {
		peer_accept(peer);
		peer_hear_nothing(peer);
		return;
	}
	peer_greet(peer);
	for (int each = CLEARING; each <= (int)stage; each++) {
		assert_string_equal(peer_hear(peer), commands[each]);
		if (each < (int)stage)
			peer_say(peer, answers[each]);
	}
	assert_int_equal(shoot->done, 0);
}

static void wait_done(struct shoot *shoot)
{
	int turns = 0;

	while (!shoot->done)
		assert_true(turn(&shoot->peer, &turns));
	peer_hear_end(&shoot->peer);
	assert_int_equal(shoot->done, 1);
}

static void expect_failure(struct shoot *shoot, int code, const char *text)
{
	wait_done(shoot);
	assert_null(shoot->png);
	assert_int_equal(shoot->error.code, code);
	assert_string_equal(error_text(&shoot->error), text);
}

/* The rest of a visit where QEMU has written `data`. */
static void deliver(struct shoot *shoot, const void *data, size_t length)
{
	reach(shoot, DUMPING);
	assert_int_equal(write(shoot->peer.given, data, length), length);
	close_fd(&shoot->peer.given);
	peer_say(&shoot->peer, answers[DUMPING]);
	assert_string_equal(peer_hear(&shoot->peer), commands[TAKING_BACK]);
	assert_int_equal(shoot->done, 0);
	peer_say(&shoot->peer, answers[TAKING_BACK]);
}

static void test_picture(void **state)
{
	static const char picture[] = SIGNATURE "what is between" END;
	struct shoot *shoot = *state;

	go(shoot, PATIENCE_MS);
	deliver(shoot, picture, sizeof(picture) - 1);
	wait_done(shoot);
	assert_non_null(shoot->png);
	assert_int_equal(shoot->length, sizeof(picture) - 1);
	assert_memory_equal(shoot->png, picture, shoot->length);
}

/* As QEMU 7.2 insists: a descriptor that can be written to and no more; and as it does, emptied first. */
static void test_descriptor(void **state)
{
	struct shoot *shoot = *state;
	struct peer *peer = &shoot->peer;
	struct stat status;

	go(shoot, PATIENCE_MS);
	reach(shoot, GIVING);
	assert_int_equal(fcntl(peer->given, F_GETFL) & O_ACCMODE, O_WRONLY);
	assert_int_equal(fstat(peer->given, &status), 0);
	assert_int_equal(status.st_nlink, 0);
	assert_int_equal(status.st_size, 0);
	assert_int_equal(write(peer->given, "x", 1), 1);
	assert_int_equal(ftruncate(peer->given, 0), 0);
	screenshot_cancel(shoot->screenshot);
}

static void test_no_picture(void **state)
{
	static const struct {
		const char *data;
		size_t length;
	} rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
		ROW(""),
		ROW("x"),
		ROW(SIGNATURE),
		ROW(END),
		ROW(SIGNATURE "begun"),
		ROW("P6\n720 400\n255\n" END),
		ROW(SIGNATURE "whole" END "and more"),
		ROW("\x89PNG\r\n\x1a\0\0\0IEND\xae\x42\x60\x82"), /* they must not overlap */
#undef ROW
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *each;

		setup(&each);
		go(each, PATIENCE_MS);
		deliver(each, rows[i].data, rows[i].length);
		expect_failure(each, -EBADMSG, "QEMU's picture is not a whole PNG");
		teardown(&each);
	}
}

/* A QEMU that has been taken over: as large as it likes, it costs us nothing. */
static void test_hostile_size(void **state)
{
	static const struct {
		off_t size;
		int code;
		const char *text;
	} rows[] = {
		{SCREENSHOT_MAX, -EBADMSG, "QEMU's picture is not a whole PNG"},
		{(off_t)SCREENSHOT_MAX + 1, -EFBIG, "The picture has more than 64 MiB"},
		{INT64_C(1) << 40, -EFBIG, "The picture has more than 64 MiB"},
		{INT64_MAX, -EFBIG, "The picture has more than 64 MiB"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct shoot *shoot;
		void *each;

		setup(&each);
		shoot = each;
		go(shoot, PATIENCE_MS);
		reach(shoot, TAKING_BACK);
		assert_int_equal(ftruncate(shoot->peer.given, rows[i].size), 0);
		peer_say(&shoot->peer, answers[TAKING_BACK]);
		expect_failure(shoot, rows[i].code, rows[i].text);
		teardown(&each);
	}
}

/* What the first is answered does not matter; the others must succeed. */
static void test_errors(void **state)
{
	for (int stage = GIVING; stage < STAGES; stage++) {
		struct shoot *shoot;
		char answer[64];
		void *each;

		setup(&each);
		shoot = each;
		go(shoot, PATIENCE_MS);
		reach(shoot, stage);
		snprintf(answer, sizeof(answer), "{\"id\": %d, \"error\": {\"desc\": \"no console\"}}\r\n", stage + 1);
		peer_say(&shoot->peer, answer);
		expect_failure(shoot, -EIO, "QEMU: no console");
		teardown(&each);
	}
}

static void test_hang_up(void **state)
{
	for (int stage = CONNECTED; stage < STAGES; stage++) {
		struct shoot *shoot;
		int turns = 0;
		void *each;

		setup(&each);
		shoot = each;
		go(shoot, PATIENCE_MS);
		reach(shoot, stage);
		peer_hang_up(&shoot->peer);
		while (!shoot->done)
			assert_true(turn(&shoot->peer, &turns));
		assert_null(shoot->png);
		assert_int_equal(shoot->error.code, -EPIPE);
		teardown(&each);
	}
}

static void test_silence(void **state)
{
	struct shoot *shoot = *state;

	go(shoot, SHORT_MS);
	reach(shoot, DUMPING);
	expect_failure(shoot, -ETIMEDOUT, "QEMU does not answer");
}

static void test_cancel(void **state)
{
	for (int stage = CONNECTED; stage < STAGES; stage++) {
		struct shoot *shoot;
		void *each;

		setup(&each);
		shoot = each;
		go(shoot, PATIENCE_MS);
		reach(shoot, stage);
		screenshot_cancel(shoot->screenshot);
		uv_run(&shoot->peer.loop, UV_RUN_DEFAULT);
		peer_hear_end(&shoot->peer);
		assert_int_equal(shoot->done, 0);
		teardown(&each);
	}
	screenshot_cancel(NULL);
}

static void test_nobody_there(void **state)
{
	struct shoot *shoot = *state;

	assert_int_equal(screenshot_take(&shoot->screenshot, &shoot->peer.loop, shoot->peer.directory, PATIENCE_MS,
					 on_done, shoot, &shoot->error),
			 -EIO);
	uv_run(&shoot->peer.loop, UV_RUN_DEFAULT);
	assert_int_equal(shoot->done, 0);
	assert_string_equal(shoot->error.text, "QEMU's monitor cannot be reached: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_picture),
		TEST(test_descriptor),
		cmocka_unit_test(test_no_picture),
		cmocka_unit_test(test_hostile_size),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_hang_up),
		TEST(test_silence),
		cmocka_unit_test(test_cancel),
		TEST(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
