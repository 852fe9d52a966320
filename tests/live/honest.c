// SPDX-License-Identifier: Apache-2.0
#include "tests/live/honest.h"
#include "tests/live/answer.h"
#include "tests/live/frames.h"
#include "tests/live/visit.h"
#include "util/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE_MS 60000
#define HEARD_MAX (64 * 1024 * 1024)

/* --- one request, one answer --- */

/* Reads what there is. False: there is no more, or it has taken too long. */
static bool hear(int fd, struct buffer *in, int64_t deadline)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	static char chunk[65536];
	int64_t left = deadline - now_ms();
	ssize_t n;

	if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
		return false;
	n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	return n > 0 && buffer_append(in, chunk, (size_t)n, HEARD_MAX) == 0;
}

static bool say(int fd, const struct buffer *out)
{
	return send(fd, out->data, out->length, MSG_NOSIGNAL) == (ssize_t)out->length; /* it is little */
}

/* Asks, and waits for the answer's JSON, which is the caller's; NULL and a complaint if there is none. */
static json_t *ask(struct honest *honest, const char *method, const char *target, const char *body)
{
	cleanup_close int fd = ground_connect(honest->ground);
	int64_t deadline = now_ms() + PATIENCE_MS;
	enum verdict verdict = TAKE_MORE;
	struct buffer out = {0}, in = {0};
	const char *why = "no answer";
	struct answer answer;
	json_t *json = NULL;

	put(&out, "%s %s HTTP/1.1\r\nHost: unix.socket\r\nContent-Length: %zu\r\n\r\n%s", method, target, strlen(body),
	    body);
	if (fd >= 0 && say(fd, &out))
		while (verdict == TAKE_MORE && hear(fd, &in, deadline))
			verdict = answer_take(&answer, &in, false, false, &why);
	if (verdict == TAKE_WHOLE) {
		why = answer_check(&answer, method);
		json = json_incref(answer.json);
		answer_finish(&answer);
	}
	if (verdict != TAKE_WHOLE || why || !json)
		complain(honest->ground, "%s %s: %s", method, target, why);
	buffer_finish(&out);
	buffer_finish(&in);
	return json;
}

/* Asks, and waits for the end of the operation that comes of it. Whether that was Success; `why` has words if not. */
static bool carry_out(struct honest *honest, const char *method, const char *target, const char *body,
		      char why[static 200])
{
	json_auto_t *answer = ask(honest, method, target, body), *ended = NULL;
	const char *operation = json_string_value(json_object_get(answer, "operation"));
	json_int_t code;
	char path[128];

	snprintf(why, 200, "%s", json_string_value(json_object_get(answer, "error")) ?: "");
	if (!operation || !*operation)
		return false;
	snprintf(path, sizeof(path), "%s/wait?timeout=50", operation);
	ended = ask(honest, "GET", path, "");
	code = json_integer_value(json_object_get(json_object_get(ended, "metadata"), "status_code"));
	snprintf(why, 200, "%s", json_string_value(json_object_get(json_object_get(ended, "metadata"), "err")) ?: "");
	if (ended && code < 200)
		complain(honest->ground, "%s %s: the operation does not end", method, target);
	return code == 200;
}

/* --- instances --- */

static bool make(struct honest *honest, const char *name, const char *rest)
{
	struct buffer body = {0};
	char why[200];
	bool made;

	put(&body, "{\"name\":\"%s\",\"source\":{\"type\":\"none\"},%s}%c", name, rest, 0);
	made = carry_out(honest, "POST", "/1.0/instances", body.data, why);
	buffer_finish(&body);
	return made;
}

static bool change(struct honest *honest, const char *name, const char *action, char why[static 200])
{
	char target[128], body[64];

	snprintf(target, sizeof(target), "/1.0/instances/%s/state", name);
	snprintf(body, sizeof(body), "{\"action\":\"%s\",\"force\":true}", action);
	return carry_out(honest, "PUT", target, body, why);
}

static bool unmake(struct honest *honest, const char *name, char why[static 200])
{
	char target[128];

	snprintf(target, sizeof(target), "/1.0/instances/%s", name);
	return carry_out(honest, "DELETE", target, "", why);
}

/* One whose config has been changed is made anew. */
static void restore(struct honest *honest, const char *name, const char *rest)
{
	char why[200];

	make(honest, name, rest);
	if (change(honest, name, "start", why) || strstr(why, "already running"))
		return;
	unmake(honest, name, why);
	make(honest, name, rest);
	change(honest, name, "start", why);
}

void honest_restore(struct honest *honest)
{
	static const char *const programs[PROGRAMS] = {
		"\"config\":{\"process.command\":\"/bin/cat\"}",
		"\"config\":{\"process.command\":\"sh -c 'while sleep 0.1; do head -c 20000 /dev/zero | tr \\\\\\\\0 "
		"x; done'\"}",
		"\"config\":{\"process.command\":\"sh -c 'echo hello; sleep 0.2; exit "
		"1'\",\"process.restart\":\"always\"}",
		"\"config\":{\"process.command\":\"/bin/sleep 1000\"}",
		"\"config\":{\"process.command\":\"/bin/cat\",\"console.buffer.size\":\"64KiB\"}",
	};
	char name[16];

	for (unsigned int i = 0; i < PROGRAMS; i++) {
		snprintf(name, sizeof(name), "live-%u", i);
		restore(honest, name, programs[i]);
	}
	make(honest, "box", "\"devices\":{\"root\":{\"type\":\"disk\",\"path\":\"/\",\"source\":\"/nonexistent\"}}");
	make(honest, "vm", "\"type\":\"virtual-machine\"");
	make(honest, "wire", "\"config\":{\"serial.device\":\"/dev/null\"}");
}

/* --- its console --- */

static void attach(struct honest *honest)
{
	json_auto_t *answer = ask(honest, "POST", "/1.0/instances/honest/console", "{\"width\":80,\"height\":24}");
	json_t *operation = json_object_get(answer, "metadata"), *fds;
	struct buffer out = {0};
	const char *why = "no answer";
	struct answer upgraded = {0};
	char path[200];

	fds = json_object_get(json_object_get(operation, "metadata"), "fds");
	snprintf(path, sizeof(path), "/1.0/operations/%s/websocket?secret=%s",
		 json_string_value(json_object_get(operation, "id")), json_string_value(json_object_get(fds, "0")));
	honest->console = ground_connect(honest->ground);
	request_upgrade(&honest->random, path, &out);
	if (honest->console >= 0 && say(honest->console, &out))
		while (!upgraded.status && hear(honest->console, &honest->heard, now_ms() + PATIENCE_MS))
			answer_take(&upgraded, &honest->heard, false, false, &why);
	if (upgraded.status != 101)
		complain(honest->ground, "attaching: %u, %s", upgraded.status, why);
	buffer_finish(&out);
}

/* Whether `letter` is in what the console says before the deadline. */
static bool hear_letter(struct honest *honest, char letter, int64_t deadline)
{
	bool found = false;

	do {
		struct frame frame;
		const char *why;

		while (frame_look(&frame, &honest->heard, &why) == TAKE_WHOLE) {
			found |= frame.opcode == 2 && memchr(frame.payload, letter, frame.length);
			buffer_consume(&honest->heard, frame.size);
		}
	} while (!found && hear(honest->console, &honest->heard, deadline));
	return found;
}

void honest_check(struct honest *honest)
{
	const char typed[2] = {(char)('a' + (char)(honest->letter++ % 26)), '\n'};
	json_auto_t *answer = ask(honest, "GET", "/1.0", "");
	struct buffer out = {0};

	frame_put(&honest->random, FRAME_BINARY, typed, sizeof(typed), &out);
	if (answer && (!say(honest->console, &out) || !hear_letter(honest, typed[0], now_ms() + PATIENCE_MS)))
		complain(honest->ground, "what is typed does not come back");
	buffer_finish(&out);
}

void honest_begin(struct honest *honest, struct ground *ground)
{
	char why[200];

	*honest = (struct honest){.ground = ground, .console = -1, .random = {1}};
	json_decref(ask(honest, "PATCH", "/1.0", "{\"config\":{\"lxc.lxcpath\":\"/nonexistent/a\"}}"));
	if (!make(honest, "honest", "\"config\":{\"process.command\":\"/bin/cat\"}") ||
	    !change(honest, "honest", "start", why))
		complain(ground, "an honest client cannot start a program");
	attach(honest);
}

/* --- cleaning up --- */

static void remove_instance(struct honest *honest, const char *name)
{
	char why[200];

	change(honest, name, "stop", why);
	if (!unmake(honest, name, why) && strcmp(why, "Instance not found") != 0) /* it was ephemeral */
		complain(honest->ground, "%s cannot be deleted: %s", name, why);
}

/* How many operations there are, ended ones included. */
static size_t count_operations(struct honest *honest)
{
	json_auto_t *answer = ask(honest, "GET", "/1.0/operations", "");
	const char *status;
	size_t count = 0;
	json_t *list;

	json_object_foreach (json_object_get(answer, "metadata"), status, list)
		count += json_array_size(list);
	return count;
}

void honest_clean(struct honest *honest)
{
	json_auto_t *answer = ask(honest, "GET", "/1.0/instances", "");
	int64_t deadline = now_ms() + PATIENCE_MS;
	json_t *url;
	size_t i;

	json_array_foreach (json_object_get(answer, "metadata"), i, url) {
		const char *name = strrchr(json_string_value(url), '/') + 1;

		if (strcmp(name, "honest") != 0)
			remove_instance(honest, name);
	}
	while (count_operations(honest) > 1 && now_ms() < deadline)
		poll(NULL, 0, 100);
	if (count_operations(honest) != 1)
		complain(honest->ground, "operations that do not end, or do not go");
}

void honest_end(struct honest *honest)
{
	close_fd(&honest->console);
	buffer_finish(&honest->heard);
}
