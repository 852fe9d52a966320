// SPDX-License-Identifier: Apache-2.0
#include "instances/store.h"
#include "instances/instances.h"
#include "util/cleanup.h"
#include "util/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_SUFFIX ".reserve"
#define RESERVE_SIZE (128 * 1024)
#define RESERVE_STEP (32 * 1024)

#define PAGE_SIZE 4096   /* SQLite's choice */
#define BUSY_TIMEOUT 500 /* ms; the loop waits meanwhile, for whoever looks at the database with sqlite3(1) */

/* migrations[n] turns schema n into n + 1; user_version says how many have been made. Only ever append. */
static const char *const migrations[] = {
	"CREATE TABLE instances ("
	"	id INTEGER PRIMARY KEY,"
	"	name TEXT NOT NULL UNIQUE,"
	"	type INTEGER NOT NULL,"
	"	description TEXT NOT NULL,"
	"	ephemeral INTEGER NOT NULL,"
	"	config TEXT NOT NULL,"
	"	devices TEXT NOT NULL,"
	"	profiles TEXT NOT NULL,"
	"	created_at INTEGER NOT NULL,"
	"	last_used_at INTEGER NOT NULL"
	") STRICT",
	"CREATE TABLE config ("
	"	key TEXT NOT NULL PRIMARY KEY,"
	"	value TEXT NOT NULL"
	") STRICT, WITHOUT ROWID",
	"CREATE TABLE history ("
	"	instance TEXT NOT NULL," /* by name: not all are in the table above */
	"	sequence INTEGER NOT NULL,"
	"	time INTEGER NOT NULL,"
	"	action TEXT NOT NULL,"
	"	session TEXT,"
	"	type TEXT,"
	"	mode TEXT,"
	"	username TEXT,"
	"	uid INTEGER NOT NULL,"
	"	pid INTEGER NOT NULL,"
	"	ended_by TEXT,"
	"	duration INTEGER NOT NULL,"
	"	sent INTEGER NOT NULL,"
	"	received INTEGER NOT NULL,"
	"	count INTEGER NOT NULL,"
	"	PRIMARY KEY (instance, sequence)"
	") STRICT, WITHOUT ROWID;"
	/* What a name has had before belongs to another: a container that is not ours may have gone unseen. */
	"CREATE TRIGGER history_insert AFTER INSERT ON instances BEGIN"
	"	DELETE FROM history WHERE instance = new.name;"
	"END;"
	"CREATE TRIGGER history_rename AFTER UPDATE OF name ON instances WHEN new.name != old.name BEGIN"
	"	DELETE FROM history WHERE instance = new.name;"
	"	UPDATE history SET instance = new.name WHERE instance = old.name;"
	"END;"
	"CREATE TRIGGER history_delete AFTER DELETE ON instances BEGIN"
	"	DELETE FROM history WHERE instance = old.name;"
	"END",
};

#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	SELECT_ALL,
	INSERT,
	UPDATE,
	RENAME,
	DELETE,
	SELECT_CONFIG,
	INSERT_CONFIG,
	SELECT_ACTS,
	INSERT_ACT,
	REPEAT_ACT,
	PRUNE_ACTS,
	DELETE_ACTS,
	STATEMENTS,
};

/* A row's parameters and columns have the same order everywhere; see bind_row() and load_row(). */
static const char *const statement_texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SELECT_ALL] = "SELECT name, type, description, ephemeral, config, devices, profiles, created_at, last_used_at"
		       " FROM instances ORDER BY name",
	[INSERT] = "INSERT INTO instances (name, type, description, ephemeral, config, devices, profiles, created_at,"
		   " last_used_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[UPDATE] = "UPDATE instances SET type = ?2, description = ?3, ephemeral = ?4, config = ?5, devices = ?6,"
		   " profiles = ?7, created_at = ?8, last_used_at = ?9 WHERE name = ?1",
	[RENAME] = "UPDATE instances SET name = ?2 WHERE name = ?1",
	[DELETE] = "DELETE FROM instances WHERE name = ?1",
	[SELECT_CONFIG] = "SELECT key, value FROM config ORDER BY key",
	[INSERT_CONFIG] = "INSERT INTO config (key, value) VALUES (?1, ?2)",
	[SELECT_ACTS] =
		"SELECT * FROM (SELECT instance, time, action, session, type, mode, username, uid, pid, ended_by,"
		" duration, sent, received, count, sequence FROM history WHERE instance = ?1 AND time >= ?2"
		" ORDER BY sequence DESC LIMIT ?3) ORDER BY sequence",
	[INSERT_ACT] =
		"INSERT INTO history (instance, time, action, session, type, mode, username, uid, pid, ended_by,"
		" duration, sent, received, count, sequence) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
		" ?12, ?13, ?14, coalesce(max(sequence), 0) + 1 FROM history WHERE instance = ?1",
	[REPEAT_ACT] = "UPDATE history SET time = ?2, pid = ?9, count = count + ?14 WHERE instance = ?1 AND"
		       " sequence = (SELECT max(sequence) FROM history WHERE instance = ?1) AND action = ?3 AND"
		       " username IS ?7 AND uid = ?8",
	[PRUNE_ACTS] = "DELETE FROM history WHERE instance = ?1 AND"
		       " sequence <= (SELECT max(sequence) FROM history WHERE instance = ?1) - ?2",
	[DELETE_ACTS] = "DELETE FROM history WHERE instance = ?1",
};

struct store {
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS];
	off_t reserved; /* bytes of the reserve */
	char path[];
};

void store_row_finish(struct store_row *row)
{
	free(row->name);
	free(row->description);
	json_decref(row->config);
	json_decref(row->devices);
	json_decref(row->profiles);
	free(row->lxcpath);
	*row = (struct store_row){0};
}

int store_row_copy(struct store_row *copy, const struct store_row *row)
{
	*copy = *row;
	copy->name = strdup(row->name);
	copy->description = strdup(row->description);
	copy->lxcpath = row->lxcpath ? strdup(row->lxcpath) : NULL;
	json_incref(copy->config);
	json_incref(copy->devices);
	json_incref(copy->profiles);
	if (copy->name && copy->description)
		return 0;
	store_row_finish(copy);
	return -ENOMEM;
}

/* Says what SQLite's last call on the database failed for. */
static int failed(const struct store *store, struct error *error)
{
	int code = sqlite3_extended_errcode(store->database), last = errno, system = 0, r = -EIO;
	const char *reason = sqlite3_errmsg(store->database);

	switch (code & 0xff) {
	case SQLITE_FULL:
		r = -ENOSPC;
		reason = "database or disk is full (limits.database_size)";
		break;
	case SQLITE_NOMEM:
		r = -ENOMEM;
		break;
	case SQLITE_BUSY:
		r = -EBUSY;
		break;
	case SQLITE_CONSTRAINT:
		if (code == SQLITE_CONSTRAINT_UNIQUE)
			r = -EEXIST;
		break;
	case SQLITE_READONLY:
		r = -EACCES;
		if (code == SQLITE_READONLY_DIRECTORY) /* its words are about the file */
			reason = "its directory may not be written to";
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR: /* only these leave an errno that is theirs */
		system = sqlite3_system_errno(store->database);
		if (!system) /* it does not tell of a COMMIT */
			system = last;
		if (system == ENOSPC || system == EDQUOT)
			r = -ENOSPC;
		break;
	}
	return error_set(error, r, "Database %s: %s%s%s", store->path, reason, system ? ": " : "",
			 system ? strerror(system) : "");
}

static int execute(struct store *store, const char *text, struct error *error)
{
	errno = 0;
	return sqlite3_exec(store->database, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(store, error);
}

/* SQLite would make the file with the umask's mode; its -wal and -shm files take their mode from it. */
static int create_file(const char *path, struct error *error)
{
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return error_set(error, -errno, "Cannot create the database %s: %s", path, strerror(errno));
	return 0;
}

static int open_database(struct store *store, struct error *error)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int r = sqlite3_open_v2(store->path, &store->database, flags, NULL);

	if (!store->database)
		return error_set(error, -ENOMEM, "Database %s: out of memory", store->path);
	if (r != SQLITE_OK)
		return failed(store, error);
	/* A file that may only be read is opened all the same, and would refuse at the first change. */
	if (sqlite3_db_readonly(store->database, "main") == 1)
		return error_set(error, -EACCES, "Database %s: may not be written to", store->path);
	sqlite3_busy_timeout(store->database, BUSY_TIMEOUT);
	return 0;
}

static int read_version(struct store *store, int *version, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(store->database, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		r = failed(store, error);
	else
		*version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return r;
}

/* Brings the schema up to date, wholly or not at all: where it fails, the database is closed inside the transaction. */
static int migrate(struct store *store, struct error *error)
{
	char set_version[64];
	int version = 0, r = execute(store, "BEGIN IMMEDIATE", error);

	if (r == 0)
		r = read_version(store, &version, error);
	if (r < 0)
		return r;
	if (version < 0 || version > SCHEMA_VERSION)
		return error_set(error, -EINVAL,
				 "Database %s: has version %d, this program knows up to %d; is it from a newer one?",
				 store->path, version, SCHEMA_VERSION);
	for (int i = version; r == 0 && i < SCHEMA_VERSION; i++)
		r = execute(store, migrations[i], error);
	if (r == 0 && version < SCHEMA_VERSION) {
		snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", SCHEMA_VERSION);
		r = execute(store, set_version, error);
	}
	return r < 0 ? r : execute(store, "COMMIT", error);
}

static int prepare(struct store *store, struct error *error)
{
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(store->database, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK)
			return failed(store, error);
	return 0;
}

void store_reserve(struct store *store)
{
	char path[PATH_MAX];
	cleanup_close int fd = -1;

	if (store->reserved == RESERVE_SIZE)
		return;
	snprintf(path, sizeof(path), "%s" RESERVE_SUFFIX, store->path);
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	for (off_t size = RESERVE_SIZE; fd >= 0 && size > store->reserved; size -= RESERVE_STEP)
		if (posix_fallocate(fd, 0, size) == 0)
			store->reserved = size;
}

static bool spend_reserve(struct store *store)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" RESERVE_SUFFIX, store->path);
	store->reserved = 0;
	return unlink(path) == 0;
}

int store_open(struct store **store, const char *path, struct error *error)
{
	size_t size = strlen(path) + 1;
	struct store *opened = calloc(1, sizeof(*opened) + size);
	int r;

	if (!opened)
		return error_set(error, -ENOMEM, "Database %s: out of memory", path);
	memcpy(opened->path, path, size);
	r = create_file(path, error);
	if (r == 0)
		r = open_database(opened, error);
	if (r == 0)
		r = migrate(opened, error);
	if (r == 0)
		r = execute(opened, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
			    error);
	if (r == 0)
		r = prepare(opened, error);
	if (r < 0) {
		store_close(opened);
		return r;
	}
	store_reserve(opened);
	*store = opened;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->database);
	free(store);
}

int store_limit(struct store *store, uint64_t bytes, struct error *error)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %" PRIu64, bytes / PAGE_SIZE);
	return execute(store, pragma, error);
}

static bool all_strings(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach (json, key, value) {
		if (!json_is_string(value))
			return false;
	}
	json_array_foreach (json, i, value) {
		if (!json_is_string(value))
			return false;
	}
	return true;
}

/* Whether a row read from disk is what store.h promises: a file is also what somebody's editor made of it. */
static bool row_is_sound(const struct store_row *row)
{
	json_auto_t *description = json_string(row->description); /* NULL if it is not UTF-8 */
	const char *key;
	json_t *device;

	if (row->type != INSTANCE_CONTAINER && row->type != INSTANCE_VIRTUAL_MACHINE)
		return false;
	if (strlen(row->name) > INSTANCE_NAME_MAX || !description)
		return false;
	if (!json_is_object(row->config) || !json_is_object(row->devices) || !json_is_array(row->profiles))
		return false;
	json_object_foreach (row->devices, key, device) {
		if (!json_is_object(device) || !all_strings(device))
			return false;
	}
	return all_strings(row->config) && all_strings(row->profiles);
}

static char *column_string(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? strdup(text) : NULL;
}

static json_t *column_json(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	json_t *json = NULL;

	if (text && json_parse(&json, text, strlen(text), 0, NULL) == -ENOMEM)
		errno = ENOMEM;
	return json;
}

static int load_row(const struct store *store, sqlite3_stmt *statement, struct store_row *row, struct error *error)
{
	errno = 0;
	*row = (struct store_row){
		.name = column_string(statement, 0),
		.type = sqlite3_column_int(statement, 1),
		.description = column_string(statement, 2),
		.ephemeral = sqlite3_column_int(statement, 3),
		.config = column_json(statement, 4),
		.devices = column_json(statement, 5),
		.profiles = column_json(statement, 6),
		.created_at = sqlite3_column_int64(statement, 7),
		.last_used_at = sqlite3_column_int64(statement, 8),
	};
	if (row->name && row->description && errno != ENOMEM && !row_is_sound(row) && errno != ENOMEM)
		return error_set(error, -EIO, "Database %s: what it says of instance %s is damaged", store->path,
				 row->name);
	if (!row->name || !row->description || errno == ENOMEM)
		return error_set(error, -ENOMEM, "Database %s: out of memory", store->path);
	return 0;
}

int store_each(struct store *store, int (*each)(const struct store_row *row, void *user), void *user,
	       struct error *error)
{
	sqlite3_stmt *statement = store->statements[SELECT_ALL];
	int r = 0, stepped = SQLITE_ROW;

	while (r == 0 && (stepped = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_row row;

		r = load_row(store, statement, &row, error);
		if (r == 0)
			r = each(&row, user);
		store_row_finish(&row);
	}
	if (r == 0 && stepped != SQLITE_DONE)
		r = failed(store, error);
	sqlite3_reset(statement);
	return r;
}

/* Runs a statement that changes something; `bound` is what binding its parameters gave. -ENOENT if nothing changed. */
static int change(struct store *store, enum statement which, int bound, struct error *error)
{
	sqlite3_stmt *statement = store->statements[which];
	int r = 0;

	errno = 0;
	if (bound == SQLITE_NOMEM) /* perhaps not SQLite's */
		r = error_set(error, -ENOMEM, "Database %s: out of memory", store->path);
	else if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_DONE)
		r = failed(store, error);
	else if (sqlite3_changes(store->database) == 0)
		r = error_set(error, -ENOENT, "Instance not found");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

/* Runs a statement without parameters that was prepared while there was memory. */
static int step(struct store *store, enum statement which, struct error *error)
{
	int r;

	errno = 0;
	r = sqlite3_step(store->statements[which]) == SQLITE_DONE ? 0 : failed(store, error);
	sqlite3_reset(store->statements[which]);
	return r;
}

int store_begin(struct store *store, struct error *error)
{
	return step(store, BEGIN, error);
}

int store_end(struct store *store, int r, struct error *error)
{
	if (r == 0)
		r = step(store, COMMIT, error);
	if (r < 0 && !sqlite3_get_autocommit(store->database))
		step(store, ROLLBACK, NULL);
	return r;
}

static int bind_string(sqlite3_stmt *statement, int parameter, const char *text)
{
	return sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

static int bind_json(sqlite3_stmt *statement, int parameter, const json_t *json)
{
	char *text = json ? json_text(json, JSON_COMPACT) : NULL;

	return text || !json ? sqlite3_bind_text(statement, parameter, text, -1, free) : SQLITE_NOMEM;
}

static int bind_row(sqlite3_stmt *statement, const struct store_row *row)
{
	int bound = bind_string(statement, 1, row->name);

	bound |= sqlite3_bind_int(statement, 2, row->type);
	bound |= bind_string(statement, 3, row->description);
	bound |= sqlite3_bind_int(statement, 4, row->ephemeral);
	bound |= bind_json(statement, 5, row->config);
	bound |= bind_json(statement, 6, row->devices);
	bound |= bind_json(statement, 7, row->profiles);
	bound |= sqlite3_bind_int64(statement, 8, row->created_at);
	bound |= sqlite3_bind_int64(statement, 9, row->last_used_at);
	return bound;
}

static int name_taken(const char *name, struct error *error)
{
	return error_set(error, -EEXIST, "Name \"%s\" already in use", name);
}

int store_insert(struct store *store, const struct store_row *row, struct error *error)
{
	int r = change(store, INSERT, bind_row(store->statements[INSERT], row), error);

	return r == -EEXIST ? name_taken(row->name, error) : r;
}

int store_update(struct store *store, const struct store_row *row, struct error *error)
{
	return change(store, UPDATE, bind_row(store->statements[UPDATE], row), error);
}

int store_rename(struct store *store, const char *from, const char *to, struct error *error)
{
	sqlite3_stmt *statement = store->statements[RENAME];
	int r = change(store, RENAME, bind_string(statement, 1, from) | bind_string(statement, 2, to), error);

	return r == -EEXIST ? name_taken(to, error) : r;
}

int store_delete(struct store *store, const char *name, struct error *error)
{
	sqlite3_stmt *statement = store->statements[DELETE];
	int r = change(store, DELETE, bind_string(statement, 1, name), error);

	if (r == -ENOSPC && spend_reserve(store))
		r = change(store, DELETE, bind_string(statement, 1, name), error);
	return r;
}

/* --- the server's config --- */

int store_load_config(struct store *store, json_t **config, struct error *error)
{
	sqlite3_stmt *statement = store->statements[SELECT_CONFIG];
	json_auto_t *loaded = json_object();
	int r = 0, stepped = SQLITE_ROW;

	while (r == 0 && (stepped = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(statement, 0);
		const char *value = (const char *)sqlite3_column_text(statement, 1);

		if (json_object_set_new(loaded, key, json_string(value)) < 0) /* no UTF-8 */
			r = error_set(error, -EIO, "Database %s: what it says of the server's config is damaged",
				      store->path);
	}
	if (r == 0 && stepped != SQLITE_DONE)
		r = failed(store, error);
	sqlite3_reset(statement);
	if (r == 0)
		*config = json_incref(loaded);
	return r;
}

int store_save_config(struct store *store, const json_t *config, struct error *error)
{
	sqlite3_stmt *statement = store->statements[INSERT_CONFIG];
	const char *key;
	json_t *value;
	int r = store_begin(store, error);

	if (r == 0)
		r = execute(store, "DELETE FROM config", error);

	json_object_foreach ((json_t *)config, key, value) {
		if (r == 0)
			r = change(store, INSERT_CONFIG,
				   bind_string(statement, 1, key) | bind_string(statement, 2, json_string_value(value)),
				   error);
	}
	return store_end(store, r, error);
}

/* --- what was done with consoles --- */

static int bind_act(sqlite3_stmt *statement, const struct store_act *act)
{
	int bound = bind_string(statement, 1, act->instance);

	bound |= sqlite3_bind_int64(statement, 2, act->time);
	bound |= bind_string(statement, 3, act->action);
	bound |= bind_string(statement, 4, act->session);
	bound |= bind_string(statement, 5, act->type);
	bound |= bind_string(statement, 6, act->mode);
	bound |= bind_string(statement, 7, act->username);
	bound |= sqlite3_bind_int64(statement, 8, act->uid);
	bound |= sqlite3_bind_int64(statement, 9, act->pid);
	bound |= bind_string(statement, 10, act->by);
	bound |= sqlite3_bind_int64(statement, 11, act->duration);
	bound |= sqlite3_bind_int64(statement, 12, (int64_t)act->sent);
	bound |= sqlite3_bind_int64(statement, 13, (int64_t)act->received);
	bound |= sqlite3_bind_int64(statement, 14, act->count);
	return bound;
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
	return (const char *)sqlite3_column_text(statement, column);
}

static struct store_act load_act(sqlite3_stmt *statement)
{
	return (struct store_act){
		.instance = column_text(statement, 0),
		.time = sqlite3_column_int64(statement, 1),
		.action = column_text(statement, 2),
		.session = column_text(statement, 3),
		.type = column_text(statement, 4),
		.mode = column_text(statement, 5),
		.username = column_text(statement, 6),
		.uid = sqlite3_column_int64(statement, 7),
		.pid = sqlite3_column_int64(statement, 8),
		.by = column_text(statement, 9),
		.duration = sqlite3_column_int64(statement, 10),
		.sent = (uint64_t)sqlite3_column_int64(statement, 11),
		.received = (uint64_t)sqlite3_column_int64(statement, 12),
		.count = sqlite3_column_int64(statement, 13),
	};
}

static int prune(struct store *store, const char *instance, unsigned int kept, struct error *error)
{
	sqlite3_stmt *statement = store->statements[PRUNE_ACTS];
	int bound = bind_string(statement, 1, instance) | sqlite3_bind_int64(statement, 2, kept);
	int r = change(store, PRUNE_ACTS, bound, error);

	return r == -ENOENT ? 0 : r;
}

static int add_act(struct store *store, const struct store_act *act, unsigned int kept, struct error *error)
{
	int r = -ENOENT;

	if (act->repeats)
		r = change(store, REPEAT_ACT, bind_act(store->statements[REPEAT_ACT], act), error);
	if (r != -ENOENT)
		return r;
	r = change(store, INSERT_ACT, bind_act(store->statements[INSERT_ACT], act), error);
	return r < 0 ? r : prune(store, act->instance, kept, error);
}

int store_add_acts(struct store *store, const struct store_act *const *acts, size_t count, unsigned int kept,
		   bool patient, struct error *error)
{
	int r;

	sqlite3_busy_timeout(store->database, patient ? BUSY_TIMEOUT : 0);
	r = store_begin(store, error);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_act(store, acts[i], kept, error);
	r = store_end(store, r, error);
	sqlite3_busy_timeout(store->database, BUSY_TIMEOUT);
	return r;
}

int store_each_act(struct store *store, const char *instance, int64_t since, unsigned int limit,
		   void (*each)(const struct store_act *act, void *user), void *user, struct error *error)
{
	sqlite3_stmt *statement = store->statements[SELECT_ACTS];
	int bound = bind_string(statement, 1, instance), stepped = SQLITE_DONE, r = 0;

	bound |= sqlite3_bind_int64(statement, 2, since) | sqlite3_bind_int64(statement, 3, limit);
	while (bound == SQLITE_OK && (stepped = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_act act = load_act(statement);

		each(&act, user);
	}
	if (bound != SQLITE_OK || stepped != SQLITE_DONE)
		r = failed(store, error);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

int store_forget_acts(struct store *store, const char *instance, struct error *error)
{
	int r = change(store, DELETE_ACTS, bind_string(store->statements[DELETE_ACTS], 1, instance), error);

	return r == -ENOENT ? 0 : r;
}
