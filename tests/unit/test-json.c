// SPDX-License-Identifier: Apache-2.0
#include "util/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What could not be made stays so, whatever is added behind it. */
static void test_failure_stays(void **state)
{
	json_t *object = json_object(), *array = json_array();

	json_put(&object, "a", json_integer(1));
	json_append(&array, json_integer(1));
	assert_int_equal(json_object_size(object), 1);
	assert_int_equal(json_array_size(array), 1);
	json_put(&object, "b", NULL);
	json_append(&array, NULL);
	assert_null(object);
	assert_null(array);
	json_put(&object, "c", json_integer(1));
	json_append(&array, json_integer(1));
	assert_null(object);
	assert_null(array);
}

static void test_put_all(void **state)
{
	json_auto_t *more = json_pack("{s:s, s:s}", "a", "new", "b", "b");
	json_t *object = json_pack("{s:s}", "a", "old");

	json_put_all(&object, more);
	assert_string_equal(json_string_value(json_object_get(object, "a")), "new");
	assert_int_equal(json_object_size(object), 2);
	json_put_all(&object, NULL);
	assert_null(object);
}

static void test_duplicate(void **state)
{
	json_auto_t *object = json_pack("{s:s, s:s}", "a", "1", "b", "2"), *array = json_pack("[s, s]", "a", "b");
	json_auto_t *objects = json_duplicate(object), *arrays = json_duplicate(array);

	assert_true(json_equal(object, objects));
	assert_true(json_equal(array, arrays));
	assert_ptr_not_equal(object, objects);
	assert_null(json_duplicate(NULL));
}

static void test_text(void **state)
{
	json_auto_t *object = json_pack("{s:s, s:[i, i]}", "key", "a value longer than the first buffer", "list", 1, 2);
	char *text = json_text(object, JSON_COMPACT);

	assert_string_equal(text, "{\"key\":\"a value longer than the first buffer\",\"list\":[1,2]}");
	free(text);
	assert_null(json_text(NULL, 0));
}

/* jansson's own allocator fails from the time on when `left` is used up, once or for good. */
static unsigned int left;
static bool once;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (left && --left == 0) {
		left = !once;
		return NULL;
	}
	return __real_malloc(size);
}

/* Whichever allocation fails: all of the text is understood, or none, and nothing is read or written elsewhere. */
static void test_parse_without_memory(void **state)
{
	static const char text[] =
		"{\"a key that is longer than the first buffer\": \"so is its value, which goes on\","
		" \"list\": [1, 2.5, \"\\u00e4\", null, true], \"object\": {\"a\": {}}}";
	json_auto_t *whole = NULL;

	assert_int_equal(json_parse(&whole, text, strlen(text), 0, NULL), 0);
	for (once = false;; once = true) {
		unsigned int call = 1;
		int r = -ENOMEM;

		for (; r == -ENOMEM; call++) {
			json_t *parsed = NULL;

			left = call;
			r = json_parse(&parsed, text, strlen(text), 0, NULL);
			left = 0;
			assert_true(r == 0 ? json_equal(parsed, whole) : !parsed);
			json_decref(parsed);
		}
		assert_int_equal(r, 0);
		assert_true(call > 20);
		if (once)
			break;
	}
}

static void test_parse(void **state)
{
	json_error_t problem;
	json_t *parsed;

	assert_int_equal(json_parse(&parsed, "[1, x]", 6, 0, &problem), -EINVAL);
	assert_null(parsed);
	assert_int_equal(json_error_code(&problem), json_error_invalid_syntax);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failure_stays),
		cmocka_unit_test(test_put_all),
		cmocka_unit_test(test_duplicate),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_parse_without_memory),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
