// SPDX-License-Identifier: Apache-2.0
/*
 * What a GET of a console wants of its log: first a range of its bytes (a boot, since when, how much of the end), then
 * a format.
 */
#pragma once

#include "api/request.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

enum log_format {
	LOG_RAW,
	LOG_PLAIN,
	LOG_ASCIICAST,
	LOG_SCREEN,
	LOG_HTML, /* a screen too */
};

enum log_since {
	LOG_SINCE_BEGIN,
	LOG_SINCE_OFFSET, /* of the ring */
	LOG_SINCE_TIME,   /* nanoseconds since 1970 */
	LOG_SINCE_AGO,    /* nanoseconds before now */
};

enum log_tail {
	LOG_TAIL_ALL,
	LOG_TAIL_LINES,
	LOG_TAIL_BYTES,
};

struct log_query {
	bool given; /* any of them */
	enum log_format format;
	bool follow;     /* and what comes */
	bool timestamps; /* before each line */
	bool quiet;      /* no notices of ours in what is followed */
	int64_t boot;    /* its number; negative: counted from the end, -1 the latest; 0: any */
	enum log_since since;
	int64_t since_value;
	enum log_tail tail;
	int64_t tail_value;
};

/*
 * Reads `tail`, `tail_bytes`, `since`, `boot`, `follow`, `timestamps`, `notices` and `format`. `since` is an offset
 * (digits), a time (RFC 3339) or a duration (1h30m, 90s, 250ms: so long ago). What is absent is as in a request without
 * any of them: all of the log, raw. -EINVAL: the reason names the parameter.
 */
int log_query_parse(const struct request *request, struct log_query *query, struct error *error);

/* Whether what it asks for stays the same while nothing is printed: not where it depends on the present. */
bool log_query_lasting(const struct log_query *query);

/* Whether it asks for a screen, as text or HTML. */
bool log_query_screen(const struct log_query *query);
