// SPDX-License-Identifier: Apache-2.0
/* What a process and all its descendants use, from /proc (proc(5)). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct usage {
	int64_t memory;      /* resident bytes */
	int64_t memory_peak; /* of the first process alone: the kernel keeps no more */
	int64_t swap;
	int64_t cpu; /* nanoseconds, of those that live */
	unsigned int processes;
};

/* Adds up; processes that end meanwhile are left out. At most 1,024 are looked at. */
void usage_of(pid_t pid, struct usage *usage);
