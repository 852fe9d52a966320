// SPDX-License-Identifier: Apache-2.0
#include "util/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int size_parse(const char *text, uint64_t *bytes)
{
	/* LXD's units (shared/units): 1000s for kB and so on, 1024s for KiB and so on. */
	static const struct {
		const char *suffix;
		uint64_t bytes;
	} units[] = {
		{"", 1},
		{"B", 1},
		{" bytes", 1},
		{"kB", UINT64_C(1000)},
		{"MB", UINT64_C(1000000)},
		{"GB", UINT64_C(1000000000)},
		{"TB", UINT64_C(1000000000000)},
		{"PB", UINT64_C(1000000000000000)},
		{"EB", UINT64_C(1000000000000000000)},
		{"KiB", UINT64_C(1) << 10},
		{"MiB", UINT64_C(1) << 20},
		{"GiB", UINT64_C(1) << 30},
		{"TiB", UINT64_C(1) << 40},
		{"PiB", UINT64_C(1) << 50},
		{"EiB", UINT64_C(1) << 60},
	};
	uint64_t number;
	char *suffix;

	if (*text < '0' || *text > '9') /* strtoull() would take blanks and signs */
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &suffix, 10);
	if (errno)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(suffix, units[i].suffix) == 0)
			return __builtin_mul_overflow(number, units[i].bytes, bytes) ? -EINVAL : 0;
	return -EINVAL;
}
