// SPDX-License-Identifier: Apache-2.0
#include "tests/live/request.h"
#include "util/cleanup.h"

#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put(struct buffer *out, const char *format, ...)
{
	cleanup_free char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0 || buffer_append(out, text, (size_t)length, REQUEST_MAX) < 0)
		errx(2, "out of memory");
}

static void put_bytes(struct buffer *out, struct random *random, size_t count)
{
	while (count-- > 0) {
		char byte = (char)random_next(random);

		if (buffer_append(out, &byte, 1, REQUEST_MAX) < 0)
			errx(2, "out of memory");
	}
}

void routes_parse(struct routes *routes, const char *text)
{
	int length;

	for (; *text && routes->count < 64; text += length, routes->count++)
		if (sscanf(text, "%7s %63s\n%n", routes->list[routes->count].method,
			   routes->list[routes->count].pattern, &length) != 2)
			errx(2, "no route: %s", text);
}

/* --- paths --- */

static void put_name(struct buffer *out, struct random *random)
{
	static const char *const odd[] = {
		"nosuch", "..", "a%2Fb",    "live-0%00", "%ff",       "box",    "vm",         "wire", "c1-",
		"-c1",    "%",  "live%2D1", "new-0",     "%E2%82%AC", "LIVE-0", "operations", "x.y",  "0",
	};

	if (random_percent(random, 70))
		put(out, "live-%u", random_below(random, PROGRAMS));
	else if (random_percent(random, 50))
		put(out, "new-%u", random_below(random, 6));
	else
		put(out, "%s", random_pick(random, odd));
}

static void put_id(struct buffer *out, struct random *random, const struct known *known)
{
	size_t count = known->operation_count < KNOWN_MAX ? known->operation_count : KNOWN_MAX;

	if (count > 0 && random_percent(random, 80))
		put(out, "%s", known->operations[random_below(random, (uint32_t)count)]);
	else
		put(out, "%08x-0000-4000-8000-000000000000", (uint32_t)random_next(random));
}

static void put_path(struct buffer *out, struct random *random, const char *pattern, const struct known *known)
{
	static const char *const files[] = {"boots", "lxc.log", "qemu.log", "..%2fconsoled.db", "ring"};
	static const char *const aliases[] = {"/1.0/containers", "/1.0/virtual-machines"};
	static const char collection[] = "/1.0/instances";

	if (strncmp(pattern, collection, strlen(collection)) == 0 && random_percent(random, 15)) {
		put(out, "%s", random_pick(random, aliases));
		pattern += strlen(collection);
	}
	while (*pattern) {
		size_t length = strcspn(pattern, "{");

		put(out, "%.*s", (int)length, pattern);
		pattern += length;
		if (strncmp(pattern, "{name}", 6) == 0)
			put_name(out, random);
		else if (strncmp(pattern, "{id}", 4) == 0)
			put_id(out, random, known);
		else if (*pattern)
			put(out, "%s", random_pick(random, files));
		pattern += strcspn(pattern, "}");
		pattern += *pattern == '}';
	}
}

static void put_query(struct buffer *out, struct random *random, struct request *request)
{
	static const char *const queries[] = {
		"recursion=1",
		"recursion=2",
		"recursion=x",
		"project=default",
		"project=other",
		"all-projects=true",
		"filter=name%20eq%20live-0",
		"filter=bogus",
		"filter=not%20status%20eq%20Running%20or%20x%20ne%201",
		"instance-type=container",
		"instance-type=x",
		"type=log",
		"type=vga",
		"type=operation%2Clifecycle",
		"type=bogus",
		"tail=3",
		"tail=0",
		"tail=-1",
		"tail_bytes=100",
		"tail=99999999999999999999",
		"since=0",
		"since=1h",
		"since=x",
		"since=2026-11-23T09:19:16Z",
		"boot=1",
		"boot=-1",
		"boot=999",
		"format=plain",
		"format=asciicast",
		"format=screen",
		"format=html",
		"format=raw",
		"format=?",
		"timestamps=1",
		"notices=0",
		"follow=0",
		"secret=1",
		"wait=hello&timeout=1",
		"wait=x%2By&timeout=0",
		"wait=(&timeout=1",
		"wait=a(b)%3Fc&since=0&timeout=1",
		"timeout=0",
		"timeout=1",
		"timeout=abc",
		"limit=2",
		"limit=x",
		"public=1",
		"%",
		"=",
		"&&",
		"a%00=b",
		"a=%zz",
	};
	static const char *const patient[] = {"follow=1", "follow=1&format=plain&timestamps=1", "timeout=-1"};

	for (uint32_t count = random_below(random, 4), i = 0; i < count; i++)
		put(out, "%c%s", i ? '&' : '?', random_pick(random, queries));
	if (random_percent(random, 3)) {
		request->patient = true;
		put(out, "%c%s", memchr(out->data, '?', out->length) ? '&' : '?', random_pick(random, patient));
	}
}

/* --- bodies --- */

static void put_odd_body(struct buffer *out, struct random *random)
{
	static const char *const bodies[] = {
		"",
		" ",
		"{",
		"{}",
		"[]",
		"null",
		"1",
		"\"x\"",
		"{}{}",
		"{\"type\":1}",
		"{\"config\":[]}",
		"{\"action\":null}",
		"{\"state\":{\"action\":\"bogus\"}}",
		"{\"width\":1.5}",
		"{\"width\":99999999999999999999}",
		"\xff\xfe",
		"{\"name\":\"\\u0000\"}",
		"{\"name\":\"\\ud800\"}",
		"{\"devices\":{\"root\":1}}",
		"{\"source\":{\"type\":7}}",
	};
	uint32_t kind = random_below(random, 100);

	if (kind < 80)
		put(out, "%s", random_pick(random, bodies));
	else if (kind < 90)
		put_bytes(out, random, random_below(random, 200));
	else if (kind < 98)
		for (uint32_t depth = random_below(random, 5000); depth > 0; depth--)
			put(out, "[");
	else
		put(out, "{\"description\":\"%0*d\"}", 1 << (10 + random_below(random, 12)), 0);
}

static void put_console(struct buffer *out, struct random *random)
{
	static const char *const additions[] = {
		"",
		"",
		"",
		",\"mode\":\"watch\"",
		",\"replay\":\"screen\",\"scrollback\":20",
		",\"replay\":\"log\"",
		",\"offset\":0",
		",\"offset\":-2",
		",\"offset\":99999999999",
		",\"notices\":false",
		",\"force\":true",
		",\"mode\":\"x\"",
		",\"type\":\"vga\"",
	};

	put(out, "{\"width\":%u,\"height\":%u%s}", random_below(random, 300), random_below(random, 100),
	    random_pick(random, additions));
}

static void put_state(struct buffer *out, struct random *random)
{
	static const char *const actions[] = {"start", "start", "start", "stop", "restart", "freeze", "unfreeze", "x"};

	put(out, "{\"action\":\"%s\",\"timeout\":%d,\"force\":%s}", random_pick(random, actions),
	    (int)random_below(random, 4) - 1, random_percent(random, 70) ? "true" : "false");
}

static void put_input(struct buffer *out, struct random *random)
{
	static const char *const bodies[] = {
		"{\"text\":\"hello\",\"keys\":[\"enter\"]}",
		"{\"keys\":[\"up\",\"ctrl-l\"]}",
		"{\"keys\":[\"nokey\"]}",
		"{}",
		"{\"type\":\"vga\",\"keys\":[\"a\"]}",
		"{\"text\":\"\\u20ac\\u0007\"}",
		"{\"keys\":[\"break\"]}",
	};

	put(out, "%s", random_pick(random, bodies));
}

/* Nothing that is run does anything. */
static void put_instance(struct buffer *out, struct random *random)
{
	static const char *const configs[] = {
		"",
		"\"process.command\":\"/bin/cat\"",
		"\"process.command\":\"/bin/true\"",
		"\"user.a\":\"b\"",
		"\"process.command\":\"/bin/cat\",\"process.restart\":\"always\"",
		"\"process.command\":\"/nonexistent/x\"",
		"\"process.command\":\"'\"",
		"\"nokey\":\"1\"",
		"\"environment.A\":\"b\",\"process.command\":\"/bin/cat\"",
		"\"limits.cpu\":\"0-1\"",
		"\"console.buffer.size\":\"64KiB\"",
		"\"console.buffer.size\":\"1\"",
		"\"boot.autostart\":\"maybe\"",
		"\"raw.lxc\":\"lxc.console.path=x\"",
	};
	static const char *const devices[] = {"", "\"root\":{\"type\":\"disk\",\"path\":\"/\"}",
					      "\"x\":{\"type\":\"nic\"}", "\"x\":{\"type\":\"?\"}", "\"x\":{}"};
	static const char *const rests[] = {"", ",\"ephemeral\":true", ",\"profiles\":[\"default\"]",
					    ",\"profiles\":[\"no\"]", ",\"description\":\"x\""};

	put(out, "{\"name\":\"");
	put_name(out, random);
	put(out, "\",\"source\":{\"type\":\"none\"},\"config\":{%s},\"devices\":{%s}%s}", random_pick(random, configs),
	    random_pick(random, devices), random_pick(random, rests));
}

/* Directories that are not there: what others have made on this machine is none of ours. */
static void put_server(struct buffer *out, struct random *random)
{
	static const char *const values[] = {"\"/nonexistent/a\"", "\"/nonexistent/b\"", "\"relative\"", "7", "{}"};

	put(out, "{\"config\":{\"lxc.lxcpath\":%s}}", random_pick(random, values));
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), wanted = strlen(end);

	return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* To all instances at once is said nothing that would start or stop one. */
static void put_body(struct buffer *out, struct random *random, const char *method, const char *pattern)
{
	bool makes = strcmp(method, "POST") == 0;

	if (strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0) {
		if (random_percent(random, 2))
			put_odd_body(out, random);
	} else if (random_percent(random, 15) && strcmp(pattern, "/1.0") != 0) {
		put_odd_body(out, random);
	} else if (ends_with(pattern, "/console")) {
		put_console(out, random);
	} else if (ends_with(pattern, "/state")) {
		put_state(out, random);
	} else if (ends_with(pattern, "/input")) {
		put_input(out, random);
	} else if (ends_with(pattern, "{name}") || (makes && ends_with(pattern, "/instances"))) {
		put_instance(out, random);
	} else if (strcmp(pattern, "/1.0") == 0) {
		put_server(out, random);
	} else {
		put(out, "{\"state\":{\"action\":\"%s\"}}", random_percent(random, 50) ? "unfreeze" : "bogus");
	}
}

/* --- the whole --- */

static void put_headers(struct buffer *out, struct random *random)
{
	static const char *const headers[] = {
		"User-Agent: LXD 5.0.2",
		"User-Agent: Incus 7.0",
		"Accept-Encoding: gzip",
		"If-Match: x",
		"If-Match: *",
		"Range: bytes=0-9",
		"Range: bytes=-5",
		"Range: bytes=9-1",
		"Range: lines=1",
		"If-Range: Mon, 23 Nov 2026 09:19:16 GMT",
		"If-Modified-Since: Mon, 23 Nov 2099 09:19:16 GMT",
		"If-Modified-Since: x",
		"X-Odd:",
		"Cookie: a=b",
		"Accept: */*",
		"Content-Type: application/json",
		"Upgrade: h2c",
		"Connection: close",
		"Connection: keep-alive",
		"TE: trailers",
	};

	for (uint32_t count = random_below(random, 4); count > 0; count--)
		put(out, "%s\r\n", random_pick(random, headers));
	if (random_percent(random, 1))
		put(out, "X-Long: %0*d\r\n", 1 << (8 + random_below(random, 8)), 0);
}

static void put_chunks(struct buffer *out, struct random *random, const struct buffer *body)
{
	size_t at = 0, length;

	put(out, "Transfer-Encoding: chunked\r\n\r\n");
	for (; at < body->length; at += length) {
		length = 1 + random_below(random, random_percent(random, 50) ? 16 : 65536);
		length = length < body->length - at ? length : body->length - at;
		put(out, random_percent(random, 90) ? "%zx\r\n" : "%zX;a=b\r\n", length);
		buffer_append(out, body->data + at, length, REQUEST_MAX);
		put(out, "\r\n");
	}
	put(out, random_percent(random, 90) ? "0\r\n\r\n" : "0\r\nX-Trailer: x\r\n\r\n");
}

static void put_rest(struct buffer *out, struct random *random, const struct buffer *body)
{
	if (random_percent(random, 97))
		put(out, "Host: unix.socket\r\n");
	put_headers(out, random);
	if (body->length > 0 && random_percent(random, 15)) {
		put_chunks(out, random, body);
		return;
	}
	if (body->length > 0 || random_percent(random, 50))
		put(out, "Content-Length: %zu\r\n", body->length);
	put(out, "\r\n");
	if (body->length > 0 && buffer_append(out, body->data, body->length, REQUEST_MAX) < 0)
		errx(2, "out of memory");
}

void request_make(struct request *request, struct random *random, const struct routes *routes,
		  const struct known *known, struct buffer *out)
{
	static const char *const odd[] = {"HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "TRACE", "FOO"};
	uint32_t chosen = random_below(random, (uint32_t)routes->count);
	const char *method = routes->list[chosen].method, *pattern = routes->list[chosen].pattern;
	struct buffer target = {0}, body = {0};

	if (random_percent(random, 20)) { /* what all is about */
		method = "POST";
		pattern = "/1.0/instances/{name}/console";
	}

	*request = (struct request){0};
	put_body(&body, random, method, pattern);
	if (random_percent(random, 4) && !ends_with(pattern, "/instances") && strcmp(pattern, "/1.0") != 0)
		method = random_pick(random, odd);
	put_path(&target, random, pattern, known);
	put_query(&target, random, request);
	snprintf(request->method, sizeof(request->method), "%s", method);
	request->patient |= ends_with(pattern, "/wait"); /* for an operation that others may keep going */
	request->attaches = strcmp(method, "POST") == 0 && ends_with(pattern, "/console");
	put(out, "%s %s%.*s HTTP/1.%c\r\n", method, random_percent(random, 2) ? "http://unix.socket" : "",
	    (int)target.length, target.data, random_percent(random, 98) ? '1' : '0');
	put_rest(out, random, &body);
	buffer_finish(&target);
	buffer_finish(&body);
}

void request_upgrade(struct random *random, const char *path, struct buffer *out)
{
	put(out,
	    "GET %s HTTP/1.1\r\nHost: unix.socket\r\nConnection: %s\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
	    path, random_percent(random, 80) ? "Upgrade" : "keep-alive, Upgrade");
	if (random_percent(random, 10))
		put(out, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
	if (random_percent(random, 10))
		put(out, "Sec-WebSocket-Protocol: binary, x\r\n");
	put(out, "\r\n");
}

void request_mangle(struct random *random, struct buffer *out)
{
	for (uint32_t count = 1 + random_below(random, 6); count > 0 && out->length > 0; count--) {
		size_t at = random_below(random, (uint32_t)out->length);

		if (random_percent(random, 50))
			out->data[at] = (char)random_next(random);
		else if (random_percent(random, 50))
			out->data[at] ^= (char)(1 << random_below(random, 8));
		else if (random_percent(random, 50))
			memmove(out->data + at, out->data + at + 1, --out->length - at);
		else
			out->length = at;
	}
}
