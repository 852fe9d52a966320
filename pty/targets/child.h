// SPDX-License-Identifier: Apache-2.0
/* What keepers do with the children that they fork. */
#pragma once

#include <sys/types.h>

/* In the child: the keeper's signal handling is not its own. Nothing is ignored, caught or blocked afterwards. */
void child_reset_signals(void);

/* Its pidfd, or -errno: then it has been killed. */
int child_open_pidfd(pid_t pid);
