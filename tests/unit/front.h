// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of the front share: listener and HTTP server on a real loop and a real socket, before an API that is
 * made here. Clients live in the same thread: they are nonblocking sockets, and waiting for something turns the loop.
 * To be included once in a program.
 */
#pragma once

#include "api/api.h"
#include "daemon/http.h"
#include "daemon/listener.h"
#include "util/cleanup.h"
#include "util/list.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MAX (20 * 1000000000ULL)
#define BIG (5 * 1024 * 1024)
#define FRONT_UNSENT (BIG + 64 * 1024)

/* The fakes find it from their `struct api`. */
struct front {
	uv_loop_t loop;
	uv_timer_t tick; /* so that a turn of the loop ends */
	struct limits limits;
	struct clients clients;
	struct api api;
	struct http *http;
	struct listener *listener;
	char directory[32], path[64];

	unsigned int handled, upgrades_offered, cancelled;
	int upgraded_fd;
	struct response *deferred; /* the last one */
	char deferred_text[256];

	struct response *streamed; /* the last one */
	const char *stream_text;   /* what it has to say now; without an end if it is NULL */
	ssize_t stream_end;        /* and then: -EAGAIN, or how it ends */
	size_t stream_read;        /* bytes, of all */
	unsigned int stream_finished;
};

struct client {
	struct front *front;
	int fd;
	char *bytes;
	size_t length, capacity;
	bool ended;
};

/* ---- the API ---- */

void response_finish(struct response *response)
{
	size_t i;

	free(response->body);
	if (response->stream)
		response->stream->finished(response);
	for (i = 0; i < response->header_count; i++)
		free(response->headers[i].value);
}

static inline void answer(struct response *response, const char *text)
{
	response->status = 200;
	response->body = strdup(text);
	response->length = strlen(text);
	response->headers[0].name = "Content-Type";
	response->headers[0].value = strdup("application/json");
	response->header_count = 1;
}

static inline void on_cancelled(struct response *response)
{
	struct front *front = response->context;

	front->cancelled++;
	if (front->deferred == response)
		front->deferred = NULL;
}

static inline void complete_deferred(struct front *front)
{
	struct response *response = front->deferred;

	front->deferred = NULL;
	answer(response, front->deferred_text);
	response->complete(response);
}

static inline ssize_t stream_read(struct response *response, char *data, size_t size)
{
	struct front *front = response->context;

	if (front->stream_text) {
		size = strnlen(front->stream_text, size);
		memcpy(data, front->stream_text, size);
		front->stream_text += size;
	} else {
		memset(data, 's', size);
	}
	front->stream_read += size;
	return size ? (ssize_t)size : front->stream_end;
}

static inline void stream_finished(struct response *response)
{
	struct front *front = response->context;

	front->stream_finished++;
	if (front->streamed == response)
		front->streamed = NULL;
}

/* "/stream": of unknown length; "/stream/known": BIG bytes; "/stream/held": as much is held for it. */
static inline void answer_stream(struct front *front, const char *path, struct response *response)
{
	static const struct response_stream stream = {stream_read, stream_finished};

	response->status = 200;
	response->length = strcmp(path, "/stream/known") == 0 ? BIG : RESPONSE_LENGTH_UNKNOWN;
	response->held = strcmp(path, "/stream/held") == 0 ? BIG : 0;
	response->stream = &stream;
	response->context = front;
	front->streamed = response;
}

/* Says what was asked: "GET /path a=b 3 me", the body's length and whether the identity is ours. */
static inline void describe(const struct request *request, char text[static 256])
{
	const char *test = request->header(request, "x-test");

	snprintf(text, 256, "%s %s %s %zu %s%s", request->method, request->path,
		 request->query_count ? request->query[0].value : "-", request->body_length,
		 request->identity.uid == getuid() && request->identity.pid == getpid() ? "me" : "somebody",
		 test ? test : "");
}

void api_handle(struct api *api, struct request *request, struct response *response)
{
	struct front *front = container_of(api, struct front, api);
	char text[256];

	front->handled++;
	describe(request, text);
	if (strcmp(request->path, "/big") == 0) {
		response->status = 200;
		response->length = BIG;
		response->body = memset(malloc(BIG), 'b', BIG);
		return;
	}
	if (strcmp(request->path, "/defer") == 0) {
		response->deferred = true;
		response->cancelled = on_cancelled;
		response->context = front;
		front->deferred = response;
		strcpy(front->deferred_text, text);
		return;
	}
	if (strncmp(request->path, "/stream", strlen("/stream")) == 0) {
		answer_stream(front, request->path, response);
		return;
	}
	if (strcmp(request->path, "/complete") == 0)
		complete_deferred(front);
	answer(response, text);
}

bool api_upgrade(struct api *api, struct request *request, int fd)
{
	struct front *front = container_of(api, struct front, api);

	front->upgrades_offered++;
	if (strcmp(request->path, "/socket") != 0 || strcmp(request->method, "GET") != 0 ||
	    request->identity.uid != getuid() || !request_query(request, "secret"))
		return false;
	front->upgraded_fd = fd;
	return true;
}

/* ---- the front ---- */

static inline void on_tick(uv_timer_t *timer)
{
}

/* The limits are the defaults but for those that are not 0. */
static inline struct front *front_create(const struct limits *limits)
{
	struct front *front = calloc(1, sizeof(*front));
	struct listener_config config = {front->path, NULL, &front->clients};
	struct error error = {0};

	limits_init(&front->limits);
	for (size_t i = 0; i < sizeof(*limits) / sizeof(uint64_t); i++)
		if (((const uint64_t *)limits)[i])
			((uint64_t *)&front->limits)[i] = ((const uint64_t *)limits)[i];
	clients_init(&front->clients, &front->limits);

	front->upgraded_fd = -1;
	strcpy(front->directory, "/tmp/test-http-XXXXXX");
	assert_non_null(mkdtemp(front->directory));
	snprintf(front->path, sizeof(front->path), "%s/s", front->directory);
	uv_loop_init(&front->loop);
	uv_timer_init(&front->loop, &front->tick);
	uv_timer_start(&front->tick, on_tick, 1, 1);
	assert_int_equal(http_create(&front->http, &front->loop, &front->api, &front->clients), 0);
	assert_int_equal(listener_create(&front->listener, &front->loop, &front->api, front->http, &config, &error), 0);
	return front;
}

static inline struct front *front_create_default(void)
{
	return front_create(&(struct limits){.answers_size = FRONT_UNSENT, .incomplete_heads = 100});
}

static inline void front_destroy(struct front *front)
{
	listener_destroy(front->listener);
	http_destroy(front->http);
	uv_close((uv_handle_t *)&front->tick, NULL);
	uv_run(&front->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&front->loop), 0);
	assert_int_equal(front->clients.count, 0);
	clients_finish(&front->clients);
	close_fd(&front->upgraded_fd);
	assert_int_equal(access(front->path, F_OK), -1);
	assert_int_equal(rmdir(front->directory), 0);
	free(front);
}

#define WAIT(front, condition)                                         \
	do {                                                           \
		uint64_t end_ = uv_hrtime() + WAIT_MAX;                \
		while (!(condition)) {                                 \
			uv_run(&(front)->loop, UV_RUN_ONCE);           \
			if (uv_hrtime() > end_)                        \
				fail_msg("no %s in time", #condition); \
		}                                                      \
	} while (0)

/* ---- clients ---- */

static inline void client_open(struct client *client, struct front *front)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*client = (struct client){.front = front};
	strcpy(address.sun_path, front->path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

static inline void client_close(struct client *client)
{
	close_fd(&client->fd);
	free(client->bytes);
	client->bytes = NULL;
}

/* Sends as much as goes at once. */
static inline size_t client_push(struct client *client, const char *bytes, size_t length)
{
	ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL);

	return sent < 0 ? 0 : (size_t)sent;
}

static inline void client_send(struct client *client, const char *text)
{
	size_t length = strlen(text), sent = 0;

	WAIT(client->front, (sent += client_push(client, text + sent, length - sent)) == length);
}

static inline void client_read(struct client *client)
{
	char bytes[65536];
	ssize_t length = 1;

	while (!client->ended && length > 0) {
		length = recv(client->fd, bytes, sizeof(bytes), 0);
		/* Closed with bytes of ours unread is closed as well. */
		if (length == 0 || (length < 0 && errno == ECONNRESET))
			client->ended = true;
		if (length <= 0)
			return;
		if (client->length + (size_t)length + 1 > client->capacity) {
			client->capacity = 2 * (client->length + (size_t)length + 1);
			client->bytes = realloc(client->bytes, client->capacity);
		}
		memcpy(client->bytes + client->length, bytes, (size_t)length);
		client->length += (size_t)length;
		client->bytes[client->length] = '\0';
	}
}

/* The length of the first whole response that has arrived, and where its body is; 0: there is none yet. */
static inline size_t client_response(struct client *client, const char **body, bool without_body)
{
	const char *end, *field;
	size_t length = 0;

	client_read(client);
	end = client->length ? strstr(client->bytes, "\r\n\r\n") : NULL;
	if (!end)
		return 0;
	field = strcasestr(client->bytes, "\r\nContent-Length: ");
	if (field && field < end && !without_body)
		length = strtoul(field + strlen("\r\nContent-Length: "), NULL, 10);
	*body = end + 4;
	length += (size_t)(*body - client->bytes);
	return client->length >= length ? length : 0;
}

/* Waits for a response with this status and, unless NULL, this body, and takes it off. */
static inline void expect_response(struct client *client, int status, const char *text, bool without_body)
{
	const char *body = NULL;
	size_t length;
	int got;

	WAIT(client->front, (length = client_response(client, &body, without_body)) > 0 || client->ended);
	if (!length)
		fail_msg("closed without a response, expected %d %s", status, text ? text : "");
	assert_int_equal(sscanf(client->bytes, "HTTP/1.1 %d ", &got), 1);
	assert_int_equal(got, status);
	if (text) {
		assert_int_equal(length - (size_t)(body - client->bytes), strlen(text));
		assert_memory_equal(body, text, strlen(text));
	}
	client->length -= length;
	memmove(client->bytes, client->bytes + length, client->length + 1);
}

static inline void expect(struct client *client, int status, const char *text)
{
	expect_response(client, status, text, false);
}

static inline void expect_end(struct client *client)
{
	WAIT(client->front, (client_read(client), client->ended));
	assert_int_equal(client->length, 0);
}

/* One request on a connection of its own, which the server must close if told so. */
static inline void ask(struct front *front, const char *request, int status, const char *text, bool closes)
{
	struct client client;

	client_open(&client, front);
	client_send(&client, request);
	expect(&client, status, text);
	if (closes) {
		expect_end(&client);
	} else {
		client_send(&client, "GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
		expect(&client, 200, "GET /again - 0 me");
	}
	client_close(&client);
}
