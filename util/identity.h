// SPDX-License-Identifier: Apache-2.0
/*
 * Who is at the other end of a connection. It comes from the kernel (SO_PEERCRED), never from what the peer says, and
 * is carried from accept on. The HTTPS listener to come adds the certificate's fingerprint here.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct identity {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

/* Asks the kernel who connected the unix socket `fd`. -errno. */
int identity_of_peer(int fd, struct identity *identity);

/* Whether the two are the same requestor: for a unix socket, the same user. */
bool identity_same(const struct identity *a, const struct identity *b);

/* The user's name, or its number where it has none, into `name`. */
void identity_username(const struct identity *identity, char name[static 64]);
