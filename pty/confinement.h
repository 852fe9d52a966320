// SPDX-License-Identifier: Apache-2.0
/*
 * What is left of a keeper's rights once it only has its loop to run: few capabilities, no_new_privs, and a seccomp(2)
 * filter with a list of system calls. The list is that of the loop common to all keepers, and what a target adds.
 *
 * Another call fails with EPERM and is noted in the kernel's log: a C library that takes another way one day, which our
 * lists cannot know, must not end keepers, the fifth of which takes its instance along (see DEATHS_MAX). But one that
 * no library makes by itself (a program to be executed, a socket, ptrace(2), a module) ends the keeper at once:
 * somebody else is at work in it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct confinement {
	uint64_t privileges;           /* capabilities to keep, see util/privilege.h */
	const int *calls;              /* numbers (SYS_...) added to the common ones; ended by -1 */
	const unsigned long *requests; /* for ioctl(2); ended by 0 */
};

/*
 * Confines this process and all that it starts from now on, for ever; without a filter where the kernel has none.
 * -errno: it is not, or not quite.
 */
int confine(const struct confinement *confinement);
