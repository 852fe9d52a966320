// SPDX-License-Identifier: Apache-2.0
#include "spice/keyboard.h"

#include "util/cleanup.h"
#include "util/json.h"
#include "util/list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* QEMU 7.2 queues 1024 things: of a chord, two for each key that goes down or up, and its two pauses. */
#define CHORDS_AT_ONCE 32

struct keyboard {
	uv_timer_t timer; /* until what was sent has been typed */
	int directory;
	const struct chord *chords;
	size_t count;                                  /* of them, that are to be sent */
	struct monitor *monitor;                       /* NULL: not visited at present */
	struct monitor_step steps[CHORDS_AT_ONCE + 1]; /* the visit's */
	keyboard_done done;
	void *user;
};

static void forget_steps(struct keyboard *keyboard)
{
	for (struct monitor_step *step = keyboard->steps; step->command; step++) {
		json_decref(step->arguments);
		*step = (struct monitor_step){0};
	}
}

static void on_closed(uv_handle_t *timer)
{
	free(container_of((uv_timer_t *)timer, struct keyboard, timer));
}

void keyboard_cancel(struct keyboard *keyboard)
{
	if (!keyboard)
		return;
	monitor_cancel(keyboard->monitor);
	forget_steps(keyboard);
	close_fd(&keyboard->directory);
	uv_close((uv_handle_t *)&keyboard->timer, on_closed);
}

static void finish(struct keyboard *keyboard, const struct error *error)
{
	keyboard_cancel(keyboard);
	keyboard->done(keyboard->user, error);
}

static json_t *arguments_of(const struct chord *chord)
{
	json_t *keys = json_array();

	for (size_t i = 0; i < CHORD_KEYS_MAX && chord->codes[i]; i++)
		json_append(&keys, json_pack("{s:s, s:s}", "type", "qcode", "data", chord->codes[i]));
	return json_pack("{s:o, s:i}", "keys", keys, "hold-time", KEYBOARD_HOLD_MS);
}

static int send_some(struct keyboard *keyboard, struct error *error);

static void on_typed(uv_timer_t *timer)
{
	struct keyboard *keyboard = container_of(timer, struct keyboard, timer);
	struct error error = {0};

	error.code = keyboard->count > 0 ? send_some(keyboard, &error) : 0;
	if (error.code < 0)
		finish(keyboard, &error);
	else if (!keyboard->monitor)
		finish(keyboard, NULL);
}

static void on_visited(struct monitor *monitor, void *user, const struct error *error)
{
	struct keyboard *keyboard = user;
	unsigned int sent = 0;

	keyboard->monitor = NULL;
	while (keyboard->steps[sent].command)
		sent++;
	forget_steps(keyboard);
	if (error)
		finish(keyboard, error);
	else
		uv_timer_start(&keyboard->timer, on_typed, 2 * KEYBOARD_HOLD_MS * sent, 0);
}

static int send_some(struct keyboard *keyboard, struct error *error)
{
	size_t count = keyboard->count < CHORDS_AT_ONCE ? keyboard->count : CHORDS_AT_ONCE;

	for (size_t i = 0; i < count; i++) {
		keyboard->steps[i] = (struct monitor_step){"send-key", arguments_of(&keyboard->chords[i])};
		if (!keyboard->steps[i].arguments)
			return -ENOMEM;
	}
	keyboard->chords += count;
	keyboard->count -= count;
	return monitor_visit(&keyboard->monitor, keyboard->timer.loop, keyboard->directory, keyboard->steps,
			     MONITOR_TIMEOUT_MS, on_visited, keyboard, error);
}

int keyboard_type(struct keyboard **result, uv_loop_t *loop, int directory, const struct chord *chords, size_t count,
		  keyboard_done done, void *user, struct error *error)
{
	struct keyboard *keyboard = calloc(1, sizeof(*keyboard));
	int r;

	if (!keyboard)
		return -ENOMEM;
	uv_timer_init(loop, &keyboard->timer);
	keyboard->chords = chords;
	keyboard->count = count;
	keyboard->done = done;
	keyboard->user = user;
	keyboard->directory = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	r = keyboard->directory < 0 ? -errno : send_some(keyboard, error);
	if (r < 0)
		keyboard_cancel(keyboard);
	else
		*result = keyboard;
	return r;
}
