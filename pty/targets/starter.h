// SPDX-License-Identifier: Apache-2.0
/*
 * A keeper of programs is confined: it can start nothing and signal nobody. Its starter can, and does nothing else. The
 * keeper forks it before it confines itself, and asks it by a socket; it ends with the keeper, of whatever that dies.
 *
 *     daemon ---- keeper (confined; reads what the program prints)
 *                   |  \___________ program (the keeper's child, but not confined)
 *                   | socket      /
 *                 starter -------'  clone(CLONE_PARENT)
 *
 * It never sees a byte of the program's, and takes nothing but verbs from the keeper: what is to be started it has from
 * the daemon, at first as the keeper had it when it was not confined yet, later by the file run/NAME/target.
 */
#pragma once

#include "pty/keeper.h"

enum starter_signals {
	STARTER_HANG_UP,
	STARTER_END,
	STARTER_KILL,
	STARTER_FREEZE,
	STARTER_THAW,
	STARTER_SIGNALS,
};

/*
 * Forks the starter of what `keeper` keeps, and has just started or adopted. Returns the socket, which can be read when
 * the starter has died; -errno.
 */
int starter_create(struct keeper *keeper, const struct console_program *program);

/*
 * The following wait for the starter's answer, which takes as long as a fork, or a look at all of /proc. -EPIPE: it has
 * died.
 */

/*
 * Starts the program: its pid (a child of the keeper), its pidfd, and in `*report` what program_result() reads; or
 * -errno.
 */
int starter_start(int starter, int *pidfd, int *report);

/*
 * Signals the session of the program that was started or adopted last; to the program alone if it is `alive` and has
 * none yet. Returns how many processes have got the signals, or -errno.
 */
int starter_signal(int starter, enum starter_signals signals, bool alive);
