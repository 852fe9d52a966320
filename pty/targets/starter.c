// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/starter.h"
#include "pty/pack.h"
#include "pty/target_file.h"
#include "util/cleanup.h"
#include "util/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/*
 * For a program of any user, in whatever directory: its terminal and its identity, its place, its signals. A program of
 * root's gets all of root's as it is executed.
 */
#define PRIVILEGES                                                                                      \
	(PRIVILEGE(CAP_CHOWN) | PRIVILEGE(CAP_FOWNER) | PRIVILEGE(CAP_SETUID) | PRIVILEGE(CAP_SETGID) | \
	 PRIVILEGE(CAP_DAC_OVERRIDE) | PRIVILEGE(CAP_KILL))

static const int signals_of[STARTER_SIGNALS][4] = {
	[STARTER_HANG_UP] = {SIGHUP, SIGCONT, 0},
	[STARTER_END] = {SIGHUP, SIGTERM, SIGCONT, 0},
	[STARTER_KILL] = {SIGKILL, 0},
	[STARTER_FREEZE] = {SIGSTOP, 0},
	[STARTER_THAW] = {SIGCONT, 0},
};

struct request {
	uint32_t start; /* or else: */
	uint32_t signals, alive;
};

/* Beside it come the descriptors of a program that was started. */
struct reply {
	int32_t result;
};

enum descriptor {
	STARTED_PIDFD,
	STARTED_REPORT,
	STARTED_DESCRIPTORS,
};

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int[STARTED_DESCRIPTORS]))];
};

/* --- the starter --- */

struct starter {
	int socket, directory, master;
	const struct console_program *program;
	struct console_program *owned; /* the same, if it is from the file */
	pid_t pid;
	int pidfd;
};

static int answer(const struct starter *starter, int result, const int *descriptors)
{
	union control control = {0};
	struct reply reply = {result};
	struct iovec part = {&reply, sizeof(reply)};
	struct msghdr record = {.msg_iov = &part, .msg_iovlen = 1};

	if (descriptors) {
		control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS,
						  .cmsg_len = CMSG_LEN(sizeof(int[STARTED_DESCRIPTORS]))};
		memcpy(CMSG_DATA(&control.header), descriptors, sizeof(int[STARTED_DESCRIPTORS]));
		record.msg_control = &control;
		record.msg_controllen = sizeof(control);
	}
	return sendmsg(starter->socket, &record, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What the daemon wants run now. Where it has left no word of that, it wants what it wanted before. */
static int refresh(struct starter *starter)
{
	cleanup_free void *packed = NULL;
	struct console_program *program;
	size_t length;
	int r = target_file_read(starter->directory, &packed, &length);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = unpack_program(packed, length, &program);
	if (r < 0)
		return r;
	free(starter->owned);
	starter->program = starter->owned = program;
	return 0;
}

static void start(struct starter *starter)
{
	cleanup_close int slave = -1, report = -1;
	int r = refresh(starter);

	if (r == 0)
		r = slave = program_open_slave(starter->master, starter->program);
	close_fd(&starter->pidfd);
	if (r >= 0)
		r = program_spawn(starter->program, slave, CLONE_PARENT, &starter->pidfd, &report);
	starter->pid = r < 0 ? 0 : r;
	if (r < 0)
		answer(starter, r, NULL);
	else if (answer(starter, r, (int[]){starter->pidfd, report}) < 0)
		pidfd_send_signal(starter->pidfd, SIGKILL, NULL, 0); /* the keeper has died, and nobody knows of it */
}

/* A child that has not called setsid(2) yet is in no session of its own. */
static int signal_session(const struct starter *starter, const int *signals, bool alive)
{
	int found = starter->pid > 0 ? program_signal_session(starter->pid, signals) : 0;

	if (found > 0 || !alive || starter->pidfd < 0)
		return found;
	for (; *signals; signals++)
		pidfd_send_signal(starter->pidfd, *signals, NULL, 0);
	return 1;
}

static void serve(struct starter *starter)
{
	struct request request;

	while (recv(starter->socket, &request, sizeof(request), 0) == sizeof(request)) {
		if (request.start)
			start(starter);
		else if (request.signals < STARTER_SIGNALS)
			answer(starter, signal_session(starter, signals_of[request.signals], request.alive), NULL);
		else
			return;
	}
}

/* The child: what is the keeper's alone goes, first of all the connection whose end tells the daemon of its death. */
static void become(struct keeper *keeper, const struct console_program *program, int socket)
{
	struct starter starter = {
		.socket = socket,
		.directory = keeper->directory,
		.master = keeper->master,
		.program = program,
		.pid = keeper->pid,
		.pidfd = move_fd(&keeper->pidfd),
	};

	close_fd(&keeper->daemon);
	close_fd(&keeper->listener);
	close_fd(&keeper->eventfd);
	close_fd(&keeper->slave);
	close_fd(&keeper->report);
	ring_close(&keeper->ring);
	prctl(PR_SET_NAME, "keeper-starter");
	if (privilege_keep(PRIVILEGES) == 0)
		serve(&starter);
	free(starter.owned);
	exit(EXIT_SUCCESS);
}

/* --- the keeper --- */

int starter_create(struct keeper *keeper, const struct console_program *program)
{
	cleanup_close int ours = -1, theirs = -1;
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	ours = ends[0];
	theirs = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close_fd(&ours);
		become(keeper, program, theirs);
	}
	return move_fd(&ours);
}

static int ask(int starter, const struct request *request, int descriptors[static STARTED_DESCRIPTORS])
{
	union control control;
	struct reply reply;
	struct iovec part = {&reply, sizeof(reply)};
	struct msghdr record = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct iovec question = {(void *)request, sizeof(*request)};
	struct msghdr asked = {.msg_iov = &question, .msg_iovlen = 1};
	struct cmsghdr *rights;

	if (sendmsg(starter, &asked, MSG_NOSIGNAL) < 0)
		return -EPIPE;
	if (recvmsg(starter, &record, MSG_CMSG_CLOEXEC) != sizeof(reply))
		return -EPIPE;
	rights = CMSG_FIRSTHDR(&record);
	if (rights) /* perhaps not all of them: who has as many files as they may gets fewer */
		memcpy(descriptors, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
	return reply.result;
}

int starter_start(int starter, int *pidfd, int *report)
{
	int descriptors[STARTED_DESCRIPTORS] = {-1, -1};
	int r = ask(starter, &(struct request){.start = true}, descriptors);

	if (r > 0 && descriptors[STARTED_REPORT] < 0) {
		close_fd(&descriptors[STARTED_PIDFD]);
		starter_signal(starter, STARTER_KILL, true);
		waitpid(r, NULL, 0);
		return -EMFILE;
	}
	*pidfd = descriptors[STARTED_PIDFD];
	*report = descriptors[STARTED_REPORT];
	return r;
}

int starter_signal(int starter, enum starter_signals signals, bool alive)
{
	int descriptors[STARTED_DESCRIPTORS] = {-1, -1};

	return ask(starter, &(struct request){.signals = signals, .alive = alive}, descriptors);
}
