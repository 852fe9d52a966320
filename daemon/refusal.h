// SPDX-License-Identifier: Apache-2.0
/* What is said to a client before, or instead of, asking the API. */
#pragma once

struct refusal {
	unsigned int status;
	const char *reason, *content_type, *body;
};

extern const struct refusal refusal_bad_request, refusal_no_host, refusal_coding, refusal_head_timeout,
	refusal_body_timeout, refusal_head_size, refusal_body_size, refusal_bodies, refusal_answers,
	refusal_incomplete_heads, refusal_connections, refusal_connections_of_user;

/* Writes it to a socket that is to be closed then, as a whole answer. Never blocks. */
void refusal_write(int fd, const struct refusal *refusal);

/* The same for one that nobody else reads, and closes it. */
void refusal_close(int fd, const struct refusal *refusal);
