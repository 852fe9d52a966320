// SPDX-License-Identifier: Apache-2.0
#include "instances/store.h"

#include "instances/instances.h"
#include "instances/store_database.h"
#include "util/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
		r = store_failed(store, error);
	sqlite3_reset(statement);
	return r;
}

static int bind_json(sqlite3_stmt *statement, int parameter, const json_t *json)
{
	char *text = json ? json_text(json, JSON_COMPACT) : NULL;

	return text || !json ? sqlite3_bind_text(statement, parameter, text, -1, free) : SQLITE_NOMEM;
}

static int bind_row(sqlite3_stmt *statement, const struct store_row *row)
{
	int bound = store_bind_string(statement, 1, row->name);

	bound |= sqlite3_bind_int(statement, 2, row->type);
	bound |= store_bind_string(statement, 3, row->description);
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
	int r = store_change(store, INSERT, bind_row(store->statements[INSERT], row), error);

	return r == -EEXIST ? name_taken(row->name, error) : r;
}

int store_update(struct store *store, const struct store_row *row, struct error *error)
{
	return store_change(store, UPDATE, bind_row(store->statements[UPDATE], row), error);
}

int store_rename(struct store *store, const char *from, const char *to, struct error *error)
{
	sqlite3_stmt *statement = store->statements[RENAME];
	int r = store_change(store, RENAME, store_bind_string(statement, 1, from) | store_bind_string(statement, 2, to),
			     error);

	return r == -EEXIST ? name_taken(to, error) : r;
}

int store_delete(struct store *store, const char *name, struct error *error)
{
	sqlite3_stmt *statement = store->statements[DELETE];
	int r = store_change(store, DELETE, store_bind_string(statement, 1, name), error);

	if (r == -ENOSPC && store_spend_reserve(store))
		r = store_change(store, DELETE, store_bind_string(statement, 1, name), error);
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
		r = store_failed(store, error);
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
		r = store_execute(store, "DELETE FROM config", error);

	json_object_foreach ((json_t *)config, key, value) {
		if (r == 0)
			r = store_change(store, INSERT_CONFIG,
					 store_bind_string(statement, 1, key) |
						 store_bind_string(statement, 2, json_string_value(value)),
					 error);
	}
	return store_end(store, r, error);
}
