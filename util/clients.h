// SPDX-License-Identifier: Apache-2.0
/*
 * Who is connected: counts connections, in all and of each user. The front door asks before it lets one in; who then
 * owns the connection enters it here and takes it out again.
 */
#pragma once

#include "util/identity.h"
#include "util/limits.h"
#include "util/list.h"

struct clients {
	const struct limits *limits; /* borrowed */
	uint64_t count;
	struct list users; // user::link, of clients.c: those with connections
};

void clients_init(struct clients *clients, const struct limits *limits);

/* All that were entered have left. */
void clients_finish(struct clients *clients);

/* Whether one more of that user is welcome. -EAGAIN: limits.connections; -EDQUOT: limits.connections_per_user. */
int clients_check(const struct clients *clients, const struct identity *identity);

/* Counts one in. -ENOMEM. */
int clients_enter(struct clients *clients, const struct identity *identity);

/* Counts one out that was entered. */
void clients_leave(struct clients *clients, const struct identity *identity);
