// SPDX-License-Identifier: Apache-2.0
#include "util/clients.h"

#include <errno.h>
#include <stdlib.h>

/* There are as many as a group has members, so that a list will do. */
struct user {
	struct list link; // clients::users
	struct identity identity;
	uint64_t count;
};

static struct user *find(const struct clients *clients, const struct identity *identity)
{
	struct user *user;

	list_for_each (user, &clients->users, link)
		if (identity_same(&user->identity, identity))
			return user;
	return NULL;
}

void clients_init(struct clients *clients, const struct limits *limits)
{
	clients->limits = limits;
	clients->count = 0;
	list_init(&clients->users);
}

void clients_finish(struct clients *clients)
{
	struct user *user, *after;

	list_for_each_safe (user, after, &clients->users, link)
		free(user);
	list_init(&clients->users);
}

int clients_check(const struct clients *clients, const struct identity *identity)
{
	const struct user *user = find(clients, identity);

	if (clients->count >= clients->limits->connections)
		return -EAGAIN;
	return user && user->count >= clients->limits->connections_per_user ? -EDQUOT : 0;
}

int clients_enter(struct clients *clients, const struct identity *identity)
{
	struct user *user = find(clients, identity);

	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->identity = *identity;
		list_append(&clients->users, &user->link);
	}
	user->count++;
	clients->count++;
	return 0;
}

void clients_leave(struct clients *clients, const struct identity *identity)
{
	struct user *user = find(clients, identity);

	clients->count--;
	if (--user->count == 0) {
		list_remove(&user->link);
		free(user);
	}
}
