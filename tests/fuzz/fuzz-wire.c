// SPDX-License-Identifier: Apache-2.0
/*
 * What keeper and daemon receive from each other: a record, and the target in it. One that is good is also sent, with
 * the descriptors that it names, and received: it is the same.
 */
#include "pty/pack.h"
#include "pty/wire.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A program that was accepted is one that packs to the same again. */
static void check_program(const void *data, size_t length)
{
	struct console_program *program;
	struct console_target packed;

	if (unpack_program(data, length, &program) < 0)
		return;
	if (pack_program(program, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(program);
}

static void check_container(const void *data, size_t length)
{
	struct console_container *container;
	struct console_target packed;

	if (unpack_container(data, length, &container) < 0)
		return;
	if (pack_container(container, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(container);
}

static void check_machine(const void *data, size_t length)
{
	struct console_machine *machine;
	struct console_target packed;

	if (unpack_machine(data, length, &machine) < 0)
		return;
	if (pack_machine(machine, &packed, NULL) < 0 || packed.length != length ||
	    memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(machine);
}

static void check_serial(const void *data, size_t length)
{
	struct console_serial *serial;
	struct console_target packed;

	if (unpack_serial(data, length, &serial) < 0)
		return;
	if (pack_serial(serial, &packed, NULL) < 0 || packed.length != length || memcmp(packed.data, data, length) != 0)
		abort();
	console_target_finish(&packed);
	free(serial);
}

static void check_target(const void *data, size_t length)
{
	check_program(data, length);
	check_container(data, length);
	check_machine(data, length);
	check_serial(data, length);
}

/* Whether both are the same end of the same socket. */
static bool same_file(int one, int other)
{
	struct stat a, b;

	return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void check_descriptors(const struct wire_message *message, const int *sent, int received[WIRE_DESCRIPTORS])
{
	for (int i = 0; i < WIRE_DESCRIPTORS; i++) {
		bool named = message->descriptors & (1U << i);

		require(named ? same_file(received[i], sent[i]) : received[i] == -1);
		close_fd(&received[i]);
	}
}

static void check_sending(const struct wire_message *decoded, const void *tail, const int ends[2])
{
	int sent[WIRE_DESCRIPTORS], received[WIRE_DESCRIPTORS];
	struct wire_message message = *decoded, again;
	cleanup_free void *copy = NULL;

	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		sent[i] = decoded->descriptors & (1U << i) ? i % 2 : -1; /* of our standard ones */
	require(wire_send(ends[0], &message, tail, decoded->tail_length, sent) == 0);
	require(wire_receive(ends[1], &again, &copy, received) == 0);
	require(memcmp(&again, decoded, sizeof(again)) == 0 && memcmp(&message, decoded, sizeof(message)) == 0);
	require(again.tail_length == 0 ? !copy : memcmp(copy, tail, again.tail_length) == 0);
	check_descriptors(decoded, sent, received);
}

/* Bytes of any kind as a record: refused, without a descriptor that stays. */
static void check_receiving(const uint8_t *data, size_t size, const int ends[2])
{
	int received[WIRE_DESCRIPTORS];
	struct wire_message message;
	cleanup_free void *tail = NULL;

	require(send(ends[0], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	require(wire_receive(ends[1], &message, &tail, received) == -EBADMSG && !tail);
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		require(received[i] == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int ends[2] = {-1, -1};
	struct wire_message message;
	const void *tail;

	if (ends[0] < 0)
		require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	if (wire_decode(data, size, &message, &tail) == 0) {
		check_sending(&message, tail, ends);
		check_target(tail, message.tail_length);
	} else if (size > 0) {
		check_receiving(data, size, ends);
	}
	check_target(data, size);
	return 0;
}
