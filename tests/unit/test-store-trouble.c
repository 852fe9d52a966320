// SPDX-License-Identifier: Apache-2.0
/* Databases that are old, new, damaged, busy, read-only or full, and a daemon that is killed. */
#include "store-fixture.h"

/* Version 0: what is there before the first migration, be it nothing or tables of somebody's own. */
static void test_migration(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept'); PRAGMA user_version = 0");
	open_store(f);
	assert_query(f, "PRAGMA user_version", "3");
	assert_query(f, "SELECT text FROM notes", "kept");
	assert_int_equal(insert(f, "a", "{}"), 0);
	reopen_store(f);
	assert_names(f, "a ");
	assert_query(f, "PRAGMA user_version", "3");
}

/* A file as the first release left it. */
static const char version_1[] =
	"PRAGMA journal_mode = WAL;"
	"CREATE TABLE instances (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, type INTEGER NOT NULL,"
	" description TEXT NOT NULL, ephemeral INTEGER NOT NULL, config TEXT NOT NULL, devices TEXT NOT NULL,"
	" profiles TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL) STRICT;"
	"INSERT INTO instances VALUES (7, 'old', 0, 'from before', 0, '{\"process.command\":\"sh -i\"}', '{}', '[]', "
	"5, 6);"
	"PRAGMA user_version = 1";

static void test_version_1(void **state)
{
	struct fixture *f = *state;
	struct store_row row = {0};
	json_auto_t *config = NULL;

	run_sql(f, version_1);
	open_store(f);
	assert_query(f, "PRAGMA user_version", "3");
	assert_int_equal(store_each(f->store, copy_row, &row, &f->error), 0);
	assert_string_equal(row.name, "old");
	assert_string_equal(row.description, "from before");
	assert_string_equal(json_string_value(json_object_get(row.config, "process.command")), "sh -i");
	assert_int_equal(row.last_used_at, 6);
	store_row_finish(&row);
	assert_int_equal(store_load_config(f->store, &config, &f->error), 0);
	assert_int_equal(json_object_size(config), 0);
	assert_int_equal(insert(f, "new", "{}"), 0);
	reopen_store(f);
	assert_names(f, "new old ");
}

static void test_version_1_fails(void **state)
{
	struct fixture *f = *state;

	run_sql(f, version_1);
	run_sql(f, "CREATE TABLE config (mine TEXT); INSERT INTO config VALUES ('kept')");
	refused(f);
	assert_non_null(strstr(f->error.text, "table config already exists"));
	assert_query(f, "PRAGMA user_version", "1");
	assert_query(f, "SELECT mine FROM config", "kept");
	assert_query(f, "SELECT name FROM instances", "old");
}

/* As the one before this left it: version 1 and the server's config. */
static void test_version_2(void **state)
{
	struct fixture *f = *state;
	json_auto_t *config = NULL;

	run_sql(f, version_1);
	run_sql(f, "CREATE TABLE config (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
		   "INSERT INTO config VALUES ('lxc.lxcpath', '/srv'); PRAGMA user_version = 2");
	open_store(f);
	assert_query(f, "PRAGMA user_version", "3");
	assert_names(f, "old ");
	assert_int_equal(store_load_config(f->store, &config, &f->error), 0);
	assert_string_equal(json_string_value(json_object_get(config, "lxc.lxcpath")), "/srv");
	assert_query(f, "SELECT count(*) FROM history", "0");
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

	run_sql(f, "PRAGMA user_version = 4");
	assert_int_equal(refused(f), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "Database %s: has version 4, this program knows up to %d; is it from a newer one?", f->path,
		 LATEST_VERSION);
	assert_string_equal(f->error.text, expected);
	assert_query(f, "PRAGMA user_version", "4");
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
	assert_int_equal(seteuid(getuid()), 0);
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
	assert_int_equal(seteuid(getuid()), 0);
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
	assert_int_equal(seteuid(getuid()), 0);
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
	const struct CMUnitTest tests[] = {
		TEST(test_migration),
		TEST(test_version_1),
		TEST(test_version_1_fails),
		TEST(test_version_2),
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
