// SPDX-License-Identifier: Apache-2.0
#include "spice/channel.h"

#include "bridge/pump.h"
#include "spice/link.h"
#include "util/cleanup.h"
#include "util/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CLOSE_INTERNAL_ERROR 1011 /* RFC 6455 section 7.4.1 */
#define CLOSE_STALLED 4002        /* ours, as 4000-4999 are */
#define RETRY_FIRST_MS 1
#define RETRY_MS 4
#define RETRY_END_MS 5000
#define STALL_MS 15000 /* SPICE's server waits for 30 s when the guest changes its video mode, and QEMU for it */

struct spice_channel {
	struct pump *pump;
	const struct spice_channel_handler *handler;
	void *user;
	struct spice_link link;
	bool main;
	uv_timer_t timer; /* runs while the server's backlog is full; later while the viewer takes nothing */
	uint64_t deadline;
	int unsent;      /* when the timer was last looked at */
	int socket_file; /* what is to be connected to; -1 when it is */
};

/* -EAGAIN: the server's backlog is full. */
static int attempt(struct spice_channel *channel)
{
	int fd = local_connect(channel->socket_file);

	return fd < 0 ? fd : pump_join(channel->pump, fd);
}

static void give_up(struct spice_channel *channel, int error)
{
	char reason[124]; /* what a Close frame has room for */

	if (error == -ENOENT || error == -ECONNREFUSED)
		snprintf(reason, sizeof(reason), "The virtual machine has no SPICE server");
	else if (error == -EAGAIN)
		snprintf(reason, sizeof(reason), "The virtual machine's SPICE server does not answer");
	else
		snprintf(reason, sizeof(reason), "Failed connecting to the SPICE server: %s", strerror(-error));
	pump_close(channel->pump, CLOSE_INTERNAL_ERROR, reason);
}

static void stop_trying(struct spice_channel *channel)
{
	uv_timer_stop(&channel->timer);
	close_fd(&channel->socket_file);
}

static void on_retry(uv_timer_t *timer)
{
	struct spice_channel *channel = timer->data;
	int r = attempt(channel);

	if (r == -EAGAIN && uv_now(timer->loop) < channel->deadline)
		return;
	stop_trying(channel);
	if (r < 0)
		give_up(channel, r);
}

/* Until it has been connected, or cannot be. */
static void try_from(struct spice_channel *channel, int directory)
{
	int r;

	channel->socket_file = local_open(directory, SPICE_SOCKET);
	r = channel->socket_file < 0 ? channel->socket_file : attempt(channel);
	if (r == -EAGAIN) {
		channel->deadline = uv_now(channel->timer.loop) + RETRY_END_MS;
		uv_timer_start(&channel->timer, on_retry, RETRY_FIRST_MS, RETRY_MS);
		return;
	}
	stop_trying(channel);
	if (r < 0)
		give_up(channel, r);
}

/* What is not SPICE goes on like the rest: to refuse it is the server's. */
static bool on_input(struct pump *pump, void *user, const void *data, size_t length)
{
	struct spice_channel *channel = user;
	int type = spice_link_feed(&channel->link, data, length);

	channel->main = type == SPICE_CHANNEL_TYPE_MAIN;
	if (channel->main)
		channel->handler->came(channel, channel->user);
	return type == -EAGAIN;
}

static void on_stalled(uv_timer_t *timer)
{
	struct spice_channel *channel = timer->data;
	int unsent = pump_unsent(channel->pump);

	if (unsent == channel->unsent)
		spice_channel_close(channel, CLOSE_STALLED, "The viewer takes nothing");
	channel->unsent = unsent;
}

/* A viewer that does not read at all would in the end hold up the guest. */
static void on_blocked(struct pump *pump, void *user, bool blocked)
{
	struct spice_channel *channel = user;

	if (!blocked) {
		uv_timer_stop(&channel->timer);
		return;
	}
	channel->unsent = pump_unsent(pump);
	uv_timer_start(&channel->timer, on_stalled, STALL_MS, STALL_MS);
}

static void on_passed(struct pump *pump, void *user, size_t sent, size_t received)
{
	struct spice_channel *channel = user;

	if (channel->handler->passed)
		channel->handler->passed(channel, channel->user, sent, received);
}

static void on_released(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_closed(struct pump *pump, void *user)
{
	struct spice_channel *channel = user;

	stop_trying(channel);
	uv_close((uv_handle_t *)&channel->timer, on_released);
	channel->handler->closed(channel, channel->user, channel->main);
}

int spice_channel_create(struct spice_channel **channel, struct websockets *engine, uv_loop_t *loop, int fd,
			 const struct identity *identity, int directory, const struct spice_channel_handler *handler,
			 void *user)
{
	static const struct pump_handler pump_handler = {on_input, on_blocked, on_passed, on_closed};
	struct spice_channel *created = calloc(1, sizeof(*created));
	int r;

	if (!created) {
		close(fd);
		return -ENOMEM;
	}
	created->handler = handler;
	created->user = user;
	created->socket_file = -1;
	r = pump_create(&created->pump, engine, loop, fd, identity, &pump_handler, created);
	if (r < 0) {
		free(created);
		return r;
	}
	uv_timer_init(loop, &created->timer);
	created->timer.data = created;
	try_from(created, directory);
	*channel = created;
	return 0;
}

void spice_channel_close(struct spice_channel *channel, unsigned int code, const char *reason)
{
	stop_trying(channel);
	pump_close(channel->pump, code, reason);
}

bool spice_present(int directory)
{
	struct stat status;

	return fstatat(directory, SPICE_SOCKET, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(status.st_mode);
}
