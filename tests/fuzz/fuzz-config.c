// SPDX-License-Identifier: Apache-2.0
/*
 * A config and devices from a request's JSON, and the same bytes as a size, as a set of CPUs, as raw.lxc and as
 * raw.qemu. What is refused has a reason.
 */
#include "instances/config.h"
#include "instances/limit.h"
#include "instances/raw_lxc.h"
#include "instances/raw_qemu.h"
#include "instances/value.h"
#include "util/cleanup.h"
#include "util/size.h"

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
	value_true(json, "boot.autostart");
}

/* A size that is understood is the same when it is written in bytes. */
static void check_size(const char *text)
{
	uint64_t bytes, again;
	char plain[32];

	if (size_parse(text, &bytes) < 0)
		return;
	snprintf(plain, sizeof(plain), "%" PRIu64, bytes);
	if (size_parse(plain, &again) < 0 || again != bytes)
		abort();
}

/* A set that is understood is the same when it is written as a list; one CPU alone would be a number. */
static void check_cpus(const char *text)
{
	char list[LIMIT_CPUS_MAX];
	unsigned int number;
	cpu_set_t set, again;

	if (limit_parse_cpus(text, &number, &set) < 0 || number > 0 || CPU_COUNT(&set) == 1)
		return;
	limit_format_cpus(&set, list);
	if (limit_parse_cpus(list, &number, &again) < 0 || number > 0 || !CPU_EQUAL(&set, &again))
		abort();
}

/* What is passed on is what a second reading of it gives, and has nothing of the console. */
static void check_raw_lxc(const char *text)
{
	struct items items = {0};
	struct error error = {0};
	int r = raw_lxc_parse(text, &items, &error);

	if ((r < 0) != (error.text[0] != '\0'))
		abort();
	for (size_t i = 0; i < items.count; i++) {
		const char *item = items.list[i];
		size_t key = strcspn(item, "=");

		if (strncmp(item, "lxc.", 4) != 0 || item[key] != '=' || item[key - 1] == ' ' || strchr(item, '\n') ||
		    strncmp(item, "lxc.console.", 12) == 0 || strncmp(item, "lxc.log.file=", 13) == 0)
			abort();
	}
	items_finish(&items);
}

/* Nothing that is passed on is an option that takes the console or the display. */
static void check_raw_qemu(const char *text)
{
	static const char *const ours[] = {"serial", "nographic", "display", "spice", "daemonize", "pidfile", "S"};
	cleanup_free char **words = NULL;
	struct error error = {0};
	int r = raw_qemu_split(text, &words, &error);

	if ((r < 0) != (error.text[0] != '\0') || (r < 0) != !words)
		abort();
	for (size_t i = 0; r == 0 && i < sizeof(ours) / sizeof(ours[0]); i++)
		if (raw_qemu_has(words, ours[i]))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);

	check_document((const char *)data, size);
	check_size(text);
	check_cpus(text);
	check_raw_lxc(text);
	check_raw_qemu(text);
	return 0;
}
