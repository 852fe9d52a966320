// SPDX-License-Identifier: Apache-2.0
/* The socket that the monitor of a running LXC container answers liblxc's commands on. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Its address, an abstract one (unix(7)), for the container `name` below the lxcpath `path`: PATH/NAME/command, or
 * where that does not fit lxc/HASH/command, as liblxc 5.0 has it. Returns the address' length.
 */
socklen_t command_address(const char *path, const char *name, struct sockaddr_un *address);
