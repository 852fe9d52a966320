// SPDX-License-Identifier: Apache-2.0
/*
 * consoled-keeper NAME: keeps one target (a program on a PTY, a container; see target.h), and appends what it writes to
 * the instance's ring, whatever becomes of the daemon. Started by the daemon (pty/keeper_spawn.c) with the descriptors
 * of `enum inherited`.
 *
 *                      KEEP                      it runs                        the target has ended
 *          IDLE --------------> STARTING ---------------------> RUNNING ---------------------------------> DRAINING
 *            |                   ^  |                              ^   (drains the output into the ring)      |  |
 *            | KEEP of a target  |  | it does not                  |                                          |  |
 *            | that runs already |  v                              |        all it wrote is in the ring:      |  |
 *            | (adoption)        | FAILED                          |                                          |  |
 *            +-------------------|---------------------------------+                       to be run again    |  |
 *                                |                                                                            |  |
 *                                +--------------------------------- RESTING <---------------------------------+  |
 *                                         the back-off is over       |                                           |
 *                                                                    | STOP                    not to be         |
 *                                                                    +---------> EXITED <------ run again -------+
 *
 * What a restart has brought (keeper::next) is taken over when RESTING is left for STARTING.
 *
 * Each arrow is told to the daemon as a STATE (but that to DRAINING, which is told when it is over). FAILED and EXITED
 * stay until a daemon says BYE, however long there is none; then the keeper ends. In all else it does not matter
 * whether a daemon is there.
 *
 * The output is read as soon as it has something, unless the head has reached the daemon's limit: then the keeper is
 * held, and the target blocks once the terminal is full. That ends with a new limit, with the daemon, or after
 * HELD_MAX without any message from it.
 *
 * The keeper has no log; what it has to say it tells the daemon in words. It holds no bytes: what has been read is in
 * the ring, what has not is in the terminal, so nothing is lost when it is killed at any moment (see ring.h).
 */
#include "pty/keeper.h"
#include "pty/target.h"
#include "util/cleanup.h"
#include "util/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HELD_MAX 2000           /* ms */
#define SHORTAGE_PAUSE 10       /* ms */
#define PENDING_MAX (64 * 1024) /* more than a terminal holds */

/* One turn reads no more than this often; a read that brings less than READ_BUSY has probably emptied the terminal. */
#define READS_PER_TURN 16
#define READ_BUSY 2048

/* What the daemon leaves open for us. */
enum inherited {
	INHERITED_DAEMON = 3,
	INHERITED_DIRECTORY, /* run/NAME */
	INHERITED_RING,
	INHERITED_LISTENER, /* run/NAME/keeper */
	INHERITED_END,
};

int64_t keeper_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the daemon --- */

static void lose_daemon(struct keeper *keeper)
{
	close_fd(&keeper->daemon);
	keeper->untold = false;
	keeper->limit = UINT64_MAX;
	if (keeper->phase == KEEPER_IDLE)
		keeper->over = true;
}

static struct wire_message describe(const struct keeper *keeper, enum wire_type type)
{
	return (struct wire_message){
		.type = type,
		.state =
			{
				.phase = keeper->phase,
				.pid = keeper->pid,
				.error = keeper->phase == KEEPER_FAILED ? keeper->error.code : 0,
				.kind = target_kind,
				.output = keeper->kind,
				.frozen = keeper->frozen,
				.deaf = keeper->deaf,
				.boot = keeper->boot,
				.exit = keeper->exit,
			},
	};
}

void keeper_tell(struct keeper *keeper)
{
	struct wire_message message = describe(keeper, WIRE_STATE);
	const char *text = keeper->phase == KEEPER_FAILED ? error_text(&keeper->error) : "";
	int descriptors[] = {
		[WIRE_EVENTFD] = -1,
		[WIRE_MASTER] = keeper->news ? keeper->master : -1,
		[WIRE_PIDFD] = keeper->pid > 0 ? keeper->pidfd : -1,
		[WIRE_INPUT] = keeper->news ? keeper->input : -1,
	};
	int r;

	if (keeper->daemon < 0)
		return;
	r = wire_send(keeper->daemon, &message, text, strlen(text), descriptors);
	keeper->untold = r == -EAGAIN;
	if (r == 0)
		keeper->news = false;
}

void keeper_refuse(struct keeper *keeper, const struct error *error)
{
	struct wire_message message = {.type = WIRE_REFUSED, .state = {.error = error->code}};
	const char *text = error_text(error);

	if (keeper->daemon >= 0)
		wire_send(keeper->daemon, &message, text, strlen(text), NULL);
}

static void hello(struct keeper *keeper)
{
	struct wire_message message = describe(keeper, WIRE_HELLO);
	int descriptors[] = {
		[WIRE_EVENTFD] = keeper->eventfd,
		[WIRE_MASTER] = keeper->master,
		[WIRE_PIDFD] = keeper->pid > 0 ? keeper->pidfd : -1,
		[WIRE_INPUT] = keeper->input,
	};

	keeper->news = false;
	if (wire_send(keeper->daemon, &message, NULL, 0, descriptors) == 0)
		keeper_tell(keeper);
	else
		lose_daemon(keeper);
}

/* A daemon connects. Not looked at while one is there: the next waits in the queue until that one is gone. */
static void accept_daemon(struct keeper *keeper)
{
	cleanup_close int fd = accept4(keeper->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct identity peer;

	if (fd < 0 || identity_of_peer(fd, &peer) < 0 || (peer.uid != geteuid() && peer.uid != 0))
		return;
	if (keeper->phase == KEEPER_IDLE) /* we have nothing to keep, and are about to end */
		return;
	keeper->daemon = move_fd(&fd);
	keeper->waits_since = keeper_now();
	hello(keeper);
}

/* The first message: what to keep. One that we cannot make sense of leaves us with nothing to do. */
static void take_keep(struct keeper *keeper, const struct wire_message *message, const void *tail,
		      int descriptors[static WIRE_DESCRIPTORS])
{
	if (keeper->phase != KEEPER_IDLE)
		return;
	if (descriptors[WIRE_EVENTFD] < 0 || target_open(keeper, tail, message->tail_length) < 0) {
		keeper->over = true;
		return;
	}
	keeper->eventfd = move_fd(&descriptors[WIRE_EVENTFD]);
	keeper->master = move_fd(&descriptors[WIRE_MASTER]);
	keeper->input = move_fd(&descriptors[WIRE_INPUT]);
	keeper->pidfd = move_fd(&descriptors[WIRE_PIDFD]);
	keeper_read_from(keeper, keeper->master, keeper->master, CONSOLE_OUTPUT_ALL);
	keeper_keep(keeper, &message->state);
}

/* What a restart is to start may be another target than before. */
static void take_stop(struct keeper *keeper, const struct wire_message *message, void **tail)
{
	if (*tail && keeper->phase != KEEPER_IDLE) {
		free(keeper->next);
		keeper->next = move_pointer(*tail);
		keeper->next_length = message->tail_length;
	}
	keeper_stop(keeper, message->stop.timeout, message->stop.again);
}

static void take_status(struct keeper *keeper, const struct wire_exit *exit)
{
	keeper->exit.status = exit->status;
	keeper->exit.known = true;
}

static void take_message(struct keeper *keeper, const struct wire_message *message, void **tail,
			 int descriptors[static WIRE_DESCRIPTORS])
{
	keeper->waits_since = keeper_now();
	switch ((enum wire_type)message->type) {
	case WIRE_KEEP:
		take_keep(keeper, message, *tail, descriptors);
		return;
	case WIRE_GRANT:
		keeper->limit = message->limit;
		return;
	case WIRE_STOP:
		take_stop(keeper, message, tail);
		return;
	case WIRE_FREEZE:
		keeper_freeze(keeper, message->frozen);
		return;
	case WIRE_STATUS:
		take_status(keeper, &message->exit);
		return;
	case WIRE_BYE:
		keeper->over = keeper->phase == KEEPER_EXITED || keeper->phase == KEEPER_FAILED;
		return;
	default: /* nothing that a daemon says */
		return;
	}
}

static void hear_daemon(struct keeper *keeper)
{
	int descriptors[WIRE_DESCRIPTORS];
	struct wire_message message;
	cleanup_free void *tail = NULL;
	int r;

	r = wire_receive(keeper->daemon, &message, &tail, descriptors);
	if (r == 0)
		take_message(keeper, &message, &tail, descriptors);
	else if ((r == -ENOMEM || r == -EMFILE) && keeper->phase != KEEPER_IDLE)
		poll(NULL, 0, SHORTAGE_PAUSE); /* it is still there to be read */
	else if (r != -EAGAIN && r != -EBADMSG)
		lose_daemon(keeper);
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&descriptors[i]);
}

/* --- the output --- */

/* Also one that is starting: a container whose terminal is full may not get on with it. */
static bool has_target(const struct keeper *keeper)
{
	return keeper->phase == KEEPER_STARTING || keeper->phase == KEEPER_RUNNING || keeper->phase == KEEPER_DRAINING;
}

bool keeper_held(const struct keeper *keeper)
{
	return has_target(keeper) && ring_head(&keeper->ring) >= keeper->limit;
}

void keeper_read_from(struct keeper *keeper, int output, int ready, enum console_output kind)
{
	keeper->output = output;
	keeper->ready = ready;
	keeper->kind = kind;
	keeper->closed = output < 0; /* then there is nothing to wait for */
	keeper->more = output != ready;
}

static void ring_bell(const struct keeper *keeper)
{
	if (keeper->daemon >= 0) /* a later daemon looks at the ring anyway */
		eventfd_write(keeper->eventfd, 1);
}

static ssize_t read_output(struct keeper *keeper)
{
	uint64_t room = keeper->limit - ring_head(&keeper->ring);

	return ring_append_from(&keeper->ring, keeper->output, (size_t)MIN(room, SIZE_MAX));
}

/* At the end of a file: what is written behind it from here on shows in `ready` again. */
static ssize_t read_behind_end(struct keeper *keeper)
{
	char events[4096];

	while (read(keeper->ready, events, sizeof(events)) > 0)
		;
	return read_output(keeper);
}

static void drain(struct keeper *keeper)
{
	bool file = keeper->ready != keeper->output;
	uint64_t before = ring_head(&keeper->ring);
	ssize_t got = READ_BUSY;

	for (int i = 0; i < READS_PER_TURN && got >= READ_BUSY && !keeper_held(keeper); i++)
		got = read_output(keeper);
	if (file && got == 0)
		got = read_behind_end(keeper);
	keeper->more = file && got > 0;
	if (keeper_held(keeper))
		keeper->waits_since = keeper_now();
	if (got == -EIO || (got == 0 && !file))
		keeper->closed = true;
	if (ring_head(&keeper->ring) != before)
		ring_bell(keeper);
}

static void on_output(struct keeper *keeper, int events)
{
	if (events & POLLIN) {
		drain(keeper);
		return;
	}
	if (events) /* POLLHUP: nobody has the slave, and nothing is left to read */
		keeper->closed = true;
}

/* --- the loop --- */

/* Where in the poll set a descriptor is; also the order in which they are looked at. */
enum slot {
	SLOT_DAEMON,
	SLOT_LISTENER, /* behind the daemon: its end makes room for the next */
	SLOT_OUTPUT,
	SLOT_REPORT, /* before the exit: what has ended was started first */
	SLOT_WATCHED,
	SLOT_EXIT,
	SLOT_INPUT, /* behind the exit: then it is no news */
	SLOTS,
};

/* Whether output is looked for. */
static bool reads(const struct keeper *keeper)
{
	return has_target(keeper) && !keeper->closed && !keeper_held(keeper);
}

static void choose(const struct keeper *keeper, struct pollfd set[static SLOTS])
{
	bool lives = keeper->phase == KEEPER_STARTING || keeper->phase == KEEPER_RUNNING;

	set[SLOT_DAEMON] = (struct pollfd){keeper->daemon, keeper->untold ? POLLIN | POLLOUT : POLLIN, 0};
	set[SLOT_LISTENER] = (struct pollfd){keeper->daemon < 0 ? keeper->listener : -1, POLLIN, 0};
	set[SLOT_OUTPUT] = (struct pollfd){reads(keeper) ? keeper->ready : -1, POLLIN, 0};
	set[SLOT_REPORT] = (struct pollfd){keeper->report, POLLIN, 0};
	set[SLOT_WATCHED] = (struct pollfd){keeper->watched, POLLIN, 0};
	set[SLOT_EXIT] = (struct pollfd){lives ? keeper->pidfd : -1, POLLIN, 0};
	set[SLOT_INPUT] = (struct pollfd){keeper->phase == KEEPER_RUNNING ? keeper->input : -1, 0, 0};
}

static void handle(struct keeper *keeper, const struct pollfd set[static SLOTS])
{
	int output = set[SLOT_OUTPUT].revents | (keeper->more ? POLLIN : 0);

	keeper->dry = set[SLOT_OUTPUT].fd >= 0 && !(output & POLLIN);
	if (set[SLOT_DAEMON].revents & POLLOUT)
		keeper_tell(keeper);
	if (set[SLOT_DAEMON].revents & ~POLLOUT)
		hear_daemon(keeper);
	if (set[SLOT_LISTENER].revents)
		accept_daemon(keeper);
	if (output && set[SLOT_OUTPUT].fd >= 0 && set[SLOT_OUTPUT].fd == keeper->ready)
		on_output(keeper, output);
	if (set[SLOT_REPORT].revents && set[SLOT_REPORT].fd == keeper->report)
		target_on_report(keeper);
	if (set[SLOT_WATCHED].revents && set[SLOT_WATCHED].fd == keeper->watched)
		target_on_watched(keeper);
	if (set[SLOT_EXIT].revents && keeper->phase == KEEPER_RUNNING)
		keeper_on_exit(keeper);
	if (set[SLOT_INPUT].revents && set[SLOT_INPUT].fd == keeper->input && keeper->phase == KEEPER_RUNNING)
		target_on_input_lost(keeper);
	if (keeper_held(keeper) && keeper_now() >= keeper->waits_since + HELD_MAX)
		keeper->limit = UINT64_MAX;
	keeper_on_time(keeper);
}

/* For poll(2): milliseconds until something is due, -1 = nothing is. */
static int timeout(const struct keeper *keeper)
{
	int64_t due = keeper->more && reads(keeper) ? keeper_now() : keeper_due(keeper);

	if (keeper_held(keeper))
		due = MIN(due, keeper->waits_since + HELD_MAX);
	if (due == TIME_NEVER)
		return -1;
	return (int)MIN(MAX(due - keeper_now(), 0), INT_MAX);
}

static void run(struct keeper *keeper)
{
	while (!keeper->over) {
		struct pollfd set[SLOTS];

		choose(keeper, set);
		if (poll(set, SLOTS, timeout(keeper)) >= 0)
			handle(keeper, set);
	}
}

/* --- the beginning --- */

static int open_ring(struct ring *ring)
{
	int r = ring_open(ring, INHERITED_RING, true);

	close(INHERITED_RING);
	if (r == 0)
		ring_recover(ring);
	return r;
}

/* Away from the daemon's session, files and signals. */
static int leave_daemon(void)
{
	setsid(); /* the daemon has seen to it already; if somebody else starts us */
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	for (int fd = INHERITED_DAEMON; fd < INHERITED_END; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct keeper keeper = {
		.daemon = INHERITED_DAEMON,
		.directory = INHERITED_DIRECTORY,
		.listener = INHERITED_LISTENER,
		.eventfd = -1,
		.master = -1,
		.input = -1,
		.output = -1,
		.ready = -1,
		.limit = UINT64_MAX,
		.slave = -1,
		.report = -1,
		.watched = -1,
		.pidfd = -1,
		.pending_max = PENDING_MAX,
	};

	if (argc != 2 || leave_daemon() < 0) {
		fprintf(stderr, "consoled-keeper is started by consoled\n");
		return EXIT_FAILURE;
	}
	if (open_ring(&keeper.ring) < 0)
		return EXIT_FAILURE;
	if (listen(keeper.listener, 4) < 0) /* once more: as the peer that is asked for its pid */
		return EXIT_FAILURE;
	keeper.waits_since = keeper_now();
	run(&keeper);
	target_close(&keeper);
	free(keeper.next);
	ring_close(&keeper.ring);
	return EXIT_SUCCESS;
}
