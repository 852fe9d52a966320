// SPDX-License-Identifier: Apache-2.0
#include "instances/lines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#define CAPACITY RING_CAPACITY_MIN

struct fixture {
	char directory[32];
	int directory_fd;
	struct ring ring;
	struct lines lines;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	*state = f;
	strcpy(f->directory, "/tmp/test-lines-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ring_create(f->directory_fd, "ring", CAPACITY), 0);
	fd = openat(f->directory_fd, "ring", O_RDWR | O_CLOEXEC);
	assert_int_equal(ring_open(&f->ring, fd, true), 0);
	close(fd);
	lines_init(&f->lines, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_close(&f->ring);
	unlinkat(f->directory_fd, "ring", 0);
	close(f->directory_fd);
	rmdir(f->directory);
	free(f);
	return 0;
}

static void print(struct fixture *f, const char *text)
{
	ring_append(&f->ring, text, strlen(text));
}

static void print_many(struct fixture *f, char c, size_t count)
{
	while (count--)
		ring_append(&f->ring, &c, 1);
}

static void expect(struct fixture *f, bool whole, const char *text, uint64_t begin, uint64_t end)
{
	assert_int_equal(lines_next(&f->lines, &f->ring, UINT64_MAX), whole);
	assert_int_equal(f->lines.length, strlen(text));
	assert_memory_equal(f->lines.text, text, strlen(text));
	assert_int_equal(f->lines.begin, begin);
	assert_int_equal(f->lines.end, end);
}

static void test_nothing(void **state)
{
	expect(*state, false, "", 0, 0);
}

static void test_lines_and_a_prompt(void **state)
{
	struct fixture *f = *state;

	print(f, "one\r\ntwo\n\nlogin: ");
	expect(f, true, "one", 0, 5);
	expect(f, true, "two", 5, 9);
	expect(f, true, "", 9, 10);
	expect(f, false, "login: ", 10, 17);
	expect(f, false, "login: ", 10, 17);
	print(f, "root\r\n");
	expect(f, true, "login: root", 10, 23);
	expect(f, false, "", 23, 23);
}

static void test_escape_sequences(void **state)
{
	struct fixture *f = *state;

	print(f, "\x1b[1mlo\x1b[3");
	expect(f, false, "lo", 0, 9);
	print(f, "1mgin\x1b]0;title\x07:\n");
	expect(f, true, "login:", 0, 26);
}

/* A carriage return ends a line once something is printed over it; where it then ends does not depend on how it came.
 */
static void test_carriage_returns(void **state)
{
	struct fixture *f = *state;

	print(f, "10%\r20%\r");
	expect(f, true, "10%", 0, 4);
	expect(f, false, "20%", 4, 8);
	print(f, "\x1b[K");
	expect(f, false, "20%", 4, 11);
	print(f, "100%\n");
	expect(f, true, "20%", 4, 8);
	expect(f, true, "100%", 8, 16);
	print(f, "a\r");
	expect(f, false, "a", 16, 18);
	print(f, "\r\nb\r\n");
	expect(f, true, "a", 16, 20);
	expect(f, true, "b", 20, 23);
	expect(f, false, "", 23, 23);
}

static void test_characters_in_pieces(void **state)
{
	struct fixture *f = *state;

	print(f, "\xe2\x82");
	expect(f, false, "", 0, 2);
	print(f, "\xac\xff\n");
	expect(f, true, "\xe2\x82\xac\xef\xbf\xbd", 0, 5);
}

static void test_long_lines_are_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t end = 0;

	print_many(f, 'x', 10000);
	print(f, "\ny\n");
	while (lines_next(&f->lines, &f->ring, UINT64_MAX) && f->lines.text[0] == 'x') {
		assert_int_equal(f->lines.begin, end);
		assert_true(f->lines.length <= LINES_TEXT_MAX);
		assert_true(f->lines.length > LINES_TEXT_MAX - 8 || f->lines.end == 10001);
		end = f->lines.end;
	}
	assert_int_equal(end, 10001);
	assert_int_equal(f->lines.length, 1);
	assert_int_equal(f->lines.begin, 10001);
}

/* Each byte becomes three: the worst that there is. */
static void test_long_lines_of_garbage(void **state)
{
	struct fixture *f = *state;
	uint64_t end = 0;

	print_many(f, '\xff', 5000);
	while (lines_next(&f->lines, &f->ring, UINT64_MAX)) {
		assert_int_equal(f->lines.begin, end);
		assert_int_equal(f->lines.length, 3 * (f->lines.end - f->lines.begin));
		end = f->lines.end;
	}
	assert_int_equal(f->lines.end, 5000);
}

/* A character is in one of the lines, not in half in each. */
static void test_long_lines_are_cut_between_characters(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4000; i++)
		print(f, "\xe2\x82\xac");
	while (lines_next(&f->lines, &f->ring, UINT64_MAX)) {
		assert_int_equal(f->lines.begin % 3, 0);
		assert_int_equal(f->lines.end % 3, 0);
		assert_int_equal(f->lines.length, f->lines.end - f->lines.begin);
	}
	assert_int_equal(f->lines.end, 12000);
}

static void test_no_further_than_the_limit(void **state)
{
	struct fixture *f = *state;

	print(f, "login: BIOS\r\n");
	assert_false(lines_next(&f->lines, &f->ring, 7));
	assert_int_equal(f->lines.end, 7);
	assert_int_equal(f->lines.length, 7);
	expect(f, true, "login: BIOS", 0, 13);
}

static void test_what_is_overwritten_is_counted(void **state)
{
	struct fixture *f = *state;

	print(f, "before\nbegun");
	expect(f, true, "before", 0, 7);
	expect(f, false, "begun", 7, 12);
	print_many(f, 'x', 3 * CAPACITY);
	print(f, "\nafter\n");
	assert_true(lines_next(&f->lines, &f->ring, UINT64_MAX));
	assert_memory_equal(f->lines.text, "begun", 5);
	assert_int_equal(f->lines.length, 5);
	assert_int_equal(f->lines.end, 12);
	assert_int_equal(f->lines.lost, 2 * CAPACITY + 7);
	assert_true(lines_next(&f->lines, &f->ring, UINT64_MAX));
	assert_int_equal(f->lines.text[0], 'x');
	assert_int_equal(f->lines.begin, ring_tail(&f->ring));
	while (lines_next(&f->lines, &f->ring, UINT64_MAX) && f->lines.text[0] == 'x')
		;
	assert_int_equal(f->lines.length, 5);
	assert_memory_equal(f->lines.text, "after", 5);
}

static void test_an_escape_sequence_does_not_reach_over_a_gap(void **state)
{
	struct fixture *f = *state;

	print(f, "\x1b]0;");
	expect(f, false, "", 0, 4);
	for (size_t i = 0; i < 2 * CAPACITY; i += 4)
		print(f, "def\n");
	expect(f, true, "def", ring_tail(&f->ring), ring_tail(&f->ring) + 4);
}

static void test_where_a_line_begins(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lines_find(&f->ring, 0), 0);
	print(f, "one\r\nlogin: ");
	assert_int_equal(lines_find(&f->ring, 12), 5);
	assert_int_equal(lines_find(&f->ring, 5), 5);
	assert_int_equal(lines_find(&f->ring, 4), 0);
	print_many(f, 'x', 20000);
	assert_int_equal(lines_find(&f->ring, 20012), 20012 - 16384);
	ring_clear(&f->ring);
	print(f, "y");
	assert_int_equal(lines_find(&f->ring, 20013), 20012);
}

/* Nothing depends on the pieces in which it came. */
static void test_any_pieces_give_the_same_lines(void **state)
{
	static const char text[] = "a\r\nb\rc\r\r\n\x1b[31md\xc3\xa9\r\x1b[Ke\n\n\x1b]0;t\x07login: ";
	struct fixture *f = *state;
	char whole[512] = "", pieces[512] = "", line[64];

	print(f, text);
	while (lines_next(&f->lines, &f->ring, UINT64_MAX)) {
		snprintf(line, sizeof(line), "%.*s@%d-%d ", (int)f->lines.length, f->lines.text, (int)f->lines.begin,
			 (int)f->lines.end);
		strcat(whole, line);
	}
	lines_init(&f->lines, 0);
	for (uint64_t limit = 1; limit < sizeof(text); limit++)
		while (lines_next(&f->lines, &f->ring, limit)) {
			snprintf(line, sizeof(line), "%.*s@%d-%d ", (int)f->lines.length, f->lines.text,
				 (int)f->lines.begin, (int)f->lines.end);
			strcat(pieces, line);
		}
	assert_string_equal(pieces, whole);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_lines_and_a_prompt),
		TEST(test_escape_sequences),
		TEST(test_carriage_returns),
		TEST(test_characters_in_pieces),
		TEST(test_long_lines_are_cut),
		TEST(test_long_lines_of_garbage),
		TEST(test_long_lines_are_cut_between_characters),
		TEST(test_no_further_than_the_limit),
		TEST(test_what_is_overwritten_is_counted),
		TEST(test_an_escape_sequence_does_not_reach_over_a_gap),
		TEST(test_where_a_line_begins),
		TEST(test_any_pieces_give_the_same_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
