// SPDX-License-Identifier: Apache-2.0
/*
 * The first words of a SPICE client on each of its connections: which channel it is (SPICE protocol, "Link message":
 * SpiceLinkHeader and SpiceLinkMess, little-endian).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SPICE_LINK_SIZE 22 /* bytes up to and with the channel's type and id */

enum spice_channel_type {
	SPICE_CHANNEL_TYPE_MAIN = 1, /* a client's first; when it ends, the client has left */
	SPICE_CHANNEL_TYPE_DISPLAY = 2,
	SPICE_CHANNEL_TYPE_INPUTS = 3,
	SPICE_CHANNEL_TYPE_CURSOR = 4,
};

/* What has been heard so far; all zero at the start. */
struct spice_link {
	unsigned char bytes[SPICE_LINK_SIZE];
	size_t length;
};

/*
 * Takes a connection's next bytes, as many as are needed. The type of the channel (above 0, one of those above or
 * another); -EAGAIN: more is needed; -EBADMSG: this is not SPICE.
 */
int spice_link_feed(struct spice_link *link, const void *data, size_t length);
