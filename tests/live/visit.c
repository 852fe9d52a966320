// SPDX-License-Identifier: Apache-2.0
#include "tests/live/visit.h"
#include "tests/live/answer.h"
#include "util/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PATIENCE_MS 60000 /* for an answer: the daemon has sanitizers, and the machine may be busy */
#define SOCKET_MS 5000    /* with a WebSocket: what is sent to an instance that does not read is not taken */
#define LINGER_MS 300     /* with what may take for ever */
#define HEARD_MAX (64 * 1024 * 1024)

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* As much as helps to see what it was. */
static void show(const struct visit *visit)
{
	for (size_t i = 0; i < sizeof(visit->plan) && i < visit->planned; i++) {
		unsigned char c = (unsigned char)visit->plan[i];

		if (c == 0x0a)
			fputs("\\n\n", stdout);
		else if (c >= 0x20 && c <= 0x7e)
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	printf("%s\n", visit->planned > sizeof(visit->plan) ? "..." : "");
}

static void fail(struct visit *visit, const char *why)
{
	show(visit);
	complain(visit->world->ground, "%s (visit 0x%016llx, request %u of %u)", why, (unsigned long long)visit->seed,
		 visit->heard + 1, visit->asked);
	visit->state = VISIT_OVER;
}

/* --- what it will do --- */

/* A path that somebody was told, or one that nobody was. */
static const char *make_up_path(struct visit *visit, char path[static 200])
{
	static const char *const others[] = {
		"/1.0/events",
		"/1.0/events?type=lifecycle",
		"/1.0/events?type=bogus",
		"/1.0/events?project=no",
		"/1.0",
		"/1.0/operations/00000000-0000-4000-8000-000000000000/websocket?secret=0",
		"/1.0/operations//websocket",
	};
	const struct known *known = &visit->world->known;
	size_t count = known->path_count < KNOWN_MAX ? known->path_count : KNOWN_MAX;

	visit->kind = SOCKET_EVENTS;
	if (count == 0 || random_percent(&visit->random, 50))
		return random_pick(&visit->random, others);
	visit->kind = random_percent(&visit->random, 50) ? SOCKET_DATA : SOCKET_CONTROL;
	snprintf(path, 200, "%s", known->paths[random_below(&visit->random, (uint32_t)count)]);
	if (random_percent(&visit->random, 40)) /* a wrong secret */
		path[strlen(path) - 1 - random_below(&visit->random, 60)] ^= 1;
	return path;
}

static void plan_upgrade(struct visit *visit, const char *path)
{
	visit->upgrades = true;
	visit->frames_left = random_below(&visit->random, 20);
	visit->deaf = random_percent(&visit->random, 5);
	snprintf(visit->requests[0].method, sizeof(visit->requests[0].method), "GET");
	request_upgrade(&visit->random, path, &visit->out);
	visit->asked = 1;
	if (random_percent(&visit->random, 30)) { /* typed early */
		frames_make(&visit->random, visit->kind, &visit->out);
		visit->world->frames_sent++;
	}
}

static void plan_requests(struct visit *visit)
{
	unsigned int count =
		random_percent(&visit->random, 60) ? 1 : 1 + random_below(&visit->random, VISIT_PIPELINED_MAX);

	for (; visit->asked < count; visit->asked++)
		request_make(&visit->requests[visit->asked], &visit->random, &visit->world->routes,
			     &visit->world->known, &visit->out);
}

static void plan_manners(struct visit *visit)
{
	visit->mangled = random_percent(&visit->random, 20);
	for (unsigned int i = 0; i < visit->asked; i++) /* how its answer ends must be known */
		visit->mangled &= strcmp(visit->requests[i].method, "HEAD") != 0;
	visit->dripping = random_percent(&visit->random, 5);
	visit->impatient = random_percent(&visit->random, 10);
	visit->half_closes = random_percent(&visit->random, 5);
	if (visit->mangled)
		request_mangle(&visit->random, &visit->out);
	if (visit->impatient)
		visit->leave_after = random_below(&visit->random, (uint32_t)visit->out.length + 1);
}

/* The first of those that wait, if any. */
static bool take_wanted(struct world *world, char path[static 200], enum socket_kind *kind)
{
	if (world->wanted_count == 0)
		return false;
	snprintf(path, 200, "%s", world->wanted[0].path);
	*kind = world->wanted[0].kind;
	memmove(world->wanted, world->wanted + 1, --world->wanted_count * sizeof(world->wanted[0]));
	return true;
}

void visit_begin(struct visit *visit, struct world *world, uint64_t seed)
{
	char path[200];

	*visit = (struct visit){.world = world, .seed = seed, .random = {seed}};
	visit->fd = ground_connect(world->ground);
	if (visit->fd < 0) {
		fail(visit, "the daemon does not take a connection");
		return;
	}
	if (take_wanted(world, path, &visit->kind))
		plan_upgrade(visit, path);
	else if (random_percent(&visit->random, 15))
		plan_upgrade(visit, make_up_path(visit, path));
	else
		plan_requests(visit);
	plan_manners(visit);
	world->requests += visit->asked;
	visit->sent_all = visit->out.length == 0; /* mangled to nothing */
	visit->planned = visit->out.length;
	memcpy(visit->plan, visit->out.data,
	       visit->planned < sizeof(visit->plan) ? visit->planned : sizeof(visit->plan));
	visit->deadline = now_ms() + PATIENCE_MS;
}

/* --- sending --- */

/* More to say on a WebSocket, in the end a goodbye of some kind. */
static void say_more(struct visit *visit)
{
	struct random *random = &visit->random;

	if (visit->frames_left > 0) {
		visit->frames_left--;
		visit->next_send = now_ms() + random_below(random, 3);
		visit->world->frames_sent++;
		frames_make(random, visit->kind, &visit->out);
		return;
	}
	visit->closing = true;
	visit->deadline = now_ms() + random_below(random, 50); /* then it leaves without a word */
	if (random_percent(random, 40)) {
		frame_put(random, FRAME_CLOSING, "\x03\xe8", random_percent(random, 50) ? 2 : 0, &visit->out);
		/* On a data socket it may be behind what the instance does not take. */
		visit->waits = !visit->mangled && !visit->deaf && !visit->half_closes && visit->kind != SOCKET_DATA;
	} else if (random_percent(random, 50)) {
		frames_break(random, &visit->out);
	}
	if (visit->waits)
		visit->deadline = now_ms() + PATIENCE_MS;
}

static size_t next_piece(struct visit *visit)
{
	size_t rest = visit->out.length, piece = rest;

	if (visit->dripping) /* some hundred pieces at most: it has ten seconds for a head */
		piece = 1 + random_below(&visit->random, 16 + (uint32_t)visit->planned / 64);
	else if (random_percent(&visit->random, 30))
		piece = 1 + random_below(&visit->random, (uint32_t)rest);
	if (visit->impatient && visit->state == VISIT_ASKING && visit->leave_after - visit->sent < piece)
		piece = visit->leave_after - visit->sent;
	return piece < rest ? piece : rest;
}

static void finish_sending(struct visit *visit)
{
	visit->sent_all = true;
	if (visit->impatient && visit->state == VISIT_ASKING)
		visit->state = VISIT_OVER;
	if (visit->half_closes)
		shutdown(visit->fd, SHUT_WR);
}

static void send_more(struct visit *visit)
{
	size_t piece = next_piece(visit);
	ssize_t n = piece > 0 ? send(visit->fd, visit->out.data, piece, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) { /* it has been closed; what was said before that is still to be read */
		visit->sent_all = true;
		if (visit->deaf)
			visit->state = VISIT_OVER;
		return;
	}
	visit->sent += (size_t)n;
	buffer_consume(&visit->out, (size_t)n);
	if (visit->dripping)
		visit->next_send = now_ms() + random_below(&visit->random, 4);
	if (visit->out.length == 0 || n == 0)
		finish_sending(visit);
}

/* --- hearing --- */

static void learn_paths(struct world *world, const json_t *operation, const char *id)
{
	static const char *const names[] = {"0", "control"};
	const json_t *secrets = json_object_get(json_object_get(operation, "metadata"), "fds");

	for (size_t i = 0; i < 2; i++) {
		const char *secret = json_string_value(json_object_get(secrets, names[i]));
		char *path = world->known.paths[world->known.path_count % KNOWN_MAX];

		if (!secret || strlen(secret) != SECRET_LENGTH)
			continue;
		snprintf(path, sizeof(world->known.paths[0]), "/1.0/operations/%s/websocket?secret=%s", id, secret);
		world->known.path_count++;
		if (world->wanted_count < KNOWN_MAX) {
			strcpy(world->wanted[world->wanted_count].path, path);
			world->wanted[world->wanted_count++].kind = i == 0 ? SOCKET_DATA : SOCKET_CONTROL;
		}
	}
}

/* The ids that it names, and the secrets: for those who come later. */
static void learn(struct world *world, const struct answer *answer, bool attaches)
{
	const json_t *operation = json_object_get(answer->json, "metadata");
	const char *id = json_string_value(json_object_get(operation, "id"));

	if (!id || strlen(id) != 36)
		return;
	strcpy(world->known.operations[world->known.operation_count++ % KNOWN_MAX], id);
	if (attaches && answer->status == 202)
		learn_paths(world, operation, id);
}

static void note_answer(struct visit *visit, const struct answer *answer, const struct request *request)
{
	const char *why = answer_check(answer, visit->mangled ? "PATCH" : request->method);
	struct world *world = visit->world;

	world->statuses[answer->status / 100]++;
	if (answer->status == 101 && visit->upgrades) {
		world->upgrades++;
		visit->state = VISIT_UPGRADED;
		visit->deadline = now_ms() + SOCKET_MS;
		visit->sent_all = false;
	} else if (answer->status < 200) {
		return; /* 100 Continue: another comes */
	}
	world->answers++;
	learn(world, answer, request->attaches);
	if (why) {
		printf("%s: %u %s\n", request->method, answer->status, answer->body.length ? answer->body.data : "");
		fail(visit, why);
	}
	visit->heard++;
	if (visit->state == VISIT_ASKING && ((visit->heard == visit->asked && !visit->mangled) || answer->closes))
		visit->state = VISIT_OVER;
}

static void hear_answers(struct visit *visit, bool ended)
{
	while (visit->state == VISIT_ASKING) {
		const struct request *request = &visit->requests[visit->heard < visit->asked ? visit->heard : 0];
		bool headless = strcmp(request->method, "HEAD") == 0;
		struct answer answer;
		const char *why;
		enum verdict verdict = answer_take(&answer, &visit->in, headless, ended, &why);

		if (verdict == TAKE_BROKEN)
			fail(visit, why);
		if (verdict != TAKE_WHOLE)
			return;
		if (visit->heard >= visit->asked && !visit->mangled)
			fail(visit, "an answer to nothing");
		else
			note_answer(visit, &answer, request);
		answer_finish(&answer);
	}
}

static void hear_frames(struct visit *visit)
{
	struct frame frame;
	const char *why;

	while (visit->state == VISIT_UPGRADED) {
		enum verdict verdict = frame_look(&frame, &visit->in, &why);

		if (verdict == TAKE_BROKEN)
			fail(visit, why);
		if (verdict != TAKE_WHOLE)
			return;
		visit->world->frames_heard++;
		if (frame.opcode == FRAME_CLOSE)
			visit->closing = true;
		buffer_consume(&visit->in, frame.size);
	}
}

/* The daemon has closed. Whether it may is known where the requests were proper and complete. */
static void hear_end(struct visit *visit)
{
	bool proper = !visit->mangled && !visit->half_closes && !visit->impatient && visit->sent_all;

	if (visit->state == VISIT_ASKING && visit->in.length > 0)
		hear_answers(visit, true);
	if (visit->state == VISIT_ASKING && proper && visit->heard == 0 && !visit->requests[0].patient)
		fail(visit, "closed without an answer");
	visit->state = VISIT_OVER;
}

static void hear_more(struct visit *visit)
{
	static char chunk[256 * 1024];
	ssize_t n = recv(visit->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hear_end(visit);
		return;
	}
	if (buffer_append(&visit->in, chunk, (size_t)n, HEARD_MAX) < 0) { /* a log that is followed */
		visit->state = VISIT_OVER;
		return;
	}
	hear_answers(visit, false);
	hear_frames(visit);
}

/* --- the whole --- */

static bool wants_to_send(const struct visit *visit)
{
	return visit->out.length > 0 && !visit->sent_all;
}

short visit_events(const struct visit *visit)
{
	bool reads = !visit->deaf || visit->state == VISIT_ASKING;

	return (short)((reads ? POLLIN : 0) | (wants_to_send(visit) && now_ms() >= visit->next_send ? POLLOUT : 0));
}

int64_t visit_due(const struct visit *visit)
{
	bool sends = wants_to_send(visit) || (visit->state == VISIT_UPGRADED && !visit->closing);

	return sends && visit->next_send > now_ms() ? visit->next_send
	       : sends && !wants_to_send(visit)     ? 0
						    : visit->deadline;
}

/* Those who may have to wait for ever do not; others have waited too long. */
static void run_out(struct visit *visit)
{
	bool patient = visit->mangled || visit->impatient || visit->half_closes || visit->state == VISIT_UPGRADED;

	if (visit->waits)
		fail(visit, "a Close frame that is not answered");

	for (unsigned int i = 0; i < visit->asked; i++)
		patient |= visit->requests[i].patient;
	if (patient || visit->dripping)
		visit->state = VISIT_OVER;
	else
		fail(visit, "no answer");
}

void visit_step(struct visit *visit, short events)
{
	if (visit->state == VISIT_OVER)
		return;
	if (events & (POLLIN | POLLHUP | POLLERR))
		hear_more(visit);
	if (visit->state == VISIT_UPGRADED && visit->out.length == 0 && !visit->closing &&
	    now_ms() >= visit->next_send) {
		say_more(visit);
		visit->sent_all = false;
	}
	if (visit->state != VISIT_OVER && wants_to_send(visit) && now_ms() >= visit->next_send)
		send_more(visit);
	if (visit->sent_all && visit->state == VISIT_ASKING && visit->deadline > now_ms() + LINGER_MS)
		for (unsigned int i = 0; i < visit->asked || (i == 0 && visit->mangled); i++)
			if (visit->mangled || visit->half_closes || visit->requests[i].patient)
				visit->deadline = now_ms() + LINGER_MS;
	if (visit->state != VISIT_OVER && now_ms() >= visit->deadline)
		run_out(visit);
}

void visit_end(struct visit *visit)
{
	close_fd(&visit->fd);
	buffer_finish(&visit->out);
	buffer_finish(&visit->in);
}
