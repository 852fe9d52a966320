// SPDX-License-Identifier: Apache-2.0
/* What was done with consoles, as the store keeps it: rows of its own, by the instance's name. See history.h. */
#pragma once

#include "instances/store.h"

/* One act, as it is kept. Who fills one in owns the strings; NULL where there is nothing to say. */
struct store_act {
	const char *instance; /* its name: containers that are not ours have no row, and acts all the same */
	int64_t time;         /* nanoseconds since 1970 */
	const char *action, *session, *type, *mode, *username, *by;
	int64_t uid, pid; /* mean something with a username */
	int64_t duration; /* nanoseconds; it and the next two mean something where it is not 0 */
	uint64_t sent, received;
	int64_t count; /* how many acts it stands for */
	bool repeats; /* not stored: if the latest is the same user's of the same kind, that stands for this one, too */
};

/*
 * Adds acts in one transaction, in which all but the latest `kept` of those instances go. -ENOSPC, -EIO from the disk;
 * -EBUSY, at once unless `patient`, while somebody else holds the database. Nothing is changed by a call that fails.
 */
int store_add_acts(struct store *store, const struct store_act *const *acts, size_t count, unsigned int kept,
		   bool patient, struct error *error);

/*
 * Calls `each` with the latest `limit` acts of those at `since` or later, in the order in which they were added. An act
 * is borrowed, and `each` leaves the store alone. -EIO where the database is damaged.
 */
int store_each_act(struct store *store, const char *instance, int64_t since, unsigned int limit,
		   void (*each)(const struct store_act *act, void *user), void *user, struct error *error);

/* Forgets those of an instance, if there are any. Renaming and deleting a stored one does to its acts what is due. */
int store_forget_acts(struct store *store, const char *instance, struct error *error);
