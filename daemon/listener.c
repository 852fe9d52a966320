// SPDX-License-Identifier: Apache-2.0
#include "daemon/listener.h"

#include "daemon/head.h"
#include "daemon/refusal.h"
#include "util/cleanup.h"
#include "util/list.h"
#include "util/log.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 4096 /* as in LXD (and net.core.somaxconn): a Go client that finds it full does not wait, but fails */
#define ACCEPTS_PER_TURN 16
#define ARRIVALS_PER_TURN 64
#define PAUSE_MS 100 /* without accepting, after the process or the system has run out of fds */

/* A connection whose request head is not complete. */
struct parked {
	struct list link; // listener::parked, who came first comes first
	int fd;
	struct identity identity;
	uv_timer_t deadline;
};

struct listener {
	uv_loop_t *loop;
	struct api *api;
	struct http *http;
	struct clients *clients;
	struct sockaddr_un address;
	bool bound, paused;
	int fd;
	/*
	 * The parked fds are in an epoll set of their own, edge-triggered: peeking leaves the bytes in the socket, and
	 * a level-triggered uv_poll_t would report them for ever.
	 */
	int parked_set;
	uv_poll_t connections, arrivals;
	uv_timer_t pause;
	unsigned int open_handles;
	struct list parked; // parked::link
	unsigned int parked_count;
};

static struct parked *first(struct listener *listener)
{
	return list_first(&listener->parked, struct parked, link);
}

/* Who goes when one more comes: one of the same user's, so that no user has another's put out. */
static struct parked *first_of(struct listener *listener, const struct identity *identity)
{
	struct parked *parked;

	list_for_each (parked, &listener->parked, link)
		if (identity_same(&parked->identity, identity))
			return parked;
	return first(listener);
}

static void free_parked(uv_handle_t *deadline)
{
	free(container_of((uv_timer_t *)deadline, struct parked, deadline));
}

/* Lets a connection out again; its fd is the caller's. */
static int unpark(struct listener *listener, struct parked *parked)
{
	int fd = parked->fd;

	epoll_ctl(listener->parked_set, EPOLL_CTL_DEL, fd, NULL);
	list_remove(&parked->link);
	listener->parked_count--;
	uv_close((uv_handle_t *)&parked->deadline, free_parked);
	return fd;
}

/* Who has said nothing at all, as one who connects in advance, is not answered. */
static void put_out(struct listener *listener, struct parked *parked, const struct refusal *refusal)
{
	int fd = unpark(listener, parked);
	char byte;

	if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		refusal_close(fd, refusal);
	else
		close(fd);
}

static void on_deadline(uv_timer_t *deadline)
{
	put_out(deadline->data, container_of(deadline, struct parked, deadline), &refusal_head_timeout);
}

static void park(struct listener *listener, int fd, const struct identity *identity)
{
	const struct limits *limits = listener->clients->limits;
	struct parked *parked = malloc(sizeof(*parked));
	struct epoll_event event = {EPOLLIN | EPOLLRDHUP | EPOLLET, {.ptr = parked}};

	if (!parked || epoll_ctl(listener->parked_set, EPOLL_CTL_ADD, fd, &event) < 0) {
		log_warn("Cannot wait for a request: %s", strerror(errno));
		free(parked);
		close(fd);
		return;
	}
	while (listener->parked_count >= limits->incomplete_heads)
		put_out(listener, first_of(listener, identity), &refusal_incomplete_heads);
	parked->fd = fd;
	parked->identity = *identity;
	list_append(&listener->parked, &parked->link);
	listener->parked_count++;
	uv_timer_init(listener->loop, &parked->deadline);
	parked->deadline.data = listener;
	uv_timer_start(&parked->deadline, on_deadline, limits->head_timeout * 1000, 0);
}

/*
 * Looks at what has arrived, and leaves it in the socket. A head_verdict, or -errno: nothing will come any more.
 * `bytes` has room for HEAD_MAX.
 */
static int look(int fd, char *bytes, struct head *head)
{
	ssize_t length = recv(fd, bytes, HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? HEAD_INCOMPLETE : -errno;
	if (length == 0)
		return -EPIPE;
	return (int)head_parse(bytes, (size_t)length, head);
}

/* Offers a handshake to the API, which consumes the fd if it takes it. */
static bool offer(struct listener *listener, int fd, const struct identity *identity, char *bytes,
		  const struct head *head)
{
	struct request request = {.method = "GET", .identity = *identity};
	bool taken = false;

	bytes[head->target - bytes + (ptrdiff_t)head->target_length] = '\0';
	if (request_set_target(&request, head->target) == 0)
		taken = api_upgrade(listener->api, &request, fd);
	request_finish(&request);
	return taken;
}

static void hand_on(struct listener *listener, int fd, const struct identity *identity, int verdict, char *bytes,
		    const struct head *head)
{
	int welcome = verdict < 0 ? 0 : clients_check(listener->clients, identity);

	if (verdict < 0)
		close(fd);
	else if (verdict == HEAD_GARBAGE)
		refusal_close(fd, &refusal_bad_request);
	else if (welcome < 0)
		refusal_close(fd, welcome == -EDQUOT ? &refusal_connections_of_user : &refusal_connections);
	else if (verdict != HEAD_UPGRADE || !offer(listener, fd, identity, bytes, head))
		http_add(listener->http, fd, identity);
}

void front_door(struct listener *listener, int fd, const struct identity *identity)
{
	char bytes[HEAD_MAX];
	struct head head = {0};
	int verdict = look(fd, bytes, &head);

	if (verdict == HEAD_INCOMPLETE)
		park(listener, fd, identity);
	else
		hand_on(listener, fd, identity, verdict, bytes, &head);
}

/* A half-closed connection cannot complete its head any more. */
static void on_arrival(struct listener *listener, struct parked *parked, bool left)
{
	char bytes[HEAD_MAX];
	struct head head = {0};
	struct identity identity = parked->identity;
	int verdict = look(parked->fd, bytes, &head);

	if (verdict == HEAD_INCOMPLETE && left)
		verdict = -EPIPE;
	if (verdict != HEAD_INCOMPLETE)
		hand_on(listener, unpark(listener, parked), &identity, verdict, bytes, &head);
}

static void on_arrivals(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;
	struct epoll_event arrived[ARRIVALS_PER_TURN];
	int count = epoll_wait(listener->parked_set, arrived, ARRIVALS_PER_TURN, 0), i;

	for (i = 0; i < count; i++)
		on_arrival(listener, arrived[i].data.ptr, arrived[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct listener *listener = timer->data;

	uv_poll_start(&listener->connections, UV_READABLE, on_connection);
}

/* The connection stays in the backlog, and would be reported again at once. */
static void pause_accepting(struct listener *listener, int reason)
{
	if (!listener->paused)
		log_warn("Cannot accept connections for now: %s", strerror(reason));
	listener->paused = true;
	uv_poll_stop(&listener->connections);
	uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;
	int i;

	for (i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct identity identity;
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd < 0) {
			pause_accepting(listener, errno);
			return;
		}
		listener->paused = false;
		if (identity_of_peer(fd, &identity) == 0)
			front_door(listener, fd, &identity);
		else
			close(fd);
	}
}

/* Removes the socket of a daemon that has died. */
static int remove_stale(const struct sockaddr_un *address, struct error *error)
{
	struct stat status;
	cleanup_close int fd = -1;

	if (lstat(address->sun_path, &status) < 0)
		return error_set(error, -errno, "Cannot look at %s: %s", address->sun_path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, -EEXIST, "%s is in the way: it is not a socket", address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "Cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
		return error_set(error, -EADDRINUSE, "Something is listening on %s already", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return error_set(error, -errno, "Cannot remove %s: %s", address->sun_path, strerror(errno));
	return 0;
}

static int bind_socket(struct listener *listener, struct error *error)
{
	const struct sockaddr *address = (const struct sockaddr *)&listener->address;

	if (bind(listener->fd, address, sizeof(listener->address)) < 0) {
		int r = errno == EADDRINUSE ? remove_stale(&listener->address, error) : 0;

		if (r < 0)
			return r;
		if (bind(listener->fd, address, sizeof(listener->address)) < 0)
			return error_set(error, -errno, "Cannot bind %s: %s", listener->address.sun_path,
					 strerror(errno));
	}
	listener->bound = true;
	return 0;
}

static int set_permissions(const char *path, const char *group, struct error *error)
{
	/* An ordinary user's own group may have others in it ("users"). */
	if (chmod(path, group ? 0660 : 0600) < 0)
		return error_set(error, -errno, "Cannot set the mode of %s: %s", path, strerror(errno));
	if (group) {
		struct group *entry = getgrnam(group);

		if (!entry)
			return error_set(error, -ENOENT, "There is no group \"%s\"", group);
		if (chown(path, (uid_t)-1, entry->gr_gid) < 0)
			return error_set(error, -errno, "Cannot give %s to group \"%s\": %s", path, group,
					 strerror(errno));
	}
	return 0;
}

/* Nobody can connect before listen(), so the mode is right from the first connection on. */
static int open_socket(struct listener *listener, const struct listener_config *config, struct error *error)
{
	int r;

	if (config->inherited > 0) {
		listener->fd = config->inherited;
		return 0;
	}
	if (strlen(config->path) >= sizeof(listener->address.sun_path))
		return error_set(error, -ENAMETOOLONG, "The path of the socket is too long: %s", config->path);
	listener->address.sun_family = AF_UNIX;
	strcpy(listener->address.sun_path, config->path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return error_set(error, -errno, "Cannot make a socket: %s", strerror(errno));
	r = bind_socket(listener, error);
	if (r == 0)
		r = set_permissions(config->path, config->group, error);
	if (r == 0 && listen(listener->fd, BACKLOG) < 0)
		r = error_set(error, -errno, "Cannot listen on %s: %s", config->path, strerror(errno));
	return r;
}

static int open_poll(struct listener *listener, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
	int r = uv_poll_init(listener->loop, poll, fd);

	if (r < 0)
		return r;
	listener->open_handles++;
	poll->data = listener;
	return uv_poll_start(poll, UV_READABLE, callback);
}

static int open_handles(struct listener *listener, struct error *error)
{
	int r;

	uv_timer_init(listener->loop, &listener->pause);
	listener->open_handles++;
	listener->pause.data = listener;
	listener->parked_set = epoll_create1(EPOLL_CLOEXEC);
	r = listener->parked_set < 0 ? -errno : 0;
	if (r == 0)
		r = open_poll(listener, &listener->arrivals, listener->parked_set, on_arrivals);
	if (r == 0)
		r = open_poll(listener, &listener->connections, listener->fd, on_connection);
	return r < 0 ? error_set(error, r, "Cannot watch the socket: %s", strerror(-r)) : 0;
}

int listener_create(struct listener **result, uv_loop_t *loop, struct api *api, struct http *http,
		    const struct listener_config *config, struct error *error)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return error_set(error, -ENOMEM, "Out of memory");
	listener->loop = loop;
	listener->api = api;
	listener->http = http;
	listener->clients = config->clients;
	listener->fd = listener->parked_set = -1;
	list_init(&listener->parked);
	r = open_socket(listener, config, error);
	if (r == 0)
		r = open_handles(listener, error);
	if (r < 0)
		listener_destroy(listener);
	else
		*result = listener;
	return r;
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	if (--listener->open_handles == 0)
		free(listener);
}

/* A handle that was never opened has no type. */
static void close_handle(void *handle)
{
	if (uv_handle_get_type(handle) != UV_UNKNOWN_HANDLE)
		uv_close(handle, on_closed);
}

void listener_destroy(struct listener *listener)
{
	if (!listener)
		return;
	while (listener->parked_count)
		close(unpark(listener, first(listener)));
	if (listener->bound)
		unlink(listener->address.sun_path);
	if (listener->open_handles == 0) {
		close_fd(&listener->fd);
		free(listener);
		return;
	}
	close_handle(&listener->connections);
	close_handle(&listener->arrivals);
	close_handle(&listener->pause);
	/* Behind uv_close(), which takes them off the loop's epoll set. */
	close_fd(&listener->fd);
	close_fd(&listener->parked_set);
}
