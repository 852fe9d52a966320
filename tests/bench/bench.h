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
	/* the side: an instance of a server, a relay's socket, a program on a bare PTY, or a container on one */
	const char *socket, *instance;
	const char *relay;
	char **program;
	bool container; /* `program` starts one: guest_start() */
	bool lxd;       /* the server is LXD, see LXD_SETTLE */

	int count;           /* attaches, bytes, lines, sessions, instances, starts: as the section says */
	int connections;     /* rest */
	double seconds;      /* rest, idle */
	const char *command; /* stream: what prints the numbers from 1 to count, one a line */
	const char *target;  /* rest */
};

/* Sections return their figures. */
json_t *section_attach(const struct options *options);
json_t *section_echo(const struct options *options);
json_t *section_stream(const struct options *options);
json_t *section_rest(const struct options *options);
json_t *section_memory(const struct options *options);
json_t *section_idle(const struct options *options);
json_t *section_start(const struct options *options);

/* The least that could do the work, to compare with; they serve until they are killed. See least.c. */
void relay_serve(const char *path, char *const *program);
void answer_serve(const char *path, const char *file);

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

/* --- a console, whichever side it is on --- */

struct session {
	struct http http; /* fd -1: not a session of a server's */
	struct link data, control;
	char operation[64];
	bool lxd;
	pid_t pid; /* of the program on a bare PTY; 0 = none */
	struct guest guest;
};

/*
 * Opens a session as lxc does: POST, control socket, data socket. `http` keeps its connection, so that only the first
 * session pays for it. Of a relay: connects. Of a bare PTY: starts the program, or the container.
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

#define SESSION_NONE                                           \
	{                                                      \
		.http.fd = -1, .data.fd = -1, .control.fd = -1 \
	}

/* --- statistics --- */

/* Sorts `values` and returns the one that `fraction` of them do not exceed (nearest rank). */
int64_t percentile(int64_t *values, size_t length, double fraction);
