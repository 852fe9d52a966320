// SPDX-License-Identifier: Apache-2.0
/* Recordings that `asciinema play` takes: asciicast v2, a line of JSON for the header and one for each event. */
#pragma once

#include "util/buffer.h"

#include <stddef.h>
#include <stdint.h>

/* What of a character the last event was cut off in. All zero at the start. */
struct asciicast {
	int64_t began_at, last; /* nanoseconds since 1970 */
	uint8_t held;
	unsigned char bytes[4];
};

/* Appends the header. `title` may be NULL. 0, -ENOMEM, or -EMSGSIZE beyond `limit` bytes in `out`. */
int asciicast_begin(struct asciicast *asciicast, uint16_t width, uint16_t height, int64_t time, const char *title,
		    struct buffer *out, size_t limit);

/*
 * Appends an event for what was printed at `time`; time never runs backwards in a recording, so a clock set back is
 * taken for standing still. Characters that are cut by the end of `data` wait for the next event; what is no UTF-8
 * becomes U+FFFD. Errors as above, nothing appended then.
 */
int asciicast_output(struct asciicast *asciicast, int64_t time, const char *data, size_t length, struct buffer *out,
		     size_t limit);

/* Appends a marker event ("m"), for example of a boot. Errors as above. */
int asciicast_marker(struct asciicast *asciicast, int64_t time, const char *text, struct buffer *out, size_t limit);
