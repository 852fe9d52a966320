// SPDX-License-Identifier: Apache-2.0
#include "pty/wire.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static bool has_state(const struct wire_message *message)
{
	return message->type == WIRE_KEEP || message->type == WIRE_HELLO || message->type == WIRE_STATE ||
	       message->type == WIRE_REFUSED;
}

static bool tail_allowed(const struct wire_message *message)
{
	return has_state(message) || (message->type == WIRE_STOP && message->stop.again);
}

static bool state_valid(const struct wire_state *state)
{
	return state->phase < KEEPER_PHASES && state->pid >= 0 && state->error <= 0 && state->kind < CONSOLE_KINDS &&
	       state->output < CONSOLE_OUTPUTS && state->frozen <= 1 && state->deaf <= 1;
}

/* A state that names a pid brings its pidfd; nothing but a state brings any descriptor. */
static bool descriptors_valid(const struct wire_message *message)
{
	unsigned int all = (1U << WIRE_DESCRIPTORS) - 1;

	if (!has_state(message) || message->type == WIRE_REFUSED)
		return message->descriptors == 0;
	return message->descriptors <= all &&
	       (message->state.pid > 0) == ((message->descriptors & (1U << WIRE_PIDFD)) != 0);
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
	if (message->tail_length > 0 && !tail_allowed(message))
		return -EBADMSG;
	if (has_state(message) && !state_valid(&message->state))
		return -EBADMSG;
	return descriptors_valid(message) ? 0 : -EBADMSG;
}

/* Gathers those that there are, and notes in the message which they are. Returns how many. */
static size_t gather_descriptors(struct wire_message *message, const int *descriptors, int present[WIRE_DESCRIPTORS])
{
	size_t count = 0;

	message->descriptors = 0;
	for (int i = 0; descriptors && i < WIRE_DESCRIPTORS; i++) {
		if (descriptors[i] < 0)
			continue;
		message->descriptors |= (uint16_t)(1U << i);
		present[count++] = descriptors[i];
	}
	return count;
}

int wire_send(int socket, struct wire_message *message, const void *tail, size_t tail_length, const int *descriptors)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(WIRE_DESCRIPTORS * sizeof(int))];
	} control = {0};
	struct iovec parts[] = {{message, sizeof(*message)}, {(void *)tail, tail_length}};
	struct msghdr record = {.msg_iov = parts, .msg_iovlen = 2};
	int present[WIRE_DESCRIPTORS];
	size_t count;

	if (tail_length > WIRE_TAIL_MAX)
		return -EMSGSIZE;
	message->version = WIRE_VERSION;
	message->tail_length = (uint32_t)tail_length;
	count = gather_descriptors(message, descriptors, present);
	if (count > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), present, count * sizeof(int));
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

/* Moves the first `count` into the places that the message names; false if it names another number. */
static bool place_descriptors(const struct wire_message *message, size_t count,
			      int descriptors[static WIRE_DESCRIPTORS])
{
	if (count != (size_t)__builtin_popcount(message->descriptors))
		return false;
	for (int i = WIRE_DESCRIPTORS; i-- > 0;) { /* from the end: no place is before its descriptor */
		int fd = -1;

		if (message->descriptors & (1U << i))
			fd = move_fd(&descriptors[--count]);
		descriptors[i] = fd;
	}
	return true;
}

/* The tail, if there is one, is left in `data`, at its start. */
static int accept_record(void *data, struct msghdr *record, size_t length, struct wire_message *message,
			 int descriptors[static WIRE_DESCRIPTORS])
{
	size_t count = take_descriptors(record, descriptors);
	const void *inside;
	int r;

	r = record->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EBADMSG : wire_decode(data, length, message, &inside);
	if (r == 0 && !place_descriptors(message, count, descriptors))
		r = -EBADMSG;
	if (r == 0 && message->tail_length > 0)
		memmove(data, inside, message->tail_length);
	for (int i = 0; r < 0 && i < WIRE_DESCRIPTORS; i++)
		close_fd(&descriptors[i]);
	return r;
}

/*
 * Whether so many descriptors could be had now, and one more, for what is done with them. The kernel drops those that
 * it finds no place for, and their record is no more to be had then.
 */
static bool has_room(int socket, int count)
{
	int places[WIRE_DESCRIPTORS + 1], got = 0;

	while (got <= count && (places[got] = fcntl(socket, F_DUPFD_CLOEXEC, 0)) >= 0)
		got++;
	for (int i = 0; i < got; i++)
		close(places[i]);
	return got > count;
}

/*
 * Looks at the next record: most are small, and asking first saves both sides from holding a buffer for the largest.
 * Its length, how many descriptors it says that it has, or -errno.
 */
static ssize_t look(int socket, int *descriptors)
{
	struct wire_message message = {0};
	ssize_t length;

	do
		length = recv(socket, &message, sizeof(message), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	while (length < 0 && errno == ECONNRESET); /* told once, before what the peer has said until then */
	*descriptors = __builtin_popcount(message.descriptors & ((1U << WIRE_DESCRIPTORS) - 1));
	return length < 0 ? -errno : length;
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
	int count, r;

	*tail = NULL;
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		descriptors[i] = -1;
	length = look(socket, &count);
	if (length <= 0)
		return length == 0 ? -EPIPE : (int)length;
	/* All that is needed is got before the record is taken: without it, it stays. */
	part.iov_len = (size_t)length < sizeof(*message) + WIRE_TAIL_MAX ? (size_t)length : sizeof(*message);
	part.iov_base = data = malloc(part.iov_len);
	if (!data)
		return -ENOMEM;
	if (count > 0 && !has_room(socket, count))
		return -EMFILE;
	length = recvmsg(socket, &record, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0)
		return -errno;
	r = accept_record(data, &record, (size_t)length, message, descriptors);
	if (r == 0 && message->tail_length > 0)
		*tail = move_pointer(data);
	return r;
}
