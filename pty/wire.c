// SPDX-License-Identifier: Apache-2.0
#include "pty/wire.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A program's fixed part; behind it directory, user ("" = none), argv and environment, each with its NUL. */
struct packed_program {
	uint32_t argc, envc;
	uint32_t uid, gid;
	uint32_t restart;
	uint16_t width, height;
};

static bool has_state(const struct wire_message *message)
{
	return message->type == WIRE_KEEP || message->type == WIRE_HELLO || message->type == WIRE_STATE;
}

static bool state_valid(const struct wire_state *state)
{
	return state->phase < KEEPER_PHASES && state->pid >= 0 && state->error <= 0;
}

int wire_decode(const void *data, size_t length, struct wire_message *message, const void **tail)
{
	if (length < sizeof(*message))
		return -EBADMSG;
	memcpy(message, data, sizeof(*message));
	*tail = (const char *)data + sizeof(*message);
	if (message->version != WIRE_VERSION || message->type < WIRE_KEEP || message->type >= WIRE_TYPES)
		return -EBADMSG;
	if (message->tail_length != length - sizeof(*message) || message->tail_length > WIRE_TAIL_MAX)
		return -EBADMSG;
	if (message->tail_length > 0 && !has_state(message))
		return -EBADMSG;
	return !has_state(message) || state_valid(&message->state) ? 0 : -EBADMSG;
}

int wire_send(int socket, struct wire_message *message, const void *tail, size_t tail_length, const int *descriptors,
	      size_t count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(WIRE_DESCRIPTORS * sizeof(int))];
	} control = {0};
	struct iovec parts[] = {{message, sizeof(*message)}, {(void *)tail, tail_length}};
	struct msghdr record = {.msg_iov = parts, .msg_iovlen = 2};

	if (tail_length > WIRE_TAIL_MAX || count > WIRE_DESCRIPTORS)
		return -EMSGSIZE;
	message->version = WIRE_VERSION;
	message->tail_length = (uint32_t)tail_length;
	if (count > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
		record.msg_control = &control;
		record.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	if (sendmsg(socket, &record, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

/* Takes over all descriptors that came with a record; returns how many. Those for which there is no place are closed.
 */
static size_t take_descriptors(struct msghdr *record, int descriptors[static WIRE_DESCRIPTORS])
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(record); header; header = CMSG_NXTHDR(record, header)) {
		size_t size = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < size / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
			if (count < WIRE_DESCRIPTORS)
				descriptors[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

/* Puts the descriptors into their places; false if their number is not what the message says. */
static bool place_descriptors(const struct wire_message *message, size_t count,
			      int descriptors[static WIRE_DESCRIPTORS])
{
	bool pair = message->type == WIRE_KEEP || message->type == WIRE_HELLO;
	bool pid = has_state(message) && message->state.pid > 0;

	if (count != (pair ? 2u : 0u) + (pid ? 1u : 0u))
		return false;
	if (pid && !pair) {
		descriptors[WIRE_PIDFD] = descriptors[0];
		descriptors[0] = -1;
	}
	return true;
}

static int accept_record(const void *data, struct msghdr *record, size_t length, struct wire_message *message,
			 void **tail, int descriptors[static WIRE_DESCRIPTORS])
{
	size_t count = take_descriptors(record, descriptors);
	const void *inside;
	int r;

	r = record->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EBADMSG : wire_decode(data, length, message, &inside);
	if (r == 0 && !place_descriptors(message, count, descriptors))
		r = -EBADMSG;
	if (r == 0 && message->tail_length > 0) {
		*tail = malloc(message->tail_length);
		if (*tail)
			memcpy(*tail, inside, message->tail_length);
		else
			r = -ENOMEM;
	}
	for (int i = 0; r < 0 && i < WIRE_DESCRIPTORS; i++)
		close_fd(&descriptors[i]);
	return r;
}

int wire_receive(int socket, struct wire_message *message, void **tail, int descriptors[static WIRE_DESCRIPTORS])
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(WIRE_DESCRIPTORS * sizeof(int))];
	} control;
	cleanup_free void *data = NULL;
	struct iovec part;
	struct msghdr record = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t length;

	*tail = NULL;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		descriptors[i] = -1;
	/* Most are small: asking first saves both sides from holding a buffer for the largest. */
	do
		length = recv(socket, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	while (length < 0 && errno == ECONNRESET); /* told once, before what the peer has said until then */
	if (length > 0) {
		part.iov_len = (size_t)length < sizeof(*message) + WIRE_TAIL_MAX ? (size_t)length : sizeof(*message);
		part.iov_base = data = malloc(part.iov_len);
		if (!data)
			return -ENOMEM;
		length = recvmsg(socket, &record, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	}
	if (length <= 0)
		return length == 0 ? -EPIPE : -errno;
	return accept_record(data, &record, (size_t)length, message, tail, descriptors);
}

static int append_strings(struct buffer *buffer, char *const *strings, uint32_t *count)
{
	int r = 0;

	for (*count = 0; r == 0 && strings[*count]; ++*count)
		r = buffer_append(buffer, strings[*count], strlen(strings[*count]) + 1, WIRE_TAIL_MAX);
	return r;
}

int wire_pack_program(const struct console_program *program, void **packed, size_t *length)
{
	const char *user = program->user ? program->user : "";
	struct packed_program fixed = {
		.uid = program->uid,
		.gid = program->gid,
		.restart = program->restart,
		.width = program->width,
		.height = program->height,
	};
	struct buffer buffer = {0};
	int r;

	r = buffer_append(&buffer, &fixed, sizeof(fixed), WIRE_TAIL_MAX);
	if (r == 0)
		r = buffer_append(&buffer, program->directory, strlen(program->directory) + 1, WIRE_TAIL_MAX);
	if (r == 0)
		r = buffer_append(&buffer, user, strlen(user) + 1, WIRE_TAIL_MAX);
	if (r == 0)
		r = append_strings(&buffer, program->argv, &fixed.argc);
	if (r == 0)
		r = append_strings(&buffer, program->environment, &fixed.envc);
	if (r < 0) {
		buffer_finish(&buffer);
		return r == -EMSGSIZE ? -E2BIG : r;
	}
	memcpy(buffer.data, &fixed, sizeof(fixed));
	*packed = buffer.data;
	*length = buffer.length;
	return 0;
}

/* Takes the next string of [*at, end), or returns NULL if none ends there. */
static char *next_string(char **at, char *end)
{
	char *string = *at;
	char *terminator = memchr(string, '\0', (size_t)(end - string));

	if (!terminator)
		return NULL;
	*at = terminator + 1;
	return string;
}

static bool next_vector(char **at, char *end, char **vector, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		vector[i] = next_string(at, end);
		if (!vector[i])
			return false;
	}
	vector[count] = NULL;
	return true;
}

static bool program_valid(const struct packed_program *fixed, size_t rest)
{
	return fixed->argc > 0 && fixed->restart <= CONSOLE_RESTART_ALWAYS &&
	       (uint64_t)fixed->argc + fixed->envc + 2 <= rest; /* each string has at least its NUL */
}

int wire_unpack_program(const void *packed, size_t length, struct console_program **result)
{
	cleanup_free struct console_program *program = NULL;
	struct packed_program fixed;
	char **argv, **environment, *at, *end;
	size_t vectors, rest;

	if (length < sizeof(fixed) || length > WIRE_TAIL_MAX)
		return -EBADMSG;
	memcpy(&fixed, packed, sizeof(fixed));
	rest = length - sizeof(fixed);
	if (!program_valid(&fixed, rest))
		return -EBADMSG;
	vectors = ((size_t)fixed.argc + fixed.envc + 2) * sizeof(char *);
	program = malloc(sizeof(*program) + vectors + rest);
	if (!program)
		return -ENOMEM;
	argv = (char **)(program + 1);
	environment = argv + fixed.argc + 1;
	at = (char *)argv + vectors;
	end = at + rest;
	memcpy(at, (const char *)packed + sizeof(fixed), rest);
	*program = (struct console_program){
		.argv = argv,
		.environment = environment,
		.uid = fixed.uid,
		.gid = fixed.gid,
		.restart = (enum console_restart)fixed.restart,
		.width = fixed.width,
		.height = fixed.height,
	};
	program->directory = next_string(&at, end);
	program->user = next_string(&at, end);
	if (!program->directory || program->directory[0] != '/' || !program->user)
		return -EBADMSG;
	if (!next_vector(&at, end, argv, fixed.argc) || !next_vector(&at, end, environment, fixed.envc) || at != end)
		return -EBADMSG;
	if (program->user[0] == '\0')
		program->user = NULL;
	*result = move_pointer(program);
	return 0;
}
