// SPDX-License-Identifier: Apache-2.0
#include "operations/events.h"
#include "operations/operation.h"
#include "util/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct identity alice = {.uid = 1001}, bob = {.uid = 1002};

/* A registry that nobody listens to. */
struct fixture {
	uv_loop_t loop;
	struct limits limits;
	struct events events;
	struct operations operations;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	limits_init(&fixture->limits);
	assert_int_equal(events_init(&fixture->events, &fixture->loop, NULL, &fixture->limits), 0);
	assert_int_equal(operations_init(&fixture->operations, &fixture->loop, &fixture->events, &fixture->limits), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	operations_finish(&fixture->operations);
	events_finish(&fixture->events);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	free(fixture);
	return 0;
}

/* What the handler was asked for is counted in its owner. */
struct owner {
	unsigned int cancelled;
	bool finishes;
};

static void on_cancel(struct operation *operation)
{
	struct owner *owner = operation->owner;

	owner->cancelled++;
	assert_int_equal(operation->status, OPERATION_CANCELLING);
	if (owner->finishes)
		operation_finish(operation, OPERATION_CANCELLED, NULL);
}

static const struct operation_handler cancellable = {.cancel = on_cancel};
static const struct operation_handler stubborn = {0};

static struct operation *create(struct fixture *fixture, const struct operation_handler *handler, void *owner)
{
	struct operation_config config = {
		.class = OPERATION_WEBSOCKET,
		.description = "Showing console",
		.instance = "rec-a",
		.is_container = true,
		.requestor = &alice,
		.handler = handler,
		.owner = owner,
	};
	struct operation *operation = NULL;

	assert_int_equal(operation_create(&operation, &fixture->operations, &config, NULL), 0);
	return operation;
}

static struct operation *create_running(struct fixture *fixture)
{
	struct operation *operation = create(fixture, NULL, NULL);

	operation_start(operation);
	return operation;
}

static void assert_json(json_t *json, const char *expected)
{
	char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
	json_decref(json);
}

static void test_life(void **state)
{
	struct fixture *fixture = *state;
	struct owner owner = {0};
	struct operation *operation = create(fixture, &cancellable, &owner);
	int64_t created_at = operation->created_at;

	assert_int_equal(operation->status, OPERATION_PENDING);
	assert_false(operation_final(operation));
	assert_ptr_equal(operation->owner, &owner);
	assert_int_equal(operation->updated_at, created_at);

	operation->updated_at = 1;
	operation_start(operation);
	assert_int_equal(operation->status, OPERATION_RUNNING);
	assert_false(operation_final(operation));
	assert_int_not_equal(operation->updated_at, 1);

	operation_finish(operation, OPERATION_FAILURE, "first");
	assert_int_equal(operation->status, OPERATION_FAILURE);
	assert_true(operation_final(operation));
	assert_string_equal(operation->error, "first");
	assert_null(operation->owner);

	operation_finish(operation, OPERATION_SUCCESS, "second");
	assert_int_equal(operation->status, OPERATION_FAILURE);
	assert_string_equal(operation->error, "first");
	assert_int_equal(operation->created_at, created_at);
	assert_int_equal(fixture->operations.count, 1);
}

static void test_every_end(void **state)
{
	static const enum operation_status before[] = {OPERATION_PENDING, OPERATION_RUNNING, OPERATION_CANCELLING};
	static const enum operation_status ends[] = {OPERATION_SUCCESS, OPERATION_FAILURE, OPERATION_CANCELLED};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < 3; j++) {
			struct owner owner = {0};
			struct operation *operation = create(fixture, &cancellable, &owner);

			if (before[i] != OPERATION_PENDING)
				operation_start(operation);
			if (before[i] == OPERATION_CANCELLING)
				operation_cancel(operation);
			assert_int_equal(operation->status, before[i]);
			operation_finish(operation, ends[j], NULL);
			assert_int_equal(operation->status, ends[j]);
			assert_true(operation_final(operation));
			assert_false(operation_cancellable(operation));
		}
	}
}

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	struct owner owner = {0};
	struct operation *operation = create(fixture, &cancellable, &owner);

	operation_cancel(operation); /* pending */
	assert_int_equal(owner.cancelled, 0);
	operation_start(operation);
	assert_true(operation_cancellable(operation));
	operation_cancel(operation);
	assert_int_equal(owner.cancelled, 1);
	assert_int_equal(operation->status, OPERATION_CANCELLING);
	assert_false(operation_cancellable(operation));
	operation_cancel(operation);
	assert_int_equal(owner.cancelled, 1);
	operation_finish(operation, OPERATION_CANCELLED, NULL);
	operation_cancel(operation);
	assert_int_equal(owner.cancelled, 1);
	assert_int_equal(operation->status, OPERATION_CANCELLED);
}

static void test_cancel_finishes_at_once(void **state)
{
	struct owner owner = {.finishes = true};
	struct operation *operation = create(*state, &cancellable, &owner);

	operation_start(operation);
	operation_cancel(operation);
	assert_int_equal(owner.cancelled, 1);
	assert_int_equal(operation->status, OPERATION_CANCELLED);
	assert_null(operation->owner);
}

static void test_uncancellable(void **state)
{
	const struct operation_handler *handlers[] = {NULL, &stubborn};

	for (size_t i = 0; i < 2; i++) {
		struct operation *operation = create(*state, handlers[i], NULL);

		operation_start(operation);
		assert_false(operation_cancellable(operation));
		operation_cancel(operation);
		assert_int_equal(operation->status, OPERATION_RUNNING);
	}
}

static void test_secrets(void **state)
{
	struct operation *operation = create(*state, NULL, NULL);
	char data[SECRET_LENGTH + 1], control[SECRET_LENGTH + 1];
	struct operation_socket *socket;

	assert_int_equal(operation_add_socket(operation, "0", true), 0);
	assert_int_equal(operation_add_socket(operation, "control", false), 0);
	strcpy(data, operation->sockets[0].secret.text);
	strcpy(control, operation->sockets[1].secret.text);
	assert_string_not_equal(data, control);
	operation_start(operation);
	socket = operation_find_socket(operation, data);
	assert_ptr_equal(socket, &operation->sockets[0]);
	assert_string_equal(socket->name, "0");
	assert_true(socket->reusable);
	socket = operation_find_socket(operation, control);
	assert_string_equal(socket->name, "control");
	assert_false(socket->reusable);
	assert_false(socket->used);
	socket->used = true;
	assert_ptr_equal(operation_find_socket(operation, control), socket);

	assert_null(operation_find_socket(operation, NULL));
	assert_null(operation_find_socket(operation, ""));
	control[SECRET_LENGTH - 1] ^= 1;
	assert_null(operation_find_socket(operation, control));
	control[SECRET_LENGTH - 1] = '\0';
	assert_null(operation_find_socket(operation, control));
}

static void test_too_many_sockets(void **state)
{
	struct operation *operation = create(*state, NULL, NULL);

	for (unsigned int i = 0; i < OPERATION_SOCKETS_MAX; i++)
		assert_int_equal(operation_add_socket(operation, "0", false), 0);
	assert_int_equal(operation_add_socket(operation, "0", false), -ENOSPC);
	assert_int_equal(operation->socket_count, OPERATION_SOCKETS_MAX);
}

/* What LXD 5.0.2 says of a console, byte for byte. */
static void assert_console_json(const struct operation *operation, const struct identity *viewer, const char *metadata)
{
	char expected[2048], created_at[TIMESTAMP_LENGTH + 1], updated_at[TIMESTAMP_LENGTH + 1];

	timestamp_format(operation->created_at, created_at);
	timestamp_format(operation->updated_at, updated_at);
	snprintf(expected, sizeof(expected),
		 "{\"id\":\"%s\",\"class\":\"websocket\",\"description\":\"Showing console\","
		 "\"created_at\":\"%s\",\"updated_at\":\"%s\",\"status\":\"Running\",\"status_code\":103,"
		 "\"resources\":{\"containers\":[\"/1.0/containers/rec-a\"],"
		 "\"instances\":[\"/1.0/instances/rec-a\"]},\"metadata\":%s,\"may_cancel\":true,"
		 "\"err\":\"\",\"location\":\"none\"}",
		 operation->id, created_at, updated_at, metadata);
	assert_json(operation_json(operation, viewer), expected);
}

static void test_json(void **state)
{
	struct owner owner = {0};
	struct operation *operation = create(*state, &cancellable, &owner);
	char fds[512];

	assert_int_equal(operation_add_socket(operation, "0", false), 0);
	assert_int_equal(operation_add_socket(operation, "control", false), 0);
	operation_start(operation);
	snprintf(fds, sizeof(fds), "{\"fds\":{\"0\":\"%s\",\"control\":\"%s\"}}", operation->sockets[0].secret.text,
		 operation->sockets[1].secret.text);
	assert_console_json(operation, &alice, fds);
	assert_console_json(operation, &bob, "null");
	assert_console_json(operation, NULL, "null");
}

static void test_json_of_the_end(void **state)
{
	struct operation *operation = create(*state, &cancellable, NULL);
	json_t *json;

	operation_start(operation);
	operation_finish(operation, OPERATION_FAILURE, "The instance is already running");
	json = operation_json(operation, &alice);
	assert_string_equal(json_string_value(json_object_get(json, "status")), "Failure");
	assert_int_equal(json_integer_value(json_object_get(json, "status_code")), 400);
	assert_string_equal(json_string_value(json_object_get(json, "err")), "The instance is already running");
	assert_true(json_is_false(json_object_get(json, "may_cancel")));
	assert_true(json_is_null(json_object_get(json, "metadata")));
	json_decref(json);
}

/* A reason may quote what a program said: JSON holds UTF-8 only. */
static void test_json_of_strange_reasons(void **state)
{
	static const char *const reasons[][2] = {{"caf\xc3\xa9 \"x\"", "caf\xc3\xa9 \"x\""},
						 {"caf\xe9 \x1b[m", "caf? \x1b[m"}};

	for (size_t i = 0; i < 2; i++) {
		struct operation *operation = create_running(*state);
		json_t *json;

		operation_finish(operation, OPERATION_FAILURE, reasons[i][0]);
		json = operation_json(operation, NULL);
		assert_non_null(json);
		assert_string_equal(json_string_value(json_object_get(json, "err")), reasons[i][1]);
		json_decref(json);
	}
}

static void test_json_resources(void **state)
{
	struct fixture *fixture = *state;
	struct operation_config config = {.class = OPERATION_TASK, .description = "Stopping", .requestor = &alice};
	struct operation *operation;
	json_t *json;

	assert_int_equal(operation_create(&operation, &fixture->operations, &config, NULL), 0);
	json = operation_json(operation, &alice);
	assert_true(json_is_null(json_object_get(json, "resources")));
	assert_string_equal(json_string_value(json_object_get(json, "class")), "task");
	json_decref(json);

	config.instance = "vm";
	assert_int_equal(operation_create(&operation, &fixture->operations, &config, NULL), 0);
	json = operation_json(operation, &alice);
	assert_json(json_incref(json_object_get(json, "resources")), "{\"instances\":[\"/1.0/instances/vm\"]}");
	json_decref(json);
}

/* Metadata of the owner's stays as it is; the secrets come and go beside it. */
static void test_json_metadata(void **state)
{
	struct operation *operation = create(*state, NULL, NULL);
	json_t *json;
	char expected[256];

	operation->metadata = json_pack("{s:[s], s:i}", "command", "true", "return", 0);
	assert_int_equal(operation_add_socket(operation, "0", false), 0);
	json = operation_json(operation, &bob);
	assert_json(json_incref(json_object_get(json, "metadata")), "{\"command\":[\"true\"],\"return\":0}");
	json_decref(json);
	json = operation_json(operation, &alice);
	snprintf(expected, sizeof(expected), "{\"command\":[\"true\"],\"return\":0,\"fds\":{\"0\":\"%s\"}}",
		 operation->sockets[0].secret.text);
	assert_json(json_incref(json_object_get(json, "metadata")), expected);
	json_decref(json);
	assert_null(json_object_get(operation->metadata, "fds"));
}

static void test_find(void **state)
{
	static const char *const strangers[] = {
		"",
		"x",
		"not-a-uuid",
		"00000000-0000-0000-0000-000000000000",
		"\xff\xff\xff\xff\xff\xff\xff\xff-\xff\xff\xff\xff-4\xff\xff\xff-\xff\xff\xff\xff-abcdef012345",
	};
	struct fixture *fixture = *state;
	static struct operation *all[256];
	char longer[OPERATION_ID_LENGTH + 2];

	for (size_t i = 0; i < 256; i++)
		all[i] = create(fixture, NULL, NULL);
	for (size_t i = 0; i < 256; i++) {
		assert_int_equal(strlen(all[i]->id), OPERATION_ID_LENGTH);
		assert_int_equal(all[i]->id[14], '4'); /* a random one: RFC 4122 section 4.4 */
		assert_ptr_equal(operations_find(&fixture->operations, all[i]->id), all[i]);
	}
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		assert_null(operations_find(&fixture->operations, strangers[i]));
	snprintf(longer, sizeof(longer), "%sx", all[0]->id);
	assert_null(operations_find(&fixture->operations, longer));
}

static void test_abandon(void **state)
{
	struct fixture *fixture = *state;
	struct operation *operation = create(fixture, NULL, NULL);
	char id[OPERATION_ID_LENGTH + 1];

	strcpy(id, operation->id);
	operation_abandon(operation);
	assert_null(operations_find(&fixture->operations, id));
	assert_int_equal(fixture->operations.count, 0);
	assert_false(uv_is_active((uv_handle_t *)&fixture->operations.expiry));
}

/* Lets the expiry timer fire in a moment instead of in five seconds. */
static void run_expiry(struct fixture *fixture)
{
	uv_timer_t *expiry = &fixture->operations.expiry;

	uv_timer_set_repeat(expiry, 1);
	assert_int_equal(uv_timer_again(expiry), 0);
	uv_timer_set_repeat(expiry, 0);
	while (uv_is_active((uv_handle_t *)expiry) && uv_timer_get_due_in(expiry) <= 1)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void test_expiry(void **state)
{
	struct fixture *fixture = *state;
	uv_timer_t *expiry = &fixture->operations.expiry;
	struct operation *first = create_running(fixture), *second = create_running(fixture);
	char first_id[OPERATION_ID_LENGTH + 1], second_id[OPERATION_ID_LENGTH + 1];

	strcpy(first_id, first->id);
	strcpy(second_id, second->id);
	assert_false(uv_is_active((uv_handle_t *)expiry)); /* nothing to expire: no wake-ups */
	operation_finish(second, OPERATION_SUCCESS, NULL);
	operation_finish(first, OPERATION_SUCCESS, NULL);
	assert_true(uv_is_active((uv_handle_t *)expiry));
	assert_in_range(uv_timer_get_due_in(expiry), OPERATION_KEEP_MS - 1000, OPERATION_KEEP_MS);

	run_expiry(fixture); /* too early */
	assert_ptr_equal(operations_find(&fixture->operations, first_id), first);
	assert_ptr_equal(operations_find(&fixture->operations, second_id), second);

	second->ended_at -= OPERATION_KEEP_MS;
	first->ended_at -= OPERATION_KEEP_MS / 2;
	run_expiry(fixture);
	assert_null(operations_find(&fixture->operations, second_id));
	assert_ptr_equal(operations_find(&fixture->operations, first_id), first);
	assert_true(uv_is_active((uv_handle_t *)expiry));
	assert_in_range(uv_timer_get_due_in(expiry), 1, OPERATION_KEEP_MS / 2);

	first->ended_at -= OPERATION_KEEP_MS;
	run_expiry(fixture);
	assert_null(operations_find(&fixture->operations, first_id));
	assert_int_equal(fixture->operations.count, 0);
	assert_false(uv_is_active((uv_handle_t *)expiry));
}

static void fill(struct fixture *fixture)
{
	while (fixture->operations.count < fixture->limits.operations)
		create_running(fixture);
}

static int create_result(struct fixture *fixture)
{
	struct operation_config config = {.class = OPERATION_TASK, .description = "x", .requestor = &alice};
	struct operation *operation;

	return operation_create(&operation, &fixture->operations, &config, NULL);
}

static void test_full(void **state)
{
	struct fixture *fixture = *state;
	struct operation *early = create_running(fixture), *late = create_running(fixture);
	char early_id[OPERATION_ID_LENGTH + 1], late_id[OPERATION_ID_LENGTH + 1];

	strcpy(early_id, early->id);
	strcpy(late_id, late->id);
	fill(fixture);
	assert_int_equal(create_result(fixture), -EAGAIN);
	assert_int_equal(fixture->operations.count, fixture->limits.operations);

	/* Who ended first goes first, whoever is older. */
	operation_finish(late, OPERATION_SUCCESS, NULL);
	operation_finish(early, OPERATION_SUCCESS, NULL);
	assert_int_equal(create_result(fixture), 0);
	assert_null(operations_find(&fixture->operations, late_id));
	assert_non_null(operations_find(&fixture->operations, early_id));
	assert_int_equal(create_result(fixture), 0);
	assert_null(operations_find(&fixture->operations, early_id));
	assert_int_equal(create_result(fixture), -EAGAIN);
	assert_int_equal(fixture->operations.count, fixture->limits.operations);
}

struct waiting {
	struct operation_waiter waiter;
	unsigned int *order;
	unsigned int called;
	struct fixture *fixture;
	struct waiting *victim;
};

static void on_done(struct operation_waiter *waiter, struct operation *operation)
{
	struct waiting *waiting = container_of(waiter, struct waiting, waiter);

	assert_true(operation_final(operation));
	assert_string_equal(operation->error, "gone");
	assert_true(list_empty(&waiter->link));
	waiting->called = ++*waiting->order;
	if (waiting->victim)
		list_remove(&waiting->victim->waiter.link);
	if (waiting->fixture)
		assert_int_equal(create_result(waiting->fixture), -EAGAIN);
}

static void on_done_free(struct operation_waiter *waiter, struct operation *operation)
{
	struct waiting *waiting = container_of(waiter, struct waiting, waiter);

	++*waiting->order;
	free(waiting);
}

static void test_waiters(void **state)
{
	struct operation *operation = create_running(*state);
	unsigned int order = 0;
	struct waiting first = {.order = &order}, victim = {.order = &order}, left = {.order = &order},
		       last = {.order = &order};
	struct waiting *own = calloc(1, sizeof(*own));

	assert_non_null(own);
	own->order = &order;
	own->waiter.done = on_done_free;
	first.waiter.done = victim.waiter.done = left.waiter.done = last.waiter.done = on_done;
	first.victim = &victim;
	operation_wait(operation, &left.waiter);
	operation_wait(operation, &first.waiter);
	operation_wait(operation, &own->waiter);
	operation_wait(operation, &victim.waiter);
	operation_wait(operation, &last.waiter);
	list_remove(&left.waiter.link);

	operation_finish(operation, OPERATION_FAILURE, "gone");
	assert_int_equal(first.called, 1);
	assert_int_equal(last.called, 3);
	assert_int_equal(victim.called, 0);
	assert_int_equal(left.called, 0);
	operation_finish(operation, OPERATION_FAILURE, "again");
	assert_int_equal(order, 3);
}

/* A waiter may make a new operation: it must not push out, of a full registry, the one that is just ending. */
static void test_waiter_creates(void **state)
{
	struct fixture *fixture = *state;
	struct operation *operation = create_running(fixture);
	unsigned int order = 0;
	struct waiting waiting = {.order = &order, .fixture = fixture, .waiter.done = on_done};

	fill(fixture);
	operation_wait(operation, &waiting.waiter);
	operation_finish(operation, OPERATION_FAILURE, "gone");
	assert_int_equal(waiting.called, 1);
	assert_ptr_equal(operations_find(&fixture->operations, operation->id), operation);
}

/* The registry goes while somebody waits: the waiter's link stays good. */
static void test_waiter_outlives(void **state)
{
	struct fixture *fixture = *state;
	struct operation *operation = create_running(fixture);
	unsigned int order = 0;
	struct waiting waiting = {.order = &order, .waiter.done = on_done};

	operation_wait(operation, &waiting.waiter);
	operation_destroy(operation);
	assert_int_equal(order, 0);
	assert_true(list_empty(&waiting.waiter.link));
	list_remove(&waiting.waiter.link);
}

static void test_list(void **state)
{
	struct fixture *fixture = *state;
	struct operation *failed, *running[2], *done, *cancelled;
	char expected[1024];
	json_t *json, *shown;

	assert_json(operations_json(&fixture->operations, false, &alice), "{}");
	done = create_running(fixture);
	running[0] = create_running(fixture);
	failed = create_running(fixture);
	cancelled = create_running(fixture);
	running[1] = create_running(fixture);
	operation_finish(failed, OPERATION_FAILURE, "x");
	operation_finish(done, OPERATION_SUCCESS, NULL);
	operation_finish(cancelled, OPERATION_CANCELLED, NULL);
	snprintf(expected, sizeof(expected),
		 "{\"cancelled\":[\"/1.0/operations/%s\"],\"failure\":[\"/1.0/operations/%s\"],"
		 "\"running\":[\"/1.0/operations/%s\",\"/1.0/operations/%s\"],\"success\":[\"/1.0/operations/%s\"]}",
		 cancelled->id, failed->id, running[0]->id, running[1]->id, done->id);
	assert_json(operations_json(&fixture->operations, false, &alice), expected);

	json = operations_json(&fixture->operations, true, &alice);
	assert_int_equal(json_object_size(json), 4);
	shown = json_array_get(json_object_get(json, "failure"), 0);
	assert_string_equal(json_string_value(json_object_get(shown, "id")), failed->id);
	assert_string_equal(json_string_value(json_object_get(shown, "err")), "x");
	json_decref(json);
}

static void test_list_hides_secrets(void **state)
{
	struct fixture *fixture = *state;
	struct operation *operation = create(fixture, NULL, NULL);
	const struct identity *viewers[] = {&alice, &bob, NULL};

	assert_int_equal(operation_add_socket(operation, "0", false), 0);
	operation_start(operation);
	for (size_t i = 0; i < 3; i++) {
		json_t *json = operations_json(&fixture->operations, true, viewers[i]);
		char *text = json_dumps(json, JSON_COMPACT);

		assert_non_null(text);
		assert_int_equal(strstr(text, operation->sockets[0].secret.text) != NULL, viewers[i] == &alice);
		free(text);
		json_decref(json);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life),
		TEST(test_every_end),
		TEST(test_cancel),
		TEST(test_cancel_finishes_at_once),
		TEST(test_uncancellable),
		TEST(test_secrets),
		TEST(test_too_many_sockets),
		TEST(test_json),
		TEST(test_json_of_the_end),
		TEST(test_json_of_strange_reasons),
		TEST(test_json_resources),
		TEST(test_json_metadata),
		TEST(test_find),
		TEST(test_abandon),
		TEST(test_expiry),
		TEST(test_full),
		TEST(test_waiters),
		TEST(test_waiter_creates),
		TEST(test_waiter_outlives),
		TEST(test_list),
		TEST(test_list_hides_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
