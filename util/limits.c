// SPDX-License-Identifier: Apache-2.0
#include "util/limits.h"

#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum unit {
	NUMBER,
	SECONDS,
	SIZE,
};

/*
 * The least is what no client can work without. The most is what a 64-bit process can do, or what something else sets
 * an end to: libmicrohttpd's memory for a head, the screen's own scrollback.
 */
static const struct row {
	const char *key, *otherwise;
	size_t offset;
	enum unit unit;
	uint64_t least, most;
} rows[] = {
#define ROW(name, otherwise, unit, least, most)                                              \
	{                                                                                    \
		"limits." #name, otherwise, offsetof(struct limits, name), unit, least, most \
	}
	ROW(answers_size, "128MiB", SIZE, MIB, 1024 * GIB),
	ROW(bodies_size, "32MiB", SIZE, MIB, 1024 * GIB),
	ROW(body_size, "1MiB", SIZE, 4 * KIB, 64 * MIB),
	ROW(body_timeout, "60", SECONDS, 1, 86400),
	ROW(channels, "64", NUMBER, 1, 1024),
	ROW(connections, "8192", NUMBER, 16, 1000000),
	ROW(connections_per_user, "6144", NUMBER, 16, 1000000),
	ROW(control_size, "4KiB", SIZE, 256, 64 * KIB),
	ROW(database_size, "256MiB", SIZE, MIB, 1024 * GIB),
	ROW(drawings, "16", NUMBER, 1, 1024),
	ROW(event_listeners, "1024", NUMBER, 1, 1000000),
	ROW(event_queue_size, "256KiB", SIZE, 64 * KIB, 64 * MIB),
	ROW(head_size, "30KiB", SIZE, KIB, 30 * KIB),
	ROW(head_timeout, "10", SECONDS, 1, 86400),
	ROW(history, "1000", NUMBER, 1, 1000000),
	ROW(idle_timeout, "30", SECONDS, 1, 86400),
	ROW(incomplete_heads, "1024", NUMBER, 1, 1000000),
	ROW(inputs, "64", NUMBER, 1, 65536),
	ROW(instances, "10000", NUMBER, 0, 1000000),
	ROW(message_size, "64MiB", SIZE, 64 * KIB, 1024 * GIB),
	ROW(operations, "4096", NUMBER, 16, 1000000),
	ROW(pending_sessions, "32", NUMBER, 1, 65536),
	ROW(screens, "64", NUMBER, 1, 65536),
	ROW(screenshots, "4", NUMBER, 1, 64),
	ROW(scrollback, "1000", NUMBER, 0, 10000),
	ROW(sessions, "256", NUMBER, 1, 65536),
	ROW(waits, "1024", NUMBER, 1, 1000000),
	ROW(waits_per_instance, "256", NUMBER, 1, 1000000),
#undef ROW
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *find(const char *key)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

static int parse(enum unit unit, const char *value, uint64_t *number)
{
	if (unit != SIZE && value[strspn(value, "0123456789")])
		return -EINVAL;
	return size_parse(value, number);
}

const char *limits_key(unsigned int i)
{
	return i < ROWS ? rows[i].key : NULL;
}

const char *limits_default(const char *key)
{
	const struct row *row = find(key);

	return row ? row->otherwise : NULL;
}

int limits_check(const char *key, const char *value, struct error *error)
{
	static const char *const units[] = {[NUMBER] = "", [SECONDS] = " seconds", [SIZE] = " bytes"};
	const struct row *row = find(key);
	uint64_t number;

	if (!row)
		return error_set(error, -EINVAL, "unknown key");
	if (parse(row->unit, value, &number) == 0 && number >= row->least && number <= row->most)
		return 0;
	return error_set(error, -EINVAL, "from %" PRIu64 " to %" PRIu64 "%s, such as %s", row->least, row->most,
			 units[row->unit], row->otherwise);
}

void limits_set(struct limits *limits, const char *key, const char *value)
{
	const struct row *row = find(key);

	parse(row->unit, value, (uint64_t *)((char *)limits + row->offset));
}

void limits_init(struct limits *limits)
{
	for (size_t i = 0; i < ROWS; i++)
		limits_set(limits, rows[i].key, rows[i].otherwise);
}
