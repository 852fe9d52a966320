// SPDX-License-Identifier: Apache-2.0
#include "instances/store_database.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVE_SUFFIX ".reserve"
#define RESERVE_SIZE (128 * 1024)
#define RESERVE_STEP (32 * 1024)

#define PAGE_SIZE 4096 /* SQLite's choice */

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

int store_failed(const struct store *store, struct error *error)
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

int store_execute(struct store *store, const char *text, struct error *error)
{
	errno = 0;
	return sqlite3_exec(store->database, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(store, error);
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
		return store_failed(store, error);
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
		r = store_failed(store, error);
	else
		*version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return r;
}

/* Brings the schema up to date, wholly or not at all: where it fails, the database is closed inside the transaction. */
static int migrate(struct store *store, struct error *error)
{
	char set_version[64];
	int version = 0, r = store_execute(store, "BEGIN IMMEDIATE", error);

	if (r == 0)
		r = read_version(store, &version, error);
	if (r < 0)
		return r;
	if (version < 0 || version > SCHEMA_VERSION)
		return error_set(error, -EINVAL,
				 "Database %s: has version %d, this program knows up to %d; is it from a newer one?",
				 store->path, version, SCHEMA_VERSION);
	for (int i = version; r == 0 && i < SCHEMA_VERSION; i++)
		r = store_execute(store, migrations[i], error);
	if (r == 0 && version < SCHEMA_VERSION) {
		snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", SCHEMA_VERSION);
		r = store_execute(store, set_version, error);
	}
	return r < 0 ? r : store_execute(store, "COMMIT", error);
}

static int prepare(struct store *store, struct error *error)
{
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(store->database, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK)
			return store_failed(store, error);
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

bool store_spend_reserve(struct store *store)
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
		r = store_execute(opened,
				  "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON",
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
	return store_execute(store, pragma, error);
}

int store_bind_string(sqlite3_stmt *statement, int parameter, const char *text)
{
	return sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

int store_change(struct store *store, enum store_statement which, int bound, struct error *error)
{
	sqlite3_stmt *statement = store->statements[which];
	int r = 0;

	errno = 0;
	if (bound == SQLITE_NOMEM) /* perhaps not SQLite's */
		r = error_set(error, -ENOMEM, "Database %s: out of memory", store->path);
	else if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_DONE)
		r = store_failed(store, error);
	else if (sqlite3_changes(store->database) == 0)
		r = error_set(error, -ENOENT, "Instance not found");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

/* Runs a statement without parameters that was prepared while there was memory. */
static int step(struct store *store, enum store_statement which, struct error *error)
{
	int r;

	errno = 0;
	r = sqlite3_step(store->statements[which]) == SQLITE_DONE ? 0 : store_failed(store, error);
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
