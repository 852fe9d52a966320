// SPDX-License-Identifier: Apache-2.0
/* Who is connected, counted in all and by user. */
#include "util/clients.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct identity root = {.uid = 0, .pid = 1}, again = {.uid = 0, .pid = 2, .gid = 5}, other = {.uid = 7};

static void begin(struct clients *clients, struct limits *limits)
{
	limits_init(limits);
	limits->connections = 5;
	limits->connections_per_user = 3;
	clients_init(clients, limits);
}

/* A user is a user, by whatever process and group. */
static void test_per_user(void **state)
{
	struct clients clients;
	struct limits limits;

	begin(&clients, &limits);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(clients_check(&clients, i % 2 ? &again : &root), 0);
		assert_int_equal(clients_enter(&clients, i % 2 ? &again : &root), 0);
	}
	assert_int_equal(clients_check(&clients, &root), -EDQUOT);
	assert_int_equal(clients_check(&clients, &again), -EDQUOT);
	assert_int_equal(clients_check(&clients, &other), 0);
	clients_leave(&clients, &again);
	assert_int_equal(clients_check(&clients, &root), 0);
	clients_leave(&clients, &root);
	clients_leave(&clients, &root);
	assert_int_equal(clients.count, 0);
	assert_true(list_empty(&clients.users));
	clients_finish(&clients);
}

static void test_total(void **state)
{
	struct clients clients;
	struct limits limits;

	begin(&clients, &limits);
	for (int i = 0; i < 5; i++)
		assert_int_equal(clients_enter(&clients, i < 3 ? &root : &other), 0);
	assert_int_equal(clients_check(&clients, &other), -EAGAIN);
	assert_int_equal(clients_check(&clients, &root), -EAGAIN); /* that of all is told first */
	clients_leave(&clients, &root);
	assert_int_equal(clients_check(&clients, &other), 0);
	assert_int_equal(clients.count, 4);
	clients_finish(&clients);
}

/* What is there stays, and is counted out. */
static void test_changed_limit(void **state)
{
	struct clients clients;
	struct limits limits;

	begin(&clients, &limits);
	for (int i = 0; i < 3; i++)
		assert_int_equal(clients_enter(&clients, &root), 0);
	limits.connections_per_user = 1;
	assert_int_equal(clients_check(&clients, &root), -EDQUOT);
	clients_leave(&clients, &root);
	clients_leave(&clients, &root);
	assert_int_equal(clients_check(&clients, &root), -EDQUOT);
	clients_leave(&clients, &root);
	assert_int_equal(clients_check(&clients, &root), 0);
	limits.connections_per_user = 3;
	assert_int_equal(clients_enter(&clients, &root), 0);
	assert_int_equal(clients_check(&clients, &root), 0);
	clients_finish(&clients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_per_user),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_changed_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
