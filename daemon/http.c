// SPDX-License-Identifier: Apache-2.0
/*
 * libmicrohttpd runs without threads, in its external epoll mode: its epoll fd is in a uv_poll_t, its timeouts in a
 * uv_timer_t, and each calls MHD_run(). It has no way to wake the loop by itself, and its timeout does not know about
 * resumed connections, so whoever gives it work from outside starts the timer with 0.
 *
 * A request is an exchange: made when its first line has been read, freed when libmicrohttpd is done with it. In
 * between libmicrohttpd calls on_request() once for the head, for each piece of the body, and once at its end. For a
 * deferred response the connection is suspended after that; to have it closed instead of answered, it is resumed
 * without a response, and on_request(), which is then called again, refuses. A streamed body that has nothing to send
 * suspends the connection likewise; to have that closed, on_read() fails.
 */
#include "daemon/http.h"

#include "daemon/refusal.h"
#include "daemon/visits.h"
#include "util/buffer.h"
#include "util/list.h"
#include "util/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* A connection's memory in libmicrohttpd: the request's head and the answer's. One beyond that gets its 431. */
#define POOL_SIZE (32 * 1024)

/* An answer that is no larger is always sent: a slow reader of a log must not shut out everybody. */
#define SMALL_ANSWER (16 * 1024)

/* The same for a body. */
#define SMALL_BODY (16 * 1024)

#define STREAM_BLOCK (16 * 1024) /* of a streamed body of known length */
#define STREAM_BLOCK_OLD 1024    /* of another, to a client of HTTP/1.0; a chunk is what is left of the pool */

struct http {
	struct api *api;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int open_handles;
	struct visits visits;
	const struct limits *limits; /* borrowed */
	size_t unsent;               /* bytes of answers under way */
	size_t received;             /* bytes of bodies, until their requests are done with */
	bool again;                  /* MHD_run() must be called once more */
	bool closing;
	struct list deferred; // exchange::link
};

/* The identity of a connection travels through libmicrohttpd as the address of its peer. */
struct peer {
	sa_family_t family;
	struct identity identity;
};

/* Tells when a client leaves while its response is deferred. It outlives the exchange by a turn of the loop. */
struct watch {
	uv_poll_t poll;
	struct exchange *exchange;
};

struct exchange {
	struct list link; // http::deferred
	struct http *http;
	struct MHD_Connection *connection;
	struct visit *visit; /* the connection's; borrowed */
	struct request request;
	struct response response;
	struct buffer body;
	struct watch *watch; /* NULL unless deferred */
	size_t unsent;       /* its part of http::unsent */
	bool cancelled;
};

static const char *field(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const char *exchange_header(const struct request *request, const char *name)
{
	const struct exchange *exchange = request->front;

	return field(exchange->connection, name);
}

static int connection_fd(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* Queues `reply`, which is consumed. */
static enum MHD_Result send_reply(struct MHD_Connection *connection, unsigned int status, struct MHD_Response *reply)
{
	enum MHD_Result result = MHD_queue_response(connection, status, reply);

	MHD_destroy_response(reply);
	return result;
}

/* Before the body has been read; libmicrohttpd closes the connection behind the answer then. */
static enum MHD_Result refuse(struct MHD_Connection *connection, const struct refusal *refusal)
{
	struct MHD_Response *reply =
		MHD_create_response_from_buffer(strlen(refusal->body), (void *)refusal->body, MHD_RESPMEM_PERSISTENT);

	if (!reply)
		return MHD_NO;
	MHD_add_response_header(reply, "Content-Type", refusal->content_type);
	MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff");
	return send_reply(connection, refusal->status, reply);
}

static const struct refusal *find_refusal(const struct exchange *exchange, const char *version)
{
	struct MHD_Connection *connection = exchange->connection;
	const char *length = field(connection, "Content-Length"), *coding = field(connection, "Transfer-Encoding");

	if (MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size >
	    exchange->http->limits->head_size)
		return &refusal_head_size;
	if (!field(connection, "Host") && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
		return &refusal_no_host;
	if (coding && strcasecmp(coding, "chunked") != 0)
		return &refusal_coding;
	/* libmicrohttpd has seen to it that these are digits and fit. */
	if (!coding && length && strtoumax(length, NULL, 10) > exchange->http->limits->body_size)
		return &refusal_body_size;
	return NULL;
}

static enum MHD_Result begin(struct exchange *exchange, const char *method, const char *version)
{
	const struct refusal *refusal = find_refusal(exchange, version);

	exchange->request.method = method;
	exchange->request.identity = exchange->visit->identity;
	visit_await_body(exchange->visit);
	return refusal ? refuse(exchange->connection, refusal) : MHD_YES;
}

/* In the middle of a chunked body libmicrohttpd takes no response. */
static enum MHD_Result collect(struct exchange *exchange, const char *data, size_t length)
{
	struct http *http = exchange->http;
	int r;

	if (exchange->body.length + length > SMALL_BODY && http->received + length > http->limits->bodies_size) {
		refusal_write(connection_fd(exchange->connection), &refusal_bodies);
		return MHD_NO;
	}
	r = buffer_append(&exchange->body, data, length, http->limits->body_size);
	if (r == -EMSGSIZE)
		refusal_write(connection_fd(exchange->connection), &refusal_body_size);
	if (r < 0)
		return MHD_NO;
	http->received += length;
	return MHD_YES;
}

/* Has MHD_run() called soon, from the loop. */
static void wake(struct http *http);

static void on_watch_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct watch, poll));
}

/* Ends the deferral: the connection will be answered if a response has been queued, and closed if not. */
static void resume(struct exchange *exchange)
{
	struct http *http = exchange->http;

	list_remove(&exchange->link);
	if (exchange->watch)
		uv_close((uv_handle_t *)&exchange->watch->poll, on_watch_closed);
	exchange->watch = NULL;
	MHD_resume_connection(exchange->connection);
	http->again = true;
	wake(http);
}

static void cancel(struct exchange *exchange)
{
	exchange->cancelled = true;
	if (exchange->response.cancelled)
		exchange->response.cancelled(&exchange->response);
	resume(exchange);
}

/*
 * A client that has only shut down its sending side has left too: libmicrohttpd reads before it writes when it resumes
 * a connection, and closes at the end of the stream. Go's server, and so LXD, ends the request there as well.
 */
static void on_client_left(uv_poll_t *poll, int status, int events)
{
	cancel(container_of(poll, struct watch, poll)->exchange);
}

/* libmicrohttpd does not look at a suspended connection. Without memory the client's leaving is noticed late. */
static void watch(struct exchange *exchange)
{
	struct watch *made = calloc(1, sizeof(*made));

	if (!made || uv_poll_init(exchange->http->poll.loop, &made->poll, connection_fd(exchange->connection)) < 0) {
		free(made);
		return;
	}
	made->exchange = exchange;
	exchange->watch = made;
	uv_poll_start(&made->poll, UV_DISCONNECT, on_client_left);
}

/* Until resume(). */
static void suspend(struct exchange *exchange)
{
	list_append(&exchange->http->deferred, &exchange->link);
	MHD_suspend_connection(exchange->connection);
	watch(exchange);
}

/* --- streamed bodies --- */

/* More to send, for an exchange that waits for it. */
static void on_more(struct response *response)
{
	struct exchange *exchange = container_of(response, struct exchange, response);

	if (!list_empty(&exchange->link))
		resume(exchange);
}

static ssize_t on_read(void *context, uint64_t position, char *data, size_t size)
{
	struct exchange *exchange = context;
	struct response *response = &exchange->response;
	bool ends = exchange->cancelled || exchange->http->closing;
	ssize_t got = ends ? -ECANCELED : response->stream->read(response, data, size);

	if (got > 0)
		return got;
	if (got == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (got == -EAGAIN) {
		suspend(exchange);
		return 0;
	}
	exchange->http->again = true; /* the connection is closed in the next run only */
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *reply_with_bytes(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	struct MHD_Response *reply =
		MHD_create_response_from_buffer(response->length, response->body, MHD_RESPMEM_MUST_FREE);

	if (!reply)
		return NULL;
	exchange->unsent = response->length;
	exchange->http->unsent += response->length;
	response->body = NULL; /* consumed */
	return reply;
}

static struct MHD_Response *reply_with_stream(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	bool known = response->length != RESPONSE_LENGTH_UNKNOWN;
	struct MHD_Response *reply =
		MHD_create_response_from_callback(known ? response->length : MHD_SIZE_UNKNOWN,
						  known ? STREAM_BLOCK : STREAM_BLOCK_OLD, on_read, exchange, NULL);

	if (!reply)
		return NULL;
	exchange->unsent = response->held;
	exchange->http->unsent += response->held;
	if (!known && !response->held) { /* the patience is for this answer alone */
		MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
		MHD_add_response_header(reply, "Connection", "close");
	}
	return reply;
}

/* --- answers --- */

/* False: no memory. Without X-Content-Type-Options, say, an answer is not to be sent. */
static bool add_headers(struct MHD_Response *reply, const struct response *response)
{
	for (size_t i = 0; i < response->header_count; i++) {
		errno = 0;
		if (MHD_add_response_header(reply, response->headers[i].name, response->headers[i].value))
			continue;
		if (errno == ENOMEM)
			return false;
		log_warn("Left out a header: %s", response->headers[i].name);
	}
	return true;
}

static enum MHD_Result send_response(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	struct http *http = exchange->http;
	struct MHD_Response *reply;
	size_t held = response->stream ? response->held : (size_t)response->length;

	if (held > SMALL_ANSWER && http->unsent + held > http->limits->answers_size)
		return refuse(exchange->connection, &refusal_answers);
	reply = response->stream ? reply_with_stream(exchange) : reply_with_bytes(exchange);
	if (!reply)
		return MHD_NO;
	if (!add_headers(reply, response)) {
		MHD_destroy_response(reply);
		return MHD_NO;
	}
	return send_reply(exchange->connection, response->status, reply);
}

static void on_complete(struct response *response)
{
	struct exchange *exchange = container_of(response, struct exchange, response);

	exchange->cancelled = !send_response(exchange);
	resume(exchange);
}

static enum MHD_Result answer(struct exchange *exchange)
{
	struct request *request = &exchange->request;

	request->header = exchange_header;
	request->front = exchange;
	request->body = exchange->body.data;
	request->body_length = exchange->body.length;
	visit_await_nothing(exchange->visit);
	exchange->response.complete = on_complete;
	exchange->response.more = on_more;
	api_handle(exchange->http->api, request, &exchange->response);
	if (!exchange->response.deferred)
		return send_response(exchange);
	suspend(exchange);
	return MHD_YES;
}

static void *refuse_target(const struct visit *visit, const struct refusal *refusal)
{
	refusal_write(visit->fd, refusal);
	shutdown(visit->fd, SHUT_RDWR);
	return NULL;
}

/*
 * The first line of a request has been read. `target` is as the client sent it, and gets changed after this. One that
 * is refused is refused here, and without an exchange: libmicrohttpd would be left without memory by very many
 * parameters, have no words for that, and forget what it was given.
 */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
	struct visit *visit = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	struct http *http = context;
	struct exchange *exchange;
	int r;

	if (!visit)
		return NULL;
	if (strlen(target) > http->limits->head_size)
		return refuse_target(visit, &refusal_head_size);
	exchange = calloc(1, sizeof(*exchange));
	if (!exchange)
		return NULL;
	list_init(&exchange->link);
	exchange->visit = visit;
	exchange->http = http;
	exchange->connection = connection;
	r = request_set_target(&exchange->request, target);
	if (r < 0) {
		free(exchange);
		return r == -EINVAL ? refuse_target(visit, &refusal_bad_request) : NULL;
	}
	return exchange;
}

/* MHD_NO closes the connection. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *data, size_t *length, void **slot)
{
	struct exchange *exchange = *slot;
	size_t arrived = *length;

	if (!exchange || exchange->cancelled || exchange->http->closing)
		return MHD_NO;
	if (!exchange->request.method)
		return begin(exchange, method, version);
	*length = 0;
	return arrived ? collect(exchange, data, arrived) : answer(exchange);
}

static void on_finished(void *context, struct MHD_Connection *connection, void **slot,
			enum MHD_RequestTerminationCode reason)
{
	struct exchange *exchange = *slot;

	if (!exchange)
		return;
	visit_await_next(exchange->visit);
	exchange->http->unsent -= exchange->unsent;
	exchange->http->received -= exchange->body.length;
	response_finish(&exchange->response);
	request_finish(&exchange->request);
	buffer_finish(&exchange->body);
	free(exchange);
}

/* --- connections --- */

/* Without memory the connection has no visit, and will have no requests. */
static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *http = context;
	const struct peer *peer;
	struct visit *visit = *slot;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (visit)
			visit_destroy(visit);
		return;
	}
	peer = (const void *)MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	*slot = visit_create(&http->visits, &peer->identity, connection_fd(connection));
}

/* libmicrohttpd notices the end of the stream as it would the client's. */
static void on_late(struct visit *visit)
{
	if (visit->awaited == VISIT_HEAD)
		refusal_write(visit->fd, &refusal_head_timeout);
	else if (visit->awaited == VISIT_BODY)
		refusal_write(visit->fd, &refusal_body_timeout);
	shutdown(visit->fd, SHUT_RDWR);
}

/* --- the server --- */

static void on_timer(uv_timer_t *timer);

/* Lets libmicrohttpd work. What it has left to do, or must do later, comes back through the timer. */
static void run(struct http *http)
{
	unsigned long long timeout = 0;

	http->again = false;
	MHD_run(http->daemon);
	if (http->again || MHD_get_timeout(http->daemon, &timeout))
		uv_timer_start(&http->timer, on_timer, timeout, 0);
	else
		uv_timer_stop(&http->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	run(poll->data);
}

static void wake(struct http *http)
{
	uv_timer_start(&http->timer, on_timer, 0, 0);
}

/*
 * Without MHD_USE_ERROR_LOG, which has three lines to say about every unix socket. Turbo: a new connection is read from
 * before it is polled, so that a request is carried out even if its client has left already.
 */
static struct MHD_Daemon *start_daemon(struct http *http)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0,
				NULL, NULL, on_request, http, MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
				MHD_OPTION_NOTIFY_COMPLETED, on_finished, http, MHD_OPTION_NOTIFY_CONNECTION,
				on_connection, http, MHD_OPTION_CONNECTION_LIMIT, UINT_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)http->limits->idle_timeout,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE, MHD_OPTION_END);
}

int http_create(struct http **result, uv_loop_t *loop, struct api *api, struct clients *clients)
{
	struct http *http = calloc(1, sizeof(*http));
	int r = -EIO;

	if (!http)
		return -ENOMEM;
	http->api = api;
	http->limits = clients->limits;
	list_init(&http->deferred);
	http->daemon = start_daemon(http);
	if (http->daemon)
		r = uv_poll_init(loop, &http->poll,
				 MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	if (r < 0) {
		MHD_stop_daemon(http->daemon);
		free(http);
		return r;
	}
	visits_init(&http->visits, loop, clients, on_late);
	uv_timer_init(loop, &http->timer);
	http->poll.data = http->timer.data = http;
	http->open_handles = 2;
	uv_poll_start(&http->poll, UV_READABLE, on_poll);
	*result = http;
	return 0;
}

void http_add(struct http *http, int fd, const struct identity *identity)
{
	struct peer peer = {AF_UNIX, *identity};

	if (MHD_add_connection(http->daemon, fd, (const struct sockaddr *)&peer, sizeof(peer)))
		wake(http);
	else
		log_warn("Closed a new connection: %s", strerror(errno));
}

static void on_closed(uv_handle_t *handle)
{
	struct http *http = handle->data;

	if (--http->open_handles == 0)
		free(http);
}

void http_destroy(struct http *http)
{
	struct exchange *exchange, *after;

	if (!http)
		return;
	http->closing = true;
	/* libmicrohttpd panics if it is stopped with suspended connections. */
	list_for_each_safe (exchange, after, &http->deferred, link)
		cancel(exchange);
	MHD_run(http->daemon);
	uv_close((uv_handle_t *)&http->poll, on_closed);
	uv_close((uv_handle_t *)&http->timer, on_closed);
	MHD_stop_daemon(http->daemon);
}
