// SPDX-License-Identifier: Apache-2.0
/* Instances go in and come out. */
#include "store-fixture.h"

static void test_new(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(0);
	struct stat stat;
	char name[160];

	open_store(f);
	umask(mask);
	assert_int_equal(insert(f, "a", "{}"), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", f->path, (const char *const[]){"", "-wal", "-shm"}[i]);
		assert_int_equal(lstat(name, &stat), 0);
		assert_int_equal(stat.st_mode, S_IFREG | 0600);
	}
	assert_query(f, "PRAGMA journal_mode", "wal");
	assert_query(f, "PRAGMA user_version", "3");
}

static void test_empty(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	assert_names(f, "");
	reopen_store(f);
	assert_names(f, "");
	store_close(NULL);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct store_row row = make_row("web-1", "{\"user.a\": \"b\", \"user.nl\": \"x\\ny\\u00e4\\\"\"}"), read = {0};

	open_store(f);
	assert_int_equal(store_insert(f->store, &row, &f->error), 0);
	reopen_store(f);
	assert_int_equal(store_each(f->store, copy_row, &read, &f->error), 0);
	assert_row_equal(&read, &row);
	store_row_finish(&read);
	assert_null(read.name);

	row.type = INSTANCE_CONTAINER;
	row.ephemeral = false;
	row.created_at = row.last_used_at = 0;
	row.description[0] = '\0';
	json_object_clear(row.config);
	json_object_clear(row.devices);
	json_array_clear(row.profiles);
	assert_int_equal(store_update(f->store, &row, &f->error), 0);
	reopen_store(f);
	assert_int_equal(store_each(f->store, copy_row, &read, &f->error), 0);
	assert_row_equal(&read, &row);
	store_row_finish(&read);
	store_row_finish(&row);
}

static void test_each(void **state)
{
	struct fixture *f = *state;
	struct store_row row = make_row("b", "{}");

	open_store(f);
	assert_int_equal(insert(f, "c", "{}"), 0);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_int_equal(store_insert(f->store, &row, &f->error), 0);
	assert_names(f, "a b c ");
	row.type = INSTANCE_CONTAINER;
	assert_int_equal(store_update(f->store, &row, &f->error), 0);
	assert_names(f, "a b c ");
	store_row_finish(&row);
}

static int stop_at_second(const struct store_row *row, void *user)
{
	return ++*(int *)user == 2 ? 42 : 0;
}

static void test_each_stops(void **state)
{
	struct fixture *f = *state;
	int calls = 0;

	open_store(f);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_int_equal(insert(f, "b", "{}"), 0);
	assert_int_equal(insert(f, "c", "{}"), 0);
	assert_int_equal(store_each(f->store, stop_at_second, &calls, &f->error), 42);
	assert_int_equal(calls, 2);
	assert_names(f, "a b c "); /* begins anew, and holds nothing that would keep others out: */
	assert_int_equal(store_delete(f->store, "a", &f->error), 0);
}

static void test_name_taken(void **state)
{
	struct fixture *f = *state;
	struct store_row read = {0};

	open_store(f);
	assert_int_equal(insert(f, "a", "{\"user.a\": \"first\"}"), 0);
	assert_int_equal(insert(f, "a", "{\"user.a\": \"second\"}"), -EEXIST);
	assert_int_equal(f->error.code, -EEXIST);
	assert_string_equal(f->error.text, "Name \"a\" already in use");
	assert_int_equal(store_each(f->store, copy_row, &read, &f->error), 0);
	assert_string_equal(json_string_value(json_object_get(read.config, "user.a")), "first");
	store_row_finish(&read);
	assert_int_equal(insert(f, "A", "{}"), 0);
}

static void test_rename(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_int_equal(insert(f, "b", "{}"), 0);
	assert_int_equal(store_rename(f->store, "a", "c", &f->error), 0);
	assert_names(f, "b c ");
	assert_int_equal(store_rename(f->store, "c", "b", &f->error), -EEXIST);
	assert_string_equal(f->error.text, "Name \"b\" already in use");
	assert_names(f, "b c ");
	assert_int_equal(store_rename(f->store, "a", "d", &f->error), -ENOENT);
	assert_string_equal(f->error.text, "Instance not found");
	assert_int_equal(store_rename(f->store, "a", "b", &f->error), -ENOENT);
	assert_int_equal(store_rename(f->store, "b", "b", &f->error), 0);
	assert_names(f, "b c ");
}

static void test_delete(void **state)
{
	struct fixture *f = *state;
	struct store_row row = make_row("a", "{}");

	open_store(f);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_int_equal(insert(f, "b", "{}"), 0);
	assert_int_equal(store_delete(f->store, "a", &f->error), 0);
	assert_names(f, "b ");
	assert_int_equal(store_delete(f->store, "a", &f->error), -ENOENT);
	assert_int_equal(store_update(f->store, &row, &f->error), -ENOENT);
	assert_int_equal(store_update(f->store, &row, NULL), -ENOENT);
	assert_names(f, "b ");
	assert_int_equal(insert(f, "a", "{}"), 0); /* the name is free again */
	store_row_finish(&row);
}

/* What the words of SQL are made of is a name like any other to us. */
static void test_names_are_data(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	assert_int_equal(insert(f, "x'); DROP TABLE instances; --", "{}"), 0);
	assert_int_equal(store_rename(f->store, "x'); DROP TABLE instances; --", "%_?1", &f->error), 0);
	assert_names(f, "%_?1 ");
	assert_int_equal(store_delete(f->store, "%_%_", &f->error), -ENOENT);
}

/* A row that the caller has not filled in is refused and leaves nothing. */
static void test_incomplete_row(void **state)
{
	struct fixture *f = *state;
	struct store_row row = make_row("a", "{}");

	open_store(f);
	json_decref(row.devices);
	row.devices = NULL;
	assert_int_equal(store_insert(f->store, &row, &f->error), -EIO);
	assert_names(f, "");
	store_row_finish(&row);
}

static void assert_config(struct fixture *f, const char *expected)
{
	json_auto_t *wanted = json(expected), *config = NULL;

	assert_int_equal(store_load_config(f->store, &config, &f->error), 0);
	assert_true(json_equal(config, wanted));
}

/* The server's config is replaced as a whole. */
static void test_config(void **state)
{
	static const char *const configs[] = {
		"{\"a\": \"1\", \"b.c\": \"x\\ny\\u00e4'\"}",
		"{\"a\": \"2\"}",
		"{\"\": \"\"}",
		"{}",
	};
	struct fixture *f = *state;

	open_store(f);
	assert_config(f, "{}");
	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		json_auto_t *config = json(configs[i]);

		assert_int_equal(store_save_config(f->store, config, &f->error), 0);
		assert_config(f, configs[i]);
		reopen_store(f);
		assert_config(f, configs[i]);
	}
}

/* One that cannot be stored leaves what was there, and nothing open behind it. */
static void test_config_fails(void **state)
{
	struct fixture *f = *state;
	json_auto_t *good = json("{\"a\": \"1\"}"), *bad = json("{\"b\": \"2\", \"c\": null}");

	open_store(f);
	assert_int_equal(store_save_config(f->store, good, &f->error), 0);
	assert_int_equal(store_save_config(f->store, bad, &f->error), -EIO);
	assert_non_null(strstr(f->error.text, "NOT NULL constraint failed: config.value"));
	assert_config(f, "{\"a\": \"1\"}");
	assert_int_equal(insert(f, "a", "{}"), 0);
	reopen_store(f);
	assert_names(f, "a ");
	assert_config(f, "{\"a\": \"1\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_empty),
		TEST(test_round_trip),
		TEST(test_each),
		TEST(test_each_stops),
		TEST(test_name_taken),
		TEST(test_rename),
		TEST(test_delete),
		TEST(test_names_are_data),
		TEST(test_incomplete_row),
		TEST(test_config),
		TEST(test_config_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
