// SPDX-License-Identifier: Apache-2.0
/*
 * The connections of the HTTP server, and how long each may take to say what it wants: a head has to be there
 * limits.head_timeout seconds after the connection (limits.idle_timeout more behind an answer: it is kept alive), a
 * body limits.body_timeout seconds after its head. libmicrohttpd knows only how long no byte has moved, and a byte a
 * second is enough for that.
 */
#pragma once

#include "util/clients.h"

#include <uv.h>

struct visit;

struct visits {
	uv_loop_t *loop;
	struct clients *clients;           /* borrowed, and its limits */
	void (*late)(struct visit *visit); /* its time is over: once, until the next visit_await_ */
};

enum visit_wait {
	VISIT_HEAD, /* the first; it has begun to say that, as far as one can tell */
	VISIT_BODY, /* that too */
	VISIT_NEXT, /* to begin with the next head, and say it */
};

/* One connection. */
struct visit {
	struct visits *visits;
	struct identity identity;
	int fd;                  /* borrowed */
	enum visit_wait awaited; /* last */
	uv_timer_t timer;        /* stands still while an answer is worked on or sent */
};

void visits_init(struct visits *visits, uv_loop_t *loop, struct clients *clients, void (*late)(struct visit *visit));

/* A new one, counted among the clients, that has yet to say its first head. NULL: no memory. */
struct visit *visit_create(struct visits *visits, const struct identity *identity, int fd);

/* The memory goes when the loop has run the close callback, which needs nothing else. */
void visit_destroy(struct visit *visit);

/* A head has been read: a body may follow; all that is wanted has been said; the answer has been sent. */
void visit_await_body(struct visit *visit);
void visit_await_nothing(struct visit *visit);
void visit_await_next(struct visit *visit);
