// SPDX-License-Identifier: Apache-2.0
/*
 * All of a crowd are one process: as many as there are readers would fight over the cores, which is not what is to be
 * measured.
 */
#include "tests/bench/bench.h"

#include <err.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void watch_fd(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* Until `stop` has no writer any more, and there is nothing to read. */
static _Noreturn void read_all(int epoll, int stop)
{
	struct epoll_event events[64];
	char data[LINK_BUFFER];
	bool stopping = false;
	int count;

	while ((count = epoll_wait(epoll, events, 64, stopping ? 0 : -1)) > 0) {
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != stop) {
				if (read(events[i].data.fd, data, sizeof(data)) <= 0)
					_exit(1);
				continue;
			}
			stopping = true;
			epoll_ctl(epoll, EPOLL_CTL_DEL, stop, NULL);
		}
	}
	_exit(count < 0);
}

void crowd_start(struct crowd *crowd, const int *fds, size_t count)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), ends[2];

	if (epoll < 0 || pipe(ends) < 0)
		err(1, NULL);
	watch_fd(epoll, ends[0]);
	for (size_t i = 0; i < count; i++)
		watch_fd(epoll, fds[i]);
	crowd->pid = fork();
	if (crowd->pid < 0)
		err(1, "fork");
	if (crowd->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1]);
		read_all(epoll, ends[0]);
	}
	close(epoll);
	close(ends[0]);
	crowd->stop = ends[1];
}

void crowd_stop(struct crowd *crowd)
{
	int status;

	close(crowd->stop);
	if (waitpid(crowd->pid, &status, 0) < 0 || status != 0)
		errx(1, "a reader's connection has ended");
}
