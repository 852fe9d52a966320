// SPDX-License-Identifier: Apache-2.0
/*
 * What a process of ours may do beyond what its user may: capabilities(7). Whoever execs as root has all of them again,
 * up to the bounding set, which is left as it is: the programs, containers and machines that root runs are to have what
 * root has.
 */
#pragma once

#include <stdint.h>

/* One of linux/capability.h as a bit of a set. */
#define PRIVILEGE(capability) (UINT64_C(1) << (capability))

/*
 * Keeps those of `set`, as far as they are there: permitted and effective; none are inheritable or ambient. Does
 * nothing for any user but root: if somebody has given those some, they have meant it. -errno.
 */
int privilege_keep(uint64_t set);

/* No core of this process is written and nobody of its user may look into it, until it executes another program. */
int privilege_hide(void);
