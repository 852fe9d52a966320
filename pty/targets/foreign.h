// SPDX-License-Identifier: Apache-2.0
/*
 * Taking on a container that runs already: somebody else has started it, or the keeper and the daemon that did are both
 * gone. Finds its console and the best there is of the console's output, in this order:
 *
 * - ours: the console is on a PTY that a keeper made, and the monitor holds its master as descriptor 3. All there is.
 * - log file (lxc.console.logfile without lxc.console.size): followed. Exact, and the console's slot stays free.
 * - the console's slot, if it is free: taken. Exact from now on, and what lxc.console.buffer.size has kept before it.
 * - otherwise what lxc.console.buffer.size has kept, and no more.
 *
 * Letting go is closing the descriptors, also by dying: the container goes on and the slot is free again.
 *
 * liblxc makes a new console for each boot, so unless `ours`, take it again when `init_pidfd` fires and the monitor
 * lives; a log file goes on at the same position. A container that boots again while somebody has its slot (also
 * lxc-console(1)) does not come up again: a fault of liblxc 5.0.2.
 */
#pragma once

#include "pty/targets/container.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What was found. Descriptors are the owner's, close-on-exec; -1 = none. Two may be the same number: one descriptor. */
struct foreign {
	pid_t init, monitor;
	int init_pidfd, monitor_pidfd;
	/*
	 * Takes input and TIOCSWINSZ, without blocking; see terminal_open(). -1: the container has no console. Unless
	 * `ours`, there is nothing to read and it leads to the console of this boot only, by relay.h's process.
	 */
	int master;
	int history; /* a memfd: the output before `output`, from its beginning to its end */
	int output;
	int ready; /* is readable when `output` has more: `output` itself, or of a file an inotify(7) */
	int slot;  /* nothing to read or write: the console's slot is ours as long as it is open */
	enum console_output kind;
	bool ours;         /* output == master; hold a slave of it, or each reboot looks like the end */
	bool file;         /* `output` is a log file, to be read from its descriptor's position: */
	uint64_t position; /* the position it was given here */
};

/* What the log has already. All zero but `position`: nothing. */
struct foreign_past {
	uint64_t room;    /* so many of a log file's last bytes are worth having */
	int64_t position; /* a log file is known up to here, and `room` means nothing; -1: it is not known */
	/*
	 * The last bytes of the log, more than liblxc keeps (lxc.console.buffer.size) if possible: what the history
	 * begins with and the log ends with is left out. liblxc gives only what it has not given before, so after a
	 * keeper's death that is what this keeper had read from the slot.
	 */
	const void *tail;
	size_t tail_length;
};

/*
 * Looks at `container` (name and path; the rest means nothing) and takes it on. 0; -ESRCH: it does not run, or
 * is between two boots; other -errno in words.
 *
 * Blocks: it asks the container's monitor, which may be hung by one who holds the console's slot and does not read.
 * (Where that one is dead, the monitor is freed.) So run it in a process of its own, and kill that after some seconds:
 * nothing is left behind.
 */
int foreign_take(const struct console_container *container, const struct foreign_past *past, struct foreign *foreign,
		 struct error *error);

/* Closes what is open. */
void foreign_finish(struct foreign *foreign);
