// SPDX-License-Identifier: Apache-2.0
#include "daemon/refusal.h"

#include "util/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAIN_TEXT "text/plain; charset=utf-8"
#define JSON(status, reason, text)                                                                          \
	{                                                                                                   \
		status, reason, "application/json",                                                         \
			"{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\",\"error_" \
			"code\":" #status ",\"error\":\"" text "\",\"metadata\":null}\n\n"                  \
	}

const struct refusal refusal_bad_request = {400, "Bad Request", PLAIN_TEXT, "400 Bad Request"};
const struct refusal refusal_no_host = {400, "Bad Request", PLAIN_TEXT,
					"400 Bad Request: missing required Host header"};
const struct refusal refusal_coding = {501, "Not Implemented", PLAIN_TEXT,
				       "501 Not Implemented: Unsupported transfer encoding"};
const struct refusal refusal_head_timeout =
	JSON(408, "Request Timeout", "The request's head has not come to its end in time (limits.head_timeout)");
const struct refusal refusal_body_timeout =
	JSON(408, "Request Timeout", "The request's body has not come to its end in time (limits.body_timeout)");
const struct refusal refusal_head_size =
	JSON(431, "Request Header Fields Too Large", "Request head is too large (limits.head_size)");
const struct refusal refusal_body_size = JSON(413, "Content Too Large", "Request body is too large (limits.body_size)");
const struct refusal refusal_bodies =
	JSON(503, "Service Unavailable", "Too many large requests at once (limits.bodies_size)");
const struct refusal refusal_answers =
	JSON(503, "Service Unavailable", "Too many answers wait for their clients to read them (limits.answers_size)");
const struct refusal refusal_incomplete_heads =
	JSON(503, "Service Unavailable", "Too many requests whose heads are incomplete (limits.incomplete_heads)");
const struct refusal refusal_connections =
	JSON(503, "Service Unavailable", "Too many connections (limits.connections)");
const struct refusal refusal_connections_of_user =
	JSON(503, "Service Unavailable", "Too many connections of one user (limits.connections_per_user)");

void refusal_write(int fd, const struct refusal *refusal)
{
	char text[512];
	int length =
		snprintf(text, sizeof(text),
			 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nX-Content-Type-Options: nosniff\r\n"
			 "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
			 refusal->status, refusal->reason, refusal->content_type, strlen(refusal->body), refusal->body);

	if (send(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("Cannot refuse a request: %s", strerror(errno));
}

void refusal_close(int fd, const struct refusal *refusal)
{
	char unread[8192];

	refusal_write(fd, refusal);
	/* What is left unread would be an ECONNRESET to a client that reads to the end. */
	(void)!recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	close(fd);
}
