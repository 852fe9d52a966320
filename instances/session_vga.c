// SPDX-License-Identifier: Apache-2.0
/*
 * The session of a virtual machine's graphical console: any number of SPICE channels, each a data socket of its own
 * that is joined with a connection of its own to the machine's SPICE server. The end of a channel is that of this
 * channel alone, but for a viewer's main channel: with that the viewer has left, and with the last viewer the session
 * ends.
 *
 * QEMU's SPICE server ends the connections of one viewer when the next one comes, unless consoled.viewers has told it
 * otherwise. Then it is for us to say why.
 */
#include "instances/instance.h"
#include "instances/session.h"
#include "spice/channel.h"
#include "util/cleanup.h"
#include "util/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define CLOSE_TRY_AGAIN 1013 /* the registry of RFC 6455 section 11.7: "Try Again Later" */

struct vga_session {
	struct session base;
	struct list channels;        // viewer_channel::link
	unsigned int count, viewers; /* of channels, and of the main ones among them */
	bool controlled;             /* the control socket has come: it stays until that goes */
};

struct viewer_channel {
	struct list link; // vga_session::channels
	struct vga_session *session;
	struct spice_channel *channel;
};

static struct vga_session *of(struct session *base)
{
	return container_of(base, struct vga_session, base);
}

/* --- channels --- */

/* Tells those who are about to be thrown out. Who only waits for a viewer may go on waiting. */
static void take_over(struct vga_session *session)
{
	struct session *other, *after;

	list_for_each_safe (other, after, &session->base.instance->sessions, link)
		if (other->kind == &session_vga && other != &session->base && of(other)->viewers)
			session_take_over(other, &session->base.requestor);
}

/* As QEMU was started, which is not what is configured meanwhile (proc(5), /proc/PID/environ). */
static bool lets_many_in(const struct instance *instance)
{
	cleanup_close int fd = -1;
	char path[32], environment[8192];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)instance_pid(instance));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, environment, sizeof(environment));
	return length > 0 && memmem(environment, (size_t)length, SPICE_MANY_VIEWERS, sizeof(SPICE_MANY_VIEWERS));
}

static void on_came(struct spice_channel *channel, void *user)
{
	struct vga_session *session = ((struct viewer_channel *)user)->session;

	session->viewers++;
	if (session->base.instance && !lets_many_in(session->base.instance))
		take_over(session);
}

static void on_passed(struct spice_channel *channel, void *user, size_t sent, size_t received)
{
	struct vga_session *session = ((struct viewer_channel *)user)->session;

	session->base.sent += sent;
	session->base.received += received;
}

static void on_closed(struct spice_channel *channel, void *user, bool main)
{
	struct viewer_channel *closed = user;
	struct vga_session *session = closed->session;

	list_remove(&closed->link);
	session->count--;
	session->viewers -= main;
	free(closed);
	if (!session->base.instance)
		session_release(&session->base);
	else if ((main && session->viewers == 0) || (session->count == 0 && !session->controlled))
		session_succeed(&session->base);
}

static const struct spice_channel_handler channel_handler = {.came = on_came, .passed = on_passed, .closed = on_closed};

static int open_channel(struct vga_session *session, int fd)
{
	struct instance *instance = session->base.instance;
	cleanup_close int directory = console_open_directory(instance->console);
	struct viewer_channel *opened = calloc(1, sizeof(*opened));
	int r;

	if (directory < 0 || !opened) {
		close(fd);
		free(opened);
		return directory < 0 ? directory : -ENOMEM;
	}
	r = spice_channel_create(&opened->channel, instance->instances->websockets, instance->instances->loop, fd,
				 &session->base.requestor, directory, &channel_handler, opened);
	if (r < 0) {
		free(opened);
		return r;
	}
	opened->session = session;
	list_append(&session->channels, &opened->link);
	if (++session->count > instance->instances->limits->channels)
		spice_channel_close(opened->channel, CLOSE_TRY_AGAIN, "limits.channels");
	return 0;
}

/* One socket that cannot be served does no harm to the others. */
static int on_connect(struct session *base, int fd)
{
	struct vga_session *session = of(base);
	int r = open_channel(session, fd);

	if (!base->attached && r == 0)
		session_attach(base);
	return base->attached ? 0 : r;
}

/* --- the kind --- */

static int create(struct session **base, struct instance *instance, const struct session_config *config,
		  struct error *error)
{
	cleanup_close int directory = console_open_directory(instance->console);
	struct vga_session *session;

	if (directory < 0 || !spice_present(directory))
		return error_set(error, -ENOTSUP,
				 "The instance has no graphical console: its QEMU was started "
				 "without SPICE");
	session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	list_init(&session->channels);
	*base = &session->base;
	return 0;
}

/* lxc connects control at once, and data when the user's viewer comes, which may take as long as it likes. */
static void on_controlled(struct session *base)
{
	of(base)->controlled = true;
	if (!base->attached)
		session_attach(base);
}

static void on_instance_ended(struct session *base, uint64_t end)
{
	session_succeed(base);
}

static void on_close(struct session *base, unsigned int code, const char *reason)
{
	struct viewer_channel *open, *after;

	list_for_each_safe (open, after, &of(base)->channels, link)
		spice_channel_close(open->channel, code, reason);
}

static bool is_open(const struct session *base)
{
	return container_of(base, const struct vga_session, base)->count > 0;
}

static void destroy(struct session *base)
{
	free(of(base));
}

const struct session_kind session_vga = {
	.type = "vga",
	.reusable = true,
	.create = create,
	.connect = on_connect,
	.controlled = on_controlled,
	.instance_ended = on_instance_ended,
	.close = on_close,
	.open = is_open,
	.destroy = destroy,
};
