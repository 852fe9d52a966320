// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/front.h"

/* ---- requests ---- */

static void test_requests(void **state)
{
	struct front *front = front_create_default();

	ask(front, "GET /1.0?a=b HTTP/1.1\r\nHost: x\r\nX-Test: !\r\n\r\n", 200, "GET /1.0 b 0 me!", false);
	ask(front, "GET /1.0? HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "GET /1.0 - 0 me", true);
	ask(front, "GET /1.0 HTTP/1.0\r\n\r\n", 200, "GET /1.0 - 0 me", true);
	ask(front, "GET /1.0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "GET /1.0 - 0 me", false);
	ask(front, "GET http://x/1.0/%41%2f?a=%42 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0/%41%2f B 0 me", false);
	ask(front, "GET /1.0 HTTP/1.1\nHost: x\n\n", 200, "GET /1.0 - 0 me", false);
	ask(front, "\r\nGET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0 - 0 me", false);
	ask(front, "FOO //x HTTP/1.1\r\nHost: x\r\n\r\n", 200, "FOO //x - 0 me", false);
	ask(front, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "OPTIONS / - 0 me", false);
	ask(front, "GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\"\"\n", 200, "GET /x - 3 me", false);
	ask(front, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, "PUT /x - 0 me", false);
	ask(front,
	    "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00C;x=y\r\n little beer\r\n"
	    "0\r\nTrailer: x\r\n\r\n",
	    200, "PUT /x - 17 me", false);
	front_destroy(front);
}

static void test_head_method(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	client_open(&client, front);
	client_send(&client, "HEAD /1.0 HTTP/1.1\r\nHost: x\r\n\r\nGET /2.0 HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_response(&client, 200, "", true);
	expect(&client, 200, "GET /2.0 - 0 me");
	client_close(&client);
	front_destroy(front);
}

static void test_expect_continue(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	client_open(&client, front);
	client_send(&client, "PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	expect(&client, 100, "");
	client_send(&client, "hello");
	expect(&client, 200, "PUT /x - 5 me");
	client_close(&client);
	front_destroy(front);
}

static void test_refusals(void **state)
{
	static const char missing_host[] = "400 Bad Request: missing required Host header";
	struct front *front = front_create_default();

	ask(front, "hello\r\n\r\n", 400, "400 Bad Request", true);
	ask(front, "GET /1.0 HTTP/1.1\r\n\r\n", 400, missing_host, true);
	ask(front, "GET /?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "400 Bad Request", true);
	ask(front, "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "400 Bad Request", true);
	ask(front, "GET 1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "400 Bad Request", true);
	ask(front, "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, NULL, true);
	assert_int_equal(front->handled, 0);
	front_destroy(front);
}

/* Fields take more memory than their bytes. */
static void test_large_heads(void **state)
{
	static const int sizes[] = {1000, 8000, 9000, 16384, 30000, 34000, 60000};
	struct front *front = front_create_default();
	char request[64 * 1024];
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(request, sizeof(request), "GET /1.0 HTTP/1.1\r\nHost: x\r\nX: %0*d\r\n\r\n", sizes[i], 0);
		ask(front, request, sizes[i] <= 30000 ? 200 : 431, NULL, sizes[i] > 30000);
	}
	for (i = 0; i <= 1000; i += 200) {
		char *end = stpcpy(request, "PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n");
		size_t field;

		for (field = 0; field < i; field++)
			end = stpcpy(end, "X:y\r\n");
		strcpy(end, "\r\nhello");
		ask(front, request, i <= 400 ? 200 : 431, NULL, i > 400);
	}
	front_destroy(front);
}

/* libmicrohttpd has no memory for so many, and no answer either, nor for few behind a target that is nearly as large.
 */
static void test_many_parameters(void **state)
{
	struct front *front = front_create_default();
	char request[64 * 1024];

	for (int count = 1; count <= 10000; count *= 10) {
		char *end = stpcpy(request, "GET /1.0?");

		for (int i = 0; i < count; i++)
			end = stpcpy(end, "a&");
		strcpy(end, " HTTP/1.1\r\nHost: x\r\n\r\n");
		ask(front, request, count <= 10 ? 200 : 400, NULL, count > 10);
	}
	for (size_t length = 29000; length <= 32000; length += 500) {
		char *end = stpcpy(request, "GET /1.0?");

		for (int i = 0; i < 30; i++)
			end = stpcpy(end, "a&");
		memset(end, 'x', length);
		strcpy(end + length, " HTTP/1.1\r\nHost: x\r\n\r\n");
		ask(front, request, length <= 30500 ? 200 : 431, NULL, length > 30500);
	}
	front_destroy(front);
}

static void test_dribble(void **state)
{
	static const char request[] = "PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
				      "GET /2.0 HTTP/1.1\r\nHost: x\r\n\r\n";
	struct front *front = front_create_default();
	struct client client;
	size_t i;

	client_open(&client, front);
	for (i = 0; request[i]; i++) {
		assert_int_equal(client_push(&client, request + i, 1), 1);
		uv_run(&front->loop, UV_RUN_ONCE);
	}
	expect(&client, 200, "PUT /1.0 - 5 me");
	expect(&client, 200, "GET /2.0 - 0 me");
	client_close(&client);
	front_destroy(front);
}

static void test_keep_alive(void **state)
{
	struct front *front = front_create_default();
	struct client client;
	int i;

	client_open(&client, front);
	for (i = 0; i < 200; i++) {
		client_send(&client, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n");
		expect(&client, 200, "GET /1.0 - 0 me");
	}
	for (i = 0; i < 200; i++)
		client_send(&client, "PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
	for (i = 0; i < 200; i++)
		expect(&client, 200, "PUT /1.0 - 5 me");
	client_close(&client);
	assert_int_equal(front->handled, 400);
	front_destroy(front);
}

/* ---- bodies ---- */

/* Sends until all is sent or the server has closed. */
static void send_body(struct client *client, size_t length, size_t chunk)
{
	char *bytes = malloc(chunk + 64);
	size_t sent = 0;

	while (sent < length && !client->ended) {
		size_t piece = length - sent < chunk ? length - sent : chunk, done = 0;
		int head = snprintf(bytes, 64, "%zx\r\n", piece);

		memset(bytes + head, 'x', piece);
		memcpy(bytes + head + piece, "\r\n", 2);
		piece += (size_t)head + 2;
		WAIT(client->front, (client_read(client), client->ended) ||
					    (done += client_push(client, bytes + done, piece - done)) == piece);
		sent += chunk;
	}
	free(bytes);
	if (!client->ended)
		client_send(client, "0\r\n\r\n");
}

static void test_large_bodies(void **state)
{
	static const char chunked[] = "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char too_large[] =
		"{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\","
		"\"error_code\":413,\"error\":\"Request body is too large (limits.body_size)\",\"metadata\":null}"
		"\n\n";
	struct front *front = front_create_default();
	struct client client;

	ask(front, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n", 413, too_large, true);
	ask(front, "PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", 413,
	    too_large, true);
	client_open(&client, front);
	client_send(&client, chunked);
	send_body(&client, 64 * 1024 * 1024, 50000);
	assert_true(client.ended);
	expect(&client, 413, too_large);
	client_close(&client);
	assert_int_equal(front->handled, 0);

	client_open(&client, front);
	client_send(&client, chunked);
	send_body(&client, front->limits.body_size, 65536);
	expect(&client, 200, "PUT /x - 1048576 me");
	client_close(&client);
	front_destroy(front);
}

static void test_large_answer_to_slow_reader(void **state)
{
	struct front *front = front_create_default();
	struct client client, other;

	client_open(&client, front);
	client_send(&client, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	WAIT(front, front->handled == 1);
	client_open(&other, front);
	client_send(&other, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&other, 200, "GET /other - 0 me");
	expect(&client, 200, NULL);
	client_send(&client, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&client, 200, "GET /other - 0 me");
	client_close(&client);
	client_close(&other);
	front_destroy(front);
}

/* Clients that do not read their answers cannot make the server hold more than it may. */
static void test_unsent_limit(void **state)
{
	struct front *front = front_create_default();
	struct client lazy, next;

	client_open(&lazy, front);
	client_send(&lazy, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	WAIT(front, front->handled == 1);
	client_open(&next, front);
	client_send(&next, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 503, NULL);
	client_send(&next, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 200, "GET /other - 0 me");
	expect(&lazy, 200, NULL);
	client_send(&next, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 200, NULL);
	client_close(&lazy);
	client_close(&next);
	front_destroy(front);
}

/* However much is unsent, small answers go out. */
static void test_unsent_small(void **state)
{
	struct front *front = front_create(&(struct limits){.answers_size = BIG});
	struct client lazy, next;

	client_open(&lazy, front);
	client_send(&lazy, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	WAIT(front, front->handled == 1);
	client_open(&next, front);
	client_send(&next, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 200, "GET /other - 0 me");
	client_close(&lazy);
	client_close(&next);
	front_destroy(front);
}

/* Clients that send large bodies and do not end them cannot make the server hold more than it may. */
static void test_received_limit(void **state)
{
	enum { CLIENTS = 40, PIECE = 1000 * 1000 };
	struct front *front = front_create_default();
	struct client clients[CLIENTS];
	cleanup_free char *piece = malloc(PIECE + 1);
	unsigned int ended = 0;

	memset(piece, 'x', PIECE);
	piece[PIECE] = '\0';
	for (int i = 0; i < CLIENTS; i++) {
		size_t sent = 0;

		client_open(&clients[i], front);
		client_send(&clients[i], "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n");
		WAIT(front, (sent += client_push(&clients[i], piece + sent, PIECE - sent), client_read(&clients[i]),
			     sent == PIECE || clients[i].ended));
		ended += clients[i].ended;
		if (clients[i].ended && clients[i].length)
			assert_non_null(strstr(clients[i].bytes, "HTTP/1.1 503 "));
	}
	assert_in_range(ended, 4, 10); /* 32 MiB hold 33 */
	ask(front, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200, "PUT /x - 5 me", false);
	client_send(&clients[0], "x");
	expect(&clients[0], 200, "PUT /x - 1000001 me");
	for (int i = 0; i < CLIENTS; i++)
		client_close(&clients[i]);
	front_destroy(front);
}

/* ---- deferred responses ---- */

static void test_deferred(void **state)
{
	struct front *front = front_create_default();
	struct client client, other;
	int i;

	client_open(&client, front);
	client_open(&other, front);
	for (i = 0; i < 3; i++) {
		client_send(&client, "PUT /defer HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
				     "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
		WAIT(front, front->deferred);
		client_send(&other, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
		expect(&other, 200, "GET /other - 0 me");
		client_read(&client);
		assert_int_equal(client.length, 0);
		complete_deferred(front);
		expect(&client, 200, "PUT /defer - 5 me");
		expect(&client, 200, "GET /next - 0 me");
	}
	/* From within another request's handler. */
	client_send(&client, "GET /defer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	WAIT(front, front->deferred);
	client_send(&other, "DELETE /complete HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&other, 200, "DELETE /complete - 0 me");
	expect(&client, 200, "GET /defer - 0 me");
	expect_end(&client);
	client_close(&client);
	client_close(&other);
	assert_int_equal(front->cancelled, 0);
	front_destroy(front);
}

static void test_client_leaves_deferred(void **state)
{
	struct front *front = front_create_default();
	struct client client;
	int i;

	for (i = 0; i < 4; i++) {
		client_open(&client, front);
		client_send(&client, "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
		if (i & 1)
			client_send(&client, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
		WAIT(front, front->deferred);
		if (i & 2) {
			shutdown(client.fd, SHUT_WR);
			expect_end(&client);
		}
		client_close(&client);
		WAIT(front, front->cancelled == (unsigned int)i + 1);
	}
	assert_int_equal(front->handled, 4);
	front_destroy(front);
}

/* Completed, and gone before the answer could be written. */
static void test_client_leaves_completed(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	client_open(&client, front);
	client_send(&client, "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
	WAIT(front, front->deferred);
	client_close(&client);
	complete_deferred(front);
	ask(front, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0 - 0 me", false);
	assert_int_equal(front->cancelled, 0);
	front_destroy(front);
}

/* Go's server, and so LXD, carries out what was sent whole. */
static void test_client_leaves_at_once(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	client_open(&client, front);
	client_send(&client, "PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
	client_close(&client);
	WAIT(front, front->handled == 1);
	front_destroy(front);
}

static void test_destroy_with_work(void **state)
{
	static const char *const requests[] = {"GET /defer HTTP/1.1\r\nHost: x\r\n\r\n",
					       "GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
					       "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello",
					       "GET /half HT",
					       "PUT /half HT",
					       "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n",
					       "GET /done HTTP/1.1\r\nHost: x\r\n\r\n",
					       ""};
	struct front *front = front_create_default();
	struct client clients[8], late;
	size_t i;

	for (i = 0; i < 8; i++) {
		client_open(&clients[i], front);
		client_send(&clients[i], requests[i]);
	}
	WAIT(front, front->handled == 4);
	complete_deferred(front);
	client_open(&late, front);
	client_send(&late, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
	client_send(&clients[6], "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
	front_destroy(front);
	for (i = 0; i < 8; i++)
		client_close(&clients[i]);
	client_close(&late);
}

/* ---- streamed bodies ---- */

/* Asks for a stream and waits until it is read; from then on it says `text`, then `end`. */
static void open_stream(struct client *client, struct front *front, const char *request, const char *text, ssize_t end)
{
	unsigned int handled = front->handled;

	front->stream_text = text;
	front->stream_end = end;
	client_open(client, front);
	client_send(client, request);
	WAIT(front, front->handled == handled + 1);
}

static void say(struct front *front, const char *text, ssize_t end)
{
	front->stream_text = text;
	front->stream_end = end;
	front->streamed->more(front->streamed);
}

/* Waits for bytes that end in `text`, and takes them off. */
static void expect_bytes(struct client *client, const char *text)
{
	size_t length = strlen(text);

	WAIT(client->front, (client_read(client), client->length >= length) || client->ended);
	if (client->length < length || memcmp(client->bytes + client->length - length, text, length) != 0)
		fail_msg("got \"%s\", expected \"%s\"", client->bytes, text);
	client->length = 0;
}

static void test_stream(void **state)
{
	struct front *front = front_create_default();
	struct client client, other;

	open_stream(&client, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "", -EAGAIN);
	WAIT(front, (client_read(&client), client.length && strstr(client.bytes, "\r\n\r\n")));
	assert_non_null(strcasestr(client.bytes, "\r\nTransfer-Encoding: chunked\r\n"));
	assert_non_null(strcasestr(client.bytes, "\r\nConnection: close\r\n"));
	client.length = 0;
	say(front, "hello", -EAGAIN);
	expect_bytes(&client, "5\r\nhello\r\n");
	client_open(&other, front);
	client_send(&other, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&other, 200, "GET /other - 0 me");
	say(front, "", -EAGAIN); /* nothing, after all */
	say(front, "little", -EAGAIN);
	say(front, "beer", -EAGAIN); /* instead: it had not been asked yet */
	expect_bytes(&client, "4\r\nbeer\r\n");
	assert_int_equal(front->stream_finished, 0);
	say(front, "!", 0);
	expect_bytes(&client, "1\r\n!\r\n0\r\n\r\n");
	expect_end(&client);
	assert_int_equal(front->stream_finished, 1);
	client_close(&client);
	client_close(&other);
	front_destroy(front);
}

static void test_stream_to_old_client(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	open_stream(&client, front, "GET /stream HTTP/1.0\r\n\r\n", "hello", -EAGAIN);
	expect_bytes(&client, "\r\n\r\nhello");
	say(front, "!", 0);
	expect_bytes(&client, "!");
	expect_end(&client);
	client_close(&client);
	front_destroy(front);
}

static void test_stream_of_known_length(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	open_stream(&client, front, "GET /stream/known HTTP/1.1\r\nHost: x\r\n\r\n", NULL, 0);
	expect(&client, 200, NULL);
	client_send(&client, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&client, 200, "GET /other - 0 me");
	assert_int_equal(front->stream_read, BIG);
	assert_int_equal(front->stream_finished, 1);
	client_close(&client);
	front_destroy(front);
}

/* The client can tell that this was not all. */
static void test_stream_that_fails(void **state)
{
	struct front *front = front_create_default();
	struct client client;

	open_stream(&client, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "hello", -EIO);
	expect_bytes(&client, "5\r\nhello\r\n");
	expect_end(&client);
	assert_int_equal(front->stream_finished, 1);
	client_close(&client);
	front_destroy(front);
}

static void test_client_leaves_stream(void **state)
{
	static const char *const texts[] = {"hello", "hello", NULL}; /* it waits, or has no end */
	struct front *front = front_create_default();
	struct client client;

	for (unsigned int i = 0; i < 3; i++) {
		open_stream(&client, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", texts[i], -EAGAIN);
		WAIT(front, (client_read(&client), client.length > 0));
		if (i == 1) {
			expect_bytes(&client, "5\r\nhello\r\n");
			shutdown(client.fd, SHUT_WR);
			expect_end(&client);
		}
		client_close(&client);
		WAIT(front, front->stream_finished == i + 1);
	}
	front_destroy(front);
}

/* A client that does not read costs no more than what is in its socket, however long that takes. */
static void test_stalled_stream(void **state)
{
	struct front *front = front_create(&(struct limits){.idle_timeout = 1, .answers_size = FRONT_UNSENT});
	struct client stalled, held, half;
	size_t read;

	open_stream(&stalled, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", NULL, 0);
	client_open(&half, front);
	client_send(&half, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
	expect_end(&half);
	read = front->stream_read;
	assert_in_range(read, 1, 1024 * 1024);
	client_close(&half);
	open_stream(&held, front, "GET /stream/held HTTP/1.1\r\nHost: x\r\n\r\n", NULL, 0);
	WAIT(front, front->stream_finished == 1); /* the one that held something */
	WAIT(front, (client_read(&stalled), stalled.length > 2 * 1024 * 1024));
	assert_false(stalled.ended);
	client_close(&stalled);
	client_close(&held);
	front_destroy(front);
}

/* What is held for a stream counts as an answer under way. */
static void test_held_by_stream(void **state)
{
	struct front *front = front_create_default();
	struct client lazy, next;

	open_stream(&lazy, front, "GET /stream/held HTTP/1.1\r\nHost: x\r\n\r\n", "", -EAGAIN);
	client_open(&next, front);
	client_send(&next, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 503, NULL);
	client_send(&next, "GET /stream/held HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 503, NULL);
	assert_int_equal(front->stream_finished, 1);
	client_close(&lazy);
	WAIT(front, front->stream_finished == 2);
	client_send(&next, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(&next, 200, NULL);
	client_close(&next);
	front_destroy(front);
}

static void test_destroy_with_streams(void **state)
{
	struct front *front = front_create_default();
	struct client waiting, told, stalled;

	open_stream(&stalled, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", NULL, 0);
	open_stream(&waiting, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "", -EAGAIN);
	open_stream(&told, front, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "", -EAGAIN);
	WAIT(front, (client_read(&told), told.length > 0));
	say(front, "hello", -EAGAIN);
	client_read(&stalled);
	front_destroy(front);
	client_close(&stalled);
	client_close(&waiting);
	client_close(&told);
}

static void test_request_timeout(void **state)
{
	struct front *front = front_create(&(struct limits){.idle_timeout = 1, .answers_size = FRONT_UNSENT});
	struct client half, waiting;

	client_open(&waiting, front);
	client_send(&waiting, "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
	WAIT(front, front->deferred);
	client_open(&half, front);
	client_send(&half, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
	expect_end(&half);
	complete_deferred(front);
	expect(&waiting, 200, "GET /defer - 0 me");
	client_close(&half);
	client_close(&waiting);
	front_destroy(front);
}

/* The listener passes on what cannot be an upgrade, however little it has seen of the head. */
static void test_head_timeout(void **state)
{
	struct front *front = front_create(&(struct limits){.head_timeout = 1});
	struct client client;

	client_open(&client, front);
	client_send(&client, "PUT /x HTTP/1.1\r\nHost: x\r\nX-Long: 0");
	expect(&client, 408, NULL);
	expect_end(&client);
	client_close(&client);
	front_destroy(front);
}

static void test_connection_limit(void **state)
{
	struct front *front = front_create(&(struct limits){.connections = 2});
	struct client clients[3];
	int i;

	for (i = 0; i < 3; i++) {
		client_open(&clients[i], front);
		client_send(&clients[i], "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n");
		if (i < 2)
			expect(&clients[i], 200, "GET /1.0 - 0 me");
	}
	expect(&clients[2], 503, NULL);
	expect_end(&clients[2]);
	client_close(&clients[0]);
	client_close(&clients[2]);
	/* The place is free once the server has seen the end. */
	for (i = 0; i < 100; i++)
		uv_run(&front->loop, UV_RUN_NOWAIT);
	ask(front, "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /1.0 - 0 me", false);
	client_close(&clients[1]);
	front_destroy(front);
}

/* Those who come in one turn of the loop are counted as they come. */
static void test_connection_limit_at_once(void **state)
{
	struct front *front = front_create(&(struct limits){.connections = 2});
	struct client clients[40];
	unsigned int welcome = 0, refused = 0;
	const char *body;

	for (int i = 0; i < 40; i++) {
		client_open(&clients[i], front);
		assert_true(client_push(&clients[i], "GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n", 31) == 31);
	}
	for (int i = 0; i < 40; i++) {
		WAIT(front, client_response(&clients[i], &body, false));
		welcome += strncmp(clients[i].bytes, "HTTP/1.1 200 ", 13) == 0;
		refused += strncmp(clients[i].bytes, "HTTP/1.1 503 ", 13) == 0;
	}
	assert_int_equal(welcome, 2);
	assert_int_equal(refused, 38);
	for (int i = 0; i < 40; i++)
		client_close(&clients[i]);
	front_destroy(front);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_head_method),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_large_heads),
		cmocka_unit_test(test_many_parameters),
		cmocka_unit_test(test_dribble),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_large_bodies),
		cmocka_unit_test(test_large_answer_to_slow_reader),
		cmocka_unit_test(test_unsent_limit),
		cmocka_unit_test(test_unsent_small),
		cmocka_unit_test(test_received_limit),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_client_leaves_deferred),
		cmocka_unit_test(test_client_leaves_completed),
		cmocka_unit_test(test_client_leaves_at_once),
		cmocka_unit_test(test_destroy_with_work),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_stream_to_old_client),
		cmocka_unit_test(test_stream_of_known_length),
		cmocka_unit_test(test_stream_that_fails),
		cmocka_unit_test(test_client_leaves_stream),
		cmocka_unit_test(test_stalled_stream),
		cmocka_unit_test(test_held_by_stream),
		cmocka_unit_test(test_destroy_with_streams),
		cmocka_unit_test(test_request_timeout),
		cmocka_unit_test(test_head_timeout),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_connection_limit_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
