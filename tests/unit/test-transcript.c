// SPDX-License-Identifier: Apache-2.0
/* What a client reads of a console's log: where boots begin, what is missing, and where it ends. */
#include "console-fixture.h"

#include "instances/transcript.h"

/* Reads all there is, and checks that it is this. */
static void assert_reads(struct transcript *transcript, const char *expected)
{
	char text[4096];
	size_t length = 0;

	for (size_t got = 1; got > 0; length += got) {
		assert_true(length < sizeof(text) / 2);
		got = transcript_read(transcript, text + length, 1024);
	}
	text[length] = '\0';
	assert_string_equal(text, expected);
}

static void begin(struct fixture *f, struct transcript *transcript, uint64_t offset, bool quiet)
{
	transcript_init(transcript, f->console, quiet);
	transcript_begin(transcript, offset, offset);
}

static void test_boots(void **state)
{
	struct fixture *f = *state;
	struct transcript all, quiet, second;
	uint64_t end;

	run(f, "echo one");
	end = f->exit.head;
	run(f, "echo two");
	begin(f, &all, 0, false);
	begin(f, &quiet, 0, true);
	begin(f, &second, end, false);
	assert_int_equal(transcript_behind(&all), f->exit.head);
	assert_reads(&all, "one\r\n\r\n[consoled: restarted, boot 2]\r\ntwo\r\n");
	assert_reads(&quiet, "one\r\ntwo\r\n");
	assert_reads(&second, "two\r\n"); /* the client knows which it is */
	run(f, "echo three");
	assert_reads(&second, "\r\n[consoled: restarted, boot 3]\r\nthree\r\n");
	assert_int_equal(transcript_behind(&second), 0);
	assert_true(all.skipped == 0 && quiet.skipped == 0 && second.skipped == 0);
	transcript_finish(&all);
	transcript_finish(&quiet);
	transcript_finish(&second);
}

/* The next boot is not for who has read the one that ended. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	struct transcript transcript;
	char text[1024];

	run(f, "echo one");
	begin(f, &transcript, 0, false);
	transcript_end(&transcript, f->exit.head);
	run(f, "echo two");
	assert_true(transcript_until(&transcript) < f->exit.head);
	assert_int_equal(transcript_behind(&transcript), 5);
	assert_int_equal(transcript_read(&transcript, text, transcript_behind(&transcript)), 5);
	assert_memory_equal(text, "one\r\n", 5);
	assert_int_equal(transcript_behind(&transcript), 0);
	transcript_finish(&transcript);
}

/* What is missing is told, once, and of what ended no more than it had. */
static void test_overwritten(void **state)
{
	struct fixture *f = *state;
	struct transcript transcript, ended;
	char text[1024], expected[TRANSCRIPT_NOTE_SIZE];
	uint64_t end, tail;
	size_t length, size;

	run(f, "echo one");
	end = f->exit.head;
	run(f, "exec seq 1 100000");
	tail = ring_tail(console_ring(f->console));
	assert_true(tail > end);
	begin(f, &ended, 2, false);
	transcript_end(&ended, end);
	size = transcript_read(&ended, text, transcript_behind(&ended));
	text[size] = '\0';
	assert_string_equal(text, "\r\n[consoled: 3 bytes skipped]\r\n");
	assert_int_equal(ended.skipped, end - 2);
	assert_int_equal(transcript_behind(&ended), 0);
	transcript_finish(&ended);

	begin(f, &transcript, end, false);
	size = transcript_read(&transcript, text, 512);
	length = transcript_note(expected, "%llu bytes skipped", (unsigned long long)(tail - end));
	assert_true(size > length);
	assert_memory_equal(text, expected, length);
	assert_int_equal(transcript.skipped, tail - end);
	assert_int_equal(transcript_read(&transcript, text, 512), 512);
	assert_true(text[0] != '\r' && transcript.skipped == tail - end);
	transcript_finish(&transcript);
}

static void test_long_note(void **state)
{
	char words[2 * TRANSCRIPT_NOTE_SIZE], note[TRANSCRIPT_NOTE_SIZE];
	size_t length;

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	length = transcript_note(note, "%s", words);
	assert_int_equal(length, strlen(note));
	assert_true(length < sizeof(note) && ends_with(note, "www]\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_boots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overwritten, setup_small, teardown),
		cmocka_unit_test(test_long_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
