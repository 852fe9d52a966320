// SPDX-License-Identifier: Apache-2.0
/*
 * Those of one instance are among its readers, in order. The first for a console types, and the first for a keyboard;
 * when one ends, the next is woken by its own timer, so that nobody is called from within another's end.
 */
#include "instances/typing.h"

#include "instances/instance.h"
#include "spice/monitor.h"
#include "util/cleanup.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAIT 1 /* it goes on later */

struct typing {
	struct instance_reader reader; // instance::readers
	struct instance *instance;
	uv_timer_t timer; /* for its turn, or its deadline */
	uint64_t deadline;
	struct keys keys;
	size_t typed;                       /* of keys.bytes */
	size_t broken;                      /* of keys.breaks */
	struct monitor *monitor;            /* sends a break */
	struct monitor_step break_steps[2]; /* how */
	struct keyboard *keyboard;
	void (*done)(void *user, size_t bytes, const struct error *error);
	void *user;
};

static void on_timer(uv_timer_t *timer);
static void on_writable(struct instance_reader *reader);

/* --- order --- */

static struct typing *of(struct instance_reader *reader)
{
	return reader->writable == on_writable ? container_of(reader, struct typing, reader) : NULL;
}

/* The one whose turn it is, of those for a keyboard or for the console; NULL: there is none. */
static struct typing *first(const struct instance *instance, bool keyboard)
{
	struct instance_reader *reader;

	list_for_each (reader, &instance->readers, link)
		if (of(reader) && of(reader)->keys.keyboard == keyboard)
			return of(reader);
	return NULL;
}

static unsigned int count(const struct instance *instance)
{
	struct instance_reader *reader;
	unsigned int found = 0;

	list_for_each (reader, &instance->readers, link)
		found += of(reader) != NULL;
	return found;
}

static void wake(struct typing *typing)
{
	uv_timer_start(&typing->timer, on_timer, 0, 0);
}

/* --- the end --- */

static void on_closed(uv_handle_t *timer)
{
	free(container_of((uv_timer_t *)timer, struct typing, timer));
}

static void destroy(struct typing *typing)
{
	struct typing *next;

	list_remove(&typing->reader.link);
	next = first(typing->instance, typing->keys.keyboard);
	if (next && !next->monitor && !next->keyboard)
		wake(next);
	monitor_cancel(typing->monitor);
	keyboard_cancel(typing->keyboard);
	json_decref(typing->break_steps[0].arguments);
	keys_finish(&typing->keys);
	uv_close((uv_handle_t *)&typing->timer, on_closed);
}

void typing_cancel(struct typing *typing)
{
	destroy(typing);
}

static void finish(struct typing *typing, const struct error *error)
{
	typing->done(typing->user, typing->typed, error);
	destroy(typing);
}

static void fail(struct typing *typing, int code, const char *text)
{
	struct error error;

	error_set(&error, code, "%s", text);
	finish(typing, &error);
}

/* The monitor has said so; that it hung up is the first news of a machine's end. */
static void finish_visit(struct typing *typing, const struct error *error)
{
	if (error && error->code == -EPIPE)
		fail(typing, -ESHUTDOWN, "The instance has ended");
	else
		finish(typing, error);
}

static void on_gone(struct instance_reader *reader)
{
	fail(of(reader), -ESHUTDOWN, "The instance is no longer there");
}

static void on_ended(struct instance_reader *reader)
{
	fail(of(reader), -ESHUTDOWN, "The instance has ended");
}

/* --- a console --- */

static void go_on(struct typing *typing);

static void on_broken(struct monitor *monitor, void *user, const struct error *error)
{
	struct typing *typing = user;

	typing->monitor = NULL;
	if (error)
		finish_visit(typing, error);
	else
		go_on(typing);
}

/* A virtual machine's serial port is QEMU's. The monitor is not behind the input: what was typed before may come later.
 */
static int visit_for_break(struct typing *typing, struct error *error)
{
	cleanup_close int directory = console_open_directory(typing->instance->console);
	json_t **arguments = &typing->break_steps[0].arguments;

	if (directory < 0)
		return directory;
	if (!*arguments)
		*arguments = json_pack("{s:s}", "id", "console"); /* as pty/targets/qemu.c calls it */
	if (!*arguments)
		return -ENOMEM;
	typing->break_steps[0].command = "chardev-send-break";
	return monitor_visit(&typing->monitor, typing->timer.loop, directory, typing->break_steps, MONITOR_TIMEOUT_MS,
			     on_broken, typing, error);
}

/* 0: it is sent; WAIT: on_broken() or on_writable() goes on. */
static int send_break(struct typing *typing, struct error *error)
{
	int r = console_send_break(typing->instance->console);

	if (r == -EAGAIN)
		return WAIT;
	if (r == -EOPNOTSUPP) {
		r = visit_for_break(typing, error);
		r = r == 0 ? WAIT : r;
	}
	typing->broken++;
	return r;
}

/* Gives the console what it takes, up to the next break. 0: it has taken all; WAIT: it takes no more at present. */
static int write_some(struct typing *typing)
{
	const struct keys *keys = &typing->keys;
	size_t end = typing->broken < keys->break_count ? keys->breaks[typing->broken] : keys->bytes.length;
	ssize_t taken;

	while (typing->typed < end) {
		taken = console_write(typing->instance->console, keys->bytes.data + typing->typed, end - typing->typed);
		if (taken < 0)
			return taken == -EAGAIN ? WAIT : (int)taken;
		typing->typed += (size_t)taken;
	}
	return 0;
}

static int write_all(struct typing *typing, struct error *error)
{
	int r = write_some(typing);

	while (r == 0 && typing->broken < typing->keys.break_count) {
		r = send_break(typing, error);
		if (r == 0)
			r = write_some(typing);
	}
	if (r == -EIO && !error->text[0]) /* not from the monitor */
		return error_set(error, -ESHUTDOWN, "The instance has ended");
	if (r == -ENXIO)
		return error_set(error, -EAGAIN, "The serial device is unplugged");
	return r;
}

static void go_on(struct typing *typing)
{
	struct error error = {0};
	int r = write_all(typing, &error);

	if (r == WAIT)
		return;
	error.code = r;
	finish(typing, r < 0 ? &error : NULL);
}

static void on_writable(struct instance_reader *reader)
{
	struct typing *typing = of(reader);

	if (!typing->keys.keyboard && !typing->monitor && first(typing->instance, false) == typing)
		go_on(typing);
}

/* Of no interest: sessions and the log have it. */
static void on_output(struct instance_reader *reader)
{
}

/* --- a keyboard --- */

static void on_pressed(void *user, const struct error *error)
{
	struct typing *typing = user;

	typing->keyboard = NULL;
	finish_visit(typing, error);
}

static void press(struct typing *typing)
{
	cleanup_close int directory = console_open_directory(typing->instance->console);
	struct error error = {.code = directory};

	if (directory >= 0)
		error.code = keyboard_type(&typing->keyboard, typing->timer.loop, directory, typing->keys.chords,
					   typing->keys.chord_count, on_pressed, typing, &error);
	if (error.code < 0)
		finish(typing, &error);
}

/* --- life --- */

static void time_out(struct typing *typing)
{
	struct error error;

	error_set(&error, -ETIMEDOUT, "The instance has taken %zu of %zu bytes within %d seconds", typing->typed,
		  typing->keys.bytes.length, TYPING_TIMEOUT_MS / 1000);
	finish(typing, &error);
}

/* Its turn has come, or its time is up. What is said to the monitor has a timeout of its own. */
static void on_timer(uv_timer_t *timer)
{
	struct typing *typing = container_of(timer, struct typing, timer);
	uint64_t now = uv_now(timer->loop);
	bool turn = first(typing->instance, typing->keys.keyboard) == typing;

	if (typing->keys.keyboard) {
		if (turn && !typing->keyboard)
			press(typing);
		return;
	}
	if (now >= typing->deadline && !typing->monitor) {
		time_out(typing);
		return;
	}
	uv_timer_start(&typing->timer, on_timer, now < typing->deadline ? typing->deadline - now : MONITOR_TIMEOUT_MS,
		       0);
	if (turn && !typing->monitor)
		go_on(typing);
}

int typing_create(struct typing **result, struct instance *instance, const struct typing_config *config,
		  struct error *error)
{
	struct typing *typing;

	if (count(instance) >= instance->instances->limits->inputs)
		return error_set(error, -EAGAIN, "Too much is being typed into %s: limits.inputs is %" PRIu64,
				 instance->row.name, instance->instances->limits->inputs);
	typing = calloc(1, sizeof(*typing));
	if (!typing)
		return -ENOMEM;
	typing->reader = (struct instance_reader){
		.output = on_output,
		.writable = on_writable,
		.ended = on_ended,
		.gone = on_gone,
	};
	typing->instance = instance;
	typing->keys = config->keys;
	typing->done = config->done;
	typing->user = config->user;
	typing->deadline = uv_now(instance->instances->loop) + TYPING_TIMEOUT_MS;
	list_append(&instance->readers, &typing->reader.link);
	uv_timer_init(instance->instances->loop, &typing->timer);
	wake(typing);
	*result = typing;
	return 0;
}
