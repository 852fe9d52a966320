// SPDX-License-Identifier: Apache-2.0
#include "instances/session.h"

#include "bridge/control.h"
#include "instances/instance.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CLOSE_POLICY 1008 /* RFC 6455 section 7.4.1 */
#define CLOSE_INTERNAL_ERROR 1011

/* --- the end --- */

void session_release(struct session *session)
{
	if (session->instance || session->control || session->kind->open(session))
		return;
	buffer_finish(&session->control_text);
	session->kind->destroy(session);
}

/* Leaves the instance: from here on no news comes from it. */
static void leave(struct session *session)
{
	list_remove(&session->waiting);
	list_remove(&session->link);
	if (session->instance->typist == session)
		session->instance->typist = NULL;
	if (session->attached && session->kind->leave)
		session->kind->leave(session);
	session->instance = NULL;
}

/* The audit, and LXD's lifecycle events. */
static void tell(struct session *session, enum history_action action)
{
	const struct instance *instance = session->instance;
	uint64_t since = action == HISTORY_ATTACHED ? uv_hrtime() : session->attached_hrtime;

	history_tell(instance->instances->history, instance->row.name,
		     &(struct history_entry){
			     .action = action,
			     .session = session->operation->id,
			     .type = session->kind->type,
			     .mode = session->watches ? "watch" : "write",
			     .who = &session->requestor,
			     .by = session->by,
			     .duration = (int64_t)(uv_hrtime() - since),
			     .sent = session->sent,
			     .received = session->received,
		     });
}

void session_end(struct session *session, enum operation_status status, const char *error, unsigned int code,
		 const char *reason)
{
	struct operation *operation = session->operation;

	if (!session->instance)
		return;
	log_debug("%s session %s ended", session->kind->type, operation->id);
	if (session->attached)
		tell(session, session->how);
	leave(session);
	session->operation = NULL;
	session->kind->close(session, code, reason);
	if (session->control)
		websocket_close(session->control, code, reason);
	operation_finish(operation, status, error);
	session_release(session);
}

void session_succeed(struct session *session)
{
	session_end(session, OPERATION_SUCCESS, NULL, SESSION_CLOSE_CLEAN, NULL);
}

static void cancel(struct session *session, enum history_action how, const struct identity *by, const char *reason)
{
	session->how = how;
	session->by = by;
	session_end(session, OPERATION_CANCELLED, NULL, reason ? SESSION_CLOSE_TAKEN_OVER : SESSION_CLOSE_CLEAN,
		    reason);
}

void session_cancel(struct session *session, const char *reason)
{
	cancel(session, HISTORY_ENDED, NULL, reason);
}

void session_kick(struct session *session, const struct identity *by)
{
	char name[64], reason[96];

	identity_username(by, name);
	snprintf(reason, sizeof(reason), "ended by %s", name);
	cancel(session, HISTORY_ENDED, by, reason);
}

void session_take_over(struct session *session, const struct identity *by)
{
	char name[64], reason[96];

	identity_username(by, name);
	snprintf(reason, sizeof(reason), "taken over by %s", name);
	cancel(session, HISTORY_TAKEN_OVER, by, reason);
}

void session_timeout(struct session *session)
{
	if (!session->attached)
		session_end(session, OPERATION_FAILURE, "Timed out waiting for websockets to connect", CLOSE_POLICY,
			    "Timed out waiting for the data socket");
	else if (session->kind->timeout)
		session->kind->timeout(session);
}

void session_set_deadline(struct session *session, uint64_t milliseconds)
{
	struct instances *instances = session->instance->instances;

	session->deadline = uv_now(instances->loop) + milliseconds;
	if (list_empty(&session->waiting))
		list_append(&instances->waiting, &session->waiting);
	instances_wake_ticker(instances);
}

/* --- as others see it --- */

struct session *session_find(const struct instance *instance, const char *id)
{
	struct session *session;

	list_for_each (session, &instance->sessions, link)
		if (strcmp(session->operation->id, id) == 0)
			return session;
	return NULL;
}

static json_t *time_json(int64_t time)
{
	char text[TIMESTAMP_LENGTH + 1];

	timestamp_format(time, text);
	return json_string(text);
}

json_t *session_json(const struct session *session)
{
	char name[64], path[64];
	json_t *json;

	identity_username(&session->requestor, name);
	snprintf(path, sizeof(path), "/1.0/operations/%s", session->operation->id);
	json = json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:o, s:o, s:I, s:I}", "id", session->operation->id,
			 "operation", path, "type", session->kind->type, "attached", session->attached, "username",
			 name, "uid", (json_int_t)session->requestor.uid, "pid", (json_int_t)session->requestor.pid,
			 "created_at", time_json(session->created_at), "attached_at", time_json(session->attached_at),
			 "bytes_sent", (json_int_t)session->sent, "bytes_received", (json_int_t)session->received);
	if (session->kind->describe)
		session->kind->describe(session, &json);
	return json;
}

static int tell_offset(struct session *session)
{
	struct operation *operation = session->operation;

	if (!session->kind->offset)
		return 0;
	if (!operation->metadata)
		operation->metadata = json_object();
	if (json_object_set_new(operation->metadata, "offset",
				json_integer((json_int_t)session->kind->offset(session))) < 0)
		return -ENOMEM;
	return 0;
}

void session_tell_offset(struct session *session)
{
	if (tell_offset(session) < 0)
		log_warn("console of %s: no memory to tell the offset", session->instance->row.name);
}

/* --- news --- */

void session_output(struct session *session)
{
	if (session->attached && session->kind->output)
		session->kind->output(session);
}

void session_writable(struct session *session)
{
	if (session->attached && session->kind->writable)
		session->kind->writable(session);
}

void session_instance_ended(struct session *session, uint64_t end)
{
	session->how = HISTORY_ENDED;
	if (session->attached)
		session->kind->instance_ended(session, end);
	else
		session_succeed(session);
}

void session_attach(struct session *session)
{
	list_remove(&session->waiting);
	session->attached = true;
	session->attached_at = timestamp_now();
	session->attached_hrtime = uv_hrtime();
	session_tell_offset(session);
	tell(session, HISTORY_ATTACHED);
}

/* --- the control socket --- */

/* Its client could not know otherwise that it was not heard. */
static void control_lost(struct session *session)
{
	session_end(session, OPERATION_FAILURE, "No memory for the console's control message", CLOSE_INTERNAL_ERROR,
		    "no memory for control");
}

static void control(struct session *session, const void *message, size_t length)
{
	struct control control = control_parse(message, length);

	if (control.command == CONTROL_LOST)
		control_lost(session);
	else if (control.command == CONTROL_WINDOW_RESIZE && session->instance && session->kind->resize)
		session->kind->resize(session, control.width, control.height);
}

/* Gathers a message from its pieces. One that is too long is dropped whole; the session goes on. */
static void control_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
			    size_t length, bool first, bool last)
{
	struct session *session = user;
	int r = 0;

	if (first) {
		session->control_text.length = 0;
		session->discard_control = false;
	}
	if (!session->instance)
		return;
	if (!session->discard_control)
		r = buffer_append(&session->control_text, data, length,
				  session->instance->instances->limits->control_size);
	if (r < 0)
		session->discard_control = true;
	if (r == -ENOMEM)
		control_lost(session);
	else if (last && !session->discard_control)
		control(session, session->control_text.data, session->control_text.length);
	if (last)
		buffer_finish(&session->control_text);
}

static void control_open(struct websocket *websocket, void *user)
{
}

static void control_writable(struct websocket *websocket, void *user)
{
}

/* However the control socket goes, the client has detached (`lxc` closes it with 1000 "Detaching from console"). */
static void control_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct session *session = user;

	session->control = NULL;
	if (session->instance)
		session_succeed(session);
	else
		session_release(session);
}

static const struct websocket_handler control_handler = {
	.open = control_open,
	.message = control_message,
	.writable = control_writable,
	.closed = control_closed,
};

/* --- the operation --- */

static int connect_control(struct session *session, int fd)
{
	int r = websockets_adopt(session->instance->instances->websockets, fd, &session->requestor, &control_handler,
				 session, &session->control);

	if (r == 0 && session->kind->controlled)
		session->kind->controlled(session);
	return r;
}

static void on_connect(struct operation *operation, struct operation_socket *socket, int fd)
{
	struct session *session = operation->owner;
	bool data = strcmp(socket->name, "0") == 0;
	int r;

	socket->used = true;
	r = data ? session->kind->connect(session, fd) : connect_control(session, fd);
	if (r == 0)
		return;
	log_warn("console of %s: the %s socket was not taken: %s", session->instance->row.name, socket->name,
		 strerror(-r));
	session_end(session, OPERATION_FAILURE, strerror(-r), CLOSE_INTERNAL_ERROR, NULL);
}

static void on_cancel(struct operation *operation)
{
	session_cancel(operation->owner, NULL);
}

static const struct operation_handler operation_handler = {
	.connect = on_connect,
	.cancel = on_cancel,
};

/* Says beside the secrets when there is less to be had than a console. */
static int explain(struct operation *operation, const struct console *console)
{
	if (console_output(console) == CONSOLE_OUTPUT_ALL)
		return 0;
	operation->metadata =
		json_pack("{s:s, s:s}", "output", "history", "reason",
			  "Somebody else has this container's console: what it prints from now on goes there. "
			  "What is typed here arrives.");
	return operation->metadata ? 0 : -ENOMEM;
}

static int make_operation(struct session *session, struct instance *instance, struct error *error)
{
	struct operation *operation;
	int r;

	r = operation_create(&operation, instance->instances->operations,
			     &(struct operation_config){
				     .class = OPERATION_WEBSOCKET,
				     .description = "Showing console",
				     .instance = instance->row.name,
				     .is_container = instance->row.type == INSTANCE_CONTAINER,
				     .requestor = &session->requestor,
				     .handler = &operation_handler,
				     .owner = session,
			     },
			     error);
	if (r < 0)
		return r;
	r = operation_add_socket(operation, "0", session->kind->reusable);
	if (r == 0)
		r = operation_add_socket(operation, "control", false);
	if (r == 0)
		r = explain(operation, instance->console);
	session->operation = operation;
	if (r == 0)
		r = tell_offset(session);
	if (r < 0)
		operation_abandon(operation);
	return r;
}

/* Ends every other session of the same kind. */
static void take_over_all(const struct session *session)
{
	struct session *other, *after;

	list_for_each_safe (other, after, &session->instance->sessions, link)
		if (other->kind == session->kind)
			session_take_over(other, &session->requestor);
}

/* Those that it is to end do not stand in its way. */
static int check_count(const struct instance *instance, const struct session_kind *kind, bool force,
		       struct error *error)
{
	const struct limits *limits = instance->instances->limits;
	unsigned int pending = 0, all = 0;
	const struct session *session;

	list_for_each (session, &instance->sessions, link) {
		if (force && session->kind == kind)
			continue;
		pending += !session->attached;
		all++;
	}
	if (pending >= limits->pending_sessions)
		return error_set(
			error, -EAGAIN,
			"Too many console sessions of %s wait for their sockets: limits.pending_sessions is %" PRIu64,
			instance->row.name, limits->pending_sessions);
	if (all >= limits->sessions)
		return error_set(error, -EAGAIN, "Too many console sessions of %s: limits.sessions is %" PRIu64,
				 instance->row.name, limits->sessions);
	return 0;
}

int session_create(struct instance *instance, const struct session_kind *kind, const struct session_config *config,
		   struct operation **operation, struct error *error)
{
	struct session *session;
	int r;

	r = kind->create(&session, instance, config, error);
	if (r < 0)
		return r;
	session->kind = kind;
	session->requestor = config->requestor;
	session->created_at = timestamp_now();
	session->how = HISTORY_DETACHED;
	session->watches = config->watch;
	list_init(&session->waiting);
	session->instance = instance;
	r = check_count(instance, kind, config->force, error);
	if (r == 0)
		r = make_operation(session, instance, error);
	if (r < 0) {
		kind->destroy(session);
		return r;
	}
	if (config->force)
		take_over_all(session);
	list_append(&instance->sessions, &session->link);
	session_set_deadline(session, instance->instances->attach_timeout * UINT64_C(1000));
	operation_start(session->operation);
	*operation = session->operation;
	return 0;
}
