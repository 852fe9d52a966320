// SPDX-License-Identifier: Apache-2.0
#include "instances/keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

/* What a key sends on a terminal. */
static void expect_bytes(const char *name, const char *bytes, size_t length)
{
	struct keys keys = {0};
	struct error error;

	if (keys_add_key(&keys, name, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(keys.bytes.length, length);
	assert_memory_equal(keys.bytes.data, bytes, length);
	keys_finish(&keys);
}

#define EXPECT(name, bytes) expect_bytes(name, bytes, sizeof(bytes) - 1)

static void expect_chord(const char *name, const char *codes)
{
	struct keys keys = {.keyboard = true};
	struct error error;
	char found[64] = "";

	if (keys_add_key(&keys, name, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(keys.chord_count, 1);
	for (size_t i = 0; i < CHORD_KEYS_MAX && keys.chords[0].codes[i]; i++) {
		strcat(found, i ? "+" : "");
		strcat(found, keys.chords[0].codes[i]);
	}
	assert_string_equal(found, codes);
	keys_finish(&keys);
}

static void refuse(bool keyboard, const char *name, const char *reason)
{
	struct keys keys = {.keyboard = keyboard};
	struct error error;

	assert_int_equal(keys_add_key(&keys, name, &error), -EINVAL);
	assert_string_equal(error.text, reason);
	assert_int_equal(keys.bytes.length + keys.chord_count + keys.break_count, 0);
	keys_finish(&keys);
}

static void test_characters_on_a_terminal(void **state)
{
	EXPECT("a", "a");
	EXPECT("A", "A");
	EXPECT("shift-a", "A");
	EXPECT("-", "-");
	EXPECT(" ", " ");
	EXPECT("~", "~");
	EXPECT("alt-x", "\x1bx");
	EXPECT("alt--", "\x1b-");
	EXPECT("ctrl-c", "\x03");
	EXPECT("Ctrl-C", "\x03");
	EXPECT("ctrl-[", "\x1b");
	EXPECT("ctrl-]", "\x1d");
	EXPECT("ctrl-@", "\0");
	EXPECT("ctrl-space", "\0");
	EXPECT("ctrl-?", "\x7f");
	EXPECT("ctrl-shift-a", "\x01");
	EXPECT("alt-ctrl-a", "\x1b\x01");
}

static void test_keys_of_a_terminal(void **state)
{
	EXPECT("enter", "\r");
	EXPECT("Return", "\r");
	EXPECT("tab", "\t");
	EXPECT("shift-tab", "\x1b[Z");
	EXPECT("esc", "\x1b");
	EXPECT("backspace", "\x7f");
	EXPECT("alt-enter", "\x1b\r");
	EXPECT("up", "\x1b[A");
	EXPECT("ctrl-left", "\x1b[1;5D");
	EXPECT("shift-alt-ctrl-home", "\x1b[1;8H");
	EXPECT("delete", "\x1b[3~");
	EXPECT("shift-pageup", "\x1b[5;2~");
	EXPECT("f1", "\x1bOP");
	EXPECT("F4", "\x1bOS");
	EXPECT("ctrl-f1", "\x1b[1;5P");
	EXPECT("f5", "\x1b[15~");
	EXPECT("f12", "\x1b[24~");
	EXPECT("alt-f12", "\x1b[24;3~");
}

static void test_what_a_terminal_does_not_have(void **state)
{
	refuse(false, "foo", "Unknown key \"foo\"");
	refuse(false, "", "Unknown key \"\"");
	refuse(false, "ctrl-", "Unknown key \"ctrl-\"");
	refuse(false, "hyper-a", "Unknown key \"hyper-a\"");
	refuse(false, "\xc3\xa9", "Unknown key \"\xc3\xa9\"");
	refuse(false, "\x01", "Unknown key \"\x01\"");
	refuse(false, "f13", "Unknown key \"f13\"");
	refuse(false, "ctrl-1", "Key \"ctrl-1\" sends nothing on a terminal");
	refuse(false, "shift-1", "Key \"shift-1\" sends nothing on a terminal");
	refuse(false, "ctrl-enter", "Key \"ctrl-enter\" sends nothing on a terminal");
	refuse(false, "super-a", "Key \"super-a\" sends nothing on a terminal");
	refuse(false, "ctrl", "Key \"ctrl\" sends nothing on a terminal");
	refuse(false, "caps_lock", "Key \"caps_lock\" sends nothing on a terminal");
	refuse(false, "break", "Key \"break\" is only for serial ports");
}

static void test_breaks_have_their_place(void **state)
{
	struct keys keys = {.serial = true};
	struct error error;

	assert_int_equal(keys_add_key(&keys, "break", &error), 0);
	assert_int_equal(keys_add_text(&keys, "ab", &error), 0);
	assert_int_equal(keys_add_key(&keys, "Break", &error), 0);
	assert_int_equal(keys.break_count, 2);
	assert_int_equal(keys.breaks[0], 0);
	assert_int_equal(keys.breaks[1], 2);
	for (int i = 2; i < KEYS_BREAKS_MAX; i++)
		assert_int_equal(keys_add_key(&keys, "break", &error), 0);
	assert_int_equal(keys_add_key(&keys, "break", &error), -EMSGSIZE);
	assert_int_equal(keys_add_key(&keys, "ctrl-break", &error), -EINVAL);
	keys_finish(&keys);
}

static void test_text_is_itself_on_a_terminal(void **state)
{
	struct keys keys = {0};
	struct error error;

	assert_int_equal(keys_add_text(&keys, "caf\xc3\xa9\r\n\x1b", &error), 0);
	assert_int_equal(keys.bytes.length, 8);
	assert_memory_equal(keys.bytes.data, "caf\xc3\xa9\r\n\x1b", 8);
	keys_finish(&keys);
}

static void test_a_terminal_has_a_bound(void **state)
{
	char *text = calloc(1, KEYS_BYTES_MAX + 2);
	struct keys keys = {0};
	struct error error;

	memset(text, 'x', KEYS_BYTES_MAX);
	assert_int_equal(keys_add_text(&keys, text, &error), 0);
	assert_int_equal(keys_add_key(&keys, "enter", &error), -EMSGSIZE);
	assert_string_equal(error.text, "More than 65536 bytes to type");
	keys_finish(&keys);
	text[KEYS_BYTES_MAX] = 'x';
	assert_int_equal(keys_add_text(&keys, text, &error), -EMSGSIZE);
	keys_finish(&keys);
	free(text);
}

static void test_chords(void **state)
{
	expect_chord("ctrl-alt-delete", "ctrl+alt+delete");
	expect_chord("alt-ctrl-del", "ctrl+alt+delete");
	expect_chord("ret", "ret");
	expect_chord("enter", "ret");
	expect_chord("a", "a");
	expect_chord("A", "shift+a");
	expect_chord("shift-A", "shift+a");
	expect_chord("!", "shift+1");
	expect_chord("-", "minus");
	expect_chord("ctrl--", "ctrl+minus");
	expect_chord("ctrl-_", "ctrl+shift+minus");
	expect_chord("space", "spc");
	expect_chord("pageup", "pgup");
	expect_chord("ctrl-alt-f1", "ctrl+alt+f1");
	expect_chord("super", "meta_l");
	expect_chord("super-l", "meta_l+l");
	expect_chord("altgr", "alt_r");
	expect_chord("kp_enter", "kp_enter");
	expect_chord("Caps_Lock", "caps_lock");
}

static void test_what_a_keyboard_does_not_have(void **state)
{
	refuse(true, "foo", "Unknown key \"foo\"");
	refuse(true, "\xc3\xa9", "Unknown key \"\xc3\xa9\"");
	refuse(true, "", "Unknown key \"\"");
	refuse(true, "break", "Key \"break\" is only for serial ports");
	refuse(true, "ctrl-alt-shift-super-a", "Unknown key \"ctrl-alt-shift-super-a\"");
}

static void test_text_on_a_keyboard(void **state)
{
	static const char *const codes[] = {"h", "i", "comma", "spc", "u", "1", "ret", "tab"};
	struct keys keys = {.keyboard = true};
	struct error error;

	assert_int_equal(keys_add_text(&keys, "Hi, U!\n\t", &error), 0);
	assert_int_equal(keys.chord_count, 8);
	for (size_t i = 0; i < 8; i++) {
		bool shift = strchr("\x1\x5\x6", (char)(i + 1)) != NULL;

		assert_string_equal(keys.chords[i].codes[shift], codes[i]);
		if (shift)
			assert_string_equal(keys.chords[i].codes[0], "shift");
	}
	assert_int_equal(keys_add_text(&keys, "\xc3\xa9", &error), -EINVAL);
	assert_string_equal(error.text, "There is no key for byte 0xc3 of the text on a US keyboard");
	assert_int_equal(keys_add_text(&keys, "\x1b", &error), -EINVAL);
	keys_finish(&keys);
}

/* All that is printable can be typed, and each character in another way. */
static void test_all_of_ascii_on_a_keyboard(void **state)
{
	struct keys keys = {.keyboard = true};
	char text[96] = "";
	struct error error;

	for (int c = ' '; c <= '~'; c++)
		text[c - ' '] = (char)c;
	assert_int_equal(keys_add_text(&keys, text, &error), 0);
	assert_int_equal(keys.chord_count, 95);
	for (size_t i = 0; i < 95; i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&keys.chords[i], &keys.chords[j], sizeof(struct chord));
	keys_finish(&keys);
}

static void test_a_keyboard_has_a_bound(void **state)
{
	struct keys keys = {.keyboard = true};
	char text[KEYS_CHORDS_MAX + 1];
	struct error error;

	memset(text, 'x', KEYS_CHORDS_MAX);
	text[KEYS_CHORDS_MAX] = '\0';
	assert_int_equal(keys_add_text(&keys, text, &error), 0);
	assert_int_equal(keys_add_key(&keys, "a", &error), -EMSGSIZE);
	assert_string_equal(error.text, "More than 1024 keys to type");
	keys_finish(&keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters_on_a_terminal),
		cmocka_unit_test(test_keys_of_a_terminal),
		cmocka_unit_test(test_what_a_terminal_does_not_have),
		cmocka_unit_test(test_breaks_have_their_place),
		cmocka_unit_test(test_text_is_itself_on_a_terminal),
		cmocka_unit_test(test_a_terminal_has_a_bound),
		cmocka_unit_test(test_chords),
		cmocka_unit_test(test_what_a_keyboard_does_not_have),
		cmocka_unit_test(test_text_on_a_keyboard),
		cmocka_unit_test(test_all_of_ascii_on_a_keyboard),
		cmocka_unit_test(test_a_keyboard_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
