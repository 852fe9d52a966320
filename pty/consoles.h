// SPDX-License-Identifier: Apache-2.0
/* The inside of the daemon's half: console*.c, cursor.c and keeper_spawn.c share it, nobody else. */
#pragma once

#include "pty/console.h"
#include "pty/pack.h"
#include "pty/watch.h"
#include "pty/wire.h"

#define CONSOLE_NAME_MAX 63 /* as instances' */

struct consoles {
	uv_loop_t *loop;
	int directory;                /* DIR */
	char *keepers[CONSOLE_KINDS]; /* their paths */
	uv_signal_t child;
	struct list list; /* of console::link */
};

struct console {
	struct list link; // consoles::list
	struct consoles *consoles;
	char name[CONSOLE_NAME_MAX + 1];
	const struct console_handler *handler;
	void *user;
	struct ring ring; /* read-only */

	/*
	 * What the keeper has told last. DRAINING counts as RUNNING; EXITED is an earlier daemon's exit or failure that
	 * we shall be told in a moment.
	 */
	enum keeper_phase phase;
	pid_t pid, keeper_pid;
	int pidfd; /* -1 = none */
	enum console_kind kind;
	enum console_output output;
	bool frozen, deaf;
	uint32_t boot;
	void *target; /* packed, for the next keeper; during a restart, what is to be started */
	size_t target_length;
	struct watch *socket; /* NULL = no keeper */
	struct watch *bell;   /* the eventfd */
	struct watch
		*input; /* what takes input and a size: the terminal, or what the keeper has found; NULL: not yet */
	bool has_input; /* it is another than the terminal */
	int master;     /* of the terminal, for the next keeper; -1: there is none */
	uint64_t told;  /* the head at the last `output` */
	bool input_blocked;
	struct console_break *line_break; /* that is being sent */

	/* If the keeper dies, the next must know: */
	bool stopping, again;
	int stop_timeout;
	bool freezing, freeze; /* it was asked to freeze, or to go on, and has not answered */
	bool adopted;          /* the program has lost the keeper that was its parent, and may be our child now */
	bool reaped;           /* it was, and ended with `status` */
	int status;
	unsigned deaths; /* of keepers, since `first_death` */
	uint64_t first_death;

	struct list cursors; /* of cursor::link */
	uint64_t granted;
	unsigned ticks;   /* of the timer, since the keeper was held */
	uv_timer_t timer; /* runs while the keeper is held, or has to be started once more */
};

/* --- consoles.c --- */

/* Opens DIR/KIND/NAME (KIND: "consoles", "run"), making both if `make`. Returns a descriptor or -errno. */
int consoles_open(const struct consoles *consoles, const char *kind, const char *name, bool make);

/* --- keeper_spawn.c --- */

/*
 * Starts a keeper of a kind for `name`. Returns the daemon's end of its socket, non-blocking, and the keeper's pid; or
 * -errno, with a reason in `error` (which may be NULL).
 */
int keeper_spawn(const struct consoles *consoles, enum console_kind kind, const char *name, pid_t *pid,
		 struct error *error);

/* Connects to the keeper that runs for `name`, likewise. -ENOENT: none does. */
int keeper_connect(const struct consoles *consoles, const char *name, pid_t *pid);

/* Removes the socket of a keeper that has ended, and what it was to keep. */
void keeper_forget(const struct consoles *consoles, const char *name);

/* --- console_keeper.c --- */

/* What a keeper's state means to us, see console::phase. */
enum keeper_phase console_phase(const struct wire_state *state);

/* It runs, but is a serial device that is away. */
bool console_unplugged(const struct console *console);

/* Nothing runs, and there is no keeper: closes all that only matters while there is. */
void console_become_idle(struct console *console);

/* Takes over the eventfd. -errno. */
int console_watch_bell(struct console *console, int fd);

/*
 * Takes over those of the two that are there (not -1), in place of earlier ones: the terminal's master, and what takes
 * input where that is another. -errno: there is no input.
 */
int console_watch_terminal(struct console *console, int *master, int *input);

/* Takes over the socket of a keeper. -errno. */
int console_watch_keeper(struct console *console, int fd, pid_t keeper_pid);

/* Starts a keeper and hands it the target: to be started, or, if there is a pid, to be gone on with. -errno. */
int console_start_keeper(struct console *console, struct error *error);

/* Starts a keeper in place of one that has died. */
void console_revive(struct console *console);

/* Tells the keeper something that needs no tail and no descriptors. -errno as wire_send(); -EPIPE: there is none. */
int console_tell(struct console *console, struct wire_message *message);

/* Tells the keeper to stop; `again`: `target`, NULL: the same. 0 also if it is dying: the next one hears it. */
int console_tell_stop(struct console *console, int timeout_ms, bool again, const struct console_target *target);

/* Tells the keeper what was asked for in `freeze`, likewise. */
int console_tell_freeze(struct console *console);

/* The program was our child and has ended. */
void console_on_status(struct console *console, int status);

/* --- console_break.c --- */

/* Ends the break that is being sent, if one is, or does not begin it. */
void console_end_break(struct console *console);

/* --- cursor.c --- */

/* Tells a keeper that is new to us the present limit, if there is one. */
void flow_begin(struct console *console);

/* The head or a cursor has moved. */
void flow_update(struct console *console);

/* The timer's turn while the keeper is held. */
void flow_tick(struct console *console);
