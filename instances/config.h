// SPDX-License-Identifier: Apache-2.0
/*
 * The config keys of an instance: one table says which exist, for which type, and what they may hold. Unknown keys are
 * refused by name (LXD's words: Unknown configuration key: bogus.key).
 */
#pragma once

#include "instances/store.h"
#include "util/error.h"

#include <jansson.h>

/*
 * Checks a whole config, {string: string}. -EINVAL naming the key: `Unknown configuration key: x`, or what is wrong
 * with its value (process.command: unfinished quote ...; process.restart: one of no, on-failure, always;
 * process.directory: an absolute path; process.user: name or number, known to this machine; console.buffer.size: a size
 * such as 1MiB, a power of two from 64KiB to 64MiB; environment.NAME: a name without '='; boot.autostart,
 * security.privileged: true or false; limits.memory: a size, or 1% to 100%; limits.cpu: a number, or a set such as
 * 0-1,3; raw.lxc: see raw_lxc.h; raw.qemu: see raw_qemu.h; consoled.accel: one of auto, kvm, tcg; consoled.viewers: one
 * of one, many; serial.device: an absolute path; serial.speed, serial.flow: see driver_serial.h). user.* and volatile.*
 * hold anything.
 */
int config_check(enum instance_type type, const json_t *config, struct error *error);

/* Checks devices, {string: {string: string}}: each as device_check() does, and no more than one root disk. -EINVAL. */
int config_check_devices(enum instance_type type, const json_t *devices, struct error *error);
