// SPDX-License-Identifier: Apache-2.0
#include "operations/events.h"
#include "operations/operation.h"
#include "operations/subscriber.h"
#include "util/error.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 10000
#define CLIENTS_MAX 4

/* RFC 6455 section 5.2 */
enum opcode {
	OPCODE_TEXT = 1,
	OPCODE_CLOSE = 8,
	OPCODE_PING = 9,
};

static const struct identity alice = {.uid = 1001}, bob = {.uid = 1002};

/* A subscriber's end of the connection: what it has read and not yet looked at. */
struct client {
	int fd;
	unsigned char *data;
	size_t length, capacity;
	bool ended;
	bool deaf; /* does not read */
};

struct fixture {
	uv_loop_t loop;
	struct limits limits;
	struct clients counted;
	struct websockets *websockets;
	struct events events;
	struct client clients[CLIENTS_MAX];
	unsigned int client_count;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct websockets_config config = {.receive_size = 4096, .handshake = 10, .clients = &fixture->counted};

	assert_non_null(fixture);
	limits_init(&fixture->limits);
	clients_init(&fixture->counted, &fixture->limits);
	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	assert_int_equal(websockets_create(&fixture->websockets, &fixture->loop, &config), 0);
	assert_int_equal(events_init(&fixture->events, &fixture->loop, fixture->websockets, &fixture->limits), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	events_finish(&fixture->events);
	websockets_destroy(fixture->websockets);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	for (unsigned int i = 0; i < fixture->client_count; i++) {
		if (fixture->clients[i].fd >= 0)
			close(fixture->clients[i].fd);
		free(fixture->clients[i].data);
	}
	free(fixture);
	return 0;
}

/* Takes what has arrived. Returns whether that was anything. */
static bool client_read(struct client *client)
{
	ssize_t got;

	if (client->deaf || client->ended || client->fd < 0)
		return false;
	if (client->capacity - client->length < 65536) {
		client->capacity = client->capacity * 2 + 65536;
		client->data = realloc(client->data, client->capacity);
		assert_non_null(client->data);
	}
	got = recv(client->fd, client->data + client->length, client->capacity - client->length, MSG_DONTWAIT);
	if (got > 0)
		client->length += (size_t)got;
	else if (got == 0 || errno != EAGAIN)
		client->ended = true;
	return got > 0;
}

/* One turn of the loop and of all clients; rests a moment when nothing moves. */
static void turn(struct fixture *fixture)
{
	bool moved = false;

	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	for (unsigned int i = 0; i < fixture->client_count; i++)
		moved |= client_read(&fixture->clients[i]);
	if (!moved)
		poll(NULL, 0, 1);
}

/* Turns until `condition`, not for ever. */
#define await(fixture, condition)                                                   \
	do {                                                                        \
		uint64_t deadline_ = uv_hrtime() + PATIENCE_MS * UINT64_C(1000000); \
		while (!(condition)) {                                              \
			assert_true(uv_hrtime() < deadline_);                       \
			turn(fixture);                                              \
		}                                                                   \
	} while (0)

static void consume(struct client *client, size_t length)
{
	client->length -= length;
	memmove(client->data, client->data + length, client->length);
}

/* Whether a whole frame is there; its head's and payload's lengths. */
static bool whole_frame(const struct client *client, size_t *head, size_t *payload)
{
	const unsigned char *data = client->data;

	if (client->length < 2)
		return false;
	*head = 2;
	*payload = data[1] & 0x7f;
	if (*payload == 127) {
		fail_msg("no event is that large");
	} else if (*payload == 126) {
		if (client->length < 4)
			return false;
		*head = 4;
		*payload = (size_t)data[2] << 8 | data[3];
	}
	return client->length >= *head + *payload;
}

/* The next frame's opcode; its payload, NUL-terminated, in `text`. */
static enum opcode next_frame(struct fixture *fixture, struct client *client, char text[static 65536])
{
	size_t head = 0, payload = 0;
	enum opcode opcode;

	await(fixture, whole_frame(client, &head, &payload));
	assert_true(client->data[0] & 0x80); /* unfragmented */
	assert_false(client->data[1] & 0x80);
	assert_in_range(payload, 0, 65535);
	opcode = client->data[0] & 0x0f;
	memcpy(text, client->data + head, payload);
	text[payload] = '\0';
	consume(client, head + payload);
	return opcode;
}

/* The next event, whose text must be one line. Pings do not count. */
static json_t *next_event(struct fixture *fixture, struct client *client)
{
	static char text[65536];
	enum opcode opcode;
	json_t *event;

	while ((opcode = next_frame(fixture, client, text)) == OPCODE_PING)
		;
	assert_int_equal(opcode, OPCODE_TEXT);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	event = json_loads(text, 0, NULL);
	assert_non_null(event);
	return event;
}

/* Turns until the server has ended the client; gives the close code, or 1006 where no Close frame came. */
static unsigned int await_end(struct fixture *fixture, struct client *client)
{
	static char text[65536];
	size_t head, payload;
	unsigned int code = 1006;

	await(fixture, client->ended);
	while (whole_frame(client, &head, &payload)) {
		if (next_frame(fixture, client, text) == OPCODE_CLOSE)
			code = (unsigned int)(unsigned char)text[0] << 8 | (unsigned char)text[1];
	}
	return code;
}

/* The end of the response's head, or NULL. */
static const unsigned char *head_end(const struct client *client)
{
	return client->length ? memmem(client->data, client->length, "\r\n\r\n", 4) : NULL;
}

static void skip_response(struct fixture *fixture, struct client *client)
{
	await(fixture, head_end(client));
	assert_memory_equal(client->data, "HTTP/1.1 101", 12);
	consume(client, (size_t)(head_end(client) + 4 - client->data));
}

/* A client that has sent its request, and the server's end in `*server`. */
static struct client *add_client(struct fixture *fixture, int *server)
{
	static const char request[] = "GET /1.0/events HTTP/1.1\r\nHost: unix.socket\r\nConnection: Upgrade\r\n"
				      "Upgrade: websocket\r\nSec-WebSocket-Key: V7RtnDuIf1w0y20lnLZJwQ==\r\n"
				      "Sec-WebSocket-Version: 13\r\n\r\n";
	struct client *client = &fixture->clients[fixture->client_count];
	int fds[2];

	assert_true(fixture->client_count < CLIENTS_MAX);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[0], request, sizeof(request) - 1, 0), sizeof(request) - 1);
	client->fd = fds[0];
	*server = fds[1];
	fixture->client_count++;
	return client;
}

/* A client that listens, and has seen its first ping. */
static struct client *listen_to(struct fixture *fixture, unsigned int types, const struct identity *viewer)
{
	static char text[65536];
	int server;
	struct client *client = add_client(fixture, &server);

	assert_int_equal(events_connect(&fixture->events, server, types, viewer), 0);
	skip_response(fixture, client);
	assert_int_equal(next_frame(fixture, client, text), OPCODE_PING);
	return client;
}

static void publish_number(struct fixture *fixture, enum event_type type, int number)
{
	json_auto_t *metadata = json_pack("{s:i}", "number", number);

	events_publish(&fixture->events, type, metadata, NULL, NULL);
}

static void assert_number(struct fixture *fixture, struct client *client, const char *type, int number)
{
	json_t *event = next_event(fixture, client);

	assert_string_equal(json_string_value(json_object_get(event, "type")), type);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(event, "metadata"), "number")), number);
	json_decref(event);
}

/* Compares an event but for its timestamp, which is taken out. */
static void assert_event(struct fixture *fixture, struct client *client, const char *before, const char *after)
{
	json_t *event = next_event(fixture, client);
	char *text = json_dumps(event, JSON_COMPACT);
	char expected[1024];

	assert_non_null(text);
	snprintf(expected, sizeof(expected), "{%s,\"timestamp\":\"%s\",%s}", before,
		 json_string_value(json_object_get(event, "timestamp")), after);
	assert_string_equal(text, expected);
	free(text);
	json_decref(event);
}

static void test_types(void **state)
{
	static const struct {
		const char *list;
		unsigned int types;
	} good[] = {
		{NULL, EVENT_ALL},
		{"", EVENT_ALL},
		{"operation", EVENT_OPERATION},
		{"logging", EVENT_LOGGING},
		{"operation,lifecycle", EVENT_OPERATION | EVENT_LIFECYCLE},
		{"lifecycle,operation,logging,operation", EVENT_ALL},
	};
	static const char *const bad[][2] = {
		{"x", "\"x\" isn't a supported event type"},
		{"operation,network-acl", "\"network-acl\" isn't a supported event type"},
		{"operation,", "\"\" isn't a supported event type"},
		{",operation", "\"\" isn't a supported event type"},
		{"Operation", "\"Operation\" isn't a supported event type"},
		{"operations", "\"operations\" isn't a supported event type"},
		{"oper", "\"oper\" isn't a supported event type"},
	};
	static char endless[100000];
	struct error error = {0};
	unsigned int types;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		types = 0;
		assert_int_equal(events_parse_types(good[i].list, &types, &error), 0);
		assert_int_equal(types, good[i].types);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		types = 77;
		assert_int_equal(events_parse_types(bad[i][0], &types, &error), -EINVAL);
		assert_string_equal(error_text(&error), bad[i][1]);
		assert_int_equal(types, 77);
	}
	memset(endless, 'x', sizeof(endless) - 1);
	assert_int_equal(events_parse_types(endless, &types, &error), -EINVAL);
}

static void test_everyone_hears(void **state)
{
	struct fixture *fixture = *state;
	struct client *all = listen_to(fixture, EVENT_ALL, &alice);
	struct client *operations = listen_to(fixture, EVENT_OPERATION, &alice);
	struct client *lifecycle = listen_to(fixture, EVENT_LIFECYCLE, &bob);

	publish_number(fixture, EVENT_LIFECYCLE, 1);
	publish_number(fixture, EVENT_LOGGING, 2);
	publish_number(fixture, EVENT_OPERATION, 3);
	publish_number(fixture, EVENT_LIFECYCLE, 4);
	assert_number(fixture, all, "lifecycle", 1);
	assert_number(fixture, all, "logging", 2);
	assert_number(fixture, all, "operation", 3);
	assert_number(fixture, all, "lifecycle", 4);
	assert_number(fixture, operations, "operation", 3);
	assert_number(fixture, lifecycle, "lifecycle", 1);
	assert_number(fixture, lifecycle, "lifecycle", 4);
}

/* Envelopes as LXD 5.0.2 writes them. */
static void test_envelope(void **state)
{
	struct fixture *fixture = *state;
	struct client *client = listen_to(fixture, EVENT_ALL, &alice);
	static const struct identity nobody = {.uid = 54321};
	json_auto_t *context = json_pack("{s:s}", "type", "console");

	publish_number(fixture, EVENT_OPERATION, 1);
	assert_event(fixture, client, "\"type\":\"operation\"",
		     "\"metadata\":{\"number\":1},\"location\":\"none\",\"project\":\"default\"");
	publish_number(fixture, EVENT_LOGGING, 2);
	assert_event(fixture, client, "\"type\":\"logging\"", "\"metadata\":{\"number\":2},\"location\":\"none\"");

	events_lifecycle(&fixture->events, "instance-console", "rec-a", NULL, context);
	assert_event(fixture, client, "\"type\":\"lifecycle\"",
		     "\"metadata\":{\"action\":\"instance-console\",\"source\":\"/1.0/instances/rec-a\","
		     "\"context\":{\"type\":\"console\"}},\"location\":\"none\",\"project\":\"default\"");
	events_lifecycle(&fixture->events, "instance-started", "rec-a", &nobody, json_null());
	assert_event(fixture, client, "\"type\":\"lifecycle\"",
		     "\"metadata\":{\"action\":\"instance-started\",\"source\":\"/1.0/instances/rec-a\","
		     "\"requestor\":{\"username\":\"54321\",\"protocol\":\"unix\",\"address\":\"@\"}},"
		     "\"location\":\"none\",\"project\":\"default\"");
	events_lifecycle(&fixture->events, "instance-deleted", "rec-a", NULL, json_null());
	assert_event(fixture, client, "\"type\":\"lifecycle\"",
		     "\"metadata\":{\"action\":\"instance-deleted\",\"source\":\"/1.0/instances/rec-a\"},"
		     "\"location\":\"none\",\"project\":\"default\"");
}

/* What happens between the request and the 101 is heard as well: clients listen first and act then. */
static void test_before_open(void **state)
{
	struct fixture *fixture = *state;
	int server;
	struct client *client = add_client(fixture, &server);

	assert_int_equal(events_connect(&fixture->events, server, EVENT_ALL, &alice), 0);
	for (int i = 0; i < 3; i++)
		publish_number(fixture, EVENT_OPERATION, i);
	skip_response(fixture, client);
	for (int i = 0; i < 3; i++)
		assert_number(fixture, client, "operation", i);
	publish_number(fixture, EVENT_OPERATION, 3);
	assert_number(fixture, client, "operation", 3);
}

static void cancel(struct operation *operation)
{
	operation_finish(operation, OPERATION_CANCELLED, NULL);
}

/* The next event is of an operation that has `status`, with or without secrets. */
static void assert_status(struct fixture *fixture, struct client *client, const char *status, const char *secret)
{
	json_t *event = next_event(fixture, client), *metadata = json_object_get(event, "metadata"), *fds;

	assert_string_equal(json_string_value(json_object_get(metadata, "status")), status);
	fds = json_object_get(json_object_get(metadata, "metadata"), "fds");
	if (secret)
		assert_string_equal(json_string_value(json_object_get(fds, "0")), secret);
	else
		assert_null(fds);
	json_decref(event);
}

/* The whole life of an operation is told to everyone, its secrets to who asked for it alone. */
static void test_operation(void **state)
{
	static const char *const statuses[] = {"Pending", "Running", "Cancelling", "Cancelled"};
	static const struct operation_handler handler = {.cancel = cancel};
	struct operation_config config = {
		.class = OPERATION_WEBSOCKET, .description = "x", .requestor = &alice, .handler = &handler};
	struct fixture *fixture = *state;
	struct client *mine = listen_to(fixture, EVENT_ALL, &alice), *other = listen_to(fixture, EVENT_ALL, &bob);
	struct operations operations;
	struct operation *operation;

	assert_int_equal(operations_init(&operations, &fixture->loop, &fixture->events, &fixture->limits), 0);
	assert_int_equal(operation_create(&operation, &operations, &config, NULL), 0);
	assert_int_equal(operation_add_socket(operation, "0", false), 0);
	operation_start(operation);
	operation_cancel(operation);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		assert_status(fixture, mine, statuses[i], operation->sockets[0].secret.text);
		assert_status(fixture, other, statuses[i], NULL);
	}
	publish_number(fixture, EVENT_OPERATION, 1); /* nothing more came before */
	assert_number(fixture, other, "operation", 1);
	operations_finish(&operations);
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void publish_large(struct fixture *fixture, int number)
{
	static char filler[8192];
	json_auto_t *metadata = NULL;

	memset(filler, 'x', sizeof(filler) - 1);
	metadata = json_pack("{s:i, s:s}", "number", number, "filler", filler);
	events_publish(&fixture->events, EVENT_OPERATION, metadata, NULL, NULL);
}

/* Who does not read is let go, after a bounded amount; who reads misses nothing. */
static void test_deaf(void **state)
{
	struct fixture *fixture = *state;
	struct client *deaf = listen_to(fixture, EVENT_ALL, &alice), *good = listen_to(fixture, EVENT_ALL, &alice);
	int socket_space, published = 0;
	socklen_t size = sizeof(socket_space);

	assert_int_equal(getsockopt(deaf->fd, SOL_SOCKET, SO_SNDBUF, &socket_space, &size), 0);
	deaf->deaf = true;
	while (fixture->events.count == 2) {
		publish_large(fixture, published);
		assert_number(fixture, good, "operation", published);
		published++;
		assert_in_range(published * 8192, 0,
				fixture->limits.event_queue_size + 2 * socket_space + WEBSOCKET_SCRATCH_SIZE);
	}
	assert_in_range(published * 8192, fixture->limits.event_queue_size, SIZE_MAX);
	for (int i = 0; i < 50; i++) {
		publish_large(fixture, i);
		assert_number(fixture, good, "operation", i);
	}
	deaf->deaf = false;
	await_end(fixture, deaf);
	assert_false(good->ended);
	assert_int_equal(fixture->events.count, 1);
}

/* Who falls behind and comes back gets all of it in order. */
static void test_late_reader(void **state)
{
	struct fixture *fixture = *state;
	struct client *client = listen_to(fixture, EVENT_ALL, &alice);
	const struct subscriber *subscriber = list_first(&fixture->events.subscribers, struct subscriber, link);
	int published = 0;

	client->deaf = true;
	while (subscriber->queued < fixture->limits.event_queue_size / 2) {
		publish_large(fixture, published++);
		turn(fixture);
		assert_int_equal(fixture->events.count, 1);
	}
	client->deaf = false;
	for (int i = 0; i < published; i++)
		assert_number(fixture, client, "operation", i);
	assert_int_equal(subscriber->queued, 0);
}

/* No event is that large. If one was, its subscribers would wait for it for ever. */
static void test_too_large(void **state)
{
	struct fixture *fixture = *state;
	struct client *client = listen_to(fixture, EVENT_OPERATION, &alice);
	struct client *other = listen_to(fixture, EVENT_LIFECYCLE, &alice);
	static char filler[WEBSOCKET_SCRATCH_SIZE + 1];
	json_auto_t *metadata = NULL;

	memset(filler, 'x', sizeof(filler) - 1);
	metadata = json_pack("{s:s}", "filler", filler);
	events_publish(&fixture->events, EVENT_OPERATION, metadata, NULL, NULL);
	assert_int_equal(fixture->events.count, 1);
	assert_int_equal(await_end(fixture, client), 1011);
	publish_number(fixture, EVENT_LIFECYCLE, 1);
	assert_number(fixture, other, "lifecycle", 1);
}

/* LXD would end a subscriber that talks. */
static void test_talker(void **state)
{
	static const unsigned char frame[] = {0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1};
	struct fixture *fixture = *state;
	struct client *client = listen_to(fixture, EVENT_ALL, &alice);

	assert_int_equal(send(client->fd, frame, sizeof(frame), 0), sizeof(frame));
	for (int i = 0; i < 10; i++) {
		turn(fixture);
		publish_number(fixture, EVENT_OPERATION, i);
		assert_number(fixture, client, "operation", i);
	}
	assert_int_equal(fixture->events.count, 1);
}

static void fire_ping(struct fixture *fixture)
{
	uv_timer_set_repeat(&fixture->events.ping, 1);
	assert_int_equal(uv_timer_again(&fixture->events.ping), 0);
}

static void test_ping(void **state)
{
	static char text[65536];
	struct fixture *fixture = *state;
	uv_handle_t *timer = (uv_handle_t *)&fixture->events.ping;
	struct client *first, *second;

	assert_false(uv_is_active(timer));
	first = listen_to(fixture, EVENT_ALL, &alice);
	second = listen_to(fixture, EVENT_ALL, &bob);
	assert_true(uv_is_active(timer));
	assert_int_equal(uv_timer_get_repeat(&fixture->events.ping), EVENTS_PING_SECONDS * 1000);
	fire_ping(fixture);
	assert_int_equal(next_frame(fixture, first, text), OPCODE_PING);
	assert_int_equal(next_frame(fixture, second, text), OPCODE_PING);

	close(first->fd);
	first->fd = -1;
	await(fixture, fixture->events.count == 1);
	assert_true(uv_is_active(timer));
	close(second->fd);
	second->fd = -1;
	await(fixture, fixture->events.count == 0);
	assert_false(uv_is_active(timer));
	publish_number(fixture, EVENT_OPERATION, 1); /* to nobody */
}

static void test_too_many(void **state)
{
	struct fixture *fixture = *state;
	int server;
	struct client *client = add_client(fixture, &server);

	fixture->events.count = fixture->limits.event_listeners;
	assert_int_equal(events_connect(&fixture->events, server, EVENT_ALL, &alice), -EAGAIN);
	assert_int_equal(fixture->events.count, fixture->limits.event_listeners);
	fixture->events.count = 0;
	await(fixture, client->ended);
}

/* A subscriber leaves before its 101. */
static void test_gone_early(void **state)
{
	struct fixture *fixture = *state;
	int server;
	struct client *client = add_client(fixture, &server);

	assert_int_equal(events_connect(&fixture->events, server, EVENT_ALL, &alice), 0);
	close(client->fd);
	client->fd = -1;
	publish_number(fixture, EVENT_OPERATION, 1);
	await(fixture, fixture->events.count == 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		TEST(test_everyone_hears),
		TEST(test_envelope),
		TEST(test_before_open),
		TEST(test_operation),
		TEST(test_deaf),
		TEST(test_late_reader),
		TEST(test_too_large),
		TEST(test_talker),
		TEST(test_ping),
		TEST(test_too_many),
		TEST(test_gone_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
