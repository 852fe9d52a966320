// SPDX-License-Identifier: Apache-2.0
/*
 * The server's config (`lxc config set KEY VALUE`): a table says which keys there are and what they may hold. What is
 * set is in the store; a change blocks for it.
 *
 *     lxc.lxcpath   where LXC's containers are defined that others have made: an absolute path. Unset: what
 *                   /etc/lxc/lxc.conf says of it, as LXC's own tools have it, else /var/lib/lxc
 *     limits.*      util/limits.h
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>

struct store;

#define SETTINGS_LXC_CONF "/etc/lxc/lxc.conf"

struct settings {
	struct store *store; /* borrowed */
	json_t *values;      /* {string: string}: what is set, never changed in place */
	json_t *defaults;    /* {string: string}: what holds for keys that are not */
};

/*
 * Reads what is set; what the table does not allow (somebody's editor) is left alone and does not count. `lxc_conf` is
 * LXC's own file, which need not exist. -EIO where the database is damaged. Nothing takes effect: the caller begins
 * with what settings_get() says.
 */
int settings_init(struct settings *settings, struct store *store, const char *lxc_conf, struct error *error);

/* A zeroed one is allowed. */
void settings_finish(struct settings *settings);

/* What holds for a key, set or by default: borrowed until the next change. NULL: no such key. */
const char *settings_get(const struct settings *settings, const char *key);

/*
 * Makes `value` hold for `key`; called for what a change changes. It may refuse, in words, and has done nothing then.
 * What it has done once it can undo: it does not refuse the value that held before. (SQLite needs memory
 * even to undo limits.database_size; where it has none the log says so.)
 */
typedef int (*settings_apply)(const char *key, const char *value, void *user, struct error *error);

/*
 * Sets what `changes`, an object, says; an empty value and null unset. Without `merge` all else is unset. All is
 * checked first, then applied, then stored: a call that fails has changed nothing. Errors are in LXD's words,
 * cannot set 'KEY' to 'VALUE': -EINVAL for a key or value that is not allowed, and what `apply` or the store give.
 */
int settings_change(struct settings *settings, const json_t *changes, bool merge, settings_apply apply, void *user,
		    struct error *error);
