// SPDX-License-Identifier: Apache-2.0
/* What fuzz targets share. A property that does not hold ends the program, which libFuzzer reports with its input. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool condition)
{
	if (!condition)
		abort();
}

static char fuzz_place[32]; /* atexit(3) takes no argument */

static void fuzz_leave(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", fuzz_place);
	if (system(command) != 0)
		perror(fuzz_place);
}

/* A directory in memory, for targets that read files. It goes when the program ends of itself. */
static inline const char *fuzz_directory(void)
{
	if (!fuzz_place[0]) {
		snprintf(fuzz_place, sizeof(fuzz_place), "/dev/shm/fuzz-XXXXXX");
		require(mkdtemp(fuzz_place) && atexit(fuzz_leave) == 0);
	}
	return fuzz_place;
}
