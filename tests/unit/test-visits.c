// SPDX-License-Identifier: Apache-2.0
/* How long connections of the HTTP server may take. A second is the least patience there is. */
#include "daemon/visits.h"
#include "util/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LONG 1000

static const struct identity somebody = {.uid = 7};

struct world {
	uv_loop_t loop;
	struct limits limits;
	struct clients clients;
	struct visits visits;
	char late[64]; /* a letter for each whose time was over, in order: its fd */
	char bodies[64];
};

static void on_late(struct visit *visit)
{
	struct world *world = container_of(visit->visits, struct world, visits);
	char letter[2] = {(char)visit->fd, '\0'};

	strcat(world->late, letter);
	if (visit->awaited == VISIT_BODY)
		strcat(world->bodies, letter);
}

static struct world *begin(void)
{
	struct world *world = calloc(1, sizeof(*world));

	limits_init(&world->limits);
	world->limits.head_timeout = world->limits.body_timeout = 1;
	world->limits.idle_timeout = LONG;
	clients_init(&world->clients, &world->limits);
	assert_int_equal(uv_loop_init(&world->loop), 0);
	visits_init(&world->visits, &world->loop, &world->clients, on_late);
	return world;
}

static void end(struct world *world)
{
	assert_int_equal(world->clients.count, 0);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	clients_finish(&world->clients);
	free(world);
}

/* Until the time of one more is over. Milliseconds that this took. */
static uint64_t wait_late(struct world *world)
{
	size_t before = strlen(world->late);
	uint64_t start = uv_hrtime();

	while (strlen(world->late) == before && uv_hrtime() - start < UINT64_C(20000000000))
		uv_run(&world->loop, UV_RUN_ONCE);
	return (uv_hrtime() - start) / 1000000;
}

/* A head that drips, and a body that does: the time runs from the connection, and from the head. */
static void test_head_and_body(void **state)
{
	struct world *world = begin();
	struct visit *head = visit_create(&world->visits, &somebody, 'h');
	struct visit *body = visit_create(&world->visits, &somebody, 'b');

	assert_int_equal(world->clients.count, 2);
	visit_await_body(body);
	assert_in_range(wait_late(world), 900, 19000);
	while (strlen(world->late) < 2)
		wait_late(world);
	assert_string_equal(world->late, "hb");
	assert_string_equal(world->bodies, "b");
	assert_false(uv_is_active((uv_handle_t *)&head->timer)); /* once is enough */
	assert_false(uv_is_active((uv_handle_t *)&body->timer));
	visit_destroy(head);
	visit_destroy(body);
	end(world);
}

/* While an answer is made and sent nothing is waited for; behind it the next request may take its time. */
static void test_answer(void **state)
{
	struct world *world = begin();
	struct visit *visit = visit_create(&world->visits, &somebody, 'v');

	visit_await_body(visit);
	visit_await_nothing(visit);
	assert_false(uv_is_active((uv_handle_t *)&visit->timer));
	world->limits.idle_timeout = 0;
	visit_await_next(visit);
	wait_late(world);
	assert_string_equal(world->late, "v");
	assert_string_equal(world->bodies, "");
	world->limits.idle_timeout = LONG;
	visit_await_next(visit);
	assert_true(uv_timer_get_due_in(&visit->timer) > LONG * 1000);
	visit_destroy(visit);
	end(world);
}

/* Who has less patience left is late first, whoever comes and goes. */
static void test_who_is_next(void **state)
{
	struct world *world = begin();
	struct visit *slow, *quick, *gone;

	world->limits.head_timeout = LONG;
	slow = visit_create(&world->visits, &somebody, 's');
	gone = visit_create(&world->visits, &somebody, 'g');
	world->limits.head_timeout = 1; /* less patience than with those who are there */
	quick = visit_create(&world->visits, &somebody, 'q');
	visit_destroy(gone);
	assert_in_range(wait_late(world), 900, 19000);
	assert_string_equal(world->late, "q");
	assert_true(uv_is_active((uv_handle_t *)&slow->timer));
	visit_destroy(slow);
	visit_destroy(quick);
	end(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_and_body),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_who_is_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
