// SPDX-License-Identifier: Apache-2.0
/*
 * Containers that are not ours, defined below lxc.lxcpath, as instances. They are not stored: one is there as long as
 * its definition is, or as long as it runs. One that is found running without a keeper of ours is taken on, whoever has
 * started it. Names that we could not serve, and those of instances of our own, are left out; the log says so once.
 */
#pragma once

#include "instances/lxcpath.h"

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

struct instance;
struct instances;

struct others {
	struct lxcpath *lxcpath;  /* NULL: none is looked at */
	struct lxcpath *previous; /* until the next look: a change may be undone, which must not need memory */
	bool looked;              /* at it once: what comes now has happened while we watched */
	json_t *left_out;         /* {name: true} */
	uv_timer_t timer;         /* when to look by ourselves */
};

/* For instances_init() and instances_finish(). */
void others_init(struct instances *instances);
void others_finish(struct instances *instances);

/* News of one: it has ended for good, or could not be taken on. It may run again all the same; that is looked at soon.
 */
void others_ended(struct instance *instance);
void others_failed(struct instance *instance);
