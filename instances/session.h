// SPDX-License-Identifier: Apache-2.0
/*
 * A session: one client attached to an instance (LXD: consoleWs). It is the handler behind an operation of class
 * websocket with the sockets "0" (data) and "control", which may come in any order or never. What goes over data is its
 * kind's affair: a text console has one data socket, a graphical one a socket for each SPICE channel. A session ends
 * when its kind says so, control goes, the instance ends, somebody takes over, the operation is cancelled, or nobody
 * came before the deadline. Each end makes the operation final; the session frees itself when its sockets are gone.
 */
#pragma once

#include "bridge/websocket.h"
#include "instances/history.h"
#include "operations/operation.h"
#include "util/buffer.h"
#include "util/error.h"
#include "util/identity.h"
#include "util/list.h"

#include <stdbool.h>
#include <stdint.h>

#define SESSION_CLOSE_CLEAN 0         /* an empty Close frame: 1005 at the peer */
#define SESSION_CLOSE_TAKEN_OVER 4001 /* RFC 6455 section 7.4.2: 4000-4999 are ours */

struct instance;
struct session;

/* What a text console's client gets first. */
enum session_replay {
	SESSION_REPLAY_NONE,   /* what comes next */
	SESSION_REPLAY_LOG,    /* all that the log holds */
	SESSION_REPLAY_SCREEN, /* what a terminal would show now */
	SESSION_REPLAY_OFFSET, /* the log from an offset on */
};

struct session_config {
	uint16_t width, height; /* 0: leave the size alone */
	bool watch;             /* only look: neither input nor size is taken */
	bool quiet;             /* no lines of our own among the output */
	bool force;             /* end the other sessions of this kind */
	bool from_boot; /* begin with the boot's first byte, if the requestor's own process has just started it */
	enum session_replay replay;
	uint64_t offset;         /* SESSION_REPLAY_OFFSET: at most the log's head */
	unsigned int scrollback; /* SESSION_REPLAY_SCREEN: lines above the screen */
	struct identity requestor;
};

/* What kinds of sessions differ in. */
struct session_kind {
	const char *type; /* LXD's: "console", "vga" */
	bool reusable;    /* the secret of data opens any number of sockets */

	/* Makes one, all zero but for what is the kind's own. May refuse, with the reason in `error`. */
	int (*create)(struct session **session, struct instance *instance, const struct session_config *config,
		      struct error *error);
	/* A data socket comes; `fd` is an unread handshake and consumed. -errno: the session is to end with that. */
	int (*connect)(struct session *session, int fd);
	/* The control socket has come. May be NULL. */
	void (*controlled)(struct session *session);
	/* Where the client's output begins, in the console's log, as far as that is known yet. May be NULL. */
	uint64_t (*offset)(const struct session *session);
	/* Adds to the session's JSON what is the kind's own. May be NULL. */
	void (*describe)(const struct session *session, json_t **json);
	/* A size from the control socket. May be NULL. */
	void (*resize)(struct session *session, uint16_t width, uint16_t height);
	/* News from the console: there is output; it takes input again. May be NULL. */
	void (*output)(struct session *session);
	void (*writable)(struct session *session);
	/* The instance has ended, its output at `end`. The session ends, at once or when that has been delivered. */
	void (*instance_ended)(struct session *session, uint64_t end);
	/* The deadline has passed though it is attached. May be NULL. */
	void (*timeout)(struct session *session);
	/* It leaves the instance, which is still there. May be NULL. */
	void (*leave)(struct session *session);
	/* It has ended: closes the data sockets; a `reason` is for people. */
	void (*close)(struct session *session, unsigned int code, const char *reason);
	/* Whether a data socket is still there. */
	bool (*open)(const struct session *session);
	/* Frees what create() has made, the session with it. */
	void (*destroy)(struct session *session);
};

extern const struct session_kind session_console;
extern const struct session_kind session_vga;

/* The part that all kinds share, and begin with. */
struct session {
	const struct session_kind *kind;
	struct list link;            // instance::sessions; out of it once ended
	struct list waiting;         // instances::waiting
	struct instance *instance;   /* NULL once ended */
	struct operation *operation; /* NULL once final */
	struct websocket *control;
	struct identity requestor;
	int64_t created_at, attached_at; /* timestamps; 0: not yet */
	uint64_t attached_hrtime;        /* the second, by a clock that nobody sets: uv_hrtime() */
	uint64_t sent, received;         /* bytes of data */
	uint64_t deadline;               /* in uv_now() milliseconds; 0: none */
	bool attached;                   /* what makes it one has come */
	bool watches;                    /* it takes no input */
	enum history_action how;         /* it ended */
	const struct identity *by;       /* who ended it; only while it is being ended */
	bool discard_control;            /* the rest of a control message that was too long */
	struct buffer control_text;      /* a control message in pieces */
};

/*
 * Makes a session on a running instance and its operation, which is running on return. -EAGAIN with the reason where
 * too many are pending or attached. The caller has checked that the instance runs.
 */
int session_create(struct instance *instance, const struct session_kind *kind, const struct session_config *config,
		   struct operation **operation, struct error *error);

/* The session as GET .../console/sessions shows it, a new reference; NULL: no memory. */
json_t *session_json(const struct session *session);

/* One of the instance's, by the id of its operation, or NULL. */
struct session *session_find(const struct instance *instance, const char *id);

/* News from the console, for one session. */
void session_output(struct session *session);
void session_writable(struct session *session);

/* The instance has ended; what it wrote before `end` is still delivered. */
void session_instance_ended(struct session *session, uint64_t end);

/* Ends it now as cancelled, telling the client why in the Close frame. */
void session_cancel(struct session *session, const char *reason);

/* The same for somebody who has asked for that, or who takes its place: the client is told who. */
void session_kick(struct session *session, const struct identity *by);
void session_take_over(struct session *session, const struct identity *by);

/* Its deadline has passed. */
void session_timeout(struct session *session);

/* --- for the kinds --- */

/* It is attached from now on, no longer pending: no deadline, its offset settled, and LXD's lifecycle event. */
void session_attach(struct session *session);

/* Says in the operation, beside the secrets, where its output begins, for who wants to come back and go on from there.
 */
void session_tell_offset(struct session *session);

/* Ends it. The second and later calls do nothing. */
void session_end(struct session *session, enum operation_status status, const char *error, unsigned int code,
		 const char *reason);

/* Ends it with Success and clean Close frames. */
void session_succeed(struct session *session);

/* session_timeout() is to come in `milliseconds`, at the earliest. */
void session_set_deadline(struct session *session, uint64_t milliseconds);

/* A data socket has gone: frees a session that has ended, with the last. */
void session_release(struct session *session);
