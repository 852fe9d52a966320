// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/child.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/pidfd.h>

void child_reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* fails for SIGKILL, SIGSTOP and the C library's own: nothing to reset */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int child_open_pidfd(pid_t pid)
{
	int fd = pidfd_open(pid, 0), error = errno;

	if (fd >= 0)
		return fd;
	kill(pid, SIGKILL);
	return -error;
}
