// SPDX-License-Identifier: Apache-2.0
/*
 * Changes of an instance's state: somebody asks for one and waits for it, the console is told, and its news finish the
 * task. One at a time, but for a stop.
 */
#pragma once

#include "util/error.h"
#include "util/identity.h"
#include "util/list.h"

#include <stdbool.h>

struct instance;

enum instance_action {
	INSTANCE_START,
	INSTANCE_STOP,
	INSTANCE_RESTART,
	INSTANCE_FREEZE,
	INSTANCE_UNFREEZE,
};

/* A state change that somebody asked for and waits on. Storage is the asker's, until `done`. */
struct instance_task {
	struct list link; // instance::tasks
	enum instance_action action;
	bool force;
	int timeout; /* seconds; negative: as long as it takes */
	struct identity requestor;
	/* Called once. `error` is NULL on success. The task may be freed in it. */
	void (*done)(struct instance_task *task, const char *error);
};

/*
 * Changes the state. `task->done` is called at once where the state does not allow it or nothing is to wait for, later
 * otherwise. LXD's words for what cannot be.
 */
void instance_change(struct instance *instance, struct instance_task *task);

/* --- for the instance, as the console's news come --- */

/* One that waits, or NULL; the stop that has stopped it: of several the one that would not wait. */
struct instance_task *task_find(struct instance *instance, enum instance_action action);
struct instance_task *task_find_stop(struct instance *instance);

/* Finishes those of a kind, or all; `error` as for instance_task::done. */
void tasks_finish(struct instance *instance, enum instance_action action, const char *error);
void tasks_finish_all(struct instance *instance, const char *error);

/* Begins what was asked for while it was being taken on: a console that is only stopped then is let go. */
void tasks_begin(struct instance *instance);
