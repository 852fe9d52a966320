// SPDX-License-Identifier: Apache-2.0
#include "instances/session.h"

#include "bridge/control.h"
#include "instances/instance.h"
#include "operations/events.h"
#include "operations/operation.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * A frame of output. Larger ones carry more per system call, smaller ones let the kernel see a slow reader's progress:
 * a unix socket counts a message as unread until its last byte is read.
 */
#define FRAME_SIZE (16 * 1024)
#define FRAMES_PER_TURN 16 /* then the loop serves others */
#define NOTICE_SIZE 64
#define INPUT_MAX (256 * 1024) /* kept of a paused client: one or two pieces, never near this */
#define LINGER_MS 30000        /* for a client that does not take the last bytes of an ended instance */
#define BOOT_REPLAY_NS INT64_C(10000000000)

#define CLOSE_CLEAN 0         /* an empty Close frame: 1005 at the peer */
#define CLOSE_TAKEN_OVER 4001 /* RFC 6455 section 7.4.2: 4000-4999 are ours */

static const struct operation_handler session_operation;

/* --- the end --- */

static void session_free_when_unused(struct session *session)
{
	if (session->instance || session->data || session->control)
		return;
	buffer_finish(&session->input);
	buffer_finish(&session->control_text);
	free(session);
}

/* Leaves the instance: from here on no news comes from it. */
static void session_leave(struct session *session)
{
	struct instance *instance = session->instance;

	list_remove(&session->waiting);
	list_remove(&session->link);
	instance->session_count--;
	if (session->attached)
		cursor_finish(&session->cursor, instance->console);
	else
		instance->pending_count--;
	session->instance = NULL;
}

static void session_end(struct session *session, enum operation_status status, const char *error, unsigned int code,
			const char *reason)
{
	struct operation *operation = session->operation;

	if (!session->instance)
		return;
	log_debug("console session %s ended after %" PRIu64 " bytes of output", operation->id, session->sent);
	session_leave(session);
	session->operation = NULL;
	if (session->data)
		websocket_close(session->data, code, reason);
	if (session->control)
		websocket_close(session->control, code, reason);
	operation_finish(operation, status, error);
	session_free_when_unused(session);
}

static void session_succeed(struct session *session)
{
	session_end(session, OPERATION_SUCCESS, NULL, CLOSE_CLEAN, NULL);
}

void session_cancel(struct session *session, const char *reason)
{
	session_end(session, OPERATION_CANCELLED, NULL, reason ? CLOSE_TAKEN_OVER : CLOSE_CLEAN, reason);
}

void session_timeout(struct session *session)
{
	if (session->attached)
		session_succeed(session); /* the instance has ended, and the client does not take its last bytes */
	else
		session_end(session, OPERATION_FAILURE, "Timed out waiting for websockets to connect", 1008,
			    "Timed out waiting for the data socket");
}

static void session_set_deadline(struct session *session, uint64_t milliseconds)
{
	struct instances *instances = session->instance->instances;

	session->deadline = uv_now(instances->loop) + milliseconds;
	if (list_empty(&session->waiting))
		list_append(&instances->waiting, &session->waiting);
	instances_wake_ticker(instances);
}

/* --- output: from the ring to the data socket --- */

/*
 * What the client's own end has taken: what we sent, less what its kernel buffer still holds (unix(7), SIOCOUTQ). Where
 * that holds nothing, the client is not what things wait for, and so counts as moving.
 */
static uint64_t session_taken(struct cursor *cursor)
{
	struct session *session = container_of(cursor, struct session, cursor);
	int queued = 0;

	if (!session->data || ioctl(websocket_fd(session->data), SIOCOUTQ, &queued) < 0 || queued == 0)
		return uv_hrtime();
	return session->sent - (uint64_t)queued;
}

static uint64_t session_behind(const struct session *session)
{
	uint64_t end = session->ending ? session->end : ring_head(console_ring(session->instance->console));

	return end > session->cursor.offset ? end - session->cursor.offset : 0;
}

/* Sends the next frame; the socket is ready and something is to be sent. */
static void session_send_frame(struct session *session, uint64_t behind)
{
	char *frame = websocket_scratch(session->data);
	size_t size = behind < FRAME_SIZE ? (size_t)behind : FRAME_SIZE, notice = 0;
	uint64_t lost = 0;

	size = cursor_read(&session->cursor, session->instance->console, frame, size, &lost);
	if (lost) { /* rare, so it may cost a move */
		memmove(frame + NOTICE_SIZE, frame, size);
		notice = (size_t)snprintf(frame, NOTICE_SIZE, "\r\n[consoled: %" PRIu64 " bytes skipped]\r\n", lost);
		memmove(frame + notice, frame + NOTICE_SIZE, size);
	}
	if (size + notice == 0)
		return;
	websocket_send_scratch(session->data, WEBSOCKET_BINARY, notice + size);
	session->sent += notice + size;
}

/* All is delivered: LXD's end mark, then the clean close. The operation ends when the client has answered it. */
static void session_send_end(struct session *session)
{
	websocket_send(session->data, WEBSOCKET_TEXT, "", 0);
	websocket_close(session->data, CLOSE_CLEAN, NULL);
	session->deadline = 0;
	list_remove(&session->waiting);
}

static void session_pump(struct session *session)
{
	uint64_t behind;

	for (unsigned int i = 0; i < FRAMES_PER_TURN; i++) {
		behind = session_behind(session);
		if (behind == 0 && !session->ending)
			return;
		if (!websocket_ready(session->data))
			break;
		if (behind == 0) {
			session_send_end(session);
			return;
		}
		session_send_frame(session, behind);
		if (session->ending)
			session_set_deadline(session, LINGER_MS);
	}
	websocket_want_write(session->data);
}

void session_output(struct session *session)
{
	if (session->attached && !session->ending)
		session_pump(session);
}

void session_instance_ended(struct session *session, uint64_t end)
{
	if (session->ending)
		return;
	if (!session->attached) {
		session_succeed(session);
		return;
	}
	session->ending = true;
	session->end = end;
	session_set_deadline(session, LINGER_MS);
	session_pump(session);
}

/* --- input: from the data socket to the instance --- */

/* Hands bytes to the instance. What it does not take now is kept, and the client is not read until it is gone. */
static void session_type(struct session *session, const void *data, size_t length)
{
	ssize_t taken = 0;

	if (session->input.length == 0)
		taken = console_write(session->instance->console, data, length);
	if (taken < 0 && taken != -EAGAIN)
		return; /* nothing runs to type into */
	if (taken < 0)
		taken = 0;
	if ((size_t)taken == length)
		return;
	if (buffer_append(&session->input, (const char *)data + taken, length - (size_t)taken, INPUT_MAX) < 0) {
		session_end(session, OPERATION_FAILURE, "No memory for the console's input", 1011,
			    "no memory for input");
		return;
	}
	websocket_pause(session->data, true);
}

void session_writable(struct session *session)
{
	ssize_t taken;

	if (session->input.length == 0)
		return;
	taken = console_write(session->instance->console, session->input.data, session->input.length);
	if (taken == -EAGAIN)
		return;
	buffer_consume(&session->input, taken < 0 ? session->input.length : (size_t)taken);
	if (session->input.length == 0) {
		buffer_finish(&session->input); /* a pasted megabyte must not stay with an idle session */
		websocket_pause(session->data, false);
	}
}

static void data_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
			 size_t length, bool first, bool last)
{
	struct session *session = user;

	if (!session->instance || session->ending || session->input_ended)
		return;
	if (kind == WEBSOCKET_TEXT && length == 0 && first && last)
		session->input_ended = true; /* LXD's end of input; output goes on */
	else if (length > 0)
		session_type(session, data, length);
}

/* --- the data socket's life --- */

/* Where a client begins: at what comes next, or at the boot's first byte for whoever has just started the instance. */
static uint64_t first_offset(const struct session *session)
{
	struct instance *instance = session->instance;
	const struct ring *ring = console_ring(instance->console);
	uint64_t offset = ring_head(ring);
	struct ring_boot boots[64];
	size_t count;

	if (session->from_boot && instance->starter && instance->starter == session->requestor.pid &&
	    timestamp_now() - instance->started_at < BOOT_REPLAY_NS) {
		count = ring_boots(ring, boots, 64);
		if (count > 0 && boots[count - 1].offset >= ring_tail(ring))
			offset = boots[count - 1].offset;
	}
	instance->starter = 0;
	return offset;
}

/*
 * The data socket is there. This is the moment of the 101, not of `open`, a turn of the loop later: what the instance
 * prints in between belongs to the client, who may already know that it is attached.
 */
static void session_attach(struct session *session)
{
	struct instance *instance = session->instance;
	json_t *context = json_pack("{s:s}", "type", "console");

	list_remove(&session->waiting);
	session->attached = true;
	instance->pending_count--;
	cursor_init(&session->cursor, instance->console, first_offset(session));
	session->cursor.taken = session_taken;
	if (session->width && session->height)
		console_resize(instance->console, session->width, session->height);
	events_lifecycle(instance->instances->events, "instance-console", instance->row.name, NULL, context);
	json_decref(context);
}

static void data_open(struct websocket *websocket, void *user)
{
	static const char blind[] = "\r\n[consoled: another program reads this console; what it prints now is not "
				    "shown here]\r\n";
	struct session *session = user;

	if (!session->instance)
		return;
	if (console_output(session->instance->console) == CONSOLE_OUTPUT_HISTORY && websocket_ready(websocket)) {
		websocket_send(websocket, WEBSOCKET_BINARY, blind, sizeof(blind) - 1);
		session->sent += sizeof(blind) - 1;
	}
	session_pump(session);
}

static void data_writable(struct websocket *websocket, void *user)
{
	struct session *session = user;

	if (session->instance && session->attached)
		session_pump(session);
}

static void data_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct session *session = user;

	session->data = NULL;
	if (session->instance)
		session_succeed(session);
	else
		session_free_when_unused(session);
}

static const struct websocket_handler data_handler = {
	.open = data_open,
	.message = data_message,
	.writable = data_writable,
	.closed = data_closed,
};

/* --- the control socket --- */

static void session_control(struct session *session, const void *message, size_t length)
{
	struct control control = control_parse(message, length);

	if (control.command != CONTROL_WINDOW_RESIZE || !session->instance)
		return;
	if (session->attached)
		console_resize(session->instance->console, control.width, control.height);
	session->width = control.width; /* for the data socket that has not come yet */
	session->height = control.height;
}

/* Gathers a message from its pieces. One that is too long is dropped whole; the session goes on. */
static void control_message(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
			    size_t length, bool first, bool last)
{
	struct session *session = user;

	if (first) {
		session->control_text.length = 0;
		session->discard_control = false;
	}
	if (!session->discard_control && buffer_append(&session->control_text, data, length, CONTROL_MESSAGE_MAX) < 0)
		session->discard_control = true;
	if (last && !session->discard_control)
		session_control(session, session->control_text.data, session->control_text.length);
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
		session_free_when_unused(session);
}

static const struct websocket_handler control_handler = {
	.open = control_open,
	.message = control_message,
	.writable = control_writable,
	.closed = control_closed,
};

/* --- the operation --- */

static void session_connect(struct operation *operation, struct operation_socket *socket, int fd)
{
	struct session *session = operation->owner;
	bool data = strcmp(socket->name, "0") == 0;
	int r;

	socket->used = true;
	r = websockets_adopt(session->instance->instances->websockets, fd, data ? &data_handler : &control_handler,
			     session, data ? &session->data : &session->control);
	if (r < 0) {
		log_warn("console of %s: the %s socket was not taken: %s", session->instance->row.name, socket->name,
			 strerror(-r));
		session_end(session, OPERATION_FAILURE, strerror(-r), 1011, NULL);
	} else if (data) {
		session_attach(session);
	}
}

static void session_operation_cancelled(struct operation *operation)
{
	session_cancel(operation->owner, NULL);
}

static const struct operation_handler session_operation = {
	.connect = session_connect,
	.cancel = session_operation_cancelled,
};

/* Says beside the secrets when there is less to be had than a console. */
static int session_explain(struct operation *operation, const struct console *console)
{
	if (console_output(console) == CONSOLE_OUTPUT_ALL)
		return 0;
	operation->metadata =
		json_pack("{s:s, s:s}", "output", "history", "reason",
			  "Somebody else has this container's console: what it prints from now on goes there. "
			  "What is typed here arrives.");
	return operation->metadata ? 0 : -ENOMEM;
}

static int session_make_operation(struct session *session, struct instance *instance)
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
				     .handler = &session_operation,
				     .owner = session,
			     });
	if (r < 0)
		return r;
	r = operation_add_socket(operation, "0", false);
	if (r == 0)
		r = operation_add_socket(operation, "control", false);
	if (r == 0)
		r = session_explain(operation, instance->console);
	if (r < 0) {
		operation_abandon(operation);
		return r;
	}
	session->operation = operation;
	return 0;
}

/* Ends every session of the instance for the sake of a new one. */
static void take_over(struct instance *instance, const struct identity *by)
{
	struct session *session, *after;
	char name[64], reason[96];

	identity_username(by, name);
	snprintf(reason, sizeof(reason), "taken over by %s", name);
	list_for_each_safe (session, after, &instance->sessions, link)
		session_cancel(session, reason);
}

int session_create(struct instance *instance, const struct session_config *config, struct operation **operation,
		   struct error *error)
{
	struct session *session;
	int r;

	if (config->force)
		take_over(instance, &config->requestor);
	if (instance->pending_count >= INSTANCE_PENDING_MAX)
		return error_set(error, -EAGAIN, "Too many console sessions of %s wait for their sockets",
				 instance->row.name);
	if (instance->session_count >= INSTANCE_SESSIONS_MAX)
		return error_set(error, -EAGAIN, "Too many console sessions of %s", instance->row.name);
	session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->requestor = config->requestor;
	session->from_boot = config->from_boot;
	session->width = config->width;
	session->height = config->height;
	list_init(&session->waiting);
	r = session_make_operation(session, instance);
	if (r < 0) {
		free(session);
		return error_set(error, r, "Too many operations");
	}
	session->instance = instance;
	list_append(&instance->sessions, &session->link);
	instance->session_count++;
	instance->pending_count++;
	session_set_deadline(session, instance->instances->attach_timeout * UINT64_C(1000));
	operation_start(session->operation);
	*operation = session->operation;
	return 0;
}
