// SPDX-License-Identifier: Apache-2.0
/* The file of a virtual machine's disk, as far as it matters what is in it. */
#pragma once

#include "util/error.h"

#include <stdbool.h>

enum disk_format {
	DISK_RAW,
	DISK_QCOW2,
	DISK_QCOW2_BACKED, /* the file names others that it needs */
};

/*
 * Looks at the file of a disk: qcow2 by its first bytes, raw otherwise. Those of a raw disk are the guest's to write,
 * and with a header of its own making it could have QEMU open any file of the machine at its next start; so a qcow2
 * that names others is only taken for one if its name ends with .qcow2, and refused otherwise. `*block`: it is a block
 * device. -errno with the reason, naming the path.
 */
int disk_examine(const char *path, enum disk_format *format, bool *block, struct error *error);
