// SPDX-License-Identifier: Apache-2.0
/*
 * Requests, as the front hands them to the API of a whole daemon: every route, every body, every query. An input is up
 * to four of them with a byte 0x1e between: a line with method and target, lines `Name: value`, an empty one, a body.
 * There is an instance `log` with a log, and no keeper, so that nothing is ever started. Every answer is one of LXD's
 * envelopes or has the length that it says; none has a header that a client could have written; no operation stays.
 */
#include "api/api.h"
#include "daemon/server.h"
#include "instances/instance.h"
#include "operations/operation.h"
#include "pty/consoles.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define REQUESTS_MAX 4
#define HEADERS_MAX 8
#define TURNS_MAX 1000
#define STREAM_MAX (4 << 20)

static const char log_text[] = "first\r\n\x1b[31mred\x1b[m login: \xc3\xa4\xff\r\nlast";

struct exchange {
	struct request request;
	struct response response;
	char *names[HEADERS_MAX], *values[HEADERS_MAX];
	size_t count;
	bool complete;
};

/* --- the daemon --- */

/* A container with this name that others have defined is none of ours. */
static void hide_others(const struct options *options)
{
	json_auto_t *config = json_pack("{s:s}", "lxc.lxcpath", "/dev/shm/none");
	struct store *store;
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/consoled.db", options->directory);
	require(store_open(&store, path, NULL) == 0 && store_save_config(store, config, NULL) == 0);
	store_close(store);
}

static struct server *start(void)
{
	struct server *server = calloc(1, sizeof(*server));
	static struct options options = {/* borrowed by the server */
					 .keeper = "/nonexistent/consoled-keeper",
					 .attach_timeout = 1};
	struct error error = {0};

	umask(0077);
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(options.directory, sizeof(options.directory), "%s", fuzz_directory());
	hide_others(&options);
	require(server && server_init(server, &options, &error) == 0);
	return server;
}

/* Its log, unless it is there. */
static void print(const struct server *server)
{
	const struct ring *log = console_ring(instances_find(&server->instances, "log")->console);
	cleanup_close int directory = -1, fd = -1;
	struct ring ring;

	if (ring_head(log) > ring_tail(log))
		return;
	directory = consoles_open(server->consoles, "consoles", "log", false);
	fd = openat(directory, "ring", O_RDWR | O_CLOEXEC);
	require(ring_open(&ring, fd, true) == 0);
	ring_begin_boot(&ring, ring_head(&ring));
	ring_append(&ring, log_text, sizeof(log_text) - 1);
	ring_close(&ring);
}

static void make_log(struct server *server)
{
	struct store_row row = {
		.name = strdup("log"),
		.description = strdup(""),
		.config = json_pack("{s:s}", "console.buffer.size", "64KiB"),
		.devices = json_object(),
		.profiles = json_array(),
	};

	require(instances_add(&server->instances, &row, &(struct identity){0}, NULL) == 0);
}

/* Whether there is one instance, and it is as it was made. */
static bool untouched(const struct server *server)
{
	const struct instance *log = instances_find(&server->instances, "log");

	return log && server->instances.count == 1 && json_object_size(log->row.config) == 1 &&
	       json_object_get(log->row.config, "console.buffer.size") && json_object_size(log->row.devices) == 0;
}

/* All as it was, but for what has been done before. */
static void reset(struct server *server)
{
	while (!untouched(server)) {
		while (!list_empty(&server->instances.all))
			require(instances_delete(&server->instances,
						 list_first(&server->instances.all, struct instance, link),
						 &(struct identity){0}, NULL) == 0);
		make_log(server);
	}
	print(server);
	require(list_empty(&server->operations.live));
	while (!list_empty(&server->operations.ended))
		operation_destroy(list_first(&server->operations.ended, struct operation, link));
	uv_run(&server->loop, UV_RUN_NOWAIT);
}

/* --- an answer --- */

static bool is_text(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return false;
	return true;
}

static void check_headers(const struct response *response)
{
	for (size_t i = 0; i < response->header_count; i++)
		require(is_text(response->headers[i].value));
}

static const char *content_type(const struct response *response)
{
	for (size_t i = 0; i < response->header_count; i++)
		if (strcmp(response->headers[i].name, "Content-Type") == 0)
			return response->headers[i].value;
	return "";
}

static void check_envelope(const struct response *response, bool error)
{
	json_auto_t *answer = json_loadb(response->body, response->length, 0, NULL);
	const char *type = json_string_value(json_object_get(answer, "type"));
	json_int_t code = json_integer_value(json_object_get(answer, "error_code"));
	const char *text = json_string_value(json_object_get(answer, "error"));

	require(type && text && strcmp(type, error ? "error" : response->status == 202 ? "async" : "sync") == 0);
	require(error ? code == (json_int_t)response->status && *text : code == 0 && !*text);
	require(json_object_get(answer, "metadata") && json_object_get(answer, "operation"));
}

static void read_stream(struct response *response)
{
	cleanup_free char *block = malloc(4096);
	uint64_t total = 0;
	ssize_t n;

	while (total < STREAM_MAX && (n = response->stream->read(response, block, 4096)) > 0) {
		require(n <= 4096);
		total += (uint64_t)n;
	}
	require(response->length == RESPONSE_LENGTH_UNKNOWN || total == response->length || total >= STREAM_MAX);
}

static void check_answer(struct response *response)
{
	unsigned int status = response->status;
	bool json = strcmp(content_type(response), "application/json") == 0;

	check_headers(response);
	if (response->stream)
		read_stream(response);
	else if (status >= 400 && status != 416 && json)
		check_envelope(response, true);
	else if (json)
		check_envelope(response, false);
	else
		require(status == 200 || status == 206 || status == 304 || status == 416 || status == 400);
	require(status >= 200 && status <= 503);
}

/* --- a request --- */

static const char *header(const struct request *request, const char *name)
{
	const struct exchange *exchange = request->front;

	for (size_t i = 0; i < exchange->count; i++)
		if (strcasecmp(exchange->names[i], name) == 0)
			return exchange->values[i];
	return NULL;
}

static void on_complete(struct response *response)
{
	container_of(response, struct exchange, response)->complete = true;
}

static void on_more(struct response *response)
{
}

/* Takes a request apart, in place. False: the front would not have passed it on. */
static bool take_apart(struct exchange *exchange, char *text, size_t length)
{
	char *end = text + length, *line = text, *blank, *next, *colon;

	if (!(next = memchr(line, '\n', length)) || !(blank = memchr(line, ' ', (size_t)(next - line))))
		return false;
	*next++ = *blank = '\0';
	exchange->request.method = line;
	if (request_set_target(&exchange->request, blank + 1) < 0)
		return false;
	while ((line = next) < end && (next = memchr(line, '\n', (size_t)(end - line))) && next > line) {
		*next++ = '\0';
		colon = strstr(line, ": ");
		if (!colon || !is_text(line) || exchange->count == HEADERS_MAX)
			return false;
		*colon = '\0';
		exchange->names[exchange->count] = line;
		exchange->values[exchange->count++] = colon + 2;
	}
	if (line < end && *line == '\n')
		line++;
	exchange->request.body = line < end ? line : "";
	exchange->request.body_length = line < end ? (size_t)(end - line) : 0;
	return true;
}

/* The server's own config is another target's: it names directories that the daemon then reads. */
static bool is_config(const struct request *request)
{
	return strcmp(request->path, "/1.0") == 0 && strcmp(request->method, "GET") != 0;
}

static void wait_for(struct server *server, struct exchange *exchange)
{
	struct response *response = &exchange->response;

	for (int i = 0; i < TURNS_MAX && !exchange->complete && server->api.screens; i++)
		uv_run(&server->loop, UV_RUN_NOWAIT);
	if (!exchange->complete && response->cancelled)
		response->cancelled(response);
}

static void ask(struct server *server, const uint8_t *data, size_t size)
{
	cleanup_free char *text = malloc(size + 1);
	struct exchange exchange = {.response = {.complete = on_complete, .more = on_more}};
	struct response *response = &exchange.response;

	memcpy(text, data, size);
	text[size] = '\0';
	exchange.request.header = header;
	exchange.request.front = &exchange;
	if (take_apart(&exchange, text, size) && !is_config(&exchange.request)) {
		api_handle(&server->api, &exchange.request, response);
		if (response->deferred)
			wait_for(server, &exchange);
		if (!response->deferred)
			check_answer(response);
	}
	response_finish(response);
	request_finish(&exchange.request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct server *server;
	const uint8_t *end = data + size, *next;

	if (!server)
		server = start();
	reset(server);
	for (int i = 0; i < REQUESTS_MAX && data < end; i++, data = next + 1) {
		next = memchr(data, 0x1e, (size_t)(end - data));
		next = next ? next : end;
		ask(server, data, (size_t)(next - data));
	}
	return 0;
}
