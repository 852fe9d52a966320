// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target that is taken has a path from '/', and every name in it can be asked for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *target = strndup((const char *)data, size);
	struct request request = {0};
	size_t i;

	if (!target)
		return 0;
	if (request_set_target(&request, target) == 0) {
		if (request.path[0] != '/' || strpbrk(request.path, "? ") || request.query_count > REQUEST_QUERY_MAX)
			abort();
		for (i = 0; i < request.query_count; i++)
			if (!request_query(&request, request.query[i].name) ||
			    strlen(request.query[i].value) > strlen(target))
				abort();
	}
	request_finish(&request);
	request_decode(target);
	free(target);
	return 0;
}
