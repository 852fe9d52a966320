// SPDX-License-Identifier: Apache-2.0
/*
 * The first byte says for what; what follows are names of keys, one a line, or a text. What is refused has a reason and
 * types nothing; what is taken stays within its bounds.
 */
#include "instances/keys.h"
#include "util/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t amount(const struct keys *keys)
{
	return keys->bytes.length + keys->break_count + keys->chord_count;
}

static void add(struct keys *keys, const char *what, bool text)
{
	struct error error = {0};
	size_t before = amount(keys);
	int r = text ? keys_add_text(keys, what, &error) : keys_add_key(keys, what, &error);

	if (r < 0 && (!error.text[0] || (!text && amount(keys) != before)))
		abort();
	if (r == 0 && *what && amount(keys) <= before)
		abort();
	if (keys->bytes.length > KEYS_BYTES_MAX || keys->chord_count > KEYS_CHORDS_MAX ||
	    keys->break_count > KEYS_BREAKS_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;
	struct keys keys = {0};
	char *rest = text, *name;

	if (!text)
		return 0;
	keys.keyboard = data[0] & 1;
	keys.serial = data[0] & 2;
	if (data[0] & 4)
		add(&keys, text, true);
	else
		while ((name = strsep(&rest, "\n")))
			add(&keys, name, false);
	for (size_t i = 0; i < keys.chord_count; i++)
		if (!keys.chords[i].codes[0])
			abort();
	for (size_t i = 0; i < keys.break_count; i++)
		if (keys.breaks[i] > keys.bytes.length)
			abort();
	keys_finish(&keys);
	return 0;
}
