// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/command.h"

#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a, 64 bits: what liblxc puts into the socket's name where the whole does not fit. */
static uint64_t hash(const char *text)
{
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return value;
}

socklen_t command_address(const char *path, const char *name, struct sockaddr_un *address)
{
	char *text = address->sun_path + 1, whole[PATH_MAX + NAME_MAX];
	size_t size = sizeof(address->sun_path) - 2; /* the NUL ahead of it, and liblxc's own at the end */

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (snprintf(text, size, "%s/%s/command", path, name) >= (int)size) {
		snprintf(whole, sizeof(whole), "%s/%s", path, name);
		snprintf(text, size, "lxc/%016" PRIx64 "/command", hash(whole));
	}
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text));
}
