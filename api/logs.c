// SPDX-License-Identifier: Apache-2.0
#include "api/handlers.h"
#include "instances/instance.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOG_NAME "lxc.log" /* what `lxc info --show-log` asks for */

/* The one log there is of a program: its boots, from the console's ring. */
static int write_boots(const struct instance *instance, char **text, size_t *length)
{
	struct ring_boot boots[64];
	size_t count = ring_boots(console_ring(instance->console), boots, 64);
	char when[TIMESTAMP_LENGTH + 1];
	FILE *out = open_memstream(text, length);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		timestamp_format(boots[i].time, when);
		fprintf(out, "%s boot %u begins at byte %" PRIu64 " of the console\n", when, boots[i].number,
			boots[i].offset);
	}
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

int log_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	char *text = NULL;
	size_t length;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	if (strcmp(request->parameters[1], LOG_NAME) != 0)
		return error_set(error, -EINVAL, "log file name %s not valid", request->parameters[1]);
	r = write_boots(instance, &text, &length);
	if (r == 0)
		r = response_bytes(response, "application/octet-stream", text, length);
	return r < 0 ? r : response_header(response, "Content-Disposition", "inline;filename=" LOG_NAME);
}

int logs_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	char url[160];
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	snprintf(url, sizeof(url), "%s/%s/logs/" LOG_NAME, collection_of(request), instance->row.name);
	return response_sync(response, json_pack("[s]", url));
}
