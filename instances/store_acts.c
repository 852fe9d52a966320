// SPDX-License-Identifier: Apache-2.0
#include "instances/store_acts.h"

#include "instances/store_database.h"

#include <errno.h>

static int bind_act(sqlite3_stmt *statement, const struct store_act *act)
{
	int bound = store_bind_string(statement, 1, act->instance);

	bound |= sqlite3_bind_int64(statement, 2, act->time);
	bound |= store_bind_string(statement, 3, act->action);
	bound |= store_bind_string(statement, 4, act->session);
	bound |= store_bind_string(statement, 5, act->type);
	bound |= store_bind_string(statement, 6, act->mode);
	bound |= store_bind_string(statement, 7, act->username);
	bound |= sqlite3_bind_int64(statement, 8, act->uid);
	bound |= sqlite3_bind_int64(statement, 9, act->pid);
	bound |= store_bind_string(statement, 10, act->by);
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
	int bound = store_bind_string(statement, 1, instance) | sqlite3_bind_int64(statement, 2, kept);
	int r = store_change(store, PRUNE_ACTS, bound, error);

	return r == -ENOENT ? 0 : r;
}

static int add_act(struct store *store, const struct store_act *act, unsigned int kept, struct error *error)
{
	int r = -ENOENT;

	if (act->repeats)
		r = store_change(store, REPEAT_ACT, bind_act(store->statements[REPEAT_ACT], act), error);
	if (r != -ENOENT)
		return r;
	r = store_change(store, INSERT_ACT, bind_act(store->statements[INSERT_ACT], act), error);
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
	int bound = store_bind_string(statement, 1, instance), stepped = SQLITE_DONE, r = 0;

	bound |= sqlite3_bind_int64(statement, 2, since) | sqlite3_bind_int64(statement, 3, limit);
	while (bound == SQLITE_OK && (stepped = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_act act = load_act(statement);

		each(&act, user);
	}
	if (bound != SQLITE_OK || stepped != SQLITE_DONE)
		r = store_failed(store, error);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r;
}

int store_forget_acts(struct store *store, const char *instance, struct error *error)
{
	int r = store_change(store, DELETE_ACTS, store_bind_string(store->statements[DELETE_ACTS], 1, instance), error);

	return r == -ENOENT ? 0 : r;
}
