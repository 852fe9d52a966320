// SPDX-License-Identifier: Apache-2.0
/*
 * The hub behind GET /1.0/events: what is published goes to every subscriber whose types match, as one text message
 * each. A subscriber that does not read is bounded (limits.event_queue_size: so much is kept for it) and then ended;
 * nobody else notices.
 */
#pragma once

#include "bridge/websocket.h"
#include "util/identity.h"
#include "util/list.h"

#include <jansson.h>
#include <uv.h>

#define EVENTS_PING_SECONDS 10

enum event_type {
	EVENT_LOGGING = 1,
	EVENT_OPERATION = 2,
	EVENT_LIFECYCLE = 4,
};
#define EVENT_ALL (EVENT_LOGGING | EVENT_OPERATION | EVENT_LIFECYCLE)

struct limits;

struct events {
	struct websockets *websockets; /* borrowed */
	const struct limits *limits;   /* borrowed */
	struct list subscribers;       // subscriber::link
	unsigned int count;            /* of subscribers */
	uv_timer_t ping;               /* runs only while there are subscribers */
};

int events_init(struct events *events, uv_loop_t *loop, struct websockets *websockets, const struct limits *limits);

/*
 * Ends all subscribers; they do not touch `events` any more. Call before websockets_destroy(); the timer is gone after
 * one more turn of the loop.
 */
void events_finish(struct events *events);

/*
 * Parses LXD's `type=` list ("operation,lifecycle"; NULL or "" = all) into a set of enum event_type. -EINVAL with LXD's
 * words in `error`: "x" isn't a supported event type.
 */
struct error;
int events_parse_types(const char *list, unsigned int *types, struct error *error);

/*
 * Serves a subscriber on `fd`, which holds an unread WebSocket request and is consumed whatever the result. Pings it at
 * once and every EVENTS_PING_SECONDS, as LXD does. -EAGAIN beyond limits.event_listeners. What it says is ignored.
 */
int events_connect(struct events *events, int fd, unsigned int types, const struct identity *viewer);

/*
 * Publishes. `metadata` is borrowed; subscribers who are `requestor` get `private_metadata` instead where it is not
 * NULL (an operation with its secrets). Never blocks, never fails. Whoever would miss an event, for want of memory or
 * because it does not read, is ended and logged: clients wait for an event for ever, but notice a connection that ends.
 */
void events_publish(struct events *events, enum event_type type, json_t *metadata, json_t *private_metadata,
		    const struct identity *requestor);

/*
 * Publishes LXD's lifecycle event `action` ("instance-started") of an instance. `requestor` (NULL: nobody asked, as for
 * a guest that powered off) and `context` (borrowed; json_null(): there is none; NULL: there was no memory for it) are
 * added as LXD writes them.
 */
void events_lifecycle(struct events *events, const char *action, const char *instance, const struct identity *requestor,
		      json_t *context);
