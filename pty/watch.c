// SPDX-License-Identifier: Apache-2.0
#include "pty/watch.h"
#include "util/list.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct watch {
	uv_poll_t handle;
	int fd;
	int wanted;
	watch_callback callback;
	void *user;
};

int watch_create(struct watch **result, uv_loop_t *loop, int fd, watch_callback callback, void *user)
{
	struct watch *watch = malloc(sizeof(*watch));
	int r = -ENOMEM;

	if (watch)
		r = uv_poll_init(loop, &watch->handle, fd);
	if (r < 0) {
		free(watch);
		close(fd);
		return r;
	}
	watch->fd = fd;
	watch->wanted = 0;
	watch->callback = callback;
	watch->user = user;
	*result = watch;
	return 0;
}

static void on_close(uv_handle_t *handle)
{
	free(container_of(handle, struct watch, handle));
}

void watch_destroy(struct watch *watch)
{
	if (!watch)
		return;
	uv_close((uv_handle_t *)&watch->handle, on_close); /* forgets the descriptor at once */
	close(watch->fd);
}

static void on_event(uv_poll_t *handle, int status, int events)
{
	struct watch *watch = container_of(handle, struct watch, handle);

	if (status < 0) /* libuv takes an error for the end, but a socket may have last words behind it */
		watch_set(watch, watch->wanted);
	watch->callback(watch->user, status < 0 ? 0 : events);
}

void watch_set(struct watch *watch, int events)
{
	watch->wanted = events;
	if (events)
		uv_poll_start(&watch->handle, events, on_event);
	else
		uv_poll_stop(&watch->handle);
}

int watch_fd(const struct watch *watch)
{
	return watch->fd;
}
