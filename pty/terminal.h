// SPDX-License-Identifier: Apache-2.0
/* Pseudo-terminals (pty(7)). Nothing here blocks. */
#pragma once

#include <stdint.h>

/* Opens a PTY (0: of 80x24) and returns its master, close-on-exec and non-blocking, or -errno. No slave is open then.
 */
int terminal_open(uint16_t width, uint16_t height);

/*
 * Opens the slave of `master` as it is, without becoming its session (TIOCGPTPEER: needs no /dev/pts): a holder keeps
 * the master from reporting a hang-up while others close and reopen it. Returns the slave or -errno.
 */
int terminal_hold_slave(int master);
