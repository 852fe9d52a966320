// SPDX-License-Identifier: Apache-2.0
#include "daemon/visits.h"

#include "util/list.h"

#include <stdlib.h>

static void on_timer(uv_timer_t *timer)
{
	struct visit *visit = container_of(timer, struct visit, timer);

	visit->visits->late(visit);
}

static void await(struct visit *visit, enum visit_wait what, uint64_t seconds)
{
	visit->awaited = what;
	uv_timer_start(&visit->timer, on_timer, seconds * 1000, 0);
}

void visits_init(struct visits *visits, uv_loop_t *loop, struct clients *clients, void (*late)(struct visit *visit))
{
	visits->loop = loop;
	visits->clients = clients;
	visits->late = late;
}

struct visit *visit_create(struct visits *visits, const struct identity *identity, int fd)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit || clients_enter(visits->clients, identity) < 0) {
		free(visit);
		return NULL;
	}
	visit->visits = visits;
	visit->identity = *identity;
	visit->fd = fd;
	uv_timer_init(visits->loop, &visit->timer);
	await(visit, VISIT_HEAD, visits->clients->limits->head_timeout);
	return visit;
}

static void free_visit(uv_handle_t *timer)
{
	free(container_of((uv_timer_t *)timer, struct visit, timer));
}

void visit_destroy(struct visit *visit)
{
	clients_leave(visit->visits->clients, &visit->identity);
	uv_close((uv_handle_t *)&visit->timer, free_visit);
}

void visit_await_body(struct visit *visit)
{
	await(visit, VISIT_BODY, visit->visits->clients->limits->body_timeout);
}

void visit_await_nothing(struct visit *visit)
{
	uv_timer_stop(&visit->timer);
}

void visit_await_next(struct visit *visit)
{
	const struct limits *limits = visit->visits->clients->limits;

	await(visit, VISIT_NEXT, limits->idle_timeout + limits->head_timeout);
}
