// SPDX-License-Identifier: Apache-2.0
/* What an instance's processes use. Asks the kernel only: nothing here waits for a guest. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct usage {
	int64_t memory; /* bytes */
	int64_t memory_peak;
	int64_t swap;
	int64_t swap_peak;
	int64_t cpu; /* nanoseconds */
	int64_t processes;
};

/*
 * What a process and all its descendants use, from proc(5): memory is what is resident, its peak that of the first
 * process alone (the kernel keeps no more), cpu that of those that live. At most 1,024 are looked at; those that end
 * meanwhile are left out.
 */
void usage_of(pid_t pid, struct usage *usage);

/*
 * What the container with this init uses, as its control groups have it (and LXD tells it: memory includes the page
 * cache, processes are threads); what they do not count is added up as above.
 */
void usage_of_container(pid_t pid, struct usage *usage);
