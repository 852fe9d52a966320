// SPDX-License-Identifier: Apache-2.0
#include "spice/link.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC "REDQ"
#define MAGIC_SIZE 4
#define VERSION_MAJOR 2
/* Of a SpiceLinkMess: without capabilities, and the most that spice-server takes. */
#define MESSAGE_SIZE_MIN 18
#define MESSAGE_SIZE_MAX 4096

/* Where the fields are: SpiceLinkHeader is {magic, major, minor, size}, SpiceLinkMess {connection_id, type, id, ...}.
 */
#define MAJOR_OFFSET 4
#define SIZE_OFFSET 12
#define TYPE_OFFSET 20

static uint32_t number_at(const struct spice_link *link, size_t offset)
{
	uint32_t number;

	memcpy(&number, link->bytes + offset, sizeof(number));
	return le32toh(number);
}

static bool is_fit(const struct spice_link *link)
{
	uint32_t size = number_at(link, SIZE_OFFSET);

	return number_at(link, MAJOR_OFFSET) == VERSION_MAJOR && size >= MESSAGE_SIZE_MIN && size <= MESSAGE_SIZE_MAX &&
	       link->bytes[TYPE_OFFSET] > 0;
}

int spice_link_feed(struct spice_link *link, const void *data, size_t length)
{
	size_t wanted = SPICE_LINK_SIZE - link->length, taken = length < wanted ? length : wanted;

	memcpy(link->bytes + link->length, data, taken);
	link->length += taken;
	if (memcmp(link->bytes, MAGIC, link->length < MAGIC_SIZE ? link->length : MAGIC_SIZE) != 0)
		return -EBADMSG;
	if (link->length < SPICE_LINK_SIZE)
		return -EAGAIN;
	return is_fit(link) ? link->bytes[TYPE_OFFSET] : -EBADMSG;
}
