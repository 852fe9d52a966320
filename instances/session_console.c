// SPDX-License-Identifier: Apache-2.0
/*
 * The session of a text console: a cursor on the log, one data socket that it is sent to, and what is typed into that.
 * What the client gets is, in this order: a drawing of the screen, if it has asked for one; then the log from there on,
 * with a line of our own where bytes are missing and where a boot begins.
 */
#include "instances/drawing.h"
#include "instances/instance.h"
#include "instances/session.h"
#include "instances/transcript.h"
#include "util/json.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>

/*
 * A frame of output. Larger ones carry more per system call, smaller ones let the kernel see a slow reader's progress:
 * a unix socket counts a message as unread until its last byte is read.
 */
#define FRAME_SIZE (16 * 1024)
#define FRAMES_PER_TURN 16     /* then the loop serves others */
#define INPUT_MAX (256 * 1024) /* kept of a paused client: one or two pieces, never near this */
#define LINGER_MS 30000        /* for a client that does not take the last bytes of an ended instance */
#define BOOT_REPLAY_NS INT64_C(10000000000)

/* RFC 6455 section 7.4.1 */
#define CLOSE_INTERNAL_ERROR 1011

struct console_session {
	struct session base;
	struct websocket *data;
	struct session_config config;
	uint64_t sized_at;            /* when it gave the console its size, by instance::size_serial; 0: never */
	bool input_ended;             /* the client sent an empty text frame */
	struct transcript transcript; /* what it gets; once that has ended, the session does when all is delivered */
	struct buffer input;          /* what the instance has not taken yet; the client is paused meanwhile */
	struct drawing drawing;       /* what it gets before the log */
};

static struct console_session *of(struct session *base)
{
	return container_of(base, struct console_session, base);
}

static const struct ring *ring_of(const struct console_session *session)
{
	return console_ring(session->base.instance->console);
}

/* --- output: from the ring to the data socket --- */

/*
 * What the client's own end has taken: what we sent, less what its kernel buffer still holds (unix(7), SIOCOUTQ). Where
 * that holds nothing, the client is not what things wait for, and so counts as moving.
 */
static uint64_t taken_by_client(struct cursor *cursor)
{
	struct console_session *session = container_of(cursor, struct console_session, transcript.cursor);
	int queued = 0;

	if (!session->data || ioctl(websocket_fd(session->data), SIOCOUTQ, &queued) < 0 || queued == 0)
		return uv_hrtime();
	return session->base.sent - (uint64_t)queued;
}

/* Sends the next frame; the socket is ready and something is to be sent. */
static void send_frame(struct console_session *session, uint64_t behind)
{
	size_t size = transcript_read(&session->transcript, websocket_scratch(session->data),
				      (size_t)MIN(behind, FRAME_SIZE));

	if (size == 0)
		return;
	websocket_send_scratch(session->data, WEBSOCKET_BINARY, size);
	session->base.sent += size;
}

/* All is delivered: LXD's end mark, then the clean close. The operation ends when the client has answered it. */
static void send_end(struct console_session *session)
{
	websocket_send(session->data, WEBSOCKET_TEXT, "", 0);
	websocket_close(session->data, SESSION_CLOSE_CLEAN, NULL);
	session->base.deadline = 0;
	list_remove(&session->base.waiting);
}

/* What the client gets is read from `offset` on; as far as it is concerned it begins at `began`. */
static void place_cursor(struct console_session *session, uint64_t offset, uint64_t began)
{
	transcript_begin(&session->transcript, offset, began);
	session->transcript.cursor.taken = taken_by_client;
}

/* --- the drawing that some get first --- */

static void give_up_drawing(struct console_session *session, int error)
{
	const char *why = error == -EMSGSIZE ? "it is too large (limits.answers_size)" : strerror(-error);
	char note[TRANSCRIPT_NOTE_SIZE];
	size_t length = session->config.quiet ? 0 : transcript_note(note, "the screen was not drawn: %s", why);

	log_info("console of %s: a screen was not drawn: %s", session->base.instance->row.name, why);
	session->transcript.cursor.offset = MAX(session->transcript.cursor.offset, session->drawing.until);
	drawing_replace(&session->drawing, note, length);
}

/*
 * Its turn has come. Until then there was no cursor that anybody could have been held back for. Of an instance that has
 * ended meanwhile the next boot is not for this client.
 */
static void begin_drawing(struct drawing *drawing)
{
	struct console_session *session = container_of(drawing, struct console_session, drawing);
	uint64_t until = transcript_until(&session->transcript);
	int r = drawing_begin(drawing, session->base.instance->console, until, session->config.scrollback);

	place_cursor(session, ring_tail(ring_of(session)), until);
	if (r < 0)
		give_up_drawing(session, r);
	if (session->base.attached)
		session_tell_offset(&session->base);
	websocket_want_write(session->data);
}

static void await_drawing(struct console_session *session)
{
	session->transcript.began = session->transcript.cursor.offset = ring_head(ring_of(session));
	drawing_await(&session->drawing, &session->base.instance->instances->drawings, begin_drawing);
}

static void draw(struct console_session *session)
{
	int r = drawing_go_on(&session->drawing, session->base.instance->console, &session->transcript.cursor,
			      session->config.width, session->config.height);

	if (r < 0)
		give_up_drawing(session, r);
}

static bool send_drawing(struct console_session *session)
{
	const char *bytes;
	size_t size = drawing_take(&session->drawing, FRAME_SIZE, &bytes);

	if (size == 0)
		return false;
	websocket_send(session->data, WEBSOCKET_BINARY, bytes, size);
	session->base.sent += size;
	return true;
}

/* --- */

/* Sends the next piece of what the client is to get; the socket is ready. False: that was all. */
static bool send_next(struct console_session *session)
{
	uint64_t behind = transcript_behind(&session->transcript);

	if (session->drawing.bytes.length && send_drawing(session))
		return true;
	if (behind)
		send_frame(session, behind);
	else if (session->transcript.ended)
		send_end(session);
	return behind > 0;
}

static bool has_next(const struct console_session *session)
{
	return session->transcript.ended || session->drawing.bytes.length || transcript_behind(&session->transcript);
}

static void pump(struct console_session *session)
{
	if (drawing_waits(&session->drawing))
		return; /* begin_drawing() goes on */
	if (drawing_unfinished(&session->drawing))
		draw(session);
	for (unsigned int i = 0; i < FRAMES_PER_TURN && !drawing_unfinished(&session->drawing); i++) {
		if (!has_next(session))
			return;
		if (!websocket_ready(session->data))
			break;
		if (!send_next(session))
			return;
		if (session->transcript.ended)
			session_set_deadline(&session->base, LINGER_MS);
	}
	websocket_want_write(session->data);
}

static void on_output(struct session *base)
{
	struct console_session *session = of(base);

	if (!session->transcript.ended)
		pump(session);
}

static void on_instance_ended(struct session *base, uint64_t end)
{
	struct console_session *session = of(base);

	if (session->transcript.ended)
		return;
	transcript_end(&session->transcript, end);
	session_set_deadline(base, LINGER_MS);
	pump(session);
}

/* --- input: from the data socket to the instance --- */

/* Hands bytes to the instance. What it does not take now is kept, and the client is not read until it is gone. */
static void type_in(struct console_session *session, const void *data, size_t length)
{
	ssize_t taken = 0;

	session->base.received += length;
	session->base.instance->typist = &session->base;
	if (session->input.length == 0)
		taken = console_write(session->base.instance->console, data, length);
	if (taken < 0 && taken != -EAGAIN)
		return; /* nothing runs to type into */
	if (taken < 0)
		taken = 0;
	if ((size_t)taken == length)
		return;
	if (buffer_append(&session->input, (const char *)data + taken, length - (size_t)taken, INPUT_MAX) < 0) {
		session_end(&session->base, OPERATION_FAILURE, "No memory for the console's input",
			    CLOSE_INTERNAL_ERROR, "no memory for input");
		return;
	}
	websocket_pause(session->data, true);
}

static void on_writable(struct session *base)
{
	struct console_session *session = of(base);
	ssize_t taken;

	if (session->input.length == 0)
		return;
	taken = console_write(session->base.instance->console, session->input.data, session->input.length);
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
	struct console_session *session = user;

	if (!session->base.instance || session->transcript.ended || session->input_ended || session->config.watch)
		return;
	if (kind == WEBSOCKET_TEXT && length == 0 && first && last)
		session->input_ended = true; /* LXD's end of input; output goes on */
	else if (length > 0)
		type_in(session, data, length);
}

/* --- the size: that of the writer who resized or attached last --- */

static void apply_size(struct console_session *session)
{
	struct instance *instance = session->base.instance;

	if (!session->config.width || !session->config.height || session->config.watch)
		return;
	session->sized_at = ++instance->size_serial;
	console_resize(instance->console, session->config.width, session->config.height);
}

/* Who leaves gives the console back to the one who had its size before. */
static void pass_size_on(const struct console_session *leaving)
{
	struct instance *instance = leaving->base.instance;
	struct console_session *session, *heir = NULL;
	struct session *base;

	if (!leaving->sized_at || leaving->sized_at != instance->size_serial)
		return;
	list_for_each (base, &instance->sessions, link) {
		session = base->kind == &session_console ? of(base) : NULL;
		if (session && session->sized_at && (!heir || session->sized_at > heir->sized_at))
			heir = session;
	}
	if (heir)
		apply_size(heir);
}

static void on_resize(struct session *base, uint16_t width, uint16_t height)
{
	struct console_session *session = of(base);

	session->config.width = width;
	session->config.height = height;
	if (base->attached)
		apply_size(session);
}

/* --- the data socket's life --- */

/* The start of the boot that the requestor's own process has just asked for; otherwise the head. */
static uint64_t boot_or_head(const struct console_session *session)
{
	struct instance *instance = session->base.instance;
	uint64_t offset = ring_head(ring_of(session));
	struct ring_boot boot;

	if (session->config.from_boot && instance->starter && instance->starter == session->base.requestor.pid &&
	    timestamp_now() - instance->started_at < BOOT_REPLAY_NS && ring_boots(ring_of(session), &boot, 1) == 1 &&
	    boot.offset >= ring_tail(ring_of(session)))
		offset = boot.offset;
	instance->starter = 0;
	return offset;
}

static uint64_t first_offset(const struct console_session *session)
{
	switch (session->config.replay) {
	case SESSION_REPLAY_LOG:
	case SESSION_REPLAY_SCREEN:
		return ring_tail(ring_of(session));
	case SESSION_REPLAY_OFFSET:
		return session->config.offset;
	case SESSION_REPLAY_NONE:
		break;
	}
	return boot_or_head(session);
}

static void data_open(struct websocket *websocket, void *user)
{
	static const char blind[] = "\r\n[consoled: another program reads this console; what it prints now is not "
				    "shown here]\r\n";
	struct console_session *session = user;

	if (!session->base.instance)
		return;
	if (console_output(session->base.instance->console) == CONSOLE_OUTPUT_HISTORY && !session->config.quiet &&
	    websocket_ready(websocket)) {
		websocket_send(websocket, WEBSOCKET_BINARY, blind, sizeof(blind) - 1);
		session->base.sent += sizeof(blind) - 1;
	}
	pump(session);
}

static void data_writable(struct websocket *websocket, void *user)
{
	struct console_session *session = user;

	if (session->base.instance)
		pump(session);
}

static void data_closed(struct websocket *websocket, void *user, unsigned int code)
{
	struct console_session *session = user;

	session->data = NULL;
	if (session->base.instance)
		session_succeed(&session->base);
	else
		session_release(&session->base);
}

static const struct websocket_handler data_handler = {
	.open = data_open,
	.message = data_message,
	.writable = data_writable,
	.closed = data_closed,
};

/*
 * The data socket is there. A client begins at what the log ends with just before the 101, not at `open`, a turn of the
 * loop later: what the instance prints in between belongs to the client, who may already know that it is attached.
 */
static int on_connect(struct session *base, int fd)
{
	struct console_session *session = of(base);
	struct instance *instance = base->instance;
	uint64_t offset = first_offset(session);
	int r = websockets_adopt(instance->instances->websockets, fd, &base->requestor, &data_handler, session,
				 &session->data);

	if (r < 0)
		return r;
	if (session->config.replay == SESSION_REPLAY_SCREEN)
		await_drawing(session);
	else
		place_cursor(session, offset, offset);
	session_attach(base);
	apply_size(session);
	return 0;
}

/* --- the kind --- */

static int create(struct session **base, struct instance *instance, const struct session_config *config,
		  struct error *error)
{
	struct console_session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->config = *config;
	transcript_init(&session->transcript, instance->console, config->quiet);
	*base = &session->base;
	return 0;
}

static uint64_t offset_of(const struct session *base)
{
	const struct console_session *session = container_of(base, const struct console_session, base);

	if (session->data)
		return session->transcript.began;
	return session->config.replay == SESSION_REPLAY_OFFSET ? session->config.offset : ring_head(ring_of(session));
}

static void describe(const struct session *base, json_t **json)
{
	const struct console_session *session = container_of(base, const struct console_session, base);
	uint64_t offset = base->attached ? session->transcript.cursor.offset : ring_head(ring_of(session));

	json_put(json, "mode", json_string(session->config.watch ? "watch" : "write"));
	json_put(json, "width", json_integer(session->config.width));
	json_put(json, "height", json_integer(session->config.height));
	json_put(json, "offset", json_integer((json_int_t)offset));
	json_put(json, "behind",
		 json_integer(base->attached ? (json_int_t)transcript_behind(&session->transcript) : 0));
	json_put(json, "skipped", json_integer((json_int_t)session->transcript.skipped));
}

/* The instance has ended, and the client does not take its last bytes. */
static void on_timeout(struct session *base)
{
	session_succeed(base);
}

static void on_leave(struct session *base)
{
	struct console_session *session = of(base);

	pass_size_on(session);
	transcript_finish(&session->transcript);
}

/* Only a reason goes to the client's screen as well, where people look; LXD's end mark follows. */
static void on_close(struct session *base, unsigned int code, const char *reason)
{
	struct console_session *session = of(base);
	char note[TRANSCRIPT_NOTE_SIZE];

	drawing_finish(&session->drawing);
	if (!session->data)
		return;
	if (code == SESSION_CLOSE_TAKEN_OVER && !session->config.quiet && websocket_ready(session->data))
		websocket_send(session->data, WEBSOCKET_BINARY, note, transcript_note(note, "%s", reason));
	websocket_close(session->data, code, reason);
}

static bool is_open(const struct session *base)
{
	return container_of(base, const struct console_session, base)->data;
}

static void destroy(struct session *base)
{
	struct console_session *session = of(base);

	drawing_finish(&session->drawing);
	buffer_finish(&session->input);
	free(session);
}

const struct session_kind session_console = {
	.type = "console",
	.create = create,
	.connect = on_connect,
	.offset = offset_of,
	.describe = describe,
	.resize = on_resize,
	.output = on_output,
	.writable = on_writable,
	.instance_ended = on_instance_ended,
	.timeout = on_timeout,
	.leave = on_leave,
	.close = on_close,
	.open = is_open,
	.destroy = destroy,
};
