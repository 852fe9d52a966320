// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of the store share: a directory with a database, rows, and a look past the store at what is in the
 * file. To be included once in a program, which uses what it needs.
 */
#pragma once

#include "instances/store.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wunused-function"

#define NOBODY 65534
#define LATEST_VERSION 3

struct fixture {
	char directory[64], path[128];
	struct store *store;
	struct error error;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->directory, "/tmp/store-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/consoled.db", f->directory);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char name[160];

	store_close(f->store);
	chmod(f->directory, 0700);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", f->path, (const char *const[]){"", "-wal", "-shm"}[i]);
		unlink(name);
	}
	rmdir(f->directory);
	free(f);
	return 0;
}

static void open_store(struct fixture *f)
{
	if (store_open(&f->store, f->path, &f->error) != 0)
		fail_msg("%s", error_text(&f->error));
}

static void reopen_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	open_store(f);
}

/* Opens a store that is to be refused: with words that name it, and without a trace in `f->store`. */
static int refused(struct fixture *f)
{
	int r = store_open(&f->store, f->path, &f->error);

	assert_true(r < 0);
	assert_null(f->store);
	assert_int_equal(f->error.code, r);
	if (!strstr(f->error.text, f->path))
		fail_msg("does not name the path: %s", f->error.text);
	return r;
}

/* Runs SQL on the file behind the store's back. */
static void run_sql(struct fixture *f, const char *text)
{
	sqlite3 *database;
	char *message = NULL;

	assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
	if (sqlite3_exec(database, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
	sqlite3_close(database);
}

/* The first value that a query gives, as text. */
static void query(struct fixture *f, const char *text, char value[static 64])
{
	sqlite3 *database;
	sqlite3_stmt *statement;

	assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(database, text, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	snprintf(value, 64, "%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(database);
}

static void assert_query(struct fixture *f, const char *text, const char *expected)
{
	char value[64];

	query(f, text, value);
	assert_string_equal(value, expected);
}

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static struct store_row make_row(const char *name, const char *config)
{
	return (struct store_row){
		.name = strdup(name),
		.type = INSTANCE_VIRTUAL_MACHINE,
		.description = strdup("it's \"quoted\"; \xc3\xa4"),
		.ephemeral = true,
		.config = json(config),
		.devices = json("{\"root\": {\"type\": \"disk\", \"path\": \"/\"}, \"eth0\": {}}"),
		.profiles = json("[\"default\", \"b\"]"),
		.created_at = INT64_C(1795425556141141482),
		.last_used_at = INT64_MAX,
	};
}

static int insert(struct fixture *f, const char *name, const char *config)
{
	struct store_row row = make_row(name, config);
	int r = store_insert(f->store, &row, &f->error);

	store_row_finish(&row);
	return r;
}

static void assert_row_equal(const struct store_row *a, const struct store_row *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->type, b->type);
	assert_string_equal(a->description, b->description);
	assert_int_equal(a->ephemeral, b->ephemeral);
	assert_true(json_equal(a->config, b->config));
	assert_true(json_equal(a->devices, b->devices));
	assert_true(json_equal(a->profiles, b->profiles));
	assert_int_equal(a->created_at, b->created_at);
	assert_int_equal(a->last_used_at, b->last_used_at);
}

static int copy_row(const struct store_row *row, void *user)
{
	struct store_row *copy = user;

	assert_null(copy->name); /* one row is what the test has made */
	assert_int_equal(store_row_copy(copy, row), 0);
	return 0;
}

static int append_name(const struct store_row *row, void *user)
{
	char *names = user;

	sprintf(names + strlen(names), "%s ", row->name);
	return 0;
}

static void assert_names(struct fixture *f, const char *expected)
{
	char names[256] = "";

	assert_int_equal(store_each(f->store, append_name, names, &f->error), 0);
	assert_string_equal(names, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
