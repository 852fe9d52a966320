// SPDX-License-Identifier: Apache-2.0
#include "render/screen.h"
#include "render/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT (16 << 20)

static struct screen *create(uint16_t width, uint16_t height, unsigned int scrollback)
{
	struct screen *screen;

	assert_int_equal(screen_create(&screen, width, height, scrollback), 0);
	return screen;
}

static void feed(struct screen *screen, const char *text)
{
	screen_feed(screen, text, strlen(text));
}

/* The buffer ends with a NUL that it does not count. */
static struct buffer taken(int (*take)(const struct screen *, struct buffer *, size_t), const struct screen *screen)
{
	struct buffer out = {0};

	assert_int_equal(take(screen, &out, LIMIT), 0);
	assert_int_equal(buffer_append(&out, "", 1, LIMIT + 1), 0);
	out.length--;
	return out;
}

static int titled_html(const struct screen *screen, struct buffer *out, size_t limit)
{
	return screen_html(screen, "<b> & \"c\"\n\xff", out, limit);
}

static void expect(const struct screen *screen, const char *text)
{
	struct buffer out = taken(screen_text, screen);

	assert_string_equal(out.data, text);
	buffer_finish(&out);
}

static int contains(int (*take)(const struct screen *, struct buffer *, size_t), const struct screen *screen,
		    const char *text)
{
	struct buffer out = taken(take, screen);
	int found = strstr(out.data, text) != NULL;

	buffer_finish(&out);
	return found;
}

/* A redraw tells all that there is to know of a screen, so that two are equal if their redraws are. */
static void assert_same(const struct screen *one, const struct screen *other)
{
	int (*const takes[])(const struct screen *, struct buffer *, size_t) = {screen_redraw, screen_text,
										titled_html};
	size_t i;

	for (i = 0; i < 3; i++) {
		struct buffer a = taken(takes[i], one), b = taken(takes[i], other);

		assert_string_equal(a.data, b.data);
		assert_int_equal(a.length, b.length);
		buffer_finish(&a);
		buffer_finish(&b);
	}
}

static void redraw(const struct screen *from, struct screen *to)
{
	struct buffer out = taken(screen_redraw, from);

	screen_feed(to, out.data, out.length);
	buffer_finish(&out);
}

/* Whatever the receiving terminal has been through. */
static const char dirty[] =
	"\033]2;other\007\033[44;1mrest\033[?1049h\033[?6h\033[4h\033[20h\033(0\016\033[2;3r\033[?1003h"
	"\033[?1006h\033[?1h\033[?2004h\033=\033[?25l\033[5 q\033[?7lmore\0337\033[3;3H\033[12";

/* What is shown at `cut`, redrawn, and then goes on as the original does. */
static void check_cut(const char *data, size_t length, size_t cut, uint16_t width, uint16_t height)
{
	struct screen *original = create(width, height, 50), *copy = create(width, height, 50);
	struct screen *used = create(width, height, 0), *plain = create(width, height, 0);

	screen_feed(original, data, cut);
	redraw(original, copy);
	assert_same(original, copy);
	screen_feed(original, data + cut, length - cut);
	screen_feed(copy, data + cut, length - cut);
	assert_same(original, copy);
	feed(used, dirty);
	/* A title cannot be taken back, only replaced. */
	feed(original, "\033]2;title\007");
	screen_feed(plain, data, length);
	feed(plain, "\033]2;title\007");
	redraw(plain, used);
	assert_same(plain, used);
	screen_destroy(original);
	screen_destroy(copy);
	screen_destroy(used);
	screen_destroy(plain);
}

/* Sessions of real programs, as a terminal got them. */
static void test_recordings(void **state)
{
	static const char *const names[] = {"vi", "vim", "less", "less-left", "top", "tmux", "shell", "lines"};
	const char *folder = getenv("CONSOLED_RECORDINGS");
	static char data[8192];
	size_t i, cut;

	assert_non_null(folder);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[4096];
		FILE *file;
		size_t length;

		assert_in_range(snprintf(path, sizeof(path), "%s/%s", folder, names[i]), 1, sizeof(path) - 1);
		file = fopen(path, "r");
		assert_non_null(file);
		length = fread(data, 1, sizeof(data), file);
		fclose(file);
		assert_in_range(length, 100, sizeof(data) - 1);
		for (cut = 0; cut <= length; cut += 1 + length / 12) {
			check_cut(data, length, cut, 80, 24);
			check_cut(data, length, cut, 37, 10);
		}
	}
}

/* A terminal that is larger shows the same at its top left, and has the same scrollback. */
static void test_larger(void **state)
{
	struct screen *screen = create(20, 4, 10), *larger = create(33, 9, 10);
	struct buffer text;
	int i;

	for (i = 0; i < 9; i++)
		feed(screen, "a line of 20 columns\033[44m\r\n\033[m\xe4\xb8\xad");
	feed(screen, "\033[2;3r\033[4;20Hx");
	redraw(screen, larger);
	text = taken(screen_text, screen);
	expect(larger, text.data);
	feed(screen, "\r\nend");
	feed(larger, "\r\nend");
	assert_true(contains(screen_redraw, larger, "\033[2;3r"));
	assert_true(contains(screen_text, larger, "x\nend\n"));
	buffer_finish(&text);
	screen_destroy(screen);
	screen_destroy(larger);
}

static const char *const pieces[] = {
	"a",
	"word ",
	"x",
	"\r\n",
	"\n",
	"\r",
	"\b",
	"\t",
	"\xe4\xb8\xad",
	"\xe6\x96\x87",
	"e\xcc\x81",
	"\xcc\x88",
	"\xf0\x9f\x98\x80",
	"\xe2\x80\x8d",
	"\xef\xb8\x8f",
	"\xc3\xbc",
	"\xff",
	"\033[K",
	"\033[1K",
	"\033[2K",
	"\033[J",
	"\033[1J",
	"\033[2J",
	"\033[3J",
	"\033[3;5H",
	"\033[H",
	"\033[99;99H",
	"\033[A",
	"\033[2B",
	"\033[7C",
	"\033[2D",
	"\033[G",
	"\033[3d",
	"\033[2E",
	"\033[F",
	"\033[2@",
	"\033[3P",
	"\033[4X",
	"\033[2L",
	"\033[M",
	"\033[S",
	"\033[2T",
	"\033[5b",
	"\033[I",
	"\033[Z",
	"\033[1m",
	"\033[0m",
	"\033[31;44m",
	"\033[38;5;200m",
	"\033[48;2;1;2;3m",
	"\033[38:2::9:8:7m",
	"\033[4:3m",
	"\033[7;9m",
	"\033[2;3;8m",
	"\033[2;6r",
	"\033[r",
	"\033[?6h",
	"\033[?6l",
	"\033[?7l",
	"\033[?7h",
	"\033[4h",
	"\033[4l",
	"\033[20h",
	"\033[20l",
	"\033[?25l",
	"\033[?1h",
	"\033[?1000h",
	"\033[?1002;1006h",
	"\033[?1000l",
	"\033[?2004h",
	"\033[?5h",
	"\033[?12h",
	"\033[3 q",
	"\033=",
	"\033>",
	"\0337",
	"\0338",
	"\033[s",
	"\033[u",
	"\033[?1049h",
	"\033[?1049l",
	"\033[?47h",
	"\033[?1047l",
	"\033[?1048h",
	"\033(0",
	"\033(B",
	"\033)A",
	"\016",
	"\017",
	"\033n",
	"\033N",
	"#qx",
	"\033M",
	"\033D",
	"\033E",
	"\033H",
	"\033[g",
	"\033[3g",
	"\033[!p",
	"\033c",
	"\033]0;t\xc3\xbc\007",
	"\033]2;x\033\\",
	"\033[1;2",
	"\033",
	"\033P1$r",
	"\033\\",
	("\xc2\x9b"
	 "1m"),
	"\033[>c",
	"\033[6n",
};

static void test_random(void **state)
{
	uint32_t seed = 1;
	int round, i;

	for (round = 0; round < 400; round++) {
		char data[2048] = "";
		size_t length = 0;

		for (i = 0; i < 60; i++) {
			const char *piece;

			seed = seed * 1664525 + 1013904223;
			piece = pieces[(seed >> 8) % (sizeof(pieces) / sizeof(pieces[0]))];
			memcpy(data + length, piece, strlen(piece));
			length += strlen(piece);
		}
		check_cut(data, length, (seed >> 4) % length, (uint16_t)(2 + seed % 30), (uint16_t)(1 + seed / 64 % 9));
	}
}

/* The stream may be cut anywhere. */
static void test_pieces(void **state)
{
	static const char data[] = "a\xe4\xb8\xad"
				   "b\xcc\x81 \033[1;38;5;9mred\033[0m\033]0;title\033\\\xf0\x9f\x98\x80\xff";
	struct screen *whole = create(20, 4, 0), *cut = create(20, 4, 0);
	size_t i;

	feed(whole, data);
	for (i = 0; i < sizeof(data) - 1; i++)
		screen_feed(cut, data + i, 1);
	assert_same(whole, cut);
	expect(cut, "a\xe4\xb8\xad"
		    "b\xcc\x81 red\xf0\x9f\x98\x80\xef\xbf\xbd\n");
	screen_destroy(whole);
	screen_destroy(cut);
}

static void test_bounds(void **state)
{
	struct screen *screen;

	assert_int_equal(screen_create(&screen, 0, 24, 0), -EINVAL);
	assert_int_equal(screen_create(&screen, 80, 0, 0), -EINVAL);
	assert_int_equal(screen_create(&screen, SCREEN_WIDTH_MAX + 1, 24, 0), -EINVAL);
	assert_int_equal(screen_create(&screen, 80, SCREEN_HEIGHT_MAX + 1, 0), -EINVAL);
	assert_int_equal(screen_create(&screen, 80, 24, SCREEN_SCROLLBACK_MAX + 1), -EINVAL);
	screen = create(SCREEN_WIDTH_MAX, SCREEN_HEIGHT_MAX, SCREEN_SCROLLBACK_MAX);
	feed(screen, "\033[999;999H\033[41m\033[2Jx");
	assert_int_equal(screen_resize(screen, 0, 24), -EINVAL);
	assert_int_equal(screen_resize(screen, 1, 1), 0);
	feed(screen, "\xe4\xb8\xad\xcc\x81\r\n\tx\033[5b");
	assert_true(contains(screen_text, screen, "\nx\n"));
	screen_destroy(screen);
	screen_destroy(NULL);
}

static void test_scrollback(void **state)
{
	struct screen *screen = create(10, 3, 3);
	char line[16];
	int i;

	for (i = 0; i < 6; i++) {
		snprintf(line, sizeof(line), "line %d\r\n", i);
		feed(screen, line);
	}
	expect(screen, "line 1\nline 2\nline 3\nline 4\nline 5\n");
	/* What leaves a region below the top, and lines that a program deletes, are not kept. */
	feed(screen, "\033[H\033[M\033[2;3r\033[3;1Hx\n\n\033[r");
	expect(screen, "line 1\nline 2\nline 3\nline 5\n");
	feed(screen, "\033[?1049h\033[Hfull\n\n\n");
	expect(screen, "");
	feed(screen, "\033[?1049l\033[3J\033[H\033[Jrest");
	expect(screen, "rest\n");
	screen_destroy(screen);
}

static void test_modes(void **state)
{
	struct screen *screen = create(10, 3, 0);

	feed(screen, "ab\033[?1048h\033[3;5Hx\033[?1048lc"); /* the cursor, kept and back */
	expect(screen, "abc\n\n    x\n");
	feed(screen, "\033[2;1Hone\033[4h\033[2;1H1\033[4l\033[12h2"); /* inserts; no mode 12 */
	expect(screen, "abc\n12ne\n    x\n");
	feed(screen, "\033[1;1;1;1;1T"); /* mouse tracking, which scrolls nothing */
	expect(screen, "abc\n12ne\n    x\n");
	feed(screen, "\033[2;2H\033[?K\033[3;1H\033[?J");
	expect(screen, "abc\n1\n");
	screen_destroy(screen);
}

/* REP, over more than it prints at once. */
static void test_repeat(void **state)
{
	struct screen *screen = create(500, 2, 0);
	char line[501];

	memset(line, 'x', 400);
	memcpy(line + 400, "!\n", 3);
	feed(screen, "x\033[399b!");
	expect(screen, line);
	screen_destroy(screen);
}

static void test_alternate(void **state)
{
	struct screen *screen = create(10, 3, 0);

	feed(screen, "one\r\ntwo\033[31m\033[?1049h\033[0m\033[2;2Hvi");
	expect(screen, "\n vi\n");
	assert_true(contains(screen_redraw, screen, "one\033[2;1Htwo\033[?6l\033[2;4H\033[0;31m\0337\033[?1049h"));
	feed(screen, "\033[?1049l!");
	expect(screen, "one\ntwo!\n");
	assert_true(contains(screen_redraw, screen, "\033[0;31m!"));
	assert_false(contains(screen_redraw, screen, "?1049h"));
	feed(screen, "\033[?1049h");
	expect(screen, "");
	screen_destroy(screen);
}

static void test_wrap(void **state)
{
	struct screen *screen = create(5, 3, 0);

	feed(screen, "12345");
	expect(screen, "12345\n");
	feed(screen, "\xcc\x81"
		     "6");
	expect(screen, "12345\xcc\x81\n6\n");
	feed(screen, "\r\n1234\xe4\xb8\xad");
	expect(screen, "6\n1234\n\xe4\xb8\xad\n");
	feed(screen, "\033[H\033[J\033[?7l1234567");
	expect(screen, "12347\n");
	screen_destroy(screen);
}

static void test_wide_halves(void **state)
{
	struct screen *screen = create(6, 2, 0);

	feed(screen, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\033[1;2Hx");
	expect(screen, " x\xe4\xb8\xad\xe4\xb8\xad\n");
	feed(screen, "\033[1;3Hy");
	expect(screen, " xy \xe4\xb8\xad\n");
	feed(screen, "\033[1;1H\033[@");
	expect(screen, "  xy\n");
	feed(screen, "\r\xe4\xb8\xad\033[1;2H\033[P");
	expect(screen, " xy\n");
	feed(screen, "\r\n\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad");
	assert_int_equal(screen_resize(screen, 3, 2), 0);
	expect(screen, " xy\n\xe4\xb8\xad\n");
	screen_destroy(screen);
}

/* libvterm takes some of them for wide; U+3099 makes Japanese ga of ka, as some systems write it. */
static void test_marks(void **state)
{
	struct screen *screen = create(6, 2, 0), *copy = create(6, 2, 0);

	feed(screen, "\xe3\x81\x8b\xe3\x82\x99\xc3\xa9\xe3\x80\xae|");
	expect(screen, "\xe3\x81\x8b\xe3\x82\x99\xc3\xa9\xe3\x80\xae|\n");
	feed(screen, "\033[1;3H\xe3\x82\x99x\xe3\x82\x9a");
	expect(screen, "\xe3\x81\x8b\xe3\x82\x99\xe3\x82\x99x\xe3\x82\x9a|\n");
	feed(screen, "\033[1;5H\xe3\x81\x8b\xe3\x82\x99");
	redraw(screen, copy);
	assert_same(screen, copy);
	expect(screen, "\xe3\x81\x8b\xe3\x82\x99\xe3\x82\x99x\xe3\x82\x9a|\xe3\x81\x8b\xe3\x82\x99\n");
	screen_destroy(screen);
	screen_destroy(copy);
}

/* Each character behind another, at once and in pieces: libvterm must not add up how wide they are. */
static void test_characters(void **state)
{
	struct screen *whole = create(200, 2, 0), *cut = create(200, 2, 0);
	char line[32 * 8];
	size_t length = 0, i;
	uint32_t code;

	for (code = 0xa0; code < 0x20000; code++) {
		if (code >= 0xd800 && code < 0xe000)
			continue;
		memcpy(line + length, "\xc3\xa9", 2);
		length += 2 + utf8_encode(code, line + length + 2);
		line[length++] = '|';
		if (code % 32 != 31)
			continue;
		feed(whole, "\033[H\033[J");
		feed(cut, "\033[H\033[J");
		screen_feed(whole, line, length);
		for (i = 0; i < length; i++)
			screen_feed(cut, line + i, 1);
		assert_same(whole, cut);
		length = 0;
	}
	screen_destroy(whole);
	screen_destroy(cut);
}

static void test_resize(void **state)
{
	struct screen *screen = create(10, 4, 10), *copy = create(6, 2, 10);

	feed(screen, "one\r\ntwo\r\nthree\r\nfour\033[2;4r\033[?6h\033[3;5H\0337");
	assert_int_equal(screen_resize(screen, 6, 2), 0);
	expect(screen, "one\ntwo\nthree\nfour\n");
	redraw(screen, copy);
	assert_same(screen, copy);
	feed(screen, "!\033M\033M\033[S\0338\033[20T");
	assert_int_equal(screen_resize(screen, 12, 5), 0);
	feed(screen, "\033[5;12Hx");
	expect(screen, "one\ntwo\n\n\n\n\n\n           x\n");
	screen_destroy(screen);
	screen_destroy(copy);
}

/* The cursor stays on its line, also on that of the screen that is not shown. */
static void test_resize_alternate(void **state)
{
	struct screen *screen = create(10, 4, 10);

	feed(screen, "one\r\ntwo\r\nthree\r\nfour\033[?1049h\033[Htop\033[4Hend");
	assert_int_equal(screen_resize(screen, 10, 2), 0);
	expect(screen, "\nend\n");
	feed(screen, "\033[?1049l!");
	expect(screen, "one\ntwo\nthree\nfour!\n");
	screen_destroy(screen);
}

static void test_title(void **state)
{
	struct screen *screen = create(10, 2, 0);
	char title[400] = "\033]2;";

	memset(title + 4, 't', sizeof(title) - 6);
	title[sizeof(title) - 2] = '\007';
	title[sizeof(title) - 1] = '\0';
	feed(screen, title);
	title[4 + 256] = '\0';
	assert_true(contains(screen_redraw, screen, title));
	strcat(title, "t");
	assert_false(contains(screen_redraw, screen, title));
	feed(screen, "\033]0;\xc3\xbc\x80 \xe2\x82\177\xc2\x85<\007");
	assert_true(contains(screen_redraw, screen, "\033]2;\xc3\xbc <\033\\"));
	screen_destroy(screen);
}

/* All or nothing, behind what is there already. */
static void test_limit(void **state)
{
	int (*const takes[])(const struct screen *, struct buffer *, size_t) = {screen_redraw, screen_text,
										titled_html};
	struct screen *screen = create(10, 2, 5);
	size_t i, limit;

	feed(screen, "one\r\ntwo\r\nthree\033[31mred\033]0;title\007");
	for (i = 0; i < 3; i++) {
		struct buffer whole = taken(takes[i], screen), out = {0};

		assert_int_equal(buffer_append(&out, "behind", 6, LIMIT), 0);
		for (limit = 0; limit < whole.length + 6; limit++) {
			assert_int_equal(takes[i](screen, &out, limit), -EMSGSIZE);
			assert_int_equal(out.length, 6);
		}
		assert_int_equal(takes[i](screen, &out, limit), 0);
		assert_memory_equal(out.data + 6, whole.data, whole.length);
		buffer_finish(&whole);
		buffer_finish(&out);
	}
	screen_destroy(screen);
}

static void test_html(void **state)
{
	struct screen *screen = create(40, 3, 0);

	feed(screen,
	     "<script>&\"\r\n\033[1;4;31;48;2;1;2;3mx\033[0;7my\033[0;38;5;196;9mz\033[0;2;3;8mh\033[0;44m\033[K");
	assert_true(contains(titled_html, screen, "<title>&lt;b&gt; &amp; &quot;c&quot;</title>"));
	assert_true(contains(titled_html, screen, "<pre>\n&lt;script&gt;&amp;&quot;\n<span"));
	assert_false(contains(titled_html, screen, "<script"));
	assert_true(contains(titled_html, screen,
			     "<span style=\"color:#cd0000;background:#010203;font-weight:bold;"
			     "text-decoration:underline;\">x</span>"));
	assert_true(contains(titled_html, screen, "<span style=\"color:#000000;background:#e5e5e5;\">y</span>"));
	assert_true(
		contains(titled_html, screen, "<span style=\"color:#ff0000;text-decoration:line-through;\">z</span>"));
	assert_true(contains(titled_html, screen, "opacity:.6;font-style:italic;visibility:hidden;\">h</span>"));
	assert_true(contains(titled_html, screen, "background:#0000ee;\">          "));
	screen_destroy(screen);
}

/* Each of these breaks libvterm 0.1.4 if it gets it: memory, or an endless loop. */
static void test_hostile(void **state)
{
	struct screen *screen = create(80, 24, 0), *copy = create(80, 24, 0);
	static char many[1 << 20];
	size_t i;

	feed(screen, "\033[999999999b\033[5b");
	memset(many, ';', sizeof(many));
	memcpy(many, "\033[", 2);
	screen_feed(screen, many, 200);
	feed(screen, "m\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;38;48;2;38m\033[38m\033[38:m");
	feed(screen, "\033[99999999999999999999B\033[2147483647X\033[2147483647C\033[-1A");
	for (i = 0; i < 1000; i++)
		feed(screen, "\xc2\x80\xc2\n\x80\033H");
	for (i = 0; i + 3 <= sizeof(many); i += 3)
		memcpy(many + i, "\xcc\x81\007", 3);
	screen_feed(screen, many, i);
	memset(many, 'x', sizeof(many));
	memcpy(many, "\033]2;", 4);
	screen_feed(screen, many, sizeof(many));
	feed(screen,
	     "\033P$qm\033\\\033[c\033[>c\033[6n\033[?5n\033[?6$p\033#6\033#3\033[?69h\033[30;20s\033[9;9r\0338");
	redraw(screen, copy);
	assert_same(screen, copy);
	screen_destroy(screen);
	screen_destroy(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recordings),
		cmocka_unit_test(test_larger),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_scrollback),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_alternate),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_wide_halves),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_resize_alternate),
		cmocka_unit_test(test_title),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
