// SPDX-License-Identifier: Apache-2.0
/* Tells the service manager how far we are (sd_notify(3)), where it wants to know: $NOTIFY_SOCKET. */
#pragma once

/* `state` is "READY=1", "STOPPING=1". Never blocks; errors are nobody's business but the manager's. */
void notify(const char *state);
