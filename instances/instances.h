// SPDX-License-Identifier: Apache-2.0
/* The registry of instances, and what they all need. */
#pragma once

#include "instances/drawing.h"
#include "instances/others.h"
#include "instances/settings.h"
#include "instances/store.h"
#include "util/error.h"
#include "util/identity.h"
#include "util/list.h"

#include <jansson.h>
#include <uv.h>

#define INSTANCE_NAME_MAX 63

struct consoles;
struct events;
struct history;
struct instance;
struct limits;
struct operations;
struct websockets;

struct instances {
	uv_loop_t *loop;
	struct store *store;
	const char *directory; /* the daemon's own, absolute */
	struct consoles *consoles;
	struct operations *operations;
	struct events *events;
	struct history *history;
	struct websockets *websockets;
	struct limits *limits;       /* instances_init() and a change of the server's config set what they are */
	unsigned int attach_timeout; /* seconds a POST console may wait for its sockets */
	struct settings settings;    /* the server's config; instances_init() reads it */
	struct others others;        /* containers that are not ours, which are in `all` as well */
	struct list all;             // instance::link, by name
	unsigned int count;
	struct list waiting; // session::waiting: sessions with a deadline
	struct list doomed;  // instance::doomed: ephemeral ones that have ended
	struct drawings drawings;
	struct list crowded; // instance::crowded: with many sessions, most of which have yet to get some output
	uv_timer_t serving;  /* runs while that is not empty */
	uv_timer_t ticker;   /* once a second while one of the two is not empty */
};

/*
 * Loads every stored instance; those whose keepers run are running again. The pointers of `instances` above `settings`
 * have been filled in, are borrowed and must outlive it. -errno with the reason.
 */
int instances_init(struct instances *instances, struct error *error);

/* Starts the stopped instances that have boot.autostart. Failures are logged. */
void instances_autostart(struct instances *instances);

/* Ends all sessions and frees all instances; what they run goes on. The timer is gone after one more turn of the loop.
 */
void instances_finish(struct instances *instances);

/* Lets the deadlines in `waiting` be looked at, within a second. For sessions. */
void instances_wake_ticker(struct instances *instances);

/* Has the sessions of an instance served together, a moment later. */
void instances_serve_soon(struct instances *instances, struct instance *instance);

/*
 * Deletes an ephemeral instance that has ended, at the loop's next turn (its console is still telling the news), or
 * within a second of the end of its last session. Unless it has been started again.
 */
void instances_doom(struct instances *instances, struct instance *instance);

/* By name, or NULL. */
struct instance *instances_find(const struct instances *instances, const char *name);

/*
 * Looks at what LXC's own tools have done meanwhile, of which news comes by itself, but later: instances may come and
 * go. Costs 10 us for each container that is not ours.
 */
void instances_look(struct instances *instances);

/* As instances_find(), after such a look at this one. */
struct instance *instances_find_now(struct instances *instances, const char *name);

/* LXD's rules for names (shared/validate: IsHostname): -EINVAL with LXD's words. */
int instances_check_name(const char *name, struct error *error);

/* Makes and stores a new instance; `row` is consumed. -EEXIST with LXD's words where the name is taken. */
int instances_add(struct instances *instances, struct store_row *row, const struct identity *requestor,
		  struct error *error);

/* Puts one into the registry alone, and tells of it; `row` is consumed. */
int instances_put_in(struct instances *instances, struct store_row *row, const struct identity *requestor,
		     struct error *error);

/* Takes it out of there, frees it and its console's log, and tells of it. Nobody is attached, and there is no keeper.
 */
void instances_drop(struct instances *instances, struct instance *instance, const struct identity *requestor);

/* Renames a stopped instance, its console's log included. */
int instances_rename(struct instances *instances, struct instance *instance, const char *name,
		     const struct identity *requestor, struct error *error);

/* Deletes a stopped instance and all we have of it. It is freed. */
int instances_delete(struct instances *instances, struct instance *instance, const struct identity *requestor,
		     struct error *error);

/*
 * Makes a setting of the server's config hold (settings_apply; `user` is the struct instances).
 */
int instances_apply(const char *key, const char *value, void *user, struct error *error);

/*
 * Looks for containers that are not ours below `path`, absolute, from the loop's next turn on, and no longer below
 * where it looked before; their consoles' logs go. What is set already is no change, and without root there are none.
 * -EBUSY in words while one of the present ones runs; nothing has changed then.
 */
int instances_set_lxcpath(struct instances *instances, const char *path, struct error *error);
