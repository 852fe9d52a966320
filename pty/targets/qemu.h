// SPDX-License-Identifier: Apache-2.0
/*
 * QEMU as a process, and what it and its keeper have in run/NAME (`directory` below), its working directory:
 *
 *     console.out, console.in   FIFOs: the machine's first serial port
 *     keeper.qmp, qmp           its monitors (QMP, one client at a time): the keeper's, and one for the daemon
 *     qemu.pid
 *     spice                     if it was told to make one of that name
 *
 * FIFOs and listening sockets are there before QEMU is. It holds both ends of both FIFOs open: what it writes waits for
 * whoever reads next, nobody's death hangs anything up, and the end of file comes exactly when it ends. Nothing here
 * blocks.
 */
#pragma once

#include "pty/targets/machine.h"
#include "util/error.h"

#include <sys/types.h>

/* Makes FIFOs in place of those that are there. -errno. */
int qemu_make_fifos(int directory);

/* Opens our ends, non-blocking. -errno: nothing is open. */
int qemu_open_fifos(int directory, int *output, int *input);

/*
 * Starts QEMU between the FIFOs. Returns its pid, its pidfd in `*pidfd`, and a connection to the keeper's monitor in
 * `*monitor`, whose first answer tells that it has started; or -errno. That it ends instead shows at the monitor: then
 * qemu_last_words() knows why.
 */
pid_t qemu_spawn(int directory, const struct console_machine *machine, int *pidfd, int *monitor);

/* Connects to the keeper's monitor; QEMU answers when it has noticed the last keeper's end. -errno. */
int qemu_connect(int directory);

/* Finds the QEMU that runs in the directory. Returns its pidfd, or -ESRCH. */
int qemu_find(int directory, pid_t *pid);

/* Why it has ended, from its log. */
void qemu_last_words(const struct console_machine *machine, struct error *error);

/* Removes what a QEMU that has ended had in the directory. */
void qemu_remove_files(int directory);
