// SPDX-License-Identifier: Apache-2.0
/* Which request goes where, and what is said of those that go nowhere. */
#include "api/api.h"
#include "instances/instances.h"
#include "operations/events.h"
#include "operations/operations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An API with nothing in it. */
struct fixture {
	uv_loop_t loop;
	struct limits limits;
	struct events events;
	struct operations operations;
	struct instances instances;
	struct api api;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	assert_int_equal(uv_loop_init(&f->loop), 0);
	limits_init(&f->limits);
	assert_int_equal(events_init(&f->events, &f->loop, NULL, &f->limits), 0);
	assert_int_equal(operations_init(&f->operations, &f->loop, &f->events, &f->limits), 0);
	f->instances.limits = &f->limits;
	list_init(&f->instances.all);
	f->instances.settings.values = json_object();
	f->api = (struct api){.instances = &f->instances, .operations = &f->operations, .events = &f->events};
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	settings_finish(&f->instances.settings);
	operations_finish(&f->operations);
	events_finish(&f->events);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static const char *no_header(const struct request *request, const char *name)
{
	return NULL;
}

/* Asks, and checks the status and the error (NULL: none). */
static void expect(struct fixture *f, const char *method, const char *target, unsigned int status, const char *error)
{
	struct request request = {.method = method, .header = no_header, .body = "{}", .body_length = 2};
	struct response response = {0};
	json_t *answer;

	assert_int_equal(request_set_target(&request, target), 0);
	api_handle(&f->api, &request, &response);
	assert_int_equal(response.status, status);
	answer = response.length ? json_loadb(response.body, response.length, 0, NULL) : NULL;
	if (error)
		assert_string_equal(json_string_value(json_object_get(answer, "error")), error);
	json_decref(answer);
	response_finish(&response);
	request_finish(&request);
}

static void test_routes(void **state)
{
	struct fixture *f = *state;

	expect(f, "GET", "/", 200, "");
	expect(f, "PUT", "/", 200, "");
	expect(f, "GET", "/1.0", 200, "");
	expect(f, "GET", "/1.0?", 200, "");
	expect(f, "GET", "/1.0/profiles", 200, "");
	expect(f, "GET", "/1.0/profiles/default", 200, "");
	expect(f, "GET", "/1.0/instances", 200, "");
	expect(f, "GET", "/1.0/containers?recursion=2", 200, "");
	expect(f, "GET", "/1.0/virtual-machines", 200, "");
	expect(f, "GET", "/1.0/operations?recursion=1", 200, "");
	expect(f, "OPTIONS", "/1.0/nothing", 200, NULL);
}

static void test_not_found(void **state)
{
	static const char *const paths[] = {"/2.0",
					    "/1.0/",
					    "//1.0",
					    "/1.0/instances/",
					    "/1.0/containersx",
					    "/1.0/instances/x/nosuch",
					    "/1.0/instances/x//console",
					    "/1.0/instances/x/console/"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect(*state, "GET", paths[i], 404, "not found");
}

static void test_methods(void **state)
{
	expect(*state, "DELETE", "/1.0", 501, "not implemented");
	expect(*state, "POST", "/1.0/profiles", 501, "not implemented");
	expect(*state, "DELETE", "/1.0/profiles/default", 501, "not implemented");
	expect(*state, "HEAD", "/1.0", 501, "not implemented");
	expect(*state, "PATCH", "/1.0/instances/x/console", 501, "not implemented");
	expect(*state, "POST", "/1.0/containers/x/state", 501, "not implemented");
	expect(*state, "FOO", "/1.0", 404, "Method \"FOO\" not found");
	expect(*state, "get", "/1.0", 404, "Method \"get\" not found");
}

/* A segment is decoded once, and only inside of itself: an escaped slash does not divide. */
static void test_parameters(void **state)
{
	expect(*state, "GET", "/1.0/instances/x", 404, "Instance not found");
	expect(*state, "GET", "/1.0/instances/a%2Fb", 400, "Invalid instance name");
	expect(*state, "GET", "/1.0/instances/..%2f/console", 400, "Invalid instance name");
	expect(*state, "GET", "/1.0/instances/a%252Fb", 404, "Instance not found");
	expect(*state, "GET", "/1.0/instances/a%00b", 404, "not found");
	expect(*state, "GET", "/1.0/instances/a%zz", 404, "not found");
	expect(*state, "GET", "/1.0/operations/no%20uuid", 404, "Operation not found");
	expect(*state, "DELETE", "/1.0/containers/x/console", 404,
	       "Failed to fetch instance \"x\" in project \"default\": Instance not found");
}

/* What is no JSON can be no part of an answer. */
static void test_text_that_is_not_utf8(void **state)
{
	expect(*state, "\xff\xfe", "/1.0", 404, "Method \"??\" not found");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parameters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_that_is_not_utf8, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
