// SPDX-License-Identifier: Apache-2.0
/* What limits.memory and limits.cpu say, in LXD's forms. */
#pragma once

#include <sched.h>
#include <stdint.h>

#define LIMIT_CPUS_MAX (CPU_SETSIZE * 5) /* bytes of the longest list: "1023," each */

/* "512MiB", or a share of `total`, "50%". -EINVAL: neither, or nothing at all. */
int limit_parse_memory(const char *text, uint64_t total, uint64_t *bytes);

/*
 * "3" is how many CPUs (`*number`; 0: then it is a set); "0-1,3" are these, and so is "2-2". -EINVAL: neither, none, or
 * beyond what cpu_set_t holds.
 */
int limit_parse_cpus(const char *text, unsigned int *number, cpu_set_t *set);

/* Picks `number` of the CPUs in `from` (all, if there are fewer); where it begins depends on `name`. */
void limit_pick_cpus(const cpu_set_t *from, unsigned int number, const char *name, cpu_set_t *picked);

/* "0,1,3", as cpuset(7) takes it. */
void limit_format_cpus(const cpu_set_t *set, char text[static LIMIT_CPUS_MAX]);
