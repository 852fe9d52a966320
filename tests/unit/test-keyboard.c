// SPDX-License-Identifier: Apache-2.0
#include "monitor-peer.h"
#include "spice/keyboard.h"

#include <unistd.h>

#define CHORDS 70 /* more than are sent at once */

struct fixture {
	struct peer peer;
	struct keyboard *keyboard;
	struct chord chords[CHORDS];
	unsigned int done;
	struct error error; /* of the end */
};

static void on_done(void *user, const struct error *error)
{
	struct fixture *f = user;

	f->done++;
	if (error)
		f->error = *error;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	peer_init(&f->peer);
	f->chords[0] = (struct chord){{"ctrl", "alt", "delete"}};
	for (size_t i = 1; i < CHORDS; i++)
		f->chords[i] = (struct chord){{"a"}};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	peer_finish(&f->peer);
	free(f);
	return 0;
}

static void type(struct fixture *f, size_t count)
{
	peer_listen(&f->peer, 1);
	assert_int_equal(
		keyboard_type(&f->keyboard, &f->peer.loop, f->peer.directory, f->chords, count, on_done, f, &f->error),
		0);
}

/* Hears `count` chords in one visit, and answers each. */
static void hear(struct fixture *f, unsigned int count, const char *keys)
{
	char line[512];

	peer_greet(&f->peer);
	for (unsigned int id = 2; id < 2 + count; id++) {
		snprintf(line, sizeof(line),
			 "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[%s],\"hold-time\":10},\"id\":%u}", keys,
			 id);
		assert_string_equal(peer_hear(&f->peer), line);
		assert_int_equal(f->done, 0);
		snprintf(line, sizeof(line), "{\"return\": {}, \"id\": %u}\r\n", id);
		peer_say(&f->peer, line);
	}
	peer_hear_end(&f->peer);
}

static void wait_done(struct fixture *f)
{
	int turns = 0;

	while (!f->done)
		assert_true(turn(&f->peer, &turns));
	assert_int_equal(f->done, 1);
}

#define A "{\"type\":\"qcode\",\"data\":\"a\"}"

static void test_a_chord(void **state)
{
	struct fixture *f = *state;

	type(f, 1);
	hear(f, 1,
	     "{\"type\":\"qcode\",\"data\":\"ctrl\"},{\"type\":\"qcode\",\"data\":\"alt\"},"
	     "{\"type\":\"qcode\",\"data\":\"delete\"}");
	wait_done(f);
	assert_int_equal(f->error.code, 0);
}

/* The next are sent when the last must have been typed, and the end is told as late. */
static void test_a_few_at_a_time(void **state)
{
	static const unsigned int visits[] = {32, 32, 6};
	struct fixture *f = *state;
	uint64_t begun = uv_hrtime();

	f->chords[0] = f->chords[1];
	type(f, CHORDS);
	for (size_t i = 0; i < 3; i++)
		hear(f, visits[i], A);
	wait_done(f);
	assert_int_equal(f->error.code, 0);
	assert_true(uv_hrtime() - begun >= UINT64_C(2000000) * KEYBOARD_HOLD_MS * CHORDS);
}

static void test_qemu_says_no(void **state)
{
	struct fixture *f = *state;

	type(f, 2);
	peer_greet(&f->peer);
	peer_hear(&f->peer);
	peer_say(&f->peer, "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such key\"}}\r\n");
	wait_done(f);
	peer_hear_end(&f->peer);
	assert_int_equal(f->error.code, -EIO);
	assert_string_equal(f->error.text, "QEMU: no such key");
}

/* Each chord waits for the answer to the last. */
static void test_qemu_ends_during_a_visit(void **state)
{
	struct fixture *f = *state;

	type(f, 2);
	peer_greet(&f->peer);
	peer_hear(&f->peer);
	peer_hear_nothing(&f->peer);
	peer_hang_up(&f->peer);
	wait_done(f);
	assert_int_equal(f->error.code, -EPIPE);
}

static void test_qemu_ends_between_two_visits(void **state)
{
	struct fixture *f = *state;

	f->chords[0] = f->chords[1];
	type(f, CHORDS);
	hear(f, 32, A);
	close_fd(&f->peer.listener);
	wait_done(f);
	assert_true(f->error.code < 0);
	assert_true(f->error.text[0]);
}

static void test_nobody_is_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		keyboard_type(&f->keyboard, &f->peer.loop, f->peer.directory, f->chords, 1, on_done, f, &f->error),
		-EIO);
	assert_int_equal(f->done, 0);
}

static void test_broken_off_during_a_visit(void **state)
{
	struct fixture *f = *state;

	type(f, 2);
	peer_greet(&f->peer);
	peer_hear(&f->peer);
	keyboard_cancel(f->keyboard);
	peer_hear_end(&f->peer);
	assert_int_equal(f->done, 0);
}

static void test_broken_off_between_two_visits(void **state)
{
	struct fixture *f = *state;

	f->chords[0] = f->chords[1];
	type(f, CHORDS);
	hear(f, 32, A);
	keyboard_cancel(f->keyboard);
	keyboard_cancel(NULL);
	uv_run(&f->peer.loop, UV_RUN_DEFAULT);
	assert_int_equal(f->done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_chord),
		TEST(test_a_few_at_a_time),
		TEST(test_qemu_says_no),
		TEST(test_qemu_ends_during_a_visit),
		TEST(test_qemu_ends_between_two_visits),
		TEST(test_nobody_is_there),
		TEST(test_broken_off_during_a_visit),
		TEST(test_broken_off_between_two_visits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
