// SPDX-License-Identifier: Apache-2.0
/* Which channel a SPICE client opens, told from the first bytes that real clients (spice-gtk 0.42) sent to a QEMU. */
#include "spice/link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

/* {magic, major, minor, size}, {connection_id, channel_type, channel_id}; what the server had given as the id. */
#define HEADER "REDQ\x02\0\0\0\x02\0\0\0\x1a\0\0\0"
#define HEADER_OF_FEW "REDQ\x02\0\0\0\x02\0\0\0\x16\0\0\0" /* with fewer capabilities behind it */
static const char recorded_main[] = HEADER "\0\0\0\0\x01\0";
static const char recorded_display[] = HEADER "\x3f\x33\x4d\x4c\x02\0";
static const char recorded_inputs[] = HEADER_OF_FEW "\x49\xd7\x19\x73\x03\0";
static const char recorded_cursor[] = HEADER_OF_FEW "\x49\xd7\x19\x73\x04\0";

static const struct {
	const char *bytes;
	int type;
} recorded[] = {
	{recorded_main, SPICE_CHANNEL_TYPE_MAIN},
	{recorded_display, SPICE_CHANNEL_TYPE_DISPLAY},
	{recorded_inputs, SPICE_CHANNEL_TYPE_INPUTS},
	{recorded_cursor, SPICE_CHANNEL_TYPE_CURSOR},
};
_Static_assert(sizeof(recorded_main) == SPICE_LINK_SIZE + 1, "a link message and the string's end");

#define RECORDED (sizeof(recorded) / sizeof(*recorded))

/* All of it, with the capabilities right behind. */
static void test_whole(void **state)
{
	for (size_t i = 0; i < RECORDED; i++) {
		struct spice_link link = {0};
		unsigned char message[64] = {0};

		memcpy(message, recorded[i].bytes, SPICE_LINK_SIZE);
		assert_int_equal(spice_link_feed(&link, message, sizeof(message)), recorded[i].type);
	}
}

static void test_bytes(void **state)
{
	for (size_t i = 0; i < RECORDED; i++) {
		struct spice_link link = {0};

		for (size_t k = 0; k < SPICE_LINK_SIZE - 1; k++)
			assert_int_equal(spice_link_feed(&link, recorded[i].bytes + k, 1), -EAGAIN);
		assert_int_equal(spice_link_feed(&link, "", 0), -EAGAIN);
		assert_int_equal(spice_link_feed(&link, recorded[i].bytes + SPICE_LINK_SIZE - 1, 1), recorded[i].type);
	}
}

static void test_two_pieces(void **state)
{
	for (size_t cut = 0; cut < SPICE_LINK_SIZE; cut++) {
		struct spice_link link = {0};

		assert_int_equal(spice_link_feed(&link, recorded_main, cut), -EAGAIN);
		assert_int_equal(spice_link_feed(&link, recorded_main + cut, SPICE_LINK_SIZE - cut),
				 SPICE_CHANNEL_TYPE_MAIN);
		/* It has been said; what follows is something else. */
		assert_int_equal(spice_link_feed(&link, recorded_display, SPICE_LINK_SIZE), SPICE_CHANNEL_TYPE_MAIN);
	}
}

/* Another magic is found out at its first wrong byte. */
static void test_magic(void **state)
{
	for (size_t wrong = 0; wrong < 4; wrong++) {
		struct spice_link link = {0};
		char message[SPICE_LINK_SIZE];

		memcpy(message, recorded_main, sizeof(message));
		message[wrong] ^= 0x20;
		assert_int_equal(spice_link_feed(&link, message, wrong), -EAGAIN);
		assert_int_equal(spice_link_feed(&link, message + wrong, 1), -EBADMSG);
		assert_int_equal(spice_link_feed(&link, message + wrong + 1, SPICE_LINK_SIZE - wrong - 1), -EBADMSG);
		assert_int_equal(spice_link_feed(&link, recorded_main, SPICE_LINK_SIZE), -EBADMSG);
	}
}

/* What spice-server refuses, too: its reds_handle_read_header_done(), and type 0. */
static void test_fields(void **state)
{
	static const struct {
		size_t offset, size;
		uint32_t value;
		int result;
	} changes[] = {
		{4, 4, 1, -EBADMSG}, /* major version */
		{4, 4, 3, -EBADMSG},
		{4, 4, 0x02000002, -EBADMSG},
		{8, 4, 99, 1},        /* minor version */
		{12, 4, 0, -EBADMSG}, /* size of what follows the header */
		{12, 4, 17, -EBADMSG},
		{12, 4, 18, 1},
		{12, 4, 4096, 1},
		{12, 4, 4097, -EBADMSG},
		{12, 4, UINT32_MAX, -EBADMSG},
		{16, 4, UINT32_MAX, 1}, /* connection id */
		{20, 1, 0, -EBADMSG},   /* type */
		{20, 1, 255, 255},      /* one that we have no name for */
		{21, 1, 255, 1},        /* id */
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct spice_link link = {0};
		unsigned char message[SPICE_LINK_SIZE];

		memcpy(message, recorded_main, sizeof(message));
		for (size_t k = 0; k < changes[i].size; k++)
			message[changes[i].offset + k] = (unsigned char)(changes[i].value >> 8 * k);
		assert_int_equal(spice_link_feed(&link, message, SPICE_LINK_SIZE - 1), -EAGAIN);
		assert_int_equal(spice_link_feed(&link, message + SPICE_LINK_SIZE - 1, 1), changes[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_bytes),  cmocka_unit_test(test_two_pieces),
		cmocka_unit_test(test_magic), cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
