// SPDX-License-Identifier: Apache-2.0
/*
 * Connections to the sockets in a machine's private directory. QEMU, whose directory it is as well, cannot send us
 * elsewhere by a link in the place of its socket; and the path is short, whatever the directory.
 */
#pragma once

/* The socket file itself: a descriptor that is good for local_connect() alone. -errno. */
int local_open(int directory, const char *name);

/*
 * A non-blocking stream connection to the socket `file`. -EAGAIN: its backlog is full, and the kernel does not tell
 * when it no longer is. -ECONNREFUSED: nobody listens. -errno.
 */
int local_connect(int file);
