// SPDX-License-Identifier: Apache-2.0
#include "daemon/visits.h"

#include <stdlib.h>
#include <sys/param.h>

static void on_timer(uv_timer_t *timer);

static uint64_t first_deadline(const struct visits *visits)
{
	const struct list *const lists[] = {&visits->heads, &visits->idle, &visits->bodies};
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!list_empty(lists[i]))
			first = MIN(first, list_first(lists[i], struct visit, link)->deadline);
	return first;
}

static void arm(struct visits *visits)
{
	uint64_t first = first_deadline(visits), now = uv_now(visits->timer.loop);

	if (first == UINT64_MAX)
		uv_timer_stop(&visits->timer);
	else
		uv_timer_start(&visits->timer, on_timer, first > now ? first - now : 0, 0);
	visits->due = first;
}

static void on_timer(uv_timer_t *timer)
{
	struct visits *visits = container_of(timer, struct visits, timer);
	struct list *const lists[] = {&visits->heads, &visits->idle, &visits->bodies};
	uint64_t now = uv_now(timer->loop);

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		while (!list_empty(lists[i]) && list_first(lists[i], struct visit, link)->deadline <= now) {
			struct visit *visit = list_first(lists[i], struct visit, link);

			list_remove(&visit->link);
			visits->late(visit);
		}
	arm(visits);
}

/* Behind those whose time is over before: all of a list, unless it was given less patience meanwhile. */
static void insert(struct list *list, struct visit *visit)
{
	struct list *before = list;

	while (before->prev != list && container_of(before->prev, struct visit, link)->deadline > visit->deadline)
		before = before->prev;
	list_append(before, &visit->link);
}

static void await(struct visit *visit, struct list *list, uint64_t seconds)
{
	struct visits *visits = visit->visits;

	list_remove(&visit->link);
	visit->deadline = uv_now(visits->timer.loop) + seconds * 1000;
	visit->in_head = list == &visits->heads;
	visit->in_body = list == &visits->bodies;
	insert(list, visit);
	if (!uv_is_active((uv_handle_t *)&visits->timer) || visit->deadline < visits->due)
		arm(visits);
}

void visits_init(struct visits *visits, uv_loop_t *loop, struct clients *clients, void (*late)(struct visit *visit))
{
	visits->clients = clients;
	visits->late = late;
	uv_timer_init(loop, &visits->timer);
	list_init(&visits->heads);
	list_init(&visits->idle);
	list_init(&visits->bodies);
}

void visits_finish(struct visits *visits, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&visits->timer, closed);
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
	list_init(&visit->link);
	await(visit, &visits->heads, visits->clients->limits->head_timeout);
	return visit;
}

void visit_destroy(struct visit *visit)
{
	list_remove(&visit->link);
	clients_leave(visit->visits->clients, &visit->identity);
	free(visit);
}

void visit_await_body(struct visit *visit)
{
	await(visit, &visit->visits->bodies, visit->visits->clients->limits->body_timeout);
}

void visit_await_nothing(struct visit *visit)
{
	list_remove(&visit->link);
}

void visit_await_next(struct visit *visit)
{
	const struct limits *limits = visit->visits->clients->limits;

	await(visit, &visit->visits->idle, limits->idle_timeout + limits->head_timeout);
}
