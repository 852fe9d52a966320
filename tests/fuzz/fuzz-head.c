// SPDX-License-Identifier: Apache-2.0
#include "daemon/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Judges all and, in a copy of its own, a part: a verdict must not change with what comes behind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t part = size ? size - data[0] % size : 0;
	char *bytes = malloc(part + 1);
	struct head head;
	enum head_verdict early, late;

	if (!bytes)
		return 0;
	memcpy(bytes, data, part);
	early = head_parse(bytes, part, &head);
	if (early == HEAD_UPGRADE && (head.target < bytes || head.target + head.target_length >= bytes + part ||
				      !head.target_length || memchr(head.target, 0, head.target_length)))
		abort();
	late = head_parse((const char *)data, size, &head);
	if (early != HEAD_INCOMPLETE && late != early)
		abort();
	free(bytes);
	return 0;
}
