// SPDX-License-Identifier: Apache-2.0
/* A process that has these bytes for a name. It is counted all the same. */
#include "instances/usage.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 15 /* prctl(2) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct usage honest, odd;
	char name[NAME_MAX_LENGTH + 1] = "";

	memcpy(name, data, size < NAME_MAX_LENGTH ? size : NAME_MAX_LENGTH);
	prctl(PR_SET_NAME, "fuzz-usage");
	usage_of(getpid(), &honest);
	prctl(PR_SET_NAME, name);
	usage_of(getpid(), &odd);
	require(odd.processes == honest.processes && odd.cpu >= honest.cpu &&
		odd.memory > 0); /* libFuzzer may have a child */
	return 0;
}
