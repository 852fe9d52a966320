// SPDX-License-Identifier: Apache-2.0
/* Points in time: nanoseconds since 1970 (CLOCK_REALTIME) in an int64_t, and how LXD writes them. */
#pragma once

#include <stdint.h>

#define TIMESTAMP_LENGTH 30 /* "2026-11-23T09:19:16.141141482Z" */

int64_t timestamp_now(void);

/* RFC 3339 with nanoseconds, UTC, as Go's RFC3339Nano reads it. 0 gives "1970-01-01T00:00:00Z", LXD's "never". */
void timestamp_format(int64_t timestamp, char text[static TIMESTAMP_LENGTH + 1]);

/*
 * Reads RFC 3339: "2026-11-23T09:19:16.141Z", or with a zone as +01:00; of a fraction nine digits count. What lies
 * outside of an int64_t becomes the nearest that does not. -EINVAL: it is none.
 */
int timestamp_parse(const char *text, int64_t *timestamp);
