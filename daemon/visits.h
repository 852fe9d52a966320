// SPDX-License-Identifier: Apache-2.0
/*
 * The connections of the HTTP server, and how long each may take to say what it wants: a head has to be there
 * limits.head_timeout seconds after the connection (limits.idle_timeout more behind an answer: it is kept alive), a
 * body limits.body_timeout seconds after its head. libmicrohttpd knows only how long no byte has moved, and a byte a
 * second is enough for that.
 */
#pragma once

#include "util/clients.h"
#include "util/list.h"

#include <uv.h>

struct visit;

struct visits {
	struct clients *clients;           /* borrowed, and its limits */
	void (*late)(struct visit *visit); /* its time is over: once, until the next visit_await_ */
	uv_timer_t timer;                  /* runs while one of these is not empty */
	uint64_t due;                      /* when it fires: uv_now() */
	struct list heads, idle, bodies;   // visit::link, whose time is over first comes first
};

/* One connection. */
struct visit {
	struct list link; // of visits; in none while an answer is worked on or sent
	struct visits *visits;
	struct identity identity;
	int fd;                /* borrowed */
	uint64_t deadline;     /* uv_now() */
	bool in_head, in_body; /* it has begun to say that, as far as one can tell */
};

void visits_init(struct visits *visits, uv_loop_t *loop, struct clients *clients, void (*late)(struct visit *visit));

/* Closes the timer with `closed`; its `data` is the caller's. All have been destroyed. */
void visits_finish(struct visits *visits, uv_close_cb closed);

/* A new one, counted among the clients, that has yet to say its first head. NULL: no memory. */
struct visit *visit_create(struct visits *visits, const struct identity *identity, int fd);
void visit_destroy(struct visit *visit);

/* A head has been read: a body may follow; all that is wanted has been said; the answer has been sent. */
void visit_await_body(struct visit *visit);
void visit_await_nothing(struct visit *visit);
void visit_await_next(struct visit *visit);
