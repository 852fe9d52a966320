// SPDX-License-Identifier: Apache-2.0
/* Socket activation: the service manager makes the socket, and keeps it while there is no daemon (sd_listen_fds(3)). */
#pragma once

#include "util/error.h"

#include <limits.h>

/*
 * The socket that was passed to us: its descriptor, the caller's, nonblocking and close-on-exec, and its `path`.
 * 0: none was. -EINVAL with the reason: more than one, no listening unix stream socket, or one that everybody may
 * connect to. Takes the variables out of the environment, so nobody else believes to be meant.
 */
int activation_take(char path[static PATH_MAX], struct error *error);
