// SPDX-License-Identifier: Apache-2.0
/*
 * A connection of a client that was made up: what it sends, in which pieces, how it ends; and whether what it hears is
 * what it must be. All of that comes from one number, but for the ids and secrets that the daemon has told.
 */
#pragma once

#include "tests/live/frames.h"
#include "tests/live/ground.h"

#define VISIT_PIPELINED_MAX 6

/* What all visits share. */
struct world {
	struct ground *ground;
	struct routes routes;
	struct known known;
	uint64_t requests, answers, statuses[6], upgrades, frames_sent, frames_heard; /* so far */
	struct {
		char path[160];
		enum socket_kind kind;
	} wanted[KNOWN_MAX]; /* sockets that somebody is to connect to */
	size_t wanted_count;
};

enum visit_state {
	VISIT_ASKING,   /* sends requests and hears answers */
	VISIT_UPGRADED, /* sends frames and hears frames */
	VISIT_OVER,
};

struct visit {
	struct world *world;
	uint64_t seed;
	struct random random;
	enum visit_state state;
	int fd;
	struct buffer out, in;
	char plan[1024]; /* what it begins with, to be shown when something is wrong */
	size_t planned;  /* bytes in all */
	struct request requests[VISIT_PIPELINED_MAX];
	unsigned int asked, heard;
	bool mangled;     /* anything may be the answer, as long as it is one */
	bool dripping;    /* in small pieces with pauses between */
	bool impatient;   /* leaves when it has sent a part */
	bool half_closes; /* shuts down its sending side then */
	bool upgrades;    /* wants to be a WebSocket */
	bool closing;     /* has no more to say: a Close frame, nonsense, or nothing was the last */
	bool waits;       /* for the daemon to end it */
	bool deaf;        /* does not read at first */
	bool sent_all;
	enum socket_kind kind;
	unsigned int frames_left;
	size_t leave_after; /* bytes to be sent before it does, if it is impatient */
	size_t sent;
	int64_t next_send, deadline; /* ms */
};

int64_t now_ms(void);

/* Connects and makes up what it will do. */
void visit_begin(struct visit *visit, struct world *world, uint64_t seed);

/* What to wait for, poll(2); and until when, ms. */
short visit_events(const struct visit *visit);
int64_t visit_due(const struct visit *visit);

/* Goes on, after a poll(2) that has given `events`. */
void visit_step(struct visit *visit, short events);

/* Releases all. */
void visit_end(struct visit *visit);
