// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void session_post(struct session *session, const struct options *options)
{
	json_auto_t *metadata = NULL;
	const char *id, *data, *control;
	char target[256];

	if (session->http.fd < 0)
		http_open(&session->http, options->socket);
	snprintf(target, sizeof(target), "/1.0/instances/%s/console", options->instance);
	metadata = http_call(&session->http, "POST", target,
			     json_pack("{s:i, s:i, s:s, s:s*, s:s*}", "width", 80, "height", 24, "type",
				       options->vga ? "vga" : "console", "mode", options->watch ? "watch" : NULL,
				       "replay", options->replay));
	if (json_unpack(metadata, "{s:s, s:{s:{s:s, s:s}}}", "id", &id, "metadata", "fds", "0", &data, "control",
			&control) < 0)
		errx(1, "the answer to a POST of a console has no secrets");
	snprintf(session->operation, sizeof(session->operation), "%s", id);
	snprintf(target, sizeof(target), "/1.0/operations/%s/websocket?secret=%s", id, control);
	link_upgrade(&session->control, options->socket, target);
	snprintf(target, sizeof(target), "/1.0/operations/%s/websocket?secret=%s", id, data);
	link_upgrade(&session->data, options->socket, target);
}

static void session_start_machine(struct session *session, const struct options *options)
{
	int output, input;

	session->pid = machine_start(options->fifo, options->program, &output, &input);
	link_open_pair(&session->data, output, input);
}

void session_open(struct session *session, const struct options *options)
{
	session->lxd = options->lxd;
	if (options->container)
		link_open(&session->data, guest_start(&session->guest, options->program));
	else if (options->fifo)
		session_start_machine(session, options);
	else if (options->program)
		link_open(&session->data, pty_spawn(options->program, &session->pid));
	else if (options->relay)
		link_open(&session->data, unix_connect(options->relay));
	else
		session_post(session, options);
}

/* Reads what still comes until nothing does. */
static void session_settle(struct session *session)
{
	const unsigned char *data;

	while (link_wait(&session->data, LXD_SETTLE)) {
		size_t length = link_peek(&session->data, &data);

		if (length == 0)
			return;
		link_consume(&session->data, length);
	}
}

void session_detach(struct session *session)
{
	if (session->lxd)
		session_settle(session);
	if (session->control.fd >= 0) {
		link_say_goodbye(&session->control, "Detaching from console");
		http_wait(&session->http, session->operation, session->lxd);
		link_close(&session->control);
	}
	if (session->guest.pid > 0) /* before its console is closed */
		guest_stop(&session->guest);
	link_close(&session->data);
	if (session->pid > 0) {
		kill(session->pid, SIGKILL);
		waitpid(session->pid, NULL, 0);
		session->pid = 0;
	}
}

void session_finish(struct session *session)
{
	session_detach(session);
	if (session->http.fd >= 0)
		http_close(&session->http);
}
