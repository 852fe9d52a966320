// SPDX-License-Identifier: Apache-2.0
/*
 * A session: one client attached to an instance's console (LXD: consoleWs). It is the handler behind an operation of
 * class websocket with two sockets, "0" (data) and "control", which may come in any order or never. It attaches when
 * data comes, and ends when either socket goes, the instance ends, somebody takes over, the operation is cancelled, or
 * nobody came before the deadline. Each end makes the operation final; the session frees itself when its sockets are
 * gone.
 */
#pragma once

#include "bridge/websocket.h"
#include "pty/console.h"
#include "util/buffer.h"
#include "util/identity.h"
#include "util/list.h"

#include <stdbool.h>
#include <stdint.h>

struct instance;
struct operation;

struct session_config {
	uint16_t width, height; /* 0: leave the size alone */
	bool force;             /* end the other sessions */
	bool from_boot; /* begin with the boot's first byte, if the requestor's own process has just started it */
	struct identity requestor;
};

struct session {
	struct list link;            // instance::sessions; out of it once ended
	struct list waiting;         // instances::waiting
	struct instance *instance;   /* NULL once ended */
	struct operation *operation; /* NULL once final */
	struct websocket *data, *control;
	struct identity requestor;
	uint16_t width, height;
	uint64_t deadline; /* in uv_now() milliseconds; 0: none */

	bool from_boot;
	bool attached;        /* data has come; the cursor is placed */
	bool input_ended;     /* the client sent an empty text frame */
	bool discard_control; /* the rest of a control message that was too long */
	bool ending;          /* the instance has ended: deliver up to `end`, then close */
	uint64_t end;
	uint64_t sent; /* bytes given to the data socket */
	struct cursor cursor;
	struct buffer input;        /* what the instance has not taken yet; the client is paused meanwhile */
	struct buffer control_text; /* a control message in pieces */
};

/*
 * Makes a session on a running instance and its operation, which is running on return. -EAGAIN with the reason where
 * too many are pending or attached. The caller has checked that the instance runs.
 */
int session_create(struct instance *instance, const struct session_config *config, struct operation **operation,
		   struct error *error);

/* News from the console, for one session. */
void session_output(struct session *session);
void session_writable(struct session *session);

/* The instance has ended; what it wrote before `end` is still delivered. */
void session_instance_ended(struct session *session, uint64_t end);

/* Ends it now as cancelled, telling the client why in the Close frame. */
void session_cancel(struct session *session, const char *reason);

/* Its deadline has passed. */
void session_timeout(struct session *session);
