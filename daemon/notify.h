// SPDX-License-Identifier: Apache-2.0
/*
 * Tells the service manager how far we are (sd_notify(3)), where it wants to know: $NOTIFY_SOCKET. Never blocks; errors
 * are nobody's business but the manager's.
 */
#pragma once

/* We serve, on the socket at `path`. */
void notify_ready(const char *path);

/* We are about to end. */
void notify_stopping(void);
