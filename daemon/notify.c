// SPDX-License-Identifier: Apache-2.0
#include "daemon/notify.h"

#include "util/cleanup.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = -1;
	size_t length;

	if (!path || !(path[0] == '/' || path[0] == '@') || (length = strlen(path)) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* the abstract namespace, unix(7) */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

void notify_ready(const char *path)
{
	cleanup_free char *state = NULL;

	if (asprintf(&state, "READY=1\nSTATUS=Serving %s", path) < 0)
		state = NULL;
	notify(state ? state : "READY=1");
}

void notify_stopping(void)
{
	notify("STOPPING=1\nSTATUS=Ending; instances go on");
}
