// SPDX-License-Identifier: Apache-2.0
/*
 * The break condition of a serial line. tcsendbreak(3) would block, for the break and for what is to be sent before;
 * and so would TIOCSBRK, which waits for the latter. What is typed meanwhile waits: it would be lost in the break.
 */
#include "pty/consoles.h"
#include "util/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define BREAK_TIME 300  /* ms; tcsendbreak(3): 250 to 500 */
#define LOOK_EVERY 10   /* ms */
#define UNSENT_MAX 2000 /* ms that what was typed before has to be sent */

struct console_break {
	struct console *console;
	uv_timer_t timer;
	uint64_t asked_at;
	bool on;
};

static void on_close(uv_handle_t *timer)
{
	free(timer->data);
}

void console_end_break(struct console *console)
{
	struct console_break *line_break = console->line_break;

	if (!line_break)
		return;
	if (line_break->on && console->input)
		ioctl(watch_fd(console->input), TIOCCBRK);
	console->line_break = NULL;
	uv_close((uv_handle_t *)&line_break->timer, on_close);
	if (console->input_blocked && console->input)
		watch_set(console->input, UV_WRITABLE);
}

static void on_timer(uv_timer_t *timer)
{
	struct console_break *line_break = timer->data;
	struct console *console = line_break->console;
	int fd = watch_fd(console->input), unsent = 0;

	if (line_break->on) {
		console_end_break(console);
		return;
	}
	ioctl(fd, TIOCOUTQ, &unsent);
	if (unsent > 0 && uv_now(timer->loop) - line_break->asked_at < UNSENT_MAX) {
		uv_timer_start(timer, on_timer, LOOK_EVERY, 0);
	} else if (unsent > 0) {
		log_warn("%s: no break is sent: the line does not take what is to come before it", console->name);
		console_end_break(console);
	} else {
		line_break->on = ioctl(fd, TIOCSBRK) == 0;
		uv_timer_start(timer, on_timer, BREAK_TIME, 0);
	}
}

int console_send_break(struct console *console)
{
	struct console_break *line_break;

	if (console->phase != KEEPER_RUNNING)
		return -EIO;
	if (console->kind != CONSOLE_SERIAL)
		return -EOPNOTSUPP;
	if (console_unplugged(console))
		return -ENXIO;
	if (!console->input)
		return -EIO;
	if (console->line_break) {
		console->input_blocked = true;
		return -EAGAIN;
	}
	line_break = calloc(1, sizeof(*line_break));
	if (!line_break)
		return -ENOMEM;
	line_break->console = console;
	line_break->timer.data = line_break;
	line_break->asked_at = uv_now(console->consoles->loop);
	uv_timer_init(console->consoles->loop, &line_break->timer);
	uv_timer_start(&line_break->timer, on_timer, 0, 0);
	console->line_break = line_break;
	return 0;
}
