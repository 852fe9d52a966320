// SPDX-License-Identifier: Apache-2.0
#include "util/timestamp.h"

#include <stdio.h>
#include <time.h>

#define NANOSECONDS INT64_C(1000000000)

int64_t timestamp_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

void timestamp_format(int64_t timestamp, char text[static TIMESTAMP_LENGTH + 1])
{
	time_t seconds = (time_t)(timestamp / NANOSECONDS);
	struct tm parts;
	size_t used;

	gmtime_r(&seconds, &parts);
	used = strftime(text, TIMESTAMP_LENGTH + 1, "%Y-%m-%dT%H:%M:%S", &parts);
	if (timestamp % NANOSECONDS)
		snprintf(text + used, TIMESTAMP_LENGTH + 1 - used, ".%09dZ", (int)(timestamp % NANOSECONDS));
	else
		snprintf(text + used, TIMESTAMP_LENGTH + 1 - used, "Z");
}
