// SPDX-License-Identifier: Apache-2.0
/* A config and devices from a request's JSON, and the same bytes as a size. What is refused has a reason. */
#include "instances/config.h"
#include "util/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(const char *text, size_t size)
{
	json_auto_t *json = json_loadb(text, size, JSON_DECODE_ANY, NULL);

	for (enum instance_type type = INSTANCE_CONTAINER; type <= INSTANCE_VIRTUAL_MACHINE; type++) {
		struct error error = {0};
		int r = config_check(type, json, &error);

		if ((r < 0) != (error.text[0] != '\0'))
			abort();
		error = (struct error){0};
		r = config_check_devices(type, json, &error);
		if ((r < 0) != (error.text[0] != '\0'))
			abort();
	}
	config_true(json, "boot.autostart");
}

/* A size that is understood is the same when it is written in bytes. */
static void check_size(const char *text)
{
	uint64_t bytes, again;
	char plain[32];

	if (config_parse_size(text, &bytes) < 0)
		return;
	snprintf(plain, sizeof(plain), "%" PRIu64, bytes);
	if (config_parse_size(plain, &again) < 0 || again != bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);

	check_document((const char *)data, size);
	check_size(text);
	return 0;
}
