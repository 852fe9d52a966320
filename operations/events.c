// SPDX-License-Identifier: Apache-2.0
#include "operations/events.h"

#include "operations/subscriber.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <errno.h>
#include <string.h>

#define CLOSE_GOING_AWAY 1001 /* RFC 6455 section 7.4.1 */
#define CLOSE_INTERNAL_ERROR 1011

static const struct {
	enum event_type type;
	const char *name;
} event_types[] = {
	{EVENT_LOGGING, "logging"},
	{EVENT_OPERATION, "operation"},
	{EVENT_LIFECYCLE, "lifecycle"},
};
#define EVENT_TYPES (sizeof(event_types) / sizeof(event_types[0]))

static const char *type_name(enum event_type type)
{
	for (size_t i = 0; i < EVENT_TYPES; i++) {
		if (event_types[i].type == type)
			return event_types[i].name;
	}
	return "";
}

/* 0 = no such type. */
static unsigned int type_of(const char *name, size_t length)
{
	for (size_t i = 0; i < EVENT_TYPES; i++) {
		if (strlen(event_types[i].name) == length && memcmp(event_types[i].name, name, length) == 0)
			return event_types[i].type;
	}
	return 0;
}

int events_parse_types(const char *list, unsigned int *types, struct error *error)
{
	unsigned int parsed = 0;

	if (!list || !*list) {
		*types = EVENT_ALL;
		return 0;
	}
	for (;;) {
		size_t length = strcspn(list, ",");
		unsigned int type = type_of(list, length);

		if (!type)
			return error_set(error, -EINVAL, "\"%.*s\" isn't a supported event type",
					 length < ERROR_TEXT_MAX ? (int)length : ERROR_TEXT_MAX, list);
		parsed |= type;
		if (!list[length])
			break;
		list += length + 1;
	}
	*types = parsed;
	return 0;
}

static void on_ping(uv_timer_t *timer)
{
	struct events *events = timer->data;
	struct subscriber *subscriber;

	list_for_each (subscriber, &events->subscribers, link)
		websocket_ping(subscriber->websocket);
}

int events_init(struct events *events, uv_loop_t *loop, struct websockets *websockets, const struct limits *limits)
{
	events->websockets = websockets;
	events->limits = limits;
	events->count = 0;
	list_init(&events->subscribers);
	events->ping.data = events;
	return uv_timer_init(loop, &events->ping);
}

void events_finish(struct events *events)
{
	struct subscriber *subscriber, *after;

	list_for_each_safe (subscriber, after, &events->subscribers, link)
		subscriber_end(subscriber, CLOSE_GOING_AWAY, NULL);
	uv_close((uv_handle_t *)&events->ping, NULL);
}

int events_connect(struct events *events, int fd, unsigned int types, const struct identity *viewer)
{
	cleanup_close int owned = fd;
	int result;

	if (events->count >= events->limits->event_listeners)
		return -EAGAIN;
	result = subscriber_create(events, move_fd(&owned), types, viewer);
	if (result == 0 && events->count == 1)
		uv_timer_start(&events->ping, on_ping, EVENTS_PING_SECONDS * 1000, EVENTS_PING_SECONDS * 1000);
	return result;
}

static struct message *write_event(enum event_type type, json_t *metadata)
{
	char timestamp[TIMESTAMP_LENGTH + 1];
	json_auto_t *event = NULL;

	timestamp_format(timestamp_now(), timestamp);
	event = json_pack("{s:s, s:s, s:O, s:s}", "type", type_name(type), "timestamp", timestamp, "metadata", metadata,
			  "location", "none");
	if (type != EVENT_LOGGING) /* LXD's log has no project */
		json_put(&event, "project", json_string("default"));
	return message_create(event);
}

void events_publish(struct events *events, enum event_type type, json_t *metadata, json_t *private_metadata,
		    const struct identity *requestor)
{
	struct message *messages[2] = {NULL, NULL};
	struct subscriber *subscriber, *after;

	list_for_each_safe (subscriber, after, &events->subscribers, link) {
		bool private = private_metadata && requestor && identity_same(&subscriber->viewer, requestor);

		if (!(subscriber->types & type))
			continue;
		if (!messages[private])
			messages[private] = write_event(type, private ? private_metadata : metadata);
		if (messages[private]) {
			subscriber_send(subscriber, messages[private]);
		} else {
			log_error("Ending an event subscriber: no memory for the event, or it is too large");
			subscriber_end(subscriber, CLOSE_INTERNAL_ERROR, NULL);
		}
	}
	message_release(messages[0]);
	message_release(messages[1]);
}

static json_t *requestor_json(const struct identity *requestor)
{
	char username[64];

	identity_username(requestor, username);
	return json_pack("{s:s, s:s, s:s}", "username", username, "protocol", "unix", "address", "@");
}

void events_lifecycle(struct events *events, const char *action, const char *instance, const struct identity *requestor,
		      json_t *context)
{
	json_auto_t *metadata = NULL;

	if (!events->count)
		return;
	metadata = json_pack("{s:s, s:o}", "action", action, "source", json_sprintf("/1.0/instances/%s", instance));
	if (!json_is_null(context))
		json_put(&metadata, "context", json_incref(context));
	if (requestor)
		json_put(&metadata, "requestor", requestor_json(requestor));
	events_publish(events, EVENT_LIFECYCLE, metadata, NULL, NULL);
}
