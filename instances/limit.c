// SPDX-License-Identifier: Apache-2.0
#include "instances/limit.h"
#include "instances/value.h"
#include "util/size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char *text, const char **after, unsigned long *number)
{
	char *end;

	if (*text < '0' || *text > '9') /* strtoul() would take blanks and signs */
		return false;
	*number = strtoul(text, &end, 10); /* what does not fit becomes the largest of all */
	*after = end;
	return true;
}

int limit_parse_memory(const char *text, uint64_t total, uint64_t *bytes)
{
	const char *after;
	unsigned long percent;

	if (parse_number(text, &after, &percent) && strcmp(after, "%") == 0) {
		if (percent == 0 || percent > 100)
			return -EINVAL;
		*bytes = total / 100 * percent;
		return 0;
	}
	return size_parse(text, bytes) == 0 && *bytes > 0 ? 0 : -EINVAL;
}

int limit_parse_cpus(const char *text, unsigned int *number, cpu_set_t *set)
{
	const char *at = text;
	unsigned long first, last;

	*number = 0;
	CPU_ZERO(set);
	for (;; at++) {
		if (!parse_number(at, &at, &first))
			return -EINVAL;
		if (*at == '\0' && !memchr(text, ',', (size_t)(at - text))) {
			*number = first < CPU_SETSIZE ? (unsigned int)first : CPU_SETSIZE;
			return first > 0 ? 0 : -EINVAL;
		}
		last = first;
		if (*at == '-' && !parse_number(at + 1, &at, &last))
			return -EINVAL;
		if (first > last || last >= CPU_SETSIZE)
			return -EINVAL;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, set);
		if (*at != ',')
			return *at == '\0' ? 0 : -EINVAL;
	}
}

/* FNV-1a. */
static uint32_t hash(const char *text)
{
	uint32_t value = 2166136261;

	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * 16777619;
	return value;
}

void limit_pick_cpus(const cpu_set_t *from, unsigned int number, const char *name, cpu_set_t *picked)
{
	unsigned int count = (unsigned int)CPU_COUNT(from), at = 0;
	unsigned int begin;

	CPU_ZERO(picked);
	if (count == 0)
		return;
	begin = hash(name) % count;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, from) && (at++ + count - begin) % count < number)
			CPU_SET(cpu, picked);
}

void limit_format_cpus(const cpu_set_t *set, char text[static LIMIT_CPUS_MAX])
{
	size_t length = 0;

	*text = '\0';
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set))
			length += (size_t)snprintf(text + length, LIMIT_CPUS_MAX - length, "%s%u", length ? "," : "",
						   cpu);
}
