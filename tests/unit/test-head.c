// SPDX-License-Identifier: Apache-2.0
#include "daemon/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUEST "GET /1.0/events?type=a HTTP/1.1\r\n"
#define HOST "Host: unix.socket\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: ZWf9PLphegmXDKhj4WCWZg==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define HANDSHAKE REQUEST HOST UPGRADE CONNECTION KEY VERSION

static enum head_verdict judge(const char *text)
{
	struct head head;

	return head_parse(text, strlen(text), &head);
}

static void test_handshake(void **state)
{
	static const char text[] = HANDSHAKE "\r\n\x81\x80";
	struct head head;

	assert_int_equal(head_parse(text, sizeof(text) - 1, &head), HEAD_UPGRADE);
	assert_int_equal(head.target_length, strlen("/1.0/events?type=a"));
	assert_memory_equal(head.target, "/1.0/events?type=a", head.target_length);
}

/* As Firefox, gorilla and ws4py write them. */
static void test_variants(void **state)
{
	static const char *const texts[] = {
		REQUEST HOST "upgrade: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n" KEY VERSION "\r\n",
		REQUEST HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 0\r\n\r\n",
		REQUEST "Host:\r\nConnection:keep-alive\r\nConnection: \t upgrade \r\n" UPGRADE KEY VERSION "\r\n",
		REQUEST HOST "Upgrade: h2c , websocket\r\nConnection: ,,upgrade\r\n" VERSION KEY "\r\n",
		"GET http://unix.socket/x HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION "Origin: a\xc3\xa4\r\n\r\n",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(judge(texts[i]), HEAD_UPGRADE);
}

static void test_plain(void **state)
{
	static const char *const texts[] = {
		REQUEST HOST "\r\n",
		"POST /x HTTP/1.1\r\n",
		"get /x HTTP/1.1\r\n",
		"GET /x HTTP/1.0\r\n",
		"GET /x HTTP/1.1 \r\n",
		"GET  HTTP/1.1\r\n",
		"GET /x y HTTP/1.1\r\n",
		"GET /x\x01 HTTP/1.1\r\n",
		"GET /x HTTP/1.1\n",
		"\r\n",
		"\n",
		REQUEST UPGRADE CONNECTION KEY VERSION "\r\n",
		REQUEST HOST CONNECTION KEY VERSION "\r\n",
		REQUEST HOST UPGRADE KEY VERSION "\r\n",
		REQUEST HOST UPGRADE CONNECTION VERSION "\r\n",
		REQUEST HOST UPGRADE CONNECTION KEY "\r\n",
		REQUEST HOST "Upgrade: h2c\r\n" CONNECTION KEY VERSION "\r\n",
		REQUEST HOST UPGRADE "Connection: upgrades\r\n" KEY VERSION "\r\n",
		REQUEST HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n",
		REQUEST "Sec-WebSocket-Key: \r\n",
		REQUEST "Sec-WebSocket-Key: ZWf9PLphegmXDKhj4WCWZg=\r\n",
		REQUEST "Sec-WebSocket-Key: ZWf9PLphegmXDKhj4WCWZgAA\r\n",
		REQUEST "Sec-WebSocket-Key: ZWf9PLphegmX*Khj4WCWZg==\r\n",
		REQUEST KEY KEY,
		REQUEST HOST HOST,
		REQUEST "Content-Length: 3\r\n",
		REQUEST "Transfer-Encoding: chunked\r\n",
		REQUEST "no colon\r\n",
		REQUEST "Space : x\r\n",
		REQUEST ": x\r\n",
		REQUEST " folded\r\n",
		REQUEST "X: bare lf\n",
		REQUEST "X: a\rb\r\n",
		HANDSHAKE "\n",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (judge(texts[i]) != HEAD_PLAIN)
			fail_msg("%s: %d", texts[i], judge(texts[i]));
}

static void test_garbage(void **state)
{
	assert_int_equal(judge("hello\r\n"), HEAD_GARBAGE);
	assert_int_equal(judge("hello\n"), HEAD_GARBAGE);
	assert_int_equal(judge("\x16\x03\x01\n"), HEAD_GARBAGE);
}

static void test_nul_is_no_end(void **state)
{
	static const char in_target[] = "GET /x\0y HTTP/1.1\r\n", in_name[] = REQUEST "Ho\0st: x\r\n";
	struct head head;

	assert_int_equal(head_parse(in_target, sizeof(in_target) - 1, &head), HEAD_PLAIN);
	assert_int_equal(head_parse(in_name, sizeof(in_name) - 1, &head), HEAD_PLAIN);
}

static void test_every_prefix_is_incomplete(void **state)
{
	static const char text[] = HANDSHAKE "\r\n";
	struct head head;
	size_t length;

	for (length = 0; length < sizeof(text) - 1; length++) {
		/* A copy of its own, so that reading behind its end is noticed. */
		char *bytes = malloc(length + !length);

		memcpy(bytes, text, length);
		assert_int_equal(head_parse(bytes, length, &head), HEAD_INCOMPLETE);
		free(bytes);
	}
	assert_int_equal(head_parse(text, length, &head), HEAD_UPGRADE);
}

/* A handshake that ends exactly at the limit, and one byte behind it. */
static void test_limit(void **state)
{
	char text[HEAD_MAX + 64];
	struct head head;
	int extra;

	for (extra = 0; extra < 2; extra++) {
		size_t padding = HEAD_MAX - strlen(HANDSHAKE "X: \r\n\r\n") + (size_t)extra;
		int length = snprintf(text, sizeof(text), HANDSHAKE "X: %0*d\r\n\r\n", (int)padding, 0);

		assert_int_equal(length, HEAD_MAX + extra);
		assert_int_equal(head_parse(text, (size_t)length, &head), extra ? HEAD_PLAIN : HEAD_UPGRADE);
		assert_int_equal(head_parse(text, HEAD_MAX - 1, &head), HEAD_INCOMPLETE);
	}
	memset(text, 'a', sizeof(text));
	assert_int_equal(head_parse(text, HEAD_MAX - 1, &head), HEAD_INCOMPLETE);
	assert_int_equal(head_parse(text, HEAD_MAX, &head), HEAD_PLAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),     cmocka_unit_test(test_variants),
		cmocka_unit_test(test_plain),         cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_nul_is_no_end), cmocka_unit_test(test_every_prefix_is_incomplete),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
