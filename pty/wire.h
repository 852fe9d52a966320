// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon and a keeper say to each other, over a SEQPACKET unix socket: one record is one message, a fixed part
 * and perhaps a tail (a packed target, or the text of an error), with descriptors beside it (SCM_RIGHTS).
 *
 *     daemon                                          keeper
 *       | KEEP state, target; all descriptors ->        |   to a new keeper: start this, or go on with it
 *       |<- STATE state; pidfd, master, input           |   each time the state changes; the last two if they are new
 *       | GRANT, STOP, FREEZE, STATUS ->                |   in any order; a restart (STOP) with what is to run then
 *       |<- REFUSED error                               |   what was asked last (FREEZE) cannot be
 *       | BYE ->                                        |   the end has been taken note of
 *
 * A daemon that is new connects to the keeper's socket and hears first HELLO (what KEEP said, as it is now; the target
 * is in run/NAME/target: target_file.h) and then STATE. Both ends may be of different ages, so each record carries the
 * version, and both check what they get.
 */
#pragma once

#include "pty/pack.h" /* enum console_kind, enum console_output */

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 3
#define WIRE_TAIL_MAX (128 * 1024)

enum wire_type {
	WIRE_KEEP = 1, /* state; the packed target as tail */
	WIRE_GRANT,    /* limit */
	WIRE_STOP,     /* stop; if again, perhaps another packed target as tail */
	WIRE_FREEZE,   /* frozen */
	WIRE_STATUS,   /* exit.status of a program that was not the keeper's child */
	WIRE_BYE,
	WIRE_HELLO,   /* state */
	WIRE_STATE,   /* state; when FAILED, the words as tail */
	WIRE_REFUSED, /* state.error; the words as tail */
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

/* How the target ended last: struct console_exit. */
struct wire_exit {
	uint64_t head;
	int32_t status;
	uint32_t known;
};

struct wire_state {
	uint32_t phase; /* enum keeper_phase */
	int32_t pid;    /* of the target; 0 = none */
	int32_t error;  /* -errno when FAILED, or in REFUSED */
	uint8_t kind;   /* enum console_kind */
	uint8_t output; /* enum console_output */
	uint8_t frozen;
	uint8_t deaf;  /* input would be lost now: it is between two boots */
	uint32_t boot; /* counts while the target is kept, so that one boot can be told from the next */
	uint32_t unused;
	struct wire_exit exit;
};

struct wire_message {
	uint16_t version;
	uint16_t type;
	uint16_t descriptors; /* 1 << WIRE_EVENTFD and so on: those that come along */
	uint16_t reserved;
	uint32_t tail_length;
	union {
		struct wire_state state;
		struct wire_exit exit;
		uint64_t limit; /* the head may not pass it; UINT64_MAX: no limit */
		struct {
			int32_t timeout; /* ms until SIGKILL; 0 = at once, negative = never */
			uint32_t again;  /* then start it again: the tail's target, if there is one */
		} stop;
		uint32_t frozen;
	};
};

/*
 * Checks a record of `length` bytes and copies its fixed part. `*tail` points into `data`, `message->tail_length`
 * bytes. -EBADMSG: not a message of ours.
 */
int wire_decode(const void *data, size_t length, struct wire_message *message, const void **tail);

/* Where a descriptor is among those that come along; -1 there: it does not. */
enum wire_descriptor {
	WIRE_EVENTFD,
	WIRE_MASTER, /* of the terminal; the daemon keeps it for the next keeper */
	WIRE_PIDFD,
	WIRE_INPUT, /* what takes input and a size, where that is not the master */
	WIRE_DESCRIPTORS,
};

/*
 * Sends a message with descriptors (which stay the caller's; NULL = none), without blocking; fills in all but its type
 * and the union. -EAGAIN: the peer does not read; -EPIPE: it is gone; -EMSGSIZE: tail longer than WIRE_TAIL_MAX.
 */
int wire_send(int socket, struct wire_message *message, const void *tail, size_t tail_length, const int *descriptors);

/*
 * Receives a message, without blocking. `*tail` is the caller's to free (NULL when there is none; text is not
 * terminated), and so are the descriptors, -1 where there is none. -EAGAIN: none waits; -EPIPE: the peer is gone;
 * -EBADMSG: a record was no message and has been dropped; -ENOMEM, -EMFILE: it stays, to be received later.
 */
int wire_receive(int socket, struct wire_message *message, void **tail, int descriptors[static WIRE_DESCRIPTORS]);
