// SPDX-License-Identifier: Apache-2.0
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

#define NOBODY 65534
#define LATEST_VERSION 1

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
	*copy = (struct store_row){
		.name = strdup(row->name),
		.type = row->type,
		.description = strdup(row->description),
		.ephemeral = row->ephemeral,
		.config = json_incref(row->config),
		.devices = json_incref(row->devices),
		.profiles = json_incref(row->profiles),
		.created_at = row->created_at,
		.last_used_at = row->last_used_at,
	};
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
	assert_query(f, "PRAGMA user_version", "1");
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

/* Version 0: what is there before the first migration, be it nothing or tables of somebody's own. */
static void test_migration(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept'); PRAGMA user_version = 0");
	open_store(f);
	assert_query(f, "PRAGMA user_version", "1");
	assert_query(f, "SELECT text FROM notes", "kept");
	assert_int_equal(insert(f, "a", "{}"), 0);
	reopen_store(f);
	assert_names(f, "a ");
	assert_query(f, "PRAGMA user_version", "1");
}

static void test_empty_file(void **state)
{
	struct fixture *f = *state;
	cleanup_close int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	open_store(f);
	assert_int_equal(insert(f, "a", "{}"), 0);
}

/* A migration that cannot be made leaves all as it was. */
static void test_migration_fails(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "CREATE TABLE instances (mine TEXT); INSERT INTO instances VALUES ('kept')");
	refused(f);
	assert_non_null(strstr(f->error.text, "table instances already exists"));
	assert_query(f, "PRAGMA user_version", "0");
	assert_query(f, "PRAGMA journal_mode", "delete");
	assert_query(f, "SELECT mine FROM instances", "kept");
}

static void test_other_versions(void **state)
{
	struct fixture *f = *state;
	char expected[256];

	run_sql(f, "PRAGMA user_version = 2");
	assert_int_equal(refused(f), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "Database %s: has version 2, this program knows up to %d; is it from a newer one?", f->path,
		 LATEST_VERSION);
	assert_string_equal(f->error.text, expected);
	assert_query(f, "PRAGMA user_version", "2");
	assert_query(f, "PRAGMA journal_mode", "delete");
	run_sql(f, "PRAGMA user_version = -1");
	assert_int_equal(refused(f), -EINVAL);
	assert_query(f, "SELECT count(*) FROM sqlite_schema", "0");
}

static void write_file(const char *path, const char *text, size_t length)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
}

static void test_not_a_database(void **state)
{
	struct fixture *f = *state;
	static const char text[2048] = "instances:\n- name: a\n";

	write_file(f->path, text, sizeof(text));
	assert_int_equal(refused(f), -EIO);
	assert_non_null(strstr(f->error.text, "file is not a database"));
}

/* The magic and nothing behind it. */
static void test_torn_database(void **state)
{
	struct fixture *f = *state;
	static const char text[200] = "SQLite format 3";

	write_file(f->path, text, sizeof(text));
	assert_int_equal(refused(f), -EIO);
}

static void test_directory_in_the_way(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->path, 0700), 0);
	refused(f);
	assert_non_null(strstr(f->error.text, "unable to open database file"));
	assert_int_equal(rmdir(f->path), 0);
}

static void test_no_directory(void **state)
{
	struct fixture *f = *state;

	snprintf(f->path, sizeof(f->path), "%s/none/consoled.db", f->directory);
	assert_int_equal(refused(f), -ENOENT);
	assert_non_null(strstr(f->error.text, "No such file or directory"));
}

static int do_nothing(const struct store_row *row, void *user)
{
	return 0;
}

static void test_damaged_rows(void **state)
{
	static const char *const damages[] = {
		"UPDATE instances SET config = '{'",
		"UPDATE instances SET config = ''",
		"UPDATE instances SET config = '[]'",
		"UPDATE instances SET config = '{\"a\": 1}'",
		"UPDATE instances SET devices = '[]'",
		"UPDATE instances SET devices = '{\"a\": \"b\"}'",
		"UPDATE instances SET devices = '{\"a\": {\"b\": null}}'",
		"UPDATE instances SET profiles = '{}'",
		"UPDATE instances SET profiles = '[1]'",
		"UPDATE instances SET type = 2",
		"UPDATE instances SET type = -1",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		open_store(f);
		assert_int_equal(insert(f, "broken", "{}"), 0);
		run_sql(f, damages[i]);
		assert_int_equal(store_each(f->store, do_nothing, NULL, &f->error), -EIO);
		assert_non_null(strstr(f->error.text, f->path));
		assert_non_null(strstr(f->error.text, "broken"));
		assert_int_equal(store_delete(f->store, "broken", &f->error), 0);
		store_close(f->store);
		f->store = NULL;
	}
}

/* Names and texts that the API would never have taken, and that what comes behind relies on. */
static void test_damaged_names(void **state)
{
	static const char *const damages[] = {
		"UPDATE instances SET name = 'broken-' || hex(zeroblob(100))",
		"UPDATE instances SET name = 'broken', description = CAST(x'ff' AS TEXT)",
	};
	struct fixture *f = *state;

	open_store(f);
	assert_int_equal(insert(f, "sound", "{}"), 0);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		run_sql(f, damages[i]);
		assert_int_equal(store_each(f->store, do_nothing, NULL, &f->error), -EIO);
		assert_non_null(strstr(f->error.text, "broken"));
	}
}

/* Somebody else holds the database: an error in time, and all is well once they are gone. */
static void test_busy(void **state)
{
	struct fixture *f = *state;
	sqlite3 *other;

	open_store(f);
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(insert(f, "a", "{}"), -EBUSY);
	assert_names(f, "");
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_names(f, "a ");
}

/* Becomes a user whom modes bind; root's own tests give it the directory first. */
static void drop_root(struct fixture *f)
{
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(f->directory, NOBODY, NOBODY), 0);
	if (access(f->path, F_OK) == 0)
		assert_int_equal(chown(f->path, NOBODY, NOBODY), 0);
	assert_int_equal(seteuid(NOBODY), 0);
}

static void test_read_only_directory_without(void **state)
{
	struct fixture *f = *state;
	int r;

	assert_int_equal(chmod(f->directory, 0500), 0);
	drop_root(f);
	r = store_open(&f->store, f->path, &f->error);
	seteuid(getuid());
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(f->error.text, f->path));
	assert_non_null(strstr(f->error.text, "Permission denied"));
	assert_int_equal(access(f->path, F_OK), -1);
}

/* The file may be written to, but not what SQLite keeps beside it. */
static void test_read_only_directory_with(void **state)
{
	struct fixture *f = *state;
	int r;

	open_store(f);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(chmod(f->directory, 0500), 0);
	drop_root(f);
	r = store_open(&f->store, f->path, &f->error);
	seteuid(getuid());
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(f->error.text, f->path));
	assert_non_null(strstr(f->error.text, "its directory may not be written to"));
}

static void test_read_only_file(void **state)
{
	struct fixture *f = *state;
	int r;

	open_store(f);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(chmod(f->path, 0400), 0);
	drop_root(f);
	r = store_open(&f->store, f->path, &f->error);
	seteuid(getuid());
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(f->error.text, f->path));
	assert_non_null(strstr(f->error.text, "may not be written to"));
}

static int count_rows(const struct store_row *row, void *user)
{
	++*(unsigned int *)user;
	return 0;
}

/* Fills a small file system of our own; it is gone with this process. */
static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	char filler[96], name[32], config[4096 + 32];
	unsigned int inserted = 0, found = 0;
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", f->directory, "tmpfs", 0, "size=512k") < 0) {
		print_message("cannot mount a file system: %s\n", strerror(errno));
		skip();
	}
	snprintf(filler, sizeof(filler), "%s/filler", f->directory);
	write_file(filler, (char[128 * 1024]){0}, 128 * 1024);
	open_store(f);
	snprintf(config, sizeof(config), "{\"user.x\": \"%04096d\"}", 0);
	do {
		snprintf(name, sizeof(name), "i%u", inserted);
		r = insert(f, name, config);
	} while (r == 0 && ++inserted < 1000);
	assert_int_equal(r, -ENOSPC);
	assert_true(inserted > 0);
	assert_non_null(strstr(f->error.text, f->path));
	assert_int_equal(insert(f, name, config), -ENOSPC);

	assert_int_equal(store_each(f->store, count_rows, &found, &f->error), 0);
	assert_int_equal(found, inserted);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(insert(f, name, config), 0);
	assert_query(f, "PRAGMA integrity_check", "ok");
	reopen_store(f);
	found = 0;
	assert_int_equal(store_each(f->store, count_rows, &found, &f->error), 0);
	assert_int_equal(found, inserted + 1);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(umount2(f->directory, MNT_DETACH), 0);
}

/* Inserts for ever, and says so after each. */
static void insert_for_ever(struct fixture *f, int told)
{
	struct store *store;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || store_open(&store, f->path, NULL) < 0)
		_exit(1);
	f->store = store;
	for (unsigned int i = 0;; i++) {
		char name[32];

		snprintf(name, sizeof(name), "i%06u", i);
		if (insert(f, name, "{\"user.a\": \"b\"}") < 0 || write(told, "", 1) != 1)
			_exit(1);
	}
}

/* What was told is there, and nothing is there by halves. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	unsigned int told = 0, found = 0;
	int pipes[2], status;
	char bytes[64];
	ssize_t n;
	pid_t child;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		insert_for_ever(f, pipes[1]);
	close(pipes[1]);
	while (told < 200) {
		n = read(pipes[0], bytes, sizeof(bytes));
		assert_true(n > 0);
		told += n;
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while ((n = read(pipes[0], bytes, sizeof(bytes))) > 0)
		told += n;
	close(pipes[0]);

	open_store(f);
	assert_int_equal(store_each(f->store, count_rows, &found, &f->error), 0);
	assert_true(found == told || found == told + 1);
	assert_query(f, "PRAGMA integrity_check", "ok");
	assert_int_equal(insert(f, "after", "{}"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		TEST(test_migration),
		TEST(test_empty_file),
		TEST(test_migration_fails),
		TEST(test_other_versions),
		TEST(test_not_a_database),
		TEST(test_torn_database),
		TEST(test_directory_in_the_way),
		TEST(test_no_directory),
		TEST(test_damaged_rows),
		TEST(test_damaged_names),
		TEST(test_busy),
		TEST(test_read_only_directory_without),
		TEST(test_read_only_directory_with),
		TEST(test_read_only_file),
		TEST(test_disk_full),
		TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
