// SPDX-License-Identifier: Apache-2.0
/*
 * The inside of the store: store*.c share it, nobody else. They are the only users of sqlite3. store_database.c has the
 * schema, the statements and what they are carried out with.
 */
#pragma once

#include "instances/store.h"

#include <sqlite3.h>
#include <sys/types.h>

#define BUSY_TIMEOUT 500 /* ms; the loop waits meanwhile, for whoever looks at the database with sqlite3(1) */

/* For the order of their parameters and columns see bind_row() and load_row(), bind_act() and load_act(). */
enum store_statement {
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

struct store {
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS];
	off_t reserved; /* bytes of the reserve */
	char path[];
};

/* Sets and returns what SQLite's last call on the database failed for; errno is still that call's. */
int store_failed(const struct store *store, struct error *error);

int store_execute(struct store *store, const char *text, struct error *error);

/* Runs a statement that changes something; `bound` is what binding its parameters gave. -ENOENT if nothing changed. */
int store_change(struct store *store, enum store_statement which, int bound, struct error *error);

/* `text` is borrowed until the statement has been run. NULL binds NULL. */
int store_bind_string(sqlite3_stmt *statement, int parameter, const char *text);

/* Gives up the reserve of store_reserve(). False: there is none. */
bool store_spend_reserve(struct store *store);
