// SPDX-License-Identifier: Apache-2.0
#include "operations/subscriber.h"

#include "util/cleanup.h"
#include "util/limits.h"
#include "util/log.h"

#include <errno.h>
#include <stdlib.h>

#define CLOSE_POLICY 1008 /* RFC 6455 section 7.4.1 */

/* A place in a queue. */
struct queued {
	struct list link; // subscriber::queue
	struct message *message;
};

struct message *message_create(const json_t *event)
{
	size_t length = json_dumpb(event, NULL, 0, JSON_COMPACT);
	struct message *message;

	if (length == 0 || length + 1 > WEBSOCKET_SCRATCH_SIZE)
		return NULL;
	message = malloc(sizeof(*message) + length + 1);
	if (!message)
		return NULL;
	if (json_dumpb(event, message->text, length, JSON_COMPACT) != length) {
		free(message);
		return NULL;
	}
	message->text[length] = '\n';
	message->length = length + 1;
	message->references = 1;
	return message;
}

void message_release(struct message *message)
{
	if (message && --message->references == 0)
		free(message);
}

static void drop_first(struct subscriber *subscriber)
{
	struct queued *first = list_first(&subscriber->queue, struct queued, link);

	list_remove(&first->link);
	subscriber->queued -= first->message->length;
	message_release(first->message);
	free(first);
}

/* After this it belongs to its connection alone. */
static void leave(struct subscriber *subscriber)
{
	struct events *events = subscriber->events;

	if (!events)
		return;
	subscriber->events = NULL;
	list_remove(&subscriber->link);
	if (--events->count == 0)
		uv_timer_stop(&events->ping);
	while (!list_empty(&subscriber->queue))
		drop_first(subscriber);
}

void subscriber_end(struct subscriber *subscriber, unsigned int code, const char *reason)
{
	leave(subscriber);
	websocket_close(subscriber->websocket, code, reason);
}

/* Sends what is queued until the socket has no room. */
static void flush(struct subscriber *subscriber)
{
	while (!list_empty(&subscriber->queue) && websocket_ready(subscriber->websocket)) {
		const struct message *message = list_first(&subscriber->queue, struct queued, link)->message;

		/* Of a connection that fails here `closed` is told soon. */
		if (websocket_send(subscriber->websocket, WEBSOCKET_TEXT, message->text, message->length) < 0)
			return;
		drop_first(subscriber);
	}
	if (!list_empty(&subscriber->queue))
		websocket_want_write(subscriber->websocket);
}

static int enqueue(struct subscriber *subscriber, struct message *message)
{
	struct queued *last;

	if (subscriber->queued + message->length > subscriber->events->limits->event_queue_size)
		return -EMSGSIZE;
	last = malloc(sizeof(*last));
	if (!last)
		return -ENOMEM;
	last->message = message;
	message->references++;
	subscriber->queued += message->length;
	list_append(&subscriber->queue, &last->link);
	return 0;
}

void subscriber_send(struct subscriber *subscriber, struct message *message)
{
	int result;

	/* A turn of the loop may publish more than a queue holds: what the socket takes meanwhile makes room. */
	flush(subscriber);
	if (list_empty(&subscriber->queue) && websocket_ready(subscriber->websocket)) {
		websocket_send(subscriber->websocket, WEBSOCKET_TEXT, message->text, message->length);
		return;
	}
	result = enqueue(subscriber, message);
	if (result < 0) {
		log_info("Ending an event subscriber of user %u: %s", (unsigned int)subscriber->viewer.uid,
			 result == -EMSGSIZE ? "it does not read" : "out of memory");
		subscriber_end(subscriber, CLOSE_POLICY, "Too slow: limits.event_queue_size");
		return;
	}
	websocket_want_write(subscriber->websocket);
}

static void on_open(struct websocket *websocket, void *user)
{
	struct subscriber *subscriber = user;

	websocket_ping(websocket);
	flush(subscriber);
}

static void on_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
		       size_t length, bool first, bool last)
{
	/* Nothing is asked of a subscriber. LXD ends one that talks. */
}

static void on_writable(struct websocket *websocket, void *user)
{
	flush(user);
}

static void on_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct subscriber *subscriber = user;

	leave(subscriber);
	free(subscriber);
}

int subscriber_create(struct events *events, int fd, unsigned int types, const struct identity *viewer)
{
	static const struct websocket_handler handler = {
		.open = on_open,
		.message = on_message,
		.writable = on_writable,
		.closed = on_closed,
	};
	cleanup_close int owned = fd;
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
	int result;

	if (!subscriber)
		return -ENOMEM;
	list_init(&subscriber->queue);
	subscriber->types = types;
	subscriber->viewer = *viewer;
	subscriber->events = events;
	list_append(&events->subscribers, &subscriber->link);
	events->count++;
	result = websockets_adopt(events->websockets, move_fd(&owned), viewer, &handler, subscriber,
				  &subscriber->websocket);
	if (result < 0) {
		leave(subscriber);
		free(subscriber);
	}
	return result;
}
