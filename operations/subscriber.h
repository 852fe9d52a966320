// SPDX-License-Identifier: Apache-2.0
/* One client of GET /1.0/events, and the messages that wait for it. For events.c. */
#pragma once

#include "operations/events.h"

/* An event as it is sent. It is written once and shared by all queues that it waits in. */
struct message {
	unsigned int references;
	size_t length;
	char text[];
};

struct subscriber {
	struct list link;      // events::subscribers
	struct events *events; /* NULL once it has been ended */
	struct websocket *websocket;
	unsigned int types; /* set of enum event_type */
	struct identity viewer;
	struct list queue; // queued::link
	size_t queued;     /* bytes */
};

/* Writes `event` down, with one reference. NULL without memory, or if it is too large to be sent. */
struct message *message_create(const json_t *event);

/* Drops a reference. NULL is allowed. */
void message_release(struct message *message);

/* As events_connect(): a subscriber of `events`, counted in it. */
int subscriber_create(struct events *events, int fd, unsigned int types, const struct identity *viewer);

/* Sends `message`, or queues it with a reference of its own, or ends the subscriber: it may be gone from its list. */
void subscriber_send(struct subscriber *subscriber, struct message *message);

/* Takes it out of its list and closes it with a WebSocket close code; what is queued is dropped. */
void subscriber_end(struct subscriber *subscriber, unsigned int code, const char *reason);
