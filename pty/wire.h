// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon and a keeper say to each other, over a SEQPACKET unix socket: one record is one message, a fixed part
 * and perhaps a tail (a program, or the text of an error), with descriptors beside it (SCM_RIGHTS).
 *
 *     daemon                                          keeper
 *       | KEEP state, program; eventfd, master, pidfd ->|   to a new keeper: start this, or go on with it
 *       |<- STATE state; pidfd                          |   each time the state changes
 *       | GRANT, STOP, FREEZE, STATUS ->                |   in any order
 *       | BYE ->                                        |   the end has been taken note of
 *
 * A daemon that is new connects to the keeper's socket and hears first HELLO (what KEEP said, as it is now) and then
 * STATE. Both ends may be of different ages, so each record carries the version, and both check what they get.
 */
#pragma once

#include "pty/targets/program.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_TAIL_MAX (128 * 1024)
#define WIRE_DESCRIPTORS 3

enum wire_type {
	WIRE_KEEP = 1, /* state; the program as tail */
	WIRE_GRANT,    /* limit */
	WIRE_STOP,     /* stop */
	WIRE_FREEZE,   /* frozen */
	WIRE_STATUS,   /* exit.status of a program that was not the keeper's child */
	WIRE_BYE,
	WIRE_HELLO, /* state; the program as tail */
	WIRE_STATE, /* state; when FAILED, the words as tail */
	WIRE_TYPES,
};

/* Where a keeper stands; see the drawing in keeper.c. */
enum keeper_phase {
	KEEPER_IDLE,
	KEEPER_STARTING,
	KEEPER_RUNNING,
	KEEPER_DRAINING,
	KEEPER_RESTING,
	KEEPER_EXITED,
	KEEPER_FAILED,
	KEEPER_PHASES,
};

/* How the program ended last: struct console_exit. */
struct wire_exit {
	uint64_t head;
	int32_t status;
	uint32_t known;
};

struct wire_state {
	uint32_t phase; /* enum keeper_phase */
	int32_t pid;    /* of the program; 0 = none, and then there is no pidfd either */
	int32_t error;  /* -errno when FAILED */
	uint32_t reserved;
	struct wire_exit exit;
};

struct wire_message {
	uint16_t version;
	uint16_t type;
	uint32_t tail_length;
	union {
		struct wire_state state;
		struct wire_exit exit;
		uint64_t limit; /* the head may not pass it; UINT64_MAX: no limit */
		struct {
			int32_t timeout; /* ms until SIGKILL; 0 = at once, negative = never */
			uint32_t again;  /* then start it again */
		} stop;
		uint32_t frozen;
	};
};

/*
 * Checks a record of `length` bytes and copies its fixed part. `*tail` points into `data`, `message->tail_length`
 * bytes. -EBADMSG: not a message of ours.
 */
int wire_decode(const void *data, size_t length, struct wire_message *message, const void **tail);

/*
 * Sends a message with `count` descriptors (which stay the caller's), without blocking; fills in version and length.
 * -EAGAIN: the peer does not read; -EPIPE: it is gone; -EMSGSIZE: tail longer than WIRE_TAIL_MAX.
 */
int wire_send(int socket, struct wire_message *message, const void *tail, size_t tail_length, const int *descriptors,
	      size_t count);

/*
 * Receives a message, without blocking. `*tail` is the caller's to free (NULL when there is none; text is not
 * terminated), and so are the descriptors: eventfd and master (KEEP and HELLO; else -1), and the pidfd, if the state
 * has a pid. -EAGAIN: none waits; -EPIPE: the peer is gone; -EBADMSG: a record was no message and has been dropped.
 */
int wire_receive(int socket, struct wire_message *message, void **tail, int descriptors[static WIRE_DESCRIPTORS]);

/* Where a descriptor is among those. */
enum {
	WIRE_EVENTFD,
	WIRE_MASTER,
	WIRE_PIDFD,
};

/* Flattens a program into `*packed`, to be freed by the caller. -E2BIG: more than WIRE_TAIL_MAX bytes. */
int wire_pack_program(const struct console_program *program, void **packed, size_t *length);

/*
 * The reverse, checking everything: one allocation, to be freed with free(), that holds copies of all. -EBADMSG: not a
 * program.
 */
int wire_unpack_program(const void *packed, size_t length, struct console_program **program);
