// SPDX-License-Identifier: Apache-2.0
#include "daemon/server.h"

#include "bridge/websocket.h"
#include "daemon/activation.h"
#include "daemon/lock.h"
#include "instances/history.h"
#include "pty/console.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FILES_WANTED 65536
#define RECEIVE_SIZE (32 * 1024) /* of each WebSocket: what is taken from a client at a time */
#define HANDSHAKE_SECONDS 10
#define PING_MILLISECONDS 10000

/* --- the pieces, in the order in which they depend on each other --- */

/* An instance costs five descriptors, a session two. */
static void raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < OPEN_FILES_WANTED)
		limit.rlim_cur = limit.rlim_max;
	else /* never unlimited: libwebsockets has a table as large as this */
		limit.rlim_cur = OPEN_FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("the limit of open files could not be raised: %s", strerror(errno));
}

/* Makes the last directory of the path, and those above it for a user who has no state directory yet. */
static int make_directory(const char *directory, struct error *error)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", directory);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	if (mkdir(path, 0711) < 0)
		return errno == EEXIST ? 0 : error_set(error, -errno, "%s: %s", directory, strerror(errno));
	chmod(path, 0711); /* whatever the umask: members of --group must get to the socket */
	return 0;
}

/* The first of all: what is started later is not to see what was passed to us. */
static int take_socket(struct server *server, const struct options *options, struct error *error)
{
	int r = activation_take(server->socket_path, error);

	if (r < 0)
		return r;
	server->inherited = r;
	if (r > 0 && options->group)
		return error_set(error, -EINVAL, "--group: it is the service manager's socket, which has SocketGroup=");
	return 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
}

/*
 * libuv's table of what it watches grows to the largest descriptor, and without memory for that libuv ends the process
 * (its issue 4755): so it has its full size from the beginning.
 */
static int reserve_watchers(uv_loop_t *loop)
{
	cleanup_close int fd = eventfd(0, EFD_CLOEXEC), largest = -1;
	struct rlimit limit;
	uv_poll_t poll;
	int r;

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	largest = fcntl(fd, F_DUPFD_CLOEXEC, (int)limit.rlim_cur - 1);
	r = largest < 0 ? -errno : uv_poll_init(loop, &poll, largest);
	if (r < 0)
		return r;
	uv_poll_start(&poll, UV_READABLE, on_readable);
	uv_close((uv_handle_t *)&poll, NULL);
	uv_run(loop, UV_RUN_NOWAIT); /* it is closed */
	return 0;
}

static int open_loop(struct server *server, const struct options *options, struct error *error)
{
	int r = uv_loop_init(&server->loop);

	if (r == 0)
		r = reserve_watchers(&server->loop);
	limits_init(&server->limits); /* instances_init() reads what is set */
	clients_init(&server->clients, &server->limits);
	return r < 0 ? error_set(error, r, "The event loop does not start: %s", strerror(-r)) : 0;
}

/* Who can write there can have the daemon run anything, by a database of their own. */
static int check_directory(int fd, const char *directory, struct error *error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set(error, -errno, "%s: %s", directory, strerror(errno));
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return error_set(error, -EPERM, "%s belongs to another user", directory);
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM, "%s may be written to by others: chmod go-w it", directory);
	return 0;
}

static int open_directory(struct server *server, const struct options *options, struct error *error)
{
	int r = make_directory(options->directory, error);

	if (r < 0)
		return r;
	server->directory_fd = open(options->directory, O_DIRECTORY | O_PATH | O_CLOEXEC);
	if (server->directory_fd < 0)
		return error_set(error, -errno, "%s: %s", options->directory, strerror(errno));
	r = check_directory(server->directory_fd, options->directory, error);
	if (r == 0)
		r = server->lock_fd = lock_directory(server->directory_fd, options->directory, error);
	if (r < 0)
		close_fd(&server->directory_fd);
	return r < 0 ? r : 0;
}

static int open_store(struct server *server, const struct options *options, struct error *error)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/consoled.db", options->directory);
	return store_open(&server->store, path, error);
}

static int start_consoles(struct server *server, const struct options *options, struct error *error)
{
	int r = consoles_create(&server->consoles, &server->loop, options->directory, options->keeper);

	return r < 0 ? error_set(error, r, "%s: %s", options->directory, strerror(-r)) : 0;
}

static int start_websockets(struct server *server, const struct options *options, struct error *error)
{
	const struct websockets_config config = {.receive_size = RECEIVE_SIZE,
						 .handshake = HANDSHAKE_SECONDS,
						 .ping = PING_MILLISECONDS,
						 .clients = &server->clients};
	int r = websockets_create(&server->websockets, &server->loop, &config);

	if (r < 0 && r != -EIO)
		return error_set(error, r, "libwebsockets does not start: %s", strerror(-r));
	if (r < 0)
		return error_set(error, r, "libwebsockets does not start: is libwebsockets-evlib-uv installed?");
	return 0;
}

static int start_operations(struct server *server, const struct options *options, struct error *error)
{
	int r = events_init(&server->events, &server->loop, server->websockets, &server->limits);

	if (r < 0)
		return r;
	r = operations_init(&server->operations, &server->loop, &server->events, &server->limits);
	if (r < 0)
		events_finish(&server->events);
	return r;
}

static int load_instances(struct server *server, const struct options *options, struct error *error)
{
	int r = history_create(&server->history, &server->loop, server->store, &server->events, &server->limits);

	if (r < 0)
		return r;
	server->instances = (struct instances){
		.loop = &server->loop,
		.store = server->store,
		.directory = options->directory,
		.consoles = server->consoles,
		.operations = &server->operations,
		.events = &server->events,
		.history = server->history,
		.websockets = server->websockets,
		.limits = &server->limits,
		.attach_timeout = options->attach_timeout,
	};
	r = instances_init(&server->instances, error);
	if (r < 0)
		history_destroy(server->history);
	return r;
}

static int start_http(struct server *server, const struct options *options, struct error *error)
{
	int r;

	server->api = (struct api){
		.instances = &server->instances,
		.operations = &server->operations,
		.events = &server->events,
	};
	r = http_create(&server->http, &server->loop, &server->api, &server->clients);
	return r < 0 ? error_set(error, r, "The HTTP server does not start: %s", strerror(-r)) : 0;
}

static int start_listener(struct server *server, const struct options *options, struct error *error)
{
	int inherited = server->inherited;

	server->inherited = 0;
	if (!inherited)
		snprintf(server->socket_path, sizeof(server->socket_path), "%.*s/unix.socket", PATH_MAX - 16,
			 options->directory);
	return listener_create(&server->listener, &server->loop, &server->api, server->http,
			       &(struct listener_config){
				       .inherited = inherited,
				       .path = server->socket_path,
				       .group = options->group,
				       .clients = &server->clients,
			       },
			       error);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *server = handle->data;

	log_info("signal %d: ending; instances go on", number);
	uv_stop(&server->loop);
}

static int watch_signals(struct server *server, const struct options *options, struct error *error)
{
	static const int numbers[SERVER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < SERVER_SIGNALS; i++) {
		uv_signal_init(&server->loop, &server->signals[i]);
		server->signals[i].data = server;
		uv_signal_start(&server->signals[i], on_signal, numbers[i]);
	}
	return 0;
}

/* --- their undoing --- */

static void unwatch_signals(struct server *server)
{
	for (size_t i = 0; i < SERVER_SIGNALS; i++)
		uv_close((uv_handle_t *)&server->signals[i], NULL);
}

static void stop_listener(struct server *server)
{
	listener_destroy(server->listener);
}

static void stop_http(struct server *server)
{
	http_destroy(server->http);
}

static void unload_instances(struct server *server)
{
	instances_finish(&server->instances);
	history_destroy(server->history); /* the ends of their sessions belong to it */
}

static void stop_operations(struct server *server)
{
	operations_finish(&server->operations);
	events_finish(&server->events);
}

static void stop_websockets(struct server *server)
{
	websockets_destroy(server->websockets);
}

static void stop_consoles(struct server *server)
{
	consoles_destroy(server->consoles);
}

static void close_store(struct server *server)
{
	store_close(server->store);
}

static void close_directory(struct server *server)
{
	close_fd(&server->lock_fd);
	close_fd(&server->directory_fd);
}

static void drop_socket(struct server *server)
{
	if (server->inherited > 0)
		close(server->inherited);
}

static void close_loop(struct server *server)
{
	uv_run(&server->loop, UV_RUN_DEFAULT); /* the close callbacks */
	clients_finish(&server->clients);
	if (uv_loop_close(&server->loop) < 0)
		log_error("handles were left on the loop");
}

/* Started downwards, finished upwards. A start that fails undoes itself. */
static const struct {
	int (*start)(struct server *server, const struct options *options, struct error *error);
	void (*finish)(struct server *server);
} stages[] = {
	{take_socket, drop_socket},
	{open_loop, close_loop},
	{open_directory, close_directory},
	{open_store, close_store},
	{start_consoles, stop_consoles},
	{start_websockets, stop_websockets},
	{start_operations, stop_operations},
	{load_instances, unload_instances},
	{start_http, stop_http},
	{start_listener, stop_listener},
	{watch_signals, unwatch_signals},
};

#define STAGES (sizeof(stages) / sizeof(stages[0]))

int server_init(struct server *server, const struct options *options, struct error *error)
{
	int r;

	*server = (struct server){.directory_fd = -1, .lock_fd = -1};
	raise_open_files();
	signal(SIGPIPE, SIG_IGN);
	for (; server->stage < STAGES; server->stage++) {
		r = stages[server->stage].start(server, options, error);
		if (r < 0)
			return r;
	}
	instances_autostart(&server->instances);
	return 0;
}

void server_run(struct server *server)
{
	uv_run(&server->loop, UV_RUN_DEFAULT);
}

void server_finish(struct server *server)
{
	while (server->stage > 0)
		stages[--server->stage].finish(server);
}
