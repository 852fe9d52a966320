// SPDX-License-Identifier: Apache-2.0
/* Inside driver_qemu: a virtual machine's config as QEMU's command line, and the files of its disks. */
#pragma once

#include "instances/items.h"
#include "instances/store.h"
#include "pty/targets/disk.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_QEMU "qemu-system-x86_64"
#define DRIVER_QEMU_MEMORY_MIN (UINT64_C(1) << 20) /* what QEMU counts in, too */

/* What the command line depends on besides the instance. */
struct driver_qemu_host {
	const char *qemu;      /* what to execute */
	const char *directory; /* the daemon's own, absolute */
	uint64_t memory_total;
	bool spice;       /* QEMU has it */
	const char *user; /* who QEMU becomes when all is open; NULL: it stays who it is */
	bool running;     /* QEMU runs already: this is for its next start, so that files are not looked at */
};

/*
 * Adds all words, raw.qemu's last; not those of the console and the monitors, which are the keeper's. Looks at the
 * files of disks, which must exist. -errno naming the key or device.
 */
int driver_qemu_arguments(const struct store_row *row, const struct driver_qemu_host *host, struct items *arguments,
			  struct error *error);

/* The file of a disk that is ours to make, to be freed by the caller. NULL: no memory. */
char *driver_qemu_image(const struct store_row *row, const char *directory);

/* --- driver_qemu_disk.c --- */

/*
 * Makes a raw disk of zeroes that takes no space, or lets it grow. `size` is rounded up to whole sectors. -EINVAL: it
 * would have to shrink; else what the disk says; with the reason.
 */
int disk_make(const char *path, uint64_t size, struct error *error);
