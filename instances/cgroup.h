// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel counts for a container in its control groups (cgroups(7)), where liblxc puts it: in a group
 * lxc.payload.NAME of each hierarchy, of version 1, of version 2, or some of each.
 */
#pragma once

struct usage;

/* Where liblxc expects the hierarchies, and so do we. */
#define CGROUP_ROOT "/sys/fs/cgroup"

/*
 * Fills in what is counted for the container whose init is `process`, a directory of proc(5); `root` is CGROUP_ROOT.
 * Memory, cpu and processes that nothing counts for this container alone are -1; peaks and swap are 0 then.
 */
void cgroup_usage(int process, int root, struct usage *usage);

/* Whether that container stands still: 1 yes, 0 no; -1: just between the two, or nothing says so. */
int cgroup_frozen(int process, int root);
