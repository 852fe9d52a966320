// SPDX-License-Identifier: Apache-2.0
#include "render/plain.h"

#include "render/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *text, size_t length)
{
	size_t at = 0;

	while (at < length) {
		int character = utf8_scan(text + at, length - at);

		if (character < 1 || text[at] == 0x7f || (text[at] < 0x20 && text[at] != '\n' && text[at] != '\t'))
			abort();
		at += (size_t)character;
	}
}

/* In pieces or at once: the same text, whole, without controls, and never more than there was room for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size ? 1 + data[0] % 16 : 1, at, length, total = 0;
	struct plain whole = {0}, pieces = {0};
	char *once = malloc(PLAIN_ROOM(size)), *all = malloc(PLAIN_ROOM(size));

	if (!once || !all)
		abort();
	length = plain_feed(&whole, (const char *)data, size, once);
	check((uint8_t *)once, length);
	for (at = 0; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step, written;
		char *out = malloc(PLAIN_ROOM(piece));

		written = plain_feed(&pieces, (const char *)data + at, piece, out);
		if (written > PLAIN_ROOM(piece) || written > length - total)
			abort();
		memcpy(all + total, out, written);
		total += written;
		free(out);
	}
	if (total != length || memcmp(once, all, length))
		abort();
	free(once);
	free(all);
	return 0;
}
