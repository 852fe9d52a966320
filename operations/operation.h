// SPDX-License-Identifier: Apache-2.0
/*
 * An operation: something that goes on behind a 202 (LXD: api.Operation). Class task ends by itself; class websocket
 * lives as long as the sockets that its secrets open. States: Pending -> Running -> Success | Failure, or -> Cancelling
 * -> Cancelled. A final operation stays visible for five seconds, then the registry frees it.
 */
#pragma once

#include "operations/operations.h"
#include "util/identity.h"
#include "util/list.h"
#include "util/secret.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define OPERATION_ID_LENGTH 36
#define OPERATION_SOCKETS_MAX 4

/* LXD's numbers (protocol: api.StatusCode). Final from 200 on. */
enum operation_status {
	OPERATION_RUNNING = 103,
	OPERATION_CANCELLING = 104,
	OPERATION_PENDING = 105,
	OPERATION_SUCCESS = 200,
	OPERATION_FAILURE = 400,
	OPERATION_CANCELLED = 401,
};

enum operation_class {
	OPERATION_TASK,
	OPERATION_WEBSOCKET,
};

/* A socket that may be opened with a secret. */
struct operation_socket {
	const char *name; /* as in metadata.fds: "0", "control"; static */
	struct secret secret;
	bool reusable; /* VGA data: once per SPICE channel */
	bool used;
};

struct operation;

/* What the owner of an operation provides. Any may be NULL. */
struct operation_handler {
	/*
	 * A client with the right secret and identity connects `socket`. `fd` holds an unread WebSocket request and is
	 * consumed whatever the result.
	 */
	void (*connect)(struct operation *operation, struct operation_socket *socket, int fd);
	/* DELETE of a running operation: end it, by operation_finish(..., OPERATION_CANCELLED). NULL: it cannot be
	 * cancelled. */
	void (*cancel)(struct operation *operation);
};

/* Somebody who waits for the end (GET .../wait). Storage is the waiter's. */
struct operation_waiter {
	struct list link; // operation::waiters; initialised, also when not waiting
	void (*done)(struct operation_waiter *waiter, struct operation *operation);
};

struct operation {
	struct list link;   // operations::live, or operations::ended from the end on
	struct list bucket; // operations::buckets
	struct operations *registry;
	char id[OPERATION_ID_LENGTH + 1];
	enum operation_class class;
	enum operation_status status;
	const char *description;        /* static: "Showing console" */
	int64_t created_at, updated_at; /* timestamps; the second is that of the last change of status */
	uint64_t ended_at;              /* uv_now(), which no change of the clock moves */
	json_t *resources;              /* {"containers": [URL], "instances": [URL]}, or NULL */
	char *error;
	json_t *metadata; /* object or NULL, owned; the fds are added when it is shown */
	struct identity requestor;
	struct operation_socket sockets[OPERATION_SOCKETS_MAX];
	unsigned int socket_count;
	const struct operation_handler *handler;
	void *owner;         /* the handler's; NULL once it has let go */
	struct list waiters; // operation_waiter::link
};

/* What a new operation is. Strings are copied, except `description`, which must be static. */
struct operation_config {
	enum operation_class class;
	const char *description;
	const char *instance; /* may be NULL */
	bool is_container;
	const struct identity *requestor;
	const struct operation_handler *handler; /* may be NULL */
	void *owner;
};

/*
 * Makes a pending operation and puts it into the registry, which owns it. Nothing is published yet: add sockets and
 * metadata, then operation_start(). -ENOMEM, or -EAGAIN in words if the registry is full.
 */
int operation_create(struct operation **operation, struct operations *registry, const struct operation_config *config,
		     struct error *error);

/* Adds a socket with a fresh secret. `name` is static. -ENOSPC beyond OPERATION_SOCKETS_MAX. */
int operation_add_socket(struct operation *operation, const char *name, bool reusable);

/* Adds an instance to those that it is about. LXD lists a container under "containers" as well. -ENOMEM. */
int operation_add_instance(struct operation *operation, const char *name, bool is_container);

/* Pending -> Running. Publishes both states. */
void operation_start(struct operation *operation);

/* Frees an operation that was never started, unseen. */
void operation_abandon(struct operation *operation);

/* Frees it in whatever state, unseen. For the registry. */
void operation_destroy(struct operation *operation);

/*
 * Ends it: `status` is final, `error` (copied, may be NULL) goes with OPERATION_FAILURE. Publishes, calls the waiters,
 * drops `owner`, and lets the registry free it in five seconds; a full registry frees it earlier, so the caller's
 * pointer is good until the next operation_create() or the end of the loop's turn. May be called from within the
 * handler's own callbacks. A second call does nothing.
 */
void operation_finish(struct operation *operation, enum operation_status status, const char *error);

bool operation_final(const struct operation *operation);
bool operation_cancellable(const struct operation *operation);

/* Publishes Cancelling and calls handler->cancel(). Does nothing unless operation_cancellable(). */
void operation_cancel(struct operation *operation);

/*
 * The socket that `secret` opens, compared in constant time, or NULL. A socket that serves once and has been used is
 * found as well: check `used`. So are those of a final operation, whose handler has let go: check `owner`.
 */
struct operation_socket *operation_find_socket(struct operation *operation, const char *secret);

/* Waits for the end. `waiter` must not be waiting; for a final operation the caller answers by itself instead. */
void operation_wait(struct operation *operation, struct operation_waiter *waiter);

/*
 * LXD's JSON of the operation, a new reference. Secrets (metadata.fds) are shown to a viewer who is the requestor; NULL
 * = a viewer who is not.
 */
json_t *operation_json(const struct operation *operation, const struct identity *viewer);

/* "Success" and so on. */
const char *operation_status_name(enum operation_status status);
