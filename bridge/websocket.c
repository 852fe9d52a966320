// SPDX-License-Identifier: Apache-2.0
/*
 * WebSocket connections on libwebsockets (lws) 4.1, which runs on our loop as a guest (its "foreign loop").
 *
 * lws does the handshake, parses what comes in and keeps what a send left over. Some things are done here rather than
 * by lws, because of what it makes of them:
 *
 * - Reading the request. lws composes the answer where it received the request, over the frames that an eager client
 *   sent right behind it. So the head is taken off the socket here, exactly, and given to lws.
 * - Sending. lws wants everything sent from its WRITEABLE callback; asking for one costs two epoll_ctl(2) and a turn of
 *   the loop. But lws_write() merely puts a header in front of the data, calls send(2) and keeps the remainder, so that
 *   on one thread it may be called from anywhere as long as nothing is kept, which is what websocket_ready() tells.
 * - The Close frame. lws has no way to send an empty one, and Debian's build (made without NDEBUG) closes a connection
 *   that fails in a callback twice over, which drops the frame. So Close frames are sent and answered here, and what
 *   is left to lws is to close the socket.
 * - Timeouts. lws arms its timer after its own events only. Whatever is scheduled from outside of its callbacks has
 *   to be followed by lws_cancel_service().
 */
#include "bridge/websocket.h"

#include "util/list.h"
#include "util/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* RFC 6455 section 7.4.1 */
#define CODE_PROTOCOL_ERROR 1002
#define CODE_NONE 1005
#define CODE_ABNORMAL 1006
#define CODE_TOO_BIG 1009

#define CONTROL_PAYLOAD_MAX 125 /* RFC 6455 section 5.5 */

/* lws_write() knows this type, and the public enum, which is part of lws' ABI, leaves its value out for it. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)

#define REQUEST_HEAD_MAX (16 * 1024)
#define CLOSE_ANSWER_SECONDS 1 /* for the peer to answer our Close frame */
#define CLOSE_FLUSH_SECONDS 5  /* for what was kept, and the Close frame behind it, to leave */
#define TCP_TIMEOUT_MS 30000   /* for a peer to acknowledge what was sent; LXD has the same */
#define DROP_TURNS 16          /* of the loop, at most, for lws to let go of dropped connections: it needs 2 */
#define DESTROY_TURNS 3        /* of the loop, for libuv to let go of lws: it needs 1 */
#define LWS_FDS_MAX 10000000   /* where more files than that may be open, lws takes the limit for a mistake */
#define LWS_FDS_FALLBACK 2560  /* and makes room for so many */

struct websockets {
	uv_loop_t *loop;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct list all;
	uv_timer_t ping; /* runs while there are connections over TCP */
	unsigned int ping_ms, tcp_count;
	struct clients *clients;    /* borrowed */
	struct websocket *adopting; /* while lws makes the connection and the handshake, at once */
	int fds;                    /* lws has no place for this fd and higher ones */
	const unsigned char *input; /* lws' receive buffer */
	size_t input_size;
	char subprotocol[64]; /* of the upgrade that is just being made */
	unsigned char scratch[LWS_PRE + WEBSOCKET_SCRATCH_SIZE];
};

enum state {
	STATE_OPENING, /* before `open` */
	STATE_OPEN,
	STATE_CLOSING, /* we sent a Close frame */
	STATE_ENDED,   /* no more to be said; lws is about to take back the connection */
};

struct websocket {
	struct websockets *engine;
	struct list link; // websockets::all
	struct lws *wsi;
	const struct websocket_handler *handler; /* NULL if nobody is to be told */
	void *user;
	struct identity identity;
	uint64_t message_size; /* bytes of the message being received, so far */
	size_t frame_rest;     /* bytes to come of the frame being received, until `masked` is known */
	enum state state;
	uint16_t code;
	bool established; /* the 101 has been sent */
	bool paused, want_write, want_ping, flushing;
	bool masked; /* the client has been seen to mask */
	bool tcp;
};

/* lws' log. Its lines may quote a request, and that may hold a secret: all from there on is left out. */
static void on_log(int level, const char *line)
{
	const char *secret = strstr(line, "secret=");
	int length = secret ? (int)(secret - line) : (int)strcspn(line, "\n");

	if (strstr(line, "calling service")) /* an "error" for each connection, and none */
		return;
	if (level & LLL_ERR)
		log_warn("libwebsockets: %.*s%s", length, line, secret ? "secret=..." : "");
	else
		log_debug("libwebsockets: %.*s%s", length, line, secret ? "secret=..." : "");
}

/* Has lws drop the connection, soon and whatever it is doing. */
static void drop(struct websocket *websocket)
{
	websocket->state = STATE_ENDED;
	lws_set_timeout(websocket->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
	lws_cancel_service(websocket->engine->context);
}

/* Sends a control frame at once or, if lws keeps something, behind that. -EPIPE. */
static int send_control(struct websocket *websocket, enum lws_write_protocol type, const void *payload, size_t length)
{
	unsigned char frame[LWS_PRE + CONTROL_PAYLOAD_MAX];

	if (length)
		memcpy(frame + LWS_PRE, payload, length);
	return lws_write(websocket->wsi, frame + LWS_PRE, length, type) < 0 ? -EPIPE : 0;
}

static int send_close(struct websocket *websocket, unsigned int code, const char *reason)
{
	unsigned char payload[CONTROL_PAYLOAD_MAX] = {(unsigned char)(code >> 8), (unsigned char)code};
	size_t length = 0;

	if (code) {
		length = reason ? strnlen(reason, sizeof(payload) - 2) : 0;
		if (length)
			memcpy(payload + 2, reason, length);
		length += 2;
	}
	return send_control(websocket, WRITE_CLOSE, payload, length);
}

/*
 * Keeps the client's first subprotocol as the name of our second lws protocol. lws would hang up on a client whose
 * subprotocols it does not know; this way it accepts the first one, whatever it is (browsers hang up on a server that
 * accepts none).
 */
static void on_upgrade(struct websocket *websocket)
{
	struct websockets *engine = websocket->engine;
	char list[128];
	size_t length;

	if (lws_hdr_copy(websocket->wsi, list, sizeof(list), WSI_TOKEN_PROTOCOL) <= 0)
		return;
	length = strcspn(list, ", \t");
	if (length < sizeof(engine->subprotocol)) {
		memcpy(engine->subprotocol, list, length);
		engine->subprotocol[length] = '\0';
	}
}

/* lws asks for headers to add to its answer, which it composes in its receive buffer. So this tells where that is. */
static void on_headers(struct websocket *websocket, const struct lws_process_html_args *args)
{
	struct websockets *engine = websocket->engine;

	engine->input = (const unsigned char *)args->p + args->max_len - engine->input_size;
}

/* The handshake is done, possibly within websockets_adopt(), so `open` has to wait for the loop. */
static void on_established(struct websocket *websocket)
{
	websocket->established = true;
	lws_callback_on_writable(websocket->wsi);
}

/* Called at whatever happens first on the connection. */
static void announce(struct websocket *websocket)
{
	if (websocket->state != STATE_OPENING || !websocket->established)
		return;
	websocket->state = STATE_OPEN;
	if (websocket->paused)
		lws_rx_flow_control(websocket->wsi, 0);
	websocket->handler->open(websocket, websocket->user);
}

/* Whether there is a frame header at `head` that says this, with or without a mask. */
static bool is_header(const unsigned char *head, const unsigned char *expected, size_t size, bool masked)
{
	return (head[0] & 0x7f) == expected[0] && head[1] == (expected[1] | (masked ? 0x80 : 0)) &&
	       memcmp(head + 2, expected + 2, size - 2) == 0;
}

/*
 * Looks whether the frame that begins with `payload` came without a mask. A client must mask (RFC 6455 section 5.1),
 * but lws does not insist, nor does it tell. However, it parses frames where it received them, so that the header can
 * be found in front of the payload, unless the two came in different reads. A client that masks one frame masks all,
 * hence the first frame found like this settles it.
 */
static bool is_unmasked(struct websocket *websocket, const unsigned char *payload, size_t length)
{
	const struct websockets *engine = websocket->engine;
	size_t left = lws_remaining_packet_payload(websocket->wsi);
	uint64_t frame = length + left;
	size_t offset = (uintptr_t)payload - (uintptr_t)engine->input;
	size_t size = frame < 126 ? 2 : frame < 65536 ? 4 : 10;
	bool begins = websocket->frame_rest == 0;
	unsigned char expected[10] = {0, frame < 126 ? (unsigned char)frame : frame < 65536 ? 126 : 127};

	websocket->frame_rest = left;
	if (!begins || length == 0 || offset >= engine->input_size)
		return false;
	if (lws_is_first_fragment(websocket->wsi))
		expected[0] = lws_frame_is_binary(websocket->wsi) ? 2 : 1;
	for (size_t i = 2; i < size; i++)
		expected[i] = (unsigned char)(frame >> 8 * (size - 1 - i));
	websocket->masked = offset >= size + 4 && is_header(payload - size - 4, expected, size, true);
	return !websocket->masked && offset >= size && is_header(payload - size, expected, size, false);
}

static void on_message(struct websocket *websocket, const void *data, size_t length)
{
	bool first = lws_is_first_fragment(websocket->wsi), last = lws_is_final_fragment(websocket->wsi);

	announce(websocket);
	if (websocket->state != STATE_OPEN)
		return;
	if (!websocket->masked && is_unmasked(websocket, data, length)) {
		websocket_close(websocket, CODE_PROTOCOL_ERROR, "bad MASK");
		return;
	}
	websocket->message_size = (first ? 0 : websocket->message_size) + length;
	if (websocket->message_size + lws_remaining_packet_payload(websocket->wsi) >
	    websocket->engine->clients->limits->message_size) {
		websocket_close(websocket, CODE_TOO_BIG, "limits.message_size");
		return;
	}
	if (length || first || last)
		websocket->handler->message(websocket, websocket->user,
					    lws_frame_is_binary(websocket->wsi) ? WEBSOCKET_BINARY : WEBSOCKET_TEXT,
					    data, length, first, last);
}

/* lws has sent all that it kept. */
static void on_writable(struct websocket *websocket)
{
	announce(websocket);
	if (websocket->state == STATE_CLOSING && websocket->flushing) {
		websocket->flushing = false;
		lws_set_timeout(websocket->wsi, PENDING_TIMEOUT_USER_REASON_BASE, CLOSE_ANSWER_SECONDS);
	}
	if (websocket->state != STATE_OPEN || (!websocket->want_write && !websocket->want_ping))
		return;
	if (!websocket_ready(websocket)) { /* something was sent in this turn, before we came to be called */
		lws_callback_on_writable(websocket->wsi);
		return;
	}
	if (websocket->want_ping)
		websocket_ping(websocket);
	if (websocket->want_write) {
		websocket->want_write = false;
		websocket->handler->writable(websocket, websocket->user);
	}
}

/* The peer's Close frame. It is answered with its code; a payload of one byte is an error. */
static void on_peer_close(struct websocket *websocket, const unsigned char *payload, size_t length)
{
	unsigned int answer = 0;

	announce(websocket);
	websocket->code = CODE_NONE;
	if (length >= 2)
		answer = websocket->code = (uint16_t)(payload[0] << 8 | payload[1]);
	else if (length == 1)
		answer = CODE_PROTOCOL_ERROR;
	if (websocket->state == STATE_OPEN)
		send_close(websocket, answer, NULL);
	websocket->state = STATE_ENDED;
}

static bool peer_has_gone(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return got == 0 || (got < 0 && errno != EAGAIN);
}

/*
 * lws is about to close: the connection failed, was dropped, or the peer has broken the protocol. In the latter case it
 * is told so here: lws may have prepared a Close frame, but only for some mistakes. The shutdown keeps lws from
 * sending a second one.
 */
static void on_failure(struct websocket *websocket)
{
	int fd = websocket_fd(websocket), prepared = 0;

	if (websocket->established) /* lws has nothing to look into before, if it had no memory for that */
		prepared = lws_get_close_length(websocket->wsi);
	if (websocket->state == STATE_OPEN && !lws_partial_buffered(websocket->wsi) && !peer_has_gone(fd)) {
		if (prepared > 0 && prepared <= CONTROL_PAYLOAD_MAX)
			send_control(websocket, WRITE_CLOSE, lws_get_close_payload(websocket->wsi), (size_t)prepared);
		else
			send_close(websocket, CODE_PROTOCOL_ERROR, NULL);
	}
	websocket->state = STATE_ENDED;
	shutdown(fd, SHUT_WR);
}

/* Pings every connection over TCP. One that has no room for a ping gets one when it has, not one for each time. */
static void on_ping(uv_timer_t *timer)
{
	struct websockets *engine = timer->data;
	struct websocket *websocket;

	list_for_each (websocket, &engine->all, link)
		if (websocket->tcp && websocket->state == STATE_OPEN)
			websocket_ping(websocket);
}

/*
 * A peer across a network may go without a word. The kernel gives up on one that does not acknowledge, but has to have
 * sent it something. A peer on this machine cannot; and `lxc` never reads its control socket, where pings would pile
 * up.
 */
static void keep_alive(struct websocket *websocket, int fd)
{
	struct websockets *engine = websocket->engine;
	unsigned int timeout = TCP_TIMEOUT_MS;
	int domain = AF_UNSPEC;
	socklen_t size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	if (domain != AF_INET && domain != AF_INET6)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	websocket->tcp = true;
	if (engine->tcp_count++ == 0 && engine->ping_ms)
		uv_timer_start(&engine->ping, on_ping, engine->ping_ms, engine->ping_ms);
}

static void release(struct websocket *websocket)
{
	if (websocket->tcp && --websocket->engine->tcp_count == 0)
		uv_timer_stop(&websocket->engine->ping);
	list_remove(&websocket->link);
	clients_leave(websocket->engine->clients, &websocket->identity);
	free(websocket);
}

/* lws has closed the socket and forgets the connection. */
static void on_gone(struct websocket *websocket)
{
	if (websocket->engine->adopting == websocket) {
		websocket->wsi = NULL; /* websockets_adopt() will release it */
		return;
	}
	if (websocket->handler)
		websocket->handler->closed(websocket, websocket->user, websocket->code);
	release(websocket);
}

static void on_instantiated(struct lws *wsi)
{
	struct websockets *engine = lws_context_user(lws_get_context(wsi));

	engine->adopting->wsi = wsi;
	lws_set_opaque_user_data(wsi, engine->adopting);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *session, void *in, size_t length)
{
	struct websocket *websocket = wsi ? lws_get_opaque_user_data(wsi) : NULL;

	if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED)
		on_instantiated(wsi);
	if (!websocket) /* lws tells of more than connections */
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP: /* an ordinary request: whoever adopted this was wrong */
		return -1;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		on_upgrade(websocket);
		break;
	case LWS_CALLBACK_ADD_HEADERS:
		on_headers(websocket, in);
		break;
	case LWS_CALLBACK_ESTABLISHED:
		on_established(websocket);
		break;
	case LWS_CALLBACK_RECEIVE:
		on_message(websocket, in, length);
		break;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		on_writable(websocket);
		break;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		on_peer_close(websocket, in, length);
		return -1; /* close now; lws would answer the frame itself otherwise */
	case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
		on_failure(websocket);
		break;
	case LWS_CALLBACK_WSI_DESTROY:
		on_gone(websocket);
		break;
	}
	return 0;
}

/*
 * Has lws's libuv plug-in stay when lws unloads it: where there was no memory for a connection, lws forgets that libuv
 * has yet to call back into it.
 */
static void keep_plugin(void)
{
	void *plugin = dlopen("libwebsockets-evlib_uv.so", RTLD_NOW | RTLD_NODELETE);

	if (plugin)
		dlclose(plugin);
}

static int start(struct websockets *engine, const struct websockets_config *config)
{
	/* All zero: lws pings nobody and hangs up on nobody. It would not tell TCP from unix sockets. */
	static const lws_retry_bo_t no_keepalive = {0};
	/* lws copies this, but not what `name` points at. Without session data on_failure() would not be called. */
	const struct lws_protocols protocol = {
		.name = "",
		.callback = on_event,
		.per_session_data_size = 1,
		.rx_buffer_size = config->receive_size,
		.tx_packet_size = WEBSOCKET_SCRATCH_SIZE + LWS_PRE, /* so that a message is one send(2) */
	};
	struct lws_protocols protocols[3] = {protocol, protocol};
	void *loops[1] = {engine->loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6,
		.foreign_loops = loops,
		.user = engine,
		.pcontext = &engine->context, /* for lws to set it to NULL */
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.protocols = protocols,
		.pt_serv_buf_size = (unsigned int)engine->input_size,
		.max_http_header_data2 = REQUEST_HEAD_MAX,
		.timeout_secs = config->handshake,
		.timeout_secs_ah_idle = config->handshake,
		.retry_and_idle_policy = &no_keepalive,
	};

	protocols[1].name = engine->subprotocol;
	lws_set_log_level(LLL_ERR | LLL_WARN | LLL_NOTICE, on_log);
	keep_plugin();
	engine->context = lws_create_context(&info);
	if (engine->context)
		engine->vhost = lws_create_vhost(engine->context, &info);
	return engine->vhost ? 0 : -EIO;
}

int websockets_create(struct websockets **engine, uv_loop_t *loop, const struct websockets_config *config)
{
	struct websockets *created = calloc(1, sizeof(*created));
	long fds = sysconf(_SC_OPEN_MAX);
	int r;

	if (!created)
		return -ENOMEM;
	list_init(&created->all);
	created->loop = loop;
	created->ping_ms = config->ping;
	created->clients = config->clients;
	uv_timer_init(loop, &created->ping);
	created->ping.data = created;
	created->fds = fds < 0 || fds > LWS_FDS_MAX ? LWS_FDS_FALLBACK : (int)fds;
	created->input_size = config->receive_size + LWS_PRE;
	if (created->input_size < WEBSOCKET_SCRATCH_SIZE)
		created->input_size = WEBSOCKET_SCRATCH_SIZE;
	errno = 0;
	if (start(created, config) < 0) {
		r = errno == ENOMEM ? -ENOMEM : -EIO;
		websockets_destroy(created);
		return r;
	}
	*engine = created;
	return 0;
}

/*
 * The order matters. lws closes the eventfd of lws_cancel_service() when it is destroyed and, by mistake, once more a
 * turn of the loop later: no callback of ours must run between the two and open something with that number, so the
 * connections go first. And lws unloads its libuv plug-in at the end, so libuv must have made its calls into that
 * before.
 */
void websockets_destroy(struct websockets *engine)
{
	struct websocket *websocket;

	if (!engine)
		return;
	list_for_each (websocket, &engine->all, link)
		drop(websocket);
	for (int turn = 0; turn < DROP_TURNS && !list_empty(&engine->all); turn++)
		uv_run(engine->loop, UV_RUN_NOWAIT);
	uv_close((uv_handle_t *)&engine->ping, NULL);
	if (engine->context)
		lws_context_destroy(engine->context);
	for (int turn = 0; turn < DESTROY_TURNS; turn++)
		uv_run(engine->loop, UV_RUN_NOWAIT);
	if (engine->context)
		lws_context_destroy(engine->context);
	free(engine);
}

/* Takes the request head off the socket, and nothing of what is behind it. Returns its length. */
static size_t take_head(int fd, char head[static REQUEST_HEAD_MAX])
{
	ssize_t length = recv(fd, head, REQUEST_HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);
	const char *end = length > 0 ? memmem(head, (size_t)length, "\r\n\r\n", 4) : NULL;

	if (end)
		length = end + 4 - head;
	if (length > 0)
		length = recv(fd, head, (size_t)length, MSG_DONTWAIT);
	return length > 0 ? (size_t)length : 0;
}

int websockets_adopt(struct websockets *engine, int fd, const struct identity *identity,
		     const struct websocket_handler *handler, void *user, struct websocket **websocket)
{
	struct websocket *adopted = fd < engine->fds ? calloc(1, sizeof(*adopted)) : NULL;
	char head[REQUEST_HEAD_MAX];
	struct lws *wsi;

	if (!adopted || clients_enter(engine->clients, identity) < 0) {
		close(fd);
		free(adopted);
		return fd < engine->fds ? -ENOMEM : -EMFILE;
	}
	adopted->identity = *identity;
	adopted->engine = engine;
	adopted->handler = handler;
	adopted->user = user;
	adopted->code = CODE_ABNORMAL;
	list_append(&engine->all, &adopted->link);
	keep_alive(adopted, fd);
	engine->adopting = adopted;
	wsi = lws_adopt_socket_vhost_readbuf(engine->vhost, fd, head, take_head(fd, head));
	engine->adopting = NULL;
	if (!wsi) {
		adopted->handler = NULL;
		if (!adopted->wsi)
			release(adopted);
		return -EIO;
	}
	*websocket = adopted;
	return 0;
}

int websocket_fd(const struct websocket *websocket)
{
	return lws_get_socket_fd(websocket->wsi);
}

/* From the 101 on, which the client may have seen though `open` has yet to be told. */
static bool can_send(const struct websocket *websocket)
{
	return websocket->state == STATE_OPEN || (websocket->state == STATE_OPENING && websocket->established);
}

bool websocket_ready(struct websocket *websocket)
{
	return can_send(websocket) && !lws_send_pipe_choked(websocket->wsi);
}

bool websocket_accepts(const struct websocket *websocket)
{
	return can_send(websocket) && !lws_partial_buffered(websocket->wsi);
}

void *websocket_scratch(struct websocket *websocket)
{
	return websocket->engine->scratch + LWS_PRE;
}

int websocket_send_scratch(struct websocket *websocket, enum websocket_kind kind, size_t length)
{
	enum lws_write_protocol type = kind == WEBSOCKET_TEXT ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;

	if (!can_send(websocket))
		return -EPIPE;
	if (lws_partial_buffered(websocket->wsi))
		return -EAGAIN;
	if (lws_write(websocket->wsi, websocket_scratch(websocket), length, type) < 0) {
		drop(websocket);
		return -EPIPE;
	}
	return 0;
}

int websocket_send(struct websocket *websocket, enum websocket_kind kind, const void *data, size_t length)
{
	if (length > WEBSOCKET_SCRATCH_SIZE)
		return -EMSGSIZE;
	if (length)
		memmove(websocket_scratch(websocket), data, length);
	return websocket_send_scratch(websocket, kind, length);
}

void websocket_want_write(struct websocket *websocket)
{
	if (websocket->want_write)
		return;
	websocket->want_write = true;
	if (websocket->state == STATE_OPEN)
		lws_callback_on_writable(websocket->wsi);
}

void websocket_pause(struct websocket *websocket, bool paused)
{
	websocket->paused = paused;
	if (websocket->state != STATE_OPEN)
		return;
	lws_rx_flow_control(websocket->wsi, !paused);
	/* What lws has read and not delivered would otherwise wait for the socket to be writable. */
	if (!paused)
		lws_cancel_service(websocket->engine->context);
}

void websocket_ping(struct websocket *websocket)
{
	websocket->want_ping = !websocket_ready(websocket);
	if (websocket->state != STATE_OPEN)
		return;
	if (websocket->want_ping)
		lws_callback_on_writable(websocket->wsi);
	else if (send_control(websocket, LWS_WRITE_PING, "keepalive", strlen("keepalive")) < 0)
		drop(websocket);
}

void websocket_close(struct websocket *websocket, unsigned int code, const char *reason)
{
	if (websocket->state == STATE_OPENING && !websocket->established)
		drop(websocket);
	if (websocket->state >= STATE_CLOSING)
		return;
	websocket->state = STATE_CLOSING; /* also when the 101 is out and `open` was still to be told */
	if (send_close(websocket, code, reason) < 0) {
		drop(websocket);
		return;
	}
	lws_rx_flow_control(websocket->wsi, 1); /* or the answer is not seen */
	websocket->flushing = lws_partial_buffered(websocket->wsi);
	lws_set_timeout(websocket->wsi, PENDING_TIMEOUT_USER_REASON_BASE,
			websocket->flushing ? CLOSE_FLUSH_SECONDS : CLOSE_ANSWER_SECONDS);
	lws_cancel_service(websocket->engine->context);
}
