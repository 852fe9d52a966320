// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/client.h"
#include "util/cleanup.h"

#include <err.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define HTTP_ANSWER_MAX (64 * 1024 * 1024)

int64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int unix_socket(const char *path, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (strlen(path) >= sizeof(address->sun_path))
		errx(1, "%s: too long for a unix socket", path);
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	return fd;
}

int unix_connect(const char *path)
{
	struct sockaddr_un address = {0};
	int fd = unix_socket(path, &address);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	return fd;
}

int unix_listen(const char *path)
{
	struct sockaddr_un address = {0};
	int fd = unix_socket(path, &address);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
		err(1, "%s", path);
	return fd;
}

void write_all(int fd, const void *data, size_t length)
{
	const char *at = data;

	while (length > 0) {
		ssize_t n = write(fd, at, length);

		if (n < 0 && errno != EINTR)
			err(1, "write");
		if (n > 0) {
			at += n;
			length -= (size_t)n;
		}
	}
}

int pty_spawn(char *const *argv, pid_t *pid)
{
	const struct winsize size = {.ws_row = 24, .ws_col = 80};
	int master;

	*pid = forkpty(&master, NULL, NULL, &size);
	if (*pid < 0)
		err(1, "forkpty");
	if (*pid == 0) {
		execvp(argv[0], argv);
		err(1, "%s", argv[0]);
	}
	return master;
}

/* --- HTTP --- */

void http_open(struct http *http, const char *path)
{
	*http = (struct http){.fd = unix_connect(path)};
}

void http_close(struct http *http)
{
	close_fd(&http->fd);
	buffer_finish(&http->in);
}

void http_send(struct http *http, const char *method, const char *target, const char *body)
{
	cleanup_free char *text = NULL;
	int length = asprintf(&text,
			      "%s %s HTTP/1.1\r\nHost: unix.socket\r\nUser-Agent: LXD 5.0.2\r\n"
			      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			      method, target, body ? strlen(body) : 0, body ? body : "");

	if (length < 0)
		err(1, NULL);
	write_all(http->fd, text, (size_t)length);
}

/* Waits for more of the answer. */
static void http_fill(struct http *http)
{
	char chunk[64 * 1024];
	ssize_t n = read(http->fd, chunk, sizeof(chunk));

	if (n < 0)
		err(1, "read");
	if (n == 0)
		errx(1, "the connection was closed in the middle of an answer");
	if (buffer_append(&http->in, chunk, (size_t)n, HTTP_ANSWER_MAX) < 0)
		errx(1, "an answer of more than %d bytes", HTTP_ANSWER_MAX);
}

/* Waits until `what` is there at or behind `from`; returns the offset behind it. */
static size_t http_fill_until(struct http *http, size_t from, const char *what)
{
	for (;;) {
		const char *found = NULL;

		if (http->in.length > from)
			found = memmem(http->in.data + from, http->in.length - from, what, strlen(what));
		if (found)
			return (size_t)(found - http->in.data) + strlen(what);
		http_fill(http);
	}
}

static void http_fill_to(struct http *http, size_t length)
{
	while (http->in.length < length)
		http_fill(http);
}

/* The value of a header in the first `head` bytes, or NULL. `name` comes with its colon. */
static const char *http_header(const struct http *http, size_t head, const char *name)
{
	const char *line = http->in.data, *end = line + head, *next;

	while ((next = memchr(line, '\n', (size_t)(end - line)))) {
		if (strncasecmp(line, name, strlen(name)) == 0) {
			for (line += strlen(name); *line == ' ';)
				line++;
			return line;
		}
		line = next + 1;
	}
	return NULL;
}

/* Takes the chunks (RFC 9112, 7.1) from `at` on and joins them in place. Returns the offset behind the joined body. */
static size_t http_join_chunks(struct http *http, size_t at)
{
	size_t joined = at;

	for (;;) {
		size_t data = http_fill_until(http, at, "\r\n");
		size_t length = strtoul(http->in.data + at, NULL, 16);

		http_fill_to(http, data + length + 2);
		memmove(http->in.data + joined, http->in.data + data, length);
		joined += length;
		at = data + length + 2;
		if (length == 0)
			break;
	}
	http->used = at;
	return joined;
}

void http_receive(struct http *http, struct answer *answer)
{
	const char *length;
	size_t head;

	buffer_consume(&http->in, http->used);
	http->used = 0;
	head = http_fill_until(http, 0, "\r\n\r\n");
	if (head < 16 || strncmp(http->in.data, "HTTP/1.", 7) != 0)
		errx(1, "not an HTTP answer");
	answer->status = atoi(http->in.data + 9);
	length = http_header(http, head, "Content-Length:");
	if (length) {
		answer->length = strtoul(length, NULL, 10);
		http_fill_to(http, head + answer->length);
		http->used = head + answer->length;
	} else if (http_header(http, head, "Transfer-Encoding:")) {
		answer->length = http_join_chunks(http, head) - head;
	} else {
		answer->length = 0;
		http->used = head;
	}
	answer->body = http->in.data + head;
}

json_t *http_call(struct http *http, const char *method, const char *target, json_t *body)
{
	cleanup_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_auto_t *envelope = NULL;
	struct answer answer;
	const char *problem = "";
	json_t *metadata = NULL;
	int code = 0;

	json_decref(body);
	http_send(http, method, target, text);
	http_receive(http, &answer);
	envelope = json_loadb(answer.body, answer.length, 0, NULL);
	if (json_unpack(envelope, "{s:i, s:s, s:o}", "error_code", &code, "error", &problem, "metadata", &metadata) < 0)
		errx(1, "%s %s: status %d without LXD's envelope", method, target, answer.status);
	if (code != 0)
		errx(1, "%s %s: %d %s", method, target, code, problem);
	return json_incref(metadata);
}

void http_wait(struct http *http, const char *operation, bool may_fail)
{
	json_auto_t *metadata = NULL;
	const char *problem = "";
	char target[160];
	int code = 0;

	snprintf(target, sizeof(target), "/1.0/operations/%s/wait?timeout=60", operation);
	metadata = http_call(http, "GET", target, NULL);
	if (json_unpack(metadata, "{s:i, s:s}", "status_code", &code, "err", &problem) < 0)
		errx(1, "%s: not an operation", target);
	if (code != 200 && !may_fail)
		errx(1, "operation %s ended with %d %s", operation, code, problem);
}

void http_operate(struct http *http, const char *method, const char *target, json_t *body)
{
	json_auto_t *metadata = http_call(http, method, target, body);
	const char *id = json_string_value(json_object_get(metadata, "id"));

	if (!id)
		errx(1, "%s %s: no operation", method, target);
	http_wait(http, id, false);
}
