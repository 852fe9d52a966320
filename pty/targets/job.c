// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/job.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS 7
#define JOB_REPORT_MIN 4 /* those below it are the job's to use */

static void find_descriptors(struct foreign *found, int *descriptors[static DESCRIPTORS])
{
	int *all[DESCRIPTORS] = {&found->init_pidfd, &found->monitor_pidfd, &found->master, &found->history,
				 &found->output,     &found->ready,         &found->slot};

	memcpy(descriptors, all, sizeof(all));
}

/* --- the child's side --- */

static void become_job(pid_t keeper, void (*work)(struct keeper *keeper, int report), struct keeper *target, int report)
{
	signal(SIGCHLD, SIG_DFL); /* liblxc waits for children */
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == keeper)
		work(target, report);
	_exit(0);
}

/* In the message, a descriptor is its place among those that come along; two that are one have one place. */
void job_tell(int report, const struct job_report *message)
{
	char control[CMSG_SPACE(sizeof(int[DESCRIPTORS]))] = {0};
	struct job_report copy = *message;
	struct iovec part = {&copy, sizeof(copy)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *rights = (struct cmsghdr *)control;
	int *all[DESCRIPTORS], sent[DESCRIPTORS], count = 0;

	find_descriptors(&copy.found, all);
	for (int i = 0; i < DESCRIPTORS; i++) {
		int place = 0;

		if (*all[i] < 0)
			continue;
		while (place < count && sent[place] != *all[i])
			place++;
		if (place == count)
			sent[count++] = *all[i];
		*all[i] = place;
	}
	if (count > 0) {
		size_t size = sizeof(int) * (size_t)count;

		*rights =
			(struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
		memcpy(CMSG_DATA(rights), sent, size);
		header.msg_controllen = CMSG_SPACE(size);
	}
	sendmsg(report, &header, MSG_NOSIGNAL);
}

/* --- the keeper's --- */

int job_start(struct job *job, void (*work)(struct keeper *keeper, int report), struct keeper *keeper)
{
	cleanup_close int ours = -1, theirs = -1;
	pid_t self = getpid(), pid;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	ours = ends[0];
	theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, JOB_REPORT_MIN);
	close(ends[1]);
	if (theirs < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(ours); /* or it would never see its own end */
		become_job(self, work, keeper, theirs);
	}
	job->pid = pid;
	job->pidfd = pidfd_open(pid, 0); /* -1: it has ended already; `report` tells */
	return move_fd(&ours);
}

static int take_descriptors(struct msghdr *header, struct foreign *found)
{
	struct cmsghdr *rights = CMSG_FIRSTHDR(header);
	int *all[DESCRIPTORS], received[DESCRIPTORS], count = 0;

	if (rights) {
		count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(received, CMSG_DATA(rights), sizeof(int) * (size_t)count);
	}
	find_descriptors(found, all);
	for (int i = 0; i < DESCRIPTORS; i++)
		if (*all[i] >= 0)
			*all[i] = *all[i] < count ? received[*all[i]] : -1;
	return header->msg_flags & MSG_CTRUNC ? -EMFILE : 0;
}

int job_hear(int report, struct job_report *message)
{
	char control[CMSG_SPACE(sizeof(int[DESCRIPTORS]))];
	struct iovec part = {message, sizeof(*message)};
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(report, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int r;

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (length != (ssize_t)sizeof(*message)) {
		*message = JOB_REPORT_NONE;
		error_set(&message->error, -ETIMEDOUT, "liblxc did not answer");
		return 0;
	}
	r = take_descriptors(&header, &message->found);
	if (r < 0 && message->error.code == 0)
		error_set(&message->error, r, "%s", strerror(-r));
	return 0;
}

void job_finish(struct job *job)
{
	if (job->pidfd >= 0)
		pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0);
	close_fd(&job->pidfd);
	job->pid = 0;
}
