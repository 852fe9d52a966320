// SPDX-License-Identifier: Apache-2.0
#include "render/asciicast.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every line is JSON, and time goes forward. */
static void check(const struct buffer *out)
{
	const char *line = out->data, *end;
	double last = 0;

	for (; line < out->data + out->length; line = end + 1) {
		json_t *json;

		end = memchr(line, '\n', out->length - (size_t)(line - out->data));
		if (!end)
			abort();
		json = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
		if (!json)
			abort();
		if (json_is_array(json)) {
			double time = json_real_value(json_array_get(json, 0));

			if (json_array_size(json) != 3 || time < last)
				abort();
			last = time;
		}
		json_decref(json);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct asciicast asciicast = {0};
	struct buffer out = {0};
	char text[16] = "";
	int64_t time = 1700000000000000000;
	size_t at, step, left;

	memcpy(text, data, size < 15 ? size : 15);
	if (asciicast_begin(&asciicast, 80, 24, time, text, &out, LIMIT))
		abort();
	for (at = 0; at < size; at += step) {
		step = 1 + data[at] % 32;
		left = size - at < step ? size - at : step;
		time += (int64_t)(data[at] - 64) * 12345678;
		if (data[at] == 'm' && asciicast_marker(&asciicast, time, text, &out, LIMIT) == -ENOMEM)
			abort();
		if (asciicast_output(&asciicast, time, (const char *)data + at, left, &out, LIMIT) == -ENOMEM)
			abort();
	}
	check(&out);
	buffer_finish(&out);
	return 0;
}
