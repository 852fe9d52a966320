// SPDX-License-Identifier: Apache-2.0
/* Whether KVM is of use to QEMU on this machine. That /dev/kvm is there does not tell: nested, it may do all by hand.
 */
#pragma once

/*
 * For the process that is about to become QEMU: puts "kvm" or "tcg" in place of "auto" behind "-accel" in `argv`, and
 * tells stderr which and why in a line that begins with ACCEL_PREFIX. Without "-accel auto" it does nothing.
 *
 * Where `device` (ACCEL_DEVICE) can be opened, QEMU (argv[0]) is given 5,000,000 turns of a loop to run on it: some
 * milliseconds of work, for which it has one second of the processor. Blocks until that is over, 5 s at most: less than
 * that, and the machine was too busy to tell. The verdict is kept in the file `cache`, one for all machines, until the
 * host boots again; who finds it locked waits for the one that is trying. The trial ends with the caller.
 */
void accel_resolve(char **argv, const char *device, const char *cache);

#define ACCEL_DEVICE "/dev/kvm"
#define ACCEL_PREFIX "consoled: "
