// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of instances, what was done with their consoles (store_acts.h), and the server's config, on disk: an
 * SQLite database (the only users of sqlite3 are store*.c). WAL, synchronous=NORMAL, foreign keys on, user_version is
 * the schema's version, an older one is migrated in one transaction, a newer one refused. Calls block for a local
 * write.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum instance_type {
	INSTANCE_CONTAINER = 0,
	INSTANCE_VIRTUAL_MACHINE = 1,
};

/* One instance as it is stored. Who fills one in owns it; store_row_finish() releases it. */
struct store_row {
	char *name;
	enum instance_type type;
	char *description;
	bool ephemeral;
	json_t *config;                   /* {string: string} */
	json_t *devices;                  /* {string: {string: string}} */
	json_t *profiles;                 /* [string] */
	int64_t created_at, last_used_at; /* nanoseconds since 1970; 0 = never */
	char *lxcpath; /* not stored: where a container that is not ours is defined; NULL for our own */
};

void store_row_finish(struct store_row *row);

/* Makes `copy` the caller's own; its JSON is shared, for it is never changed in place. -ENOMEM: `copy` is empty. */
int store_row_copy(struct store_row *copy, const struct store_row *row);

struct store;

/* Opens or makes the database at `path`, mode 0600. Errors in words for the operator. */
int store_open(struct store **store, const char *path, struct error *error);
void store_close(struct store *store);

/* Lets the database grow to so many bytes and no further, or not at all if it is larger already: -ENOSPC then. */
int store_limit(struct store *store, uint64_t bytes, struct error *error);

/*
 * Calls `each` with every row by name; the row is borrowed, and `each` leaves the store alone. Stops at and returns the
 * first non-zero value. -EIO where the database is damaged.
 */
int store_each(struct store *store, int (*each)(const struct store_row *row, void *user), void *user,
	       struct error *error);

/*
 * What is changed between the two is changed as a whole: if `r` is 0, and store_end() can make it last; it undoes all
 * otherwise. Returns `r`, or what it has failed for.
 */
int store_begin(struct store *store, struct error *error);
int store_end(struct store *store, int r, struct error *error);

/* -EEXIST where the name is taken. -ENOSPC, -EIO from the disk. Nothing is changed by a call that fails. */
int store_insert(struct store *store, const struct store_row *row, struct error *error);

/* Writes everything but the name. -ENOENT. */
int store_update(struct store *store, const struct store_row *row, struct error *error);

int store_rename(struct store *store, const char *from, const char *to, struct error *error);
int store_delete(struct store *store, const char *name, struct error *error);

/*
 * Sets aside what a deletion needs where the disk is full, as it writes before it frees: a file beside the database, as
 * large as there is room for. Done when the store is opened; to be done again when a deletion has freed what it can.
 */
void store_reserve(struct store *store);

/* What is set of the server's config: a new {string: string}, whatever the keys. -EIO where the database is damaged. */
int store_load_config(struct store *store, json_t **config, struct error *error);

/* Makes `config` ({string: string}) all that is set, wholly or not at all. */
int store_save_config(struct store *store, const json_t *config, struct error *error);
