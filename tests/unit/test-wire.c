// SPDX-License-Identifier: Apache-2.0
/* Messages between daemon and keepers, whole and not: neither end believes the other, and no descriptor is left over.
 */
#include "pty/wire.h"

#include "util/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	int ours, theirs; /* what is sent to `ours` is received from `theirs` */
	int descriptors[WIRE_DESCRIPTORS];
	struct wire_message message;
	void *tail;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	*state = f;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	f->ours = ends[0];
	f->theirs = ends[1];
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_fd(&f->ours);
	close_fd(&f->theirs);
	free(f);
	return 0;
}

static int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int receive(struct fixture *f)
{
	return wire_receive(f->theirs, &f->message, &f->tail, f->descriptors);
}

/* Sends a record as it is, with `count` descriptors. */
static void send_raw(struct fixture *f, const void *data, size_t length, size_t count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)data, length};
	struct msghdr record = {.msg_iov = &part, .msg_iovlen = 1};

	assert_true(count <= 8);
	if (count > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		record.msg_control = &control;
		record.msg_controllen = CMSG_SPACE(count * sizeof(int));
		for (size_t i = 0; i < count; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &f->ours, sizeof(int));
	}
	assert_int_equal(sendmsg(f->ours, &record, 0), (ssize_t)length);
}

/* What is no message of ours is dropped with all that came along, and the next is heard. */
static void assert_refused(struct fixture *f, const void *data, size_t length, size_t descriptors)
{
	struct wire_message next = {.type = WIRE_GRANT, .limit = 7};
	int before = count_descriptors();

	send_raw(f, data, length, descriptors);
	assert_int_equal(receive(f), -EBADMSG);
	assert_null(f->tail);
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		assert_int_equal(f->descriptors[i], -1);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(wire_send(f->ours, &next, NULL, 0, NULL), 0);
	assert_int_equal(receive(f), 0);
	assert_int_equal(f->message.type, WIRE_GRANT);
	assert_int_equal(f->message.limit, 7);
}

static struct wire_message a_state(void)
{
	return (struct wire_message){
		.version = WIRE_VERSION,
		.type = WIRE_STATE,
		.state = {.phase = KEEPER_RUNNING, .pid = 5},
		.descriptors = 1U << WIRE_PIDFD,
	};
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct wire_message message = a_state();
	int sent[WIRE_DESCRIPTORS] = {-1, f->ours, f->theirs, -1};

	message.state.phase = KEEPER_FAILED;
	message.state.error = -ENOENT;
	assert_int_equal(wire_send(f->ours, &message, "words", 5, sent), 0);
	assert_int_equal(receive(f), 0);
	assert_int_equal(f->message.type, WIRE_STATE);
	assert_int_equal(f->message.state.error, -ENOENT);
	assert_int_equal(f->message.tail_length, 5);
	assert_memory_equal(f->tail, "words", 5);
	free(f->tail);
	assert_int_equal(f->descriptors[WIRE_EVENTFD], -1);
	assert_int_equal(f->descriptors[WIRE_INPUT], -1);
	assert_int_equal(fcntl(f->descriptors[WIRE_MASTER], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(f->descriptors[WIRE_PIDFD], F_GETFD), FD_CLOEXEC);
	close(f->descriptors[WIRE_MASTER]);
	close(f->descriptors[WIRE_PIDFD]);
}

static void test_nobody_there(void **state)
{
	struct fixture *f = *state;
	struct wire_message message = {.type = WIRE_BYE};
	cleanup_free char *tail = calloc(1, WIRE_TAIL_MAX + 1);

	assert_int_equal(receive(f), -EAGAIN);
	assert_int_equal(wire_send(f->ours, &message, tail, WIRE_TAIL_MAX + 1, NULL), -EMSGSIZE);
	assert_int_equal(receive(f), -EAGAIN);
	close_fd(&f->ours);
	assert_int_equal(receive(f), -EPIPE);
	assert_int_equal(wire_send(f->theirs, &message, NULL, 0, NULL), -EPIPE);
}

static void test_descriptors_that_lie(void **state)
{
	struct fixture *f = *state;
	struct wire_message message = a_state();

	assert_refused(f, &message, sizeof(message), 0);
	assert_refused(f, &message, sizeof(message), 2);
	assert_refused(f, &message, sizeof(message), WIRE_DESCRIPTORS);
	assert_refused(f, &message, sizeof(message), WIRE_DESCRIPTORS + 1);
	assert_refused(f, &message, sizeof(message), 8);
	message.descriptors = 1U << WIRE_DESCRIPTORS | 1U << WIRE_PIDFD;
	assert_refused(f, &message, sizeof(message), 2);
	message.descriptors = 1U << WIRE_MASTER; /* a pid without its pidfd */
	assert_refused(f, &message, sizeof(message), 1);
	message = (struct wire_message){.version = WIRE_VERSION, .type = WIRE_BYE, .descriptors = 1};
	assert_refused(f, &message, sizeof(message), 1);
}

static void test_states_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct wire_message message;

#define REFUSED(field, value)                                    \
	do {                                                     \
		message = a_state();                             \
		message.field = (value);                         \
		assert_refused(f, &message, sizeof(message), 1); \
	} while (0)
	REFUSED(state.phase, KEEPER_PHASES);
	REFUSED(state.pid, -1);
	REFUSED(state.error, 1);
	REFUSED(state.kind, CONSOLE_KINDS);
	REFUSED(state.output, CONSOLE_OUTPUTS);
	REFUSED(state.frozen, 2);
	REFUSED(state.deaf, 2);
	REFUSED(version, WIRE_VERSION + 1);
	REFUSED(type, 0);
	REFUSED(type, WIRE_TYPES);
	REFUSED(tail_length, 1);
#undef REFUSED
}

static void test_lengths(void **state)
{
	struct fixture *f = *state;
	size_t much = sizeof(struct wire_message) + WIRE_TAIL_MAX + 1;
	cleanup_free char *data = calloc(1, much);
	struct wire_message message = {.version = WIRE_VERSION, .type = WIRE_BYE, .tail_length = 1};
	int room = 4 * (int)much;

	assert_refused(f, &message, 1, 0);
	assert_refused(f, &message, sizeof(message) - 1, 0);
	memcpy(data, &message, sizeof(message)); /* one that has no tail */
	assert_refused(f, data, sizeof(message) + 1, 0);
	message.type = WIRE_HELLO;
	message.tail_length = WIRE_TAIL_MAX + 1;
	memcpy(data, &message, sizeof(message));
	assert_int_equal(setsockopt(f->ours, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	assert_refused(f, data, much, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back),        TEST(nobody_there), TEST(descriptors_that_lie),
		TEST(states_that_cannot_be), TEST(lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
