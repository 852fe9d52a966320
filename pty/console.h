// SPDX-License-Identifier: Apache-2.0
/*
 * The daemon's handle on one instance's console: the keeper process, the ring it fills, and the instance's end of
 * input.
 *
 * Output: the keeper drains the PTY into the ring and rings an eventfd; `output` tells that the head has moved, and
 * every reader is a `struct cursor` that reads at its own pace. Input does not pass through the keeper: the daemon
 * holds a second descriptor of the PTY master (which also keeps the terminal alive if the keeper dies) and writes to it
 * directly.
 *
 * Flow control (design promise 3): as long as a cursor that holds makes progress, the keeper is granted no more than
 * the ring's capacity ahead of it, so that nothing it has not read is overwritten. A cursor without progress for one
 * second is let go: `holding` becomes false, and when it reads again it is told what it lost and holds again. Grants
 * are messages to the keeper, sent when the slowest holder has moved by a quarter of the ring, and each half second
 * while the keeper is held. A keeper that is held and hears nothing for two seconds goes on by itself.
 */
#pragma once

#include "pty/pack.h" /* struct console_target */
#include "pty/ring.h"
#include "util/error.h"
#include "util/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/* How an instance ended. */
struct console_exit {
	bool known;    /* false: its status was lost with a keeper, or there is none (a container) */
	int status;    /* as waitpid(2) gives it */
	uint64_t head; /* everything it wrote lies before this offset, and is in the ring */
};

struct console;

/* What the console tells its owner, from the loop. The owner may call any function here except console_destroy(). */
struct console_handler {
	void (*output)(struct console *console, void *user); /* the head has moved; several moves may come as one */
	void (*writable)(struct console *console,
			 void *user); /* once after console_write() gave -EAGAIN or less than all */
	void (*started)(struct console *console, void *user, pid_t pid); /* each boot: start, restart, policy */
	void (*failed)(struct console *console, void *user,
		       const struct error *error);                        /* the start failed; not running */
	void (*frozen)(struct console *console, void *user, bool frozen); /* it stands still, or goes on */
	void (*refused)(struct console *console, void *user,
			const struct error *error); /* what console_freeze() asked for cannot be */
	/*
	 * It has ended and all its output is in the ring. `again`: the keeper will start it again (restart policy or
	 * console_restart()), or it boots again by itself; `started` or `failed` follows. Otherwise the console is idle
	 * and its keeper ends.
	 */
	void (*exited)(struct console *console, void *user, const struct console_exit *exit, bool again);
};

/* Where consoles live and what they are started with; one per daemon, outlives its consoles. */
struct consoles;

/*
 * `directory` holds consoles/NAME/ring and run/NAME/ (created as needed, 0700); `keeper` is the path of
 * consoled-keeper; those for containers, virtual machines and serial devices are beside it, `keeper`-lxc, -qemu,
 * -serial. Makes the process a subreaper (PR_SET_CHILD_SUBREAPER) so that the status of programs survives their keeper,
 * and watches SIGCHLD on `loop`. -errno.
 */
int consoles_create(struct consoles **consoles, uv_loop_t *loop, const char *directory, const char *keeper);

/* After every console has been destroyed. Closes its handles; they are gone after one more turn of the loop. */
void consoles_destroy(struct consoles *consoles);

/*
 * Makes the handle for instance `name`, and the ring file if there is none (`capacity`, see ring.h). If a keeper from
 * an earlier daemon runs, it is connected to, and console_running() tells whether its program runs. `handler` calls
 * begin with the loop's next turn. Blocking for microseconds (a connect to a local socket, with a bound of 1 s on the
 * answer).
 */
int console_create(struct console **console, struct consoles *consoles, const char *name, uint64_t capacity,
		   const struct console_handler *handler, void *user, struct error *error);

/* Lets go of the keeper (which goes on) and frees the handle. Cursors must have been finished. NULL is allowed. */
void console_destroy(struct console *console);

/* Removes what the console of `name` has on disk. Not while its keeper runs. */
int console_remove(struct consoles *consoles, const char *name);

/*
 * What a console has on disk follows the name of its instance in a database, and both are changed one after the other:
 * console_begin_move(), then the database, then console_end_move() as it turned out: `moved` or not. `to` is the new
 * name, or "": it goes with its instance. Who is killed in between leaves it to the next consoles_settle(). Not while
 * its keeper runs (-EBUSY); -EEXIST: `to` has a log.
 */
int console_begin_move(struct consoles *consoles, const char *from, const char *to);
int console_end_move(struct consoles *consoles, const char *from, const char *to, bool moved);

/* The same around the console_create() of a new instance: what that makes goes again if the database is not to know it.
 */
int console_begin_make(struct consoles *consoles, const char *name);
int console_end_make(struct consoles *consoles, const char *name);

/*
 * Brings all that to its end: what has been moved is what does not exist under its old name. To be called before any
 * console_create(). What cannot be done is logged.
 */
int consoles_settle(struct consoles *consoles, bool (*exists)(const char *name, void *user), void *user);

bool console_running(const struct console *console);
bool console_frozen(const struct console *console);
pid_t console_pid(
	const struct console *console); /* of the program, the container's init, QEMU; 0 = none (or a serial device) */
pid_t console_keeper_pid(const struct console *console); /* 0 = none */
const struct ring *console_ring(const struct console *console);

/* How much of what it prints can be had; all, but for a container whose console somebody else has. */
enum console_output console_output(const struct console *console);

/*
 * The directory run/NAME, where what runs may have sockets of its own (a machine's `spice` and `qmp`). Returns a
 * descriptor, the caller's, or -errno; -ENOENT: nothing has ever run.
 */
int console_open_directory(const struct console *console);

/*
 * Starts a keeper and in it the program, the container or the virtual machine (or takes on one of these two that
 * runs). Takes the target's bytes, which leaves it empty. 0: `started` or `failed` follows. -EALREADY if it runs or is
 * starting; -ENOSYS: this consoled was built without such; other errors (fork, ring, descriptors) are told in `error`.
 */
int console_start(struct console *console, struct console_target *target, struct error *error);

/*
 * Asks it to end: SIGHUP and SIGTERM to the processes of a program's session, as a terminal that goes away; to a
 * container's init the signal that shuts it down; a machine's power button; a serial device is closed. SIGKILL after
 * `timeout_ms` (0: at once; negative: never). No restart policy applies. `exited` follows. -ESRCH if not running.
 */
int console_stop(struct console *console, int timeout_ms);

/*
 * Stops as above, then starts `target` on the same console: `exited` (again), then `started` or `failed`. Takes the
 * target's bytes. -EINVAL: it is of another kind, which needs another keeper; -ESRCH if not running; -EAGAIN: the
 * keeper does not listen; nothing has happened then.
 */
int console_restart(struct console *console, struct console_target *target, int timeout_ms, struct error *error);

/*
 * Stops it where it stands, or lets it go on: SIGSTOP and SIGCONT to a program's session, a container's freezer,
 * a machine's processors.
 * `frozen` or `refused` follows.
 */
int console_freeze(struct console *console, bool frozen);

/* Sets the window size (TIOCSWINSZ: the kernel sends SIGWINCH). -ENOTTY: serial ports have none. */
int console_resize(struct console *console, uint16_t width, uint16_t height);

/* What the size was last set to, by whomever (TIOCGWINSZ). -ENOTTY; -ENODATA: it never was; `*width` and `*height` stay
 * as they are then. */
int console_size(const struct console *console, uint16_t *width, uint16_t *height);

/*
 * Writes input, without blocking. Returns the bytes taken, or -EAGAIN: the instance does not read; wait for `writable`.
 * -EIO: nothing runs; -ENXIO: it is a serial device that is unplugged at present.
 */
ssize_t console_write(struct console *console, const void *data, size_t length);

/*
 * Sends a break to a serial device, behind all that has been written before: 300 ms, during which nothing more is
 * taken. -EAGAIN: one is being sent, wait for `writable`; -EOPNOTSUPP: it is no serial device; errors as above.
 */
int console_send_break(struct console *console);

/*
 * Gives the log another capacity (see ring.h), and keeps as much of it as fits. -EBUSY while there is a keeper; what
 * the disk says; then nothing has changed.
 */
int console_set_capacity(struct console *console, uint64_t capacity);

/* Empties the log (promise 2: only this does). Works running and stopped. */
int console_clear(struct console *console);

/* --- cursors: readers that the instance may be held back for --- */

struct cursor {
	struct list link; // console::cursors
	uint64_t offset;  /* next byte to read */
	bool holding;     /* the keeper waits for us */
	/*
	 * The owner's, may be NULL: a number that changes when the reader's own peer takes bytes. Asked once a second,
	 * and only while the keeper is held back.
	 */
	uint64_t (*taken)(struct cursor *cursor);
	uint64_t seen;
};

/* Places a cursor at `offset` (ring_head() for "from now on"). It holds from the start. */
void cursor_init(struct cursor *cursor, struct console *console, uint64_t offset);

void cursor_finish(struct cursor *cursor, struct console *console);

/*
 * ring_read() from the cursor. One that had been let go holds again; if it has fallen behind by most of the ring, it
 * goes on from where three quarters of it are left, and `*lost` says how many bytes it has missed.
 */
size_t cursor_read(struct cursor *cursor, struct console *console, void *data, size_t size, uint64_t *lost);
