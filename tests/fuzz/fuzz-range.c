// SPDX-License-Identifier: Apache-2.0
/*
 * A Range header. The first bytes are two numbers and the size of a body, of which a header is made that has the one,
 * the other, or both; the rest is a header as it is.
 */
#include "api/range.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct numbers {
	uint64_t first, last, size;
	uint8_t form;
};

enum form {
	FIRST_AND_LAST,
	FIRST,
	LAST,
	FORMS,
};

/* Whatever is wanted lies in the body. */
static void check(const char *header, size_t size)
{
	size_t from, length;
	int r = range_parse(header, size, &from, &length);

	require(r == 0 || r == 1 || r == -ERANGE);
	require(r != 1 || (length > 0 && from < size && length <= size - from));
}

/* Against RFC 9110, section 14.1.2, word for word. */
static void compare(const struct numbers *numbers)
{
	uint64_t from = numbers->first, to = numbers->size - 1;
	bool outside = numbers->size == 0, none = false;
	size_t found = 0, length = 0;
	char header[64];
	int r;

	switch (numbers->form % FORMS) {
	case FIRST_AND_LAST:
		snprintf(header, sizeof(header), "bytes=%" PRIu64 "-%" PRIu64, numbers->first, numbers->last);
		none = numbers->last < numbers->first;
		to = numbers->last < to ? numbers->last : to;
		outside |= numbers->first >= numbers->size;
		break;
	case FIRST:
		snprintf(header, sizeof(header), "bytes=%" PRIu64 "-", numbers->first);
		outside |= numbers->first >= numbers->size;
		break;
	default:
		snprintf(header, sizeof(header), "bytes=-%" PRIu64, numbers->last);
		from = numbers->last < numbers->size ? numbers->size - numbers->last : 0;
		outside |= numbers->last == 0;
	}
	r = range_parse(header, numbers->size, &found, &length);
	require(r == (none ? 0 : outside ? -ERANGE : 1));
	require(r != 1 || (found == from && length == to - from + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = NULL;
	struct numbers numbers;

	if (size < sizeof(numbers))
		return 0;
	memcpy(&numbers, data, sizeof(numbers));
	compare(&numbers);
	text = strndup((const char *)data + sizeof(numbers), size - sizeof(numbers));
	check(text, numbers.size);
	return 0;
}
