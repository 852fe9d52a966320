// SPDX-License-Identifier: Apache-2.0
/* A request's body: the first byte chooses how it is read, the rest is the body. */
#include "api/body.h"
#include "api/range.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *string = "";
	json_t *strings = NULL, *map = NULL, *maps = NULL, *object = NULL, *document;
	int64_t integer = 0;
	bool boolean = false;
	const struct body_field fields[] = {
		{"width", BODY_INTEGER, &integer},    {"type", BODY_STRING, &string},
		{"force", BODY_BOOLEAN, &boolean},    {"config", BODY_MAP, &map},
		{"profiles", BODY_STRINGS, &strings}, {"devices", BODY_MAPS, &maps},
		{"state", BODY_OBJECT, &object},      {0},
	};
	struct request request = {0};
	struct error error = {0};
	size_t from, length;
	char *text;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (range_parse(text, size, &from, &length) == 1 && (length == 0 || from >= size || length > size - from))
		abort();
	free(text);
	request.body = data + 1;
	request.body_length = size - 1;
	if (body_decode(&request, data[0] & 1 ? BODY_WHOLE : BODY_STREAM, "Thing", fields, &document, &error) == 0) {
		if (object)
			body_decode_object(object, &request, "Other", fields, &error);
		if (map && !json_is_object(map))
			abort();
		json_decref(document);
	} else if (document || !error.text[0]) {
		abort();
	}
	return 0;
}
