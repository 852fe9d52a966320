// SPDX-License-Identifier: Apache-2.0
/* What the daemon says, taken apart without mercy: answers of HTTP (RFC 9112), frames of WebSocket (RFC 6455). */
#pragma once

#include "util/buffer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	TAKE_BROKEN = -1, /* `*why` says how; static */
	TAKE_MORE,        /* there is more to come */
	TAKE_WHOLE,       /* it is whole, and taken from the buffer */
};

struct answer {
	unsigned int status;
	bool closes;        /* nothing is behind it */
	char type[64];      /* Content-Type, "" where there is none */
	struct buffer body; /* to be released with answer_finish() */
	json_t *json;       /* of the body, if it says that it is */
};

/* Takes an answer from the front of `in`. `headless`: to HEAD; `ended`: no more comes. */
enum verdict answer_take(struct answer *answer, struct buffer *in, bool headless, bool ended, const char **why);

/* Whether it is as LXD would say it: NULL, or what is wrong; static. `method`: of the request. */
const char *answer_check(const struct answer *answer, const char *method);

void answer_finish(struct answer *answer);

struct frame {
	unsigned int opcode;
	bool last;
	uint64_t length;
	const char *payload; /* points into the buffer, until that is consumed */
	size_t size;         /* of all of it */
};

#define FRAME_CLOSE 8

/* Looks at the frame at the front of `in`, which stays there. A server's are not masked, and have no reserved bits. */
enum verdict frame_look(struct frame *frame, const struct buffer *in, const char **why);
