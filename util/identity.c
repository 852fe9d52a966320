// SPDX-License-Identifier: Apache-2.0
#include "util/identity.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>

int identity_of_peer(int fd, struct identity *identity)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	identity->uid = credentials.uid;
	identity->gid = credentials.gid;
	identity->pid = credentials.pid;
	return 0;
}

bool identity_same(const struct identity *a, const struct identity *b)
{
	return a->uid == b->uid;
}

void identity_username(const struct identity *identity, char name[static 64])
{
	struct passwd entry, *found = NULL;
	char space[1024];

	if (getpwuid_r(identity->uid, &entry, space, sizeof(space), &found) == 0 && found)
		snprintf(name, 64, "%s", found->pw_name);
	else
		snprintf(name, 64, "%u", (unsigned)identity->uid);
}
