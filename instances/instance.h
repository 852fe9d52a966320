// SPDX-License-Identifier: Apache-2.0
/*
 * An instance: what is stored of it, its console, the sessions attached to that, and the state changes under way. State
 * comes from the console's news and from nowhere else.
 */
#pragma once

#include "instances/driver.h"
#include "instances/instances.h"
#include "instances/store.h"
#include "pty/console.h"
#include "util/error.h"
#include "util/identity.h"
#include "util/list.h"

#include <jansson.h>
#include <stdbool.h>

/* LXD's status codes (api.StatusCode). */
enum instance_status {
	INSTANCE_STOPPED = 102,
	INSTANCE_RUNNING = 103,
	INSTANCE_FROZEN = 110,
};

/*
 * Who hears of the console's output besides sessions: followers of the log, those who wait for a pattern, or type.
 * Storage is the reader's, who puts itself into the list and out of it.
 */
struct instance_reader {
	struct list link; // instance::readers
	void (*output)(struct instance_reader *reader);
	/* The console takes input again. May be NULL. */
	void (*writable)(struct instance_reader *reader);
	/* It has ended, and all its output is in the ring. */
	void (*ended)(struct instance_reader *reader);
	/* The instance is about to be freed; the reader is out of the list already. */
	void (*gone)(struct instance_reader *reader);
};

struct instance {
	struct list link;   // instances::all, by name
	struct list doomed; // instances::doomed
	struct instances *instances;
	struct store_row row;
	struct console *console;
	int pidfd; /* of console_pid(); -1: none */
	enum instance_status status;
	struct list tasks;      // instance_task::link
	struct list sessions;   // session::link
	struct list readers;    // instance_reader::link
	uint64_t size_serial;   /* counts who gave the console its size */
	struct session *typist; /* who typed last, and gets the answer before the others; NULL: nobody who is there */
	struct list crowded;    // instances::crowded

	/* Who started this boot, until somebody attaches: `lxc start --console` must see the boot's first byte. */
	pid_t starter;
	int64_t started_at;

	bool taken_on;      /* it ran already, and its keeper has yet to find it */
	bool news;          /* and that it runs is news */
	unsigned int tries; /* to take it on, that have failed; not again before `retry_at`, in uv_now()'s time */
	uint64_t retry_at;
};

/*
 * Loads an instance from its stored form, `row`, which is consumed. Connects to its keeper if one runs. -errno with the
 * reason; `row` is consumed then too.
 */
int instance_create(struct instance **instance, struct instances *instances, struct store_row *row,
		    struct error *error);

/* Frees it; what it runs goes on. Sessions end, and are told `why`; tasks fail. */
void instance_destroy(struct instance *instance, const char *why);

/* It has another name, which is consumed, in the store and on disk: sessions end, under the old one. */
void instance_rename(struct instance *instance, char *name);

const char *instance_status_name(enum instance_status status);

/* "container" or "virtual-machine". */
const char *instance_type_name(enum instance_type type);

/* How much of the console's log is kept, in bytes. */
uint64_t instance_capacity(const struct store_row *row);

/* The pid of what runs, a container's init; 0: nothing, or it has just ended, and the pid may be another's. */
pid_t instance_pid(const struct instance *instance);

/* Whether something runs: Running or Frozen. */
bool instance_running(const struct instance *instance);

/*
 * Takes on a container or virtual machine that runs without a keeper: it counts as running from here on, unless the
 * console tells that it failed. `news`: its start is told. -errno with the reason; nothing has changed then.
 */
int instance_take_on(struct instance *instance, bool news, struct error *error);

/* Gives its sessions what they have not had yet. */
void instance_serve(struct instance *instance);

/* Notices whether others have frozen or thawed a container: of that the kernel alone knows. */
void instance_look(struct instance *instance);

/* Checks a new config and devices, stores them, and takes them (they are consumed). They mean something from the next
 * start on. */
int instance_update(struct instance *instance, struct store_row *row, struct error *error);
