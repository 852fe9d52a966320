// SPDX-License-Identifier: Apache-2.0
#include "operations/operations.h"

#include "operations/operation.h"
#include "util/limits.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static unsigned int hex_digit(char c)
{
	return (unsigned int)(c <= '9' ? c - '0' : c - 'a' + 10) & 0xf;
}

/* `id` has at least two characters; what is no hexadecimal digit finds some bucket as well. */
static unsigned int bucket_of(const char *id)
{
	return hex_digit(id[0]) << 4 | hex_digit(id[1]);
}

static uint64_t age(const struct operations *operations, const struct operation *operation)
{
	return uv_now(operations->loop) - operation->ended_at;
}

static void on_expiry(uv_timer_t *timer);

static void arm_expiry(struct operations *operations)
{
	uint64_t first_age;

	if (list_empty(&operations->ended))
		return;
	first_age = age(operations, list_first(&operations->ended, struct operation, link));
	uv_timer_start(&operations->expiry, on_expiry,
		       first_age < OPERATION_KEEP_MS ? OPERATION_KEEP_MS - first_age : 0, 0);
}

static void on_expiry(uv_timer_t *timer)
{
	struct operations *operations = timer->data;
	struct operation *operation, *after;

	list_for_each_safe (operation, after, &operations->ended, link) {
		if (age(operations, operation) < OPERATION_KEEP_MS)
			break;
		operation_destroy(operation);
	}
	arm_expiry(operations);
}

int operations_init(struct operations *operations, uv_loop_t *loop, struct events *events, const struct limits *limits)
{
	operations->loop = loop;
	operations->events = events;
	operations->limits = limits;
	operations->count = 0;
	list_init(&operations->live);
	list_init(&operations->ended);
	for (unsigned int i = 0; i < OPERATIONS_BUCKETS; i++)
		list_init(&operations->buckets[i]);
	operations->expiry.data = operations;
	return uv_timer_init(loop, &operations->expiry);
}

void operations_finish(struct operations *operations)
{
	struct operation *operation, *after;

	list_for_each_safe (operation, after, &operations->live, link)
		operation_destroy(operation);
	list_for_each_safe (operation, after, &operations->ended, link)
		operation_destroy(operation);
	uv_close((uv_handle_t *)&operations->expiry, NULL);
}

int operations_add(struct operations *operations, struct operation *operation, struct error *error)
{
	while (operations->count >= operations->limits->operations) {
		if (list_empty(&operations->ended))
			return error_set(error, -EAGAIN, "Too many operations: limits.operations is %" PRIu64,
					 operations->limits->operations);
		operation_destroy(list_first(&operations->ended, struct operation, link));
	}
	operation->registry = operations;
	list_append(&operations->live, &operation->link);
	list_append(&operations->buckets[bucket_of(operation->id)], &operation->bucket);
	operations->count++;
	return 0;
}

void operations_remove(struct operations *operations, struct operation *operation)
{
	list_remove(&operation->link);
	list_remove(&operation->bucket);
	operations->count--;
}

void operations_retire(struct operations *operations, struct operation *operation)
{
	operation->ended_at = uv_now(operations->loop);
	list_remove(&operation->link);
	list_append(&operations->ended, &operation->link);
	arm_expiry(operations);
}

struct operation *operations_find(const struct operations *operations, const char *id)
{
	struct operation *operation;

	if (strlen(id) != OPERATION_ID_LENGTH)
		return NULL;
	list_for_each (operation, &operations->buckets[bucket_of(id)], bucket) {
		if (strcmp(operation->id, id) == 0)
			return operation;
	}
	return NULL;
}

/* Appends those in `list` that have `status`. */
static int append_shown(json_t *shown, const struct list *list, enum operation_status status, bool full,
			const struct identity *viewer)
{
	struct operation *operation;

	list_for_each (operation, list, link) {
		json_t *item;

		if (operation->status != status)
			continue;
		item = full ? operation_json(operation, viewer) : json_sprintf("/1.0/operations/%s", operation->id);
		if (json_array_append_new(shown, item) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *shown_with(const struct operations *operations, enum operation_status status, bool full,
			  const struct identity *viewer)
{
	json_t *shown = json_array();

	if (append_shown(shown, &operations->live, status, full, viewer) == 0 &&
	    append_shown(shown, &operations->ended, status, full, viewer) == 0)
		return shown;
	json_decref(shown);
	return NULL;
}

static void lower_case(char *key, const char *name)
{
	do {
		*key++ = (char)tolower((unsigned char)*name);
	} while (*name++);
}

json_t *operations_json(const struct operations *operations, bool full, const struct identity *viewer)
{
	/* In the order of their names: LXD sorts its keys. */
	static const enum operation_status statuses[] = {
		OPERATION_CANCELLED, OPERATION_CANCELLING, OPERATION_FAILURE,
		OPERATION_PENDING,   OPERATION_RUNNING,    OPERATION_SUCCESS,
	};
	json_t *result = json_object();

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		json_t *shown = shown_with(operations, statuses[i], full, viewer);
		char key[16];

		if (shown && json_array_size(shown) == 0) {
			json_decref(shown);
			continue;
		}
		lower_case(key, operation_status_name(statuses[i]));
		if (json_object_set_new(result, key, shown) < 0) {
			json_decref(result);
			return NULL;
		}
	}
	return result;
}
