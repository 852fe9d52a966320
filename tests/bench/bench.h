// SPDX-License-Identifier: Apache-2.0
/*
 * consoled-bench: one section measures one side once and prints its figures as a JSON object. The runner (`run`)
 * interleaves sides and rounds and makes the table.
 */
#pragma once

#include "tests/bench/client.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/*
 * LXD 5.0.2 loses keys that come before it has attached: they are typed again. It panics if a session ends while it is
 * sending output ("concurrent write to websocket connection"): wait for silence first. And the operation of a session
 * ends now and then with "close /dev/pts/ptmx: file already closed" instead of Success. Milliseconds.
 */
#define LXD_RETYPE 5
#define LXD_SETTLE 50

/* What is measured, and how much of it. */
struct options {
	/*
	 * the side: an instance of a server, a relay's socket (or that of a machine's SPICE server or monitor), a
	 * program on a bare PTY, a container on one, or a machine on a pair of FIFOs
	 */
	const char *socket, *instance;
	const char *relay;
	char **program;
	bool container;   /* `program` starts one: guest_start() */
	const char *fifo; /* `program` is QEMU, its console on the FIFOs `fifo`.in and `fifo`.out */
	bool lxd;         /* the server is LXD, see LXD_SETTLE */
	bool vga;         /* the graphical console is meant */
	bool watch;       /* the session only looks */

	int count;           /* attaches, bytes, lines, sessions, instances, starts, answers: as the section says */
	int connections;     /* rest, follow, wait */
	double seconds;      /* rest, idle */
	const char *command; /* stream: what prints the numbers from 1 to count, one a line */
	const char *target;  /* rest, get; screenshot: a file to write */
	const char *replay;  /* replay: what a session gets first, "log" or "screen"; NULL: nothing */
};

/* Sections return their figures. */
json_t *section_attach(const struct options *options);
json_t *section_echo(const struct options *options);
json_t *section_stream(const struct options *options);
json_t *section_rest(const struct options *options);
json_t *section_memory(const struct options *options);
json_t *section_idle(const struct options *options);
json_t *section_start(const struct options *options);
json_t *section_machine(const struct options *options);
json_t *section_vga(const struct options *options);
json_t *section_viewers(const struct options *options);
json_t *section_screenshot(const struct options *options);
json_t *section_sharing(const struct options *options);
json_t *section_replay(const struct options *options);
json_t *section_get(const struct options *options);
json_t *section_follow(const struct options *options);
json_t *section_wait(const struct options *options);

/* The least that could do the work, to compare with; they serve until they are killed. See least.c. */
void relay_serve(const char *path, char *const *program);
void answer_serve(const char *path, const char *file);
void forward_serve(const char *path, const char *target);

/* --- a container that a program keeps for us: guest.c --- */

struct guest {
	pid_t pid; /* of the program; 0 = none */
	int fd;
	int64_t start_ns, stop_ns; /* how long liblxc took */
};

/*
 * Runs `program` (container.c) with a terminal as one more argument, and returns that terminal's master when the
 * container runs. Its end would be the container's.
 */
int guest_start(struct guest *guest, char *const *program);

/* Stops it by force. */
void guest_stop(struct guest *guest);

/* --- a virtual machine without anything around it: machine.c --- */

/* Runs QEMU with its console on new FIFOs of the size that a keeper gives them. Returns the ends for us. */
pid_t machine_start(const char *fifo, char *const *program, int *output, int *input);

/* --- a SPICE server without a machine: spice.c --- */

#define SPICE_MESSAGE (64 * 1024) /* what it and its clients send at once */

enum spice_task {
	SPICE_ECHO,
	SPICE_SEND, /* bytes of the pattern */
	SPICE_TAKE, /* bytes of the pattern, and answer with one byte */
};

/* Serves any number of clients, a process for each, until it is killed. */
void spice_serve(const char *path);

/* Says the first words of a display channel, which tell the server above what to do with how many bytes. */
void spice_ask(struct link *link, enum spice_task task, uint64_t length);

/* What is sent: no piece that gets lost or changes places goes unnoticed. */
struct pattern *pattern_create(void);

/* The bytes behind the first `position` ones, SPICE_MESSAGE of them. */
const unsigned char *pattern_at(const struct pattern *pattern, uint64_t position);

/* --- a console, whichever side it is on --- */

struct session {
	struct http http; /* fd -1: not a session of a server's */
	struct link data, control;
	char operation[64];
	bool lxd;
	pid_t pid; /* of the program on a bare PTY, or of the machine; 0 = none */
	struct guest guest;
};

/*
 * Opens a session as lxc does: POST, control socket, data socket. `http` keeps its connection, so that only the first
 * session pays for it. Of a relay: connects. Otherwise: starts the program, the container or the machine.
 */
void session_open(struct session *session, const struct options *options);

/* Ends it as lxc does: Close on control, then waits for the operation's end. session_open() may follow. */
void session_detach(struct session *session);

/* Detaches and lets go of the connection. */
void session_finish(struct session *session);

/*
 * Has the shell at the other end run `command`; its output is what can be read next. Returns with how many \r the
 * console ends a line: one, but LXD's makes three of it.
 */
int shell_run(struct link *link, const char *command);

/*
 * Reads up to and including `text`, whose first byte must not come again in it. false: nothing came for `milliseconds`
 * (negative: wait for ever).
 */
bool read_until(struct link *link, const char *text, int milliseconds);

/* Reads what must be `text`. */
void read_exactly(struct link *link, const char *text, size_t length);

/* Types a key and waits for its echo; nanoseconds. */
int64_t echo_once(struct link *link);

/* Does so `count` times, with a pause of so many seconds after each; the median, in microseconds. */
double echo_median(struct link *link, size_t count, double pause);

#define SESSION_NONE                                                   \
	{                                                              \
		.http.fd = -1, .data = LINK_NONE, .control = LINK_NONE \
	}

/* Starts or stops (by force) the instance; nanoseconds until the operation has succeeded. */
int64_t change_state(struct http *http, const struct options *options, const char *action);

/* What the console of the server's instance has printed, to be freed. */
char *log_get(const struct options *options, size_t *length);

/* --- others who read, and are not measured: crowd.c --- */

struct crowd {
	pid_t pid;
	int stop; /* a pipe, whose closing means to */
};

/* Reads and drops, in one process of its own, whatever comes on `fds`. An end of one of them is a failure. */
void crowd_start(struct crowd *crowd, const int *fds, size_t count);

/* Returns when it has read what has come until now. */
void crowd_stop(struct crowd *crowd);

/* --- processes --- */

/* The one that listens on the socket at `path`. */
pid_t listener_pid(const char *path);

/* Its memory that no other process has. Pages of rings aside: they belong to the log, and can be written back. */
long private_kb(pid_t pid);

int descriptors(pid_t pid);

/* Waits until it has no more open than `before`; returns what it still has after ten seconds. */
int descriptors_left(pid_t pid, int before);

void pause_for(double seconds);

/* --- the rest --- */

/* A file's content, to be freed. */
char *read_file(const char *path, size_t *length);

/* Sorts `values` and returns the one that `fraction` of them do not exceed (nearest rank). */
int64_t percentile(int64_t *values, size_t length, double fraction);
