// SPDX-License-Identifier: Apache-2.0
/*
 * A PTY of our own for input to one that somebody else holds the master of.
 *
 * A descriptor taken from another process shares its O_NONBLOCK: liblxc 5 wants its end of a console to block (a read
 * that gives EAGAIN ends the container), and we must never block. So a small process stands between: what is written
 * to the relay's master it writes to the other one, and a TIOCSWINSZ there it repeats.
 */
#pragma once

/*
 * Starts the process, a child of nobody who waits for it (of the nearest subreaper); it ends when all descriptors of
 * the returned master are closed, or with the process of `owner`, a pidfd. `target`, the other master, and `owner` stay
 * the caller's. Returns the relay's master (see
 * terminal_open(); of the same size; there is never anything to read), or -errno. Blocks for two forks.
 */
int relay_start(int target, int owner);
