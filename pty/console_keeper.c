// SPDX-License-Identifier: Apache-2.0
/* A console and its keeper: what it tells, what it is told, and what is done when it dies. */
#include "pty/consoles.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* So many keepers in so short a time: then it is not chance, and the program is given up. */
#define DEATHS_MAX 5
#define DEATHS_PERIOD 10000 /* ms */
#define REVIVE_AGAIN 500    /* ms */
#define HEAR_AGAIN 100      /* ms */

/* --- what comes from the keeper --- */

static void tell_output(struct console *console)
{
	uint64_t head = ring_head(&console->ring);

	if (head == console->told)
		return;
	console->told = head;
	console->handler->output(console, console->user);
}

static void on_bell(void *user, int events)
{
	struct console *console = user;
	eventfd_t count;

	if (events == 0 || eventfd_read(watch_fd(console->bell), &count) < 0)
		return;
	flow_update(console);
	tell_output(console);
}

bool console_unplugged(const struct console *console)
{
	return console->phase == KEEPER_RUNNING && console->kind == CONSOLE_SERIAL && console->deaf;
}

static void tell_writable(struct console *console)
{
	console->input_blocked = false;
	console->handler->writable(console, console->user);
}

/* The instance reads again; or its terminal is hung up, which epoll would report for ever. */
static void on_input(void *user, int events)
{
	struct console *console = user;

	watch_set(console->input, 0);
	if (events != 0 && console->input_blocked)
		tell_writable(console);
}

static void lose_socket(struct console *console)
{
	watch_destroy(move_pointer(console->socket));
	console->granted = UINT64_MAX;
	console->keeper_pid = 0;
	uv_timer_stop(&console->timer);
}

static void lose_terminal(struct console *console)
{
	console_end_break(console);
	watch_destroy(move_pointer(console->input));
	close_fd(&console->master);
	console->has_input = false;
}

void console_become_idle(struct console *console)
{
	lose_socket(console);
	lose_terminal(console);
	watch_destroy(move_pointer(console->bell));
	close_fd(&console->pidfd);
	free(move_pointer(console->target));
	console->phase = KEEPER_IDLE;
	console->pid = 0;
	console->input_blocked = console->stopping = console->adopted = console->reaped = false;
	console->freezing = console->frozen = console->deaf = false;
}

/* The keeper has no more to do. Its socket is ours to remove: by the time it ends there may be a new keeper. */
static void dismiss_keeper(struct console *console)
{
	struct wire_message bye = {.type = WIRE_BYE};

	console_tell(console, &bye); /* first: a keeper whose socket is gone would wait for it for ever */
	keeper_forget(console->consoles, console->name);
	console->deaths = 0; /* this one has lived to its end */
	console_become_idle(console);
}

static void tell_exit(struct console *console, const struct wire_exit *exit, bool again)
{
	struct console_exit told = {.known = exit->known != 0, .status = exit->status, .head = exit->head};

	tell_output(console);
	console->handler->exited(console, console->user, &told, again);
}

static void tell_failure(struct console *console, int code, const void *text, size_t length)
{
	struct error error = {0};

	error_set(&error, code, "%.*s", (int)length, text ? (const char *)text : "");
	console->handler->failed(console, console->user, &error);
}

enum keeper_phase console_phase(const struct wire_state *state)
{
	switch (state->phase) {
	case KEEPER_DRAINING:
		return KEEPER_RUNNING;
	case KEEPER_FAILED:
		return KEEPER_EXITED;
	default:
		return (enum keeper_phase)state->phase;
	}
}

/* Takes over what the keeper says; the owner hears of it afterwards. */
static void note_state(struct console *console, const struct wire_state *state, int descriptors[WIRE_DESCRIPTORS])
{
	if (console->pid > 0 && state->pid != console->pid)
		console->adopted = console->reaped = false;
	if (state->phase == KEEPER_RESTING || (console->pid > 0 && state->pid == 0))
		console->stopping = false; /* but a container that has booted again by itself is to end still */
	console->pid = state->pid;
	console->phase = console_phase(state);
	console->output = (enum console_output)state->output;
	console->frozen = state->frozen;
	console->boot = state->boot;
	console->deaf = state->deaf;
	if (console->frozen == console->freeze)
		console->freezing = false;
	close_fd(&console->pidfd);
	console->pidfd = move_fd(&descriptors[WIRE_PIDFD]);
	if (console_watch_terminal(console, &descriptors[WIRE_MASTER], &descriptors[WIRE_INPUT]) < 0)
		log_error("%s: it can be read, but not typed into", console->name);
	if (console_unplugged(console))
		lose_terminal(console); /* the kernel gives its name to nobody else before */
	if (console->input_blocked && console->phase == KEEPER_RUNNING && console->input && !console->deaf)
		watch_set(console->input, UV_WRITABLE);
	if (state->phase == KEEPER_EXITED || state->phase == KEEPER_FAILED)
		dismiss_keeper(console);
}

/*
 * A state is no event: after a keeper's or a daemon's death, or when the keeper could not say one, the events are told
 * by the difference. The owner may start the console again from within the last of the calls.
 */
static void take_state(struct console *console, const struct wire_state *state, const void *text, size_t length,
		       int descriptors[WIRE_DESCRIPTORS])
{
	bool ran = console->phase == KEEPER_RUNNING;
	bool replaced = ran && (state->pid != console->pid || state->boot != console->boot);
	bool turned = ran && !replaced && state->frozen != console->frozen;
	bool asked = ran && !replaced && console->freezing;

	note_state(console, state, descriptors);
	if (replaced || state->phase == KEEPER_EXITED)
		tell_exit(console, &state->exit, state->phase != KEEPER_EXITED);
	if (state->phase == KEEPER_RUNNING && (!ran || replaced))
		console->handler->started(console, console->user, state->pid);
	if (console->input_blocked && console_unplugged(console))
		tell_writable(console); /* who waits to write is to know */
	if (state->phase == KEEPER_FAILED)
		tell_failure(console, state->error, text, length);
	else if ((turned || (asked && !console->freezing)) && console->phase == KEEPER_RUNNING) /* others may turn it */
		console->handler->frozen(console, console->user, state->frozen);
}

static void take_refusal(struct console *console, const struct wire_state *state, const void *text, size_t length)
{
	struct error error = {0};

	console->freezing = false;
	error_set(&error, state->error, "%.*s", (int)length, text ? (const char *)text : "");
	console->handler->refused(console, console->user, &error);
}

/* --- keepers that die --- */

static void give_up(struct console *console)
{
	struct wire_exit exit = {
		.head = ring_head(&console->ring), .known = console->reaped, .status = console->status};
	static const char reason[] = "keeper: it ends before it has started anything";
	bool started = console->phase != KEEPER_STARTING;

	if (console->kind == CONSOLE_CONTAINER && console->pid > 0 && console->master < 0) {
		log_error("%s: keepers die one after the other; it is let go", console->name); /* somebody else's */
	} else if (console->pid > 0) {
		log_error("%s: keepers die one after the other; it is killed", console->name);
		program_signal_session(console->pid, (int[]){SIGKILL, 0});
		pidfd_send_signal(console->pidfd, SIGKILL, NULL, 0);
	}
	console_become_idle(console);
	if (started)
		tell_exit(console, &exit, false);
	else
		tell_failure(console, -EIO, reason, strlen(reason));
}

static bool dies_too_often(struct console *console)
{
	uint64_t now = uv_now(console->consoles->loop);

	if (console->deaths == 0 || now - console->first_death > DEATHS_PERIOD) {
		console->deaths = 0;
		console->first_death = now;
	}
	return ++console->deaths >= DEATHS_MAX;
}

static void on_revive(uv_timer_t *timer)
{
	console_revive(timer->data);
}

static void on_death(struct console *console)
{
	lose_socket(console);
	console->adopted = console->pid > 0;
	if (console->phase == KEEPER_EXITED || dies_too_often(console))
		give_up(console);
	else
		console_revive(console);
}

static void on_hear_again(uv_timer_t *timer)
{
	struct console *console = timer->data;

	watch_set(console->socket, UV_READABLE);
}

/* There is no memory, or no descriptor: what it says waits until there may be, and the loop does not turn for it. */
static void hear_later(struct console *console)
{
	watch_set(console->socket, 0);
	uv_timer_start(&console->timer, on_hear_again, HEAR_AGAIN, 0);
}

static void on_socket(void *user, int events)
{
	struct console *console = user;
	int descriptors[WIRE_DESCRIPTORS];
	struct wire_message message;
	cleanup_free void *tail = NULL;
	int r;

	r = wire_receive(watch_fd(console->socket), &message, &tail, descriptors);
	if (r == 0 && message.type == WIRE_STATE)
		take_state(console, &message.state, tail, message.tail_length, descriptors);
	else if (r == 0 && message.type == WIRE_REFUSED)
		take_refusal(console, &message.state, tail, message.tail_length);
	else if (r == 0 || r == -EBADMSG)
		log_warn("%s: its keeper says what we do not understand", console->name);
	else if (r == -ENOMEM || r == -EMFILE)
		hear_later(console);
	else if (r != -EAGAIN)
		on_death(console);
	for (int i = 0; i < WIRE_DESCRIPTORS; i++)
		close_fd(&descriptors[i]);
}

/* --- what goes to the keeper --- */

static int tell(struct console *console, struct wire_message *message, const void *tail, size_t length)
{
	return console->socket ? wire_send(watch_fd(console->socket), message, tail, length, NULL) : -EPIPE;
}

int console_tell(struct console *console, struct wire_message *message)
{
	return tell(console, message, NULL, 0);
}

int console_tell_stop(struct console *console, int timeout_ms, bool again, const struct console_target *target)
{
	struct wire_message message = {.type = WIRE_STOP, .stop = {.timeout = timeout_ms, .again = again}};
	int r = tell(console, &message, target ? target->data : NULL, target ? target->length : 0);

	return r == -EPIPE ? 0 : r; /* the next keeper hears it */
}

int console_tell_freeze(struct console *console)
{
	struct wire_message message = {.type = WIRE_FREEZE, .frozen = console->freeze};
	int r = console_tell(console, &message);

	return r == -EPIPE ? 0 : r;
}

void console_on_status(struct console *console, int status)
{
	struct wire_message message = {.type = WIRE_STATUS, .exit = {.status = status, .known = true}};

	console->adopted = false; /* its pid may be somebody else's from here on */
	console->reaped = true;
	console->status = status;
	console_tell(console, &message);
}

/* Hands the target over: to be started, or gone on with. */
static int tell_keep(struct console *console)
{
	struct wire_message message = {
		.type = WIRE_KEEP,
		.state = {.phase = console->phase,
			  .pid = console->pid,
			  .kind = (uint8_t)console->kind,
			  .frozen = console->frozen,
			  .deaf = console->deaf,
			  .boot = console->boot},
	};
	int descriptors[] = {
		[WIRE_EVENTFD] = watch_fd(console->bell),
		[WIRE_MASTER] = console->master,
		[WIRE_PIDFD] = console->pid > 0 ? console->pidfd : -1,
		[WIRE_INPUT] = console->has_input ? watch_fd(console->input) : -1,
	};
	int r = wire_send(watch_fd(console->socket), &message, console->target, console->target_length, descriptors);

	return r == -EPIPE ? 0 : r; /* it has died already, which its socket tells */
}

int console_watch_keeper(struct console *console, int fd, pid_t keeper_pid)
{
	int r = watch_create(&console->socket, console->consoles->loop, fd, on_socket, console);

	if (r < 0)
		return r;
	console->keeper_pid = keeper_pid;
	watch_set(console->socket, UV_READABLE);
	return 0;
}

int console_start_keeper(struct console *console, struct error *error)
{
	pid_t pid;
	int r;

	r = keeper_spawn(console->consoles, console->kind, console->name, &pid, error);
	if (r < 0)
		return r;
	r = console_watch_keeper(console, r, pid);
	if (r == 0)
		r = tell_keep(console);
	return r < 0 ? error_set(error, r, "keeper: %s", strerror(-r)) : 0;
}

/* What the machine lacks now, it may have later: no reason to give up what runs. */
static bool may_pass(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -EAGAIN;
}

void console_revive(struct console *console)
{
	struct error error = {0};
	int r;

	uv_timer_stop(&console->timer);
	log_warn("%s: its keeper has died; another takes over", console->name);
	r = console_start_keeper(console, &error);
	if (r < 0) {
		log_error("%s: %s", console->name, error_text(&error));
		lose_socket(console);
		if (!(console->pid > 0 && may_pass(r)) && dies_too_often(console))
			give_up(console);
		else
			uv_timer_start(&console->timer, on_revive, REVIVE_AGAIN, 0);
		return;
	}
	if (console->reaped)
		console_on_status(console, console->status);
	if (console->stopping)
		console_tell_stop(console, console->stop_timeout, console->again, NULL);
	if (console->freezing)
		console_tell_freeze(console);
	flow_begin(console);
}

int console_watch_bell(struct console *console, int fd)
{
	int r = watch_create(&console->bell, console->consoles->loop, fd, on_bell, console);

	if (r == 0)
		watch_set(console->bell, UV_READABLE);
	return r;
}

int console_watch_terminal(struct console *console, int *master, int *input)
{
	int fd;

	if (*master < 0 && *input < 0)
		return 0;
	console_end_break(console);
	if (*master >= 0) {
		close_fd(&console->master);
		console->master = move_fd(master);
	}
	watch_destroy(move_pointer(console->input));
	console->has_input = *input >= 0;
	fd = *input >= 0 ? move_fd(input) : fcntl(console->master, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : watch_create(&console->input, console->consoles->loop, fd, on_input, console);
}
