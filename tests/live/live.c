// SPDX-License-Identifier: Apache-2.0
/*
 * Talks to a daemon as nobody should: requests and WebSockets, proper and mangled, on many connections at once. What it
 * says comes from a seed, which is printed. The daemon must live, answer everybody in LXD's words, serve an honest
 * client meanwhile, and be as it was when all have gone.
 */
#include "tests/live/honest.h"
#include "tests/live/visit.h"

#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VISITS 128
#define CHECK_EVERY 500                       /* requests between looks at an honest client */
#define GROWTH_MAX (size_t)(16 * 1024 * 1024) /* of the daemon's memory; its allocator keeps some of what was freed */

struct options {
	const char *consoled;
	uint64_t seed, requests;
};

/* --- the crowd --- */

static bool goes_on(const struct world *world, uint64_t requests)
{
	return world->requests < requests && !world->ground->failed;
}

/* SIGINT and SIGTERM are blocked: what has been started is to be ended. */
static bool interrupted(void)
{
	sigset_t waiting;

	return sigpending(&waiting) == 0 && (sigismember(&waiting, SIGINT) || sigismember(&waiting, SIGTERM));
}

static void wait_for(struct visit *visits, struct pollfd *sockets)
{
	int64_t due = now_ms() + 1000, left;

	for (size_t i = 0; i < VISITS; i++) {
		struct visit *visit = &visits[i];

		sockets[i] = (struct pollfd){.fd = -1};
		if (visit->state == VISIT_OVER)
			continue;
		sockets[i] = (struct pollfd){.fd = visit->fd, .events = visit_events(visit)};
		due = visit_due(visit) < due ? visit_due(visit) : due;
	}
	left = due - now_ms();
	poll(sockets, VISITS, left > 0 ? (int)left : 0);
}

/* Lets each go on. Returns how many are still there. */
static unsigned int step_all(struct visit *visits, const struct pollfd *sockets)
{
	unsigned int open = 0;

	for (size_t i = 0; i < VISITS; i++) {
		if (visits[i].state == VISIT_OVER)
			continue;
		visit_step(&visits[i], sockets[i].revents);
		if (visits[i].state == VISIT_OVER)
			visit_end(&visits[i]);
		else
			open++;
	}
	return open;
}

/* Sends visitors until there have been so many requests, and sees them all off. */
static void receive_crowd(struct world *world, struct honest *honest, struct random *random, uint64_t requests)
{
	static struct visit visits[VISITS];
	struct pollfd sockets[VISITS];
	uint64_t next_check = world->requests + CHECK_EVERY;
	unsigned int open = 0;

	for (size_t i = 0; i < VISITS; i++)
		visits[i].state = VISIT_OVER;
	while (goes_on(world, requests) || open > 0) {
		for (size_t i = 0; i < VISITS && goes_on(world, requests); i++)
			if (visits[i].state == VISIT_OVER)
				visit_begin(&visits[i], world, random_next(random));
		wait_for(visits, sockets);
		open = step_all(visits, sockets);
		if (!ground_alive(world->ground) || interrupted()) {
			complain(world->ground, "the daemon has died, or somebody has had enough");
			break;
		}
		if (world->requests >= next_check && goes_on(world, requests)) {
			honest_check(honest);
			honest_restore(honest);
			next_check = world->requests + CHECK_EVERY;
		}
	}
	for (size_t i = 0; i < VISITS; i++)
		if (visits[i].state != VISIT_OVER)
			visit_end(&visits[i]);
}

/* --- before and after --- */

static struct measure look(struct world *world, struct honest *honest, const char *when)
{
	struct measure measure;

	honest_clean(honest);
	honest_check(honest);
	measure = ground_measure(world->ground);
	printf("%s: %" PRIu64 " requests, %u descriptors, %u processes, %u files, %zu KiB resident\n", when,
	       world->requests, measure.descriptors, measure.processes, measure.files, measure.resident / 1024);
	fflush(stdout);
	return measure;
}

static void compare(struct ground *ground, const struct measure *before, const struct measure *after)
{
	if (after->descriptors != before->descriptors)
		complain(ground, "descriptors stay behind");
	if (after->processes != before->processes)
		complain(ground, "processes stay behind");
	if (after->files != before->files)
		complain(ground, "files stay behind");
	if (after->resident > before->resident + GROWTH_MAX)
		complain(ground, "memory grows");
}

static void report(const struct world *world, int64_t milliseconds)
{
	printf("%" PRIu64 " requests in %" PRId64 " s: %" PRIu64 " answers (%" PRIu64 " 2xx, %" PRIu64 " 3xx, %" PRIu64
	       " 4xx, %" PRIu64 " 5xx), %" PRIu64 " WebSockets, %" PRIu64 " frames said, %" PRIu64 " heard\n",
	       world->requests, milliseconds / 1000, world->answers, world->statuses[2], world->statuses[3],
	       world->statuses[4], world->statuses[5], world->upgrades, world->frames_sent, world->frames_heard);
}

static void talk(struct world *world, const struct options *options)
{
	struct random random = {options->seed};
	struct honest honest;
	struct measure before, after;
	int64_t began = now_ms();

	honest_begin(&honest, world->ground);
	honest_restore(&honest);
	if (!world->ground->failed)
		receive_crowd(world, &honest, &random, options->requests / 10);
	if (!world->ground->failed) {
		before = look(world, &honest, "warm ");
		honest_restore(&honest);
		receive_crowd(world, &honest, &random, options->requests);
	}
	if (!world->ground->failed) {
		after = look(world, &honest, "after");
		compare(world->ground, &before, &after);
	}
	honest_end(&honest);
	report(world, now_ms() - began);
}

static int parse(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"consoled", required_argument, NULL, 'c'},
					      {"seed", required_argument, NULL, 's'},
					      {"requests", required_argument, NULL, 'r'},
					      {0}};
	int option;

	*options = (struct options){.seed = (uint64_t)now_ms(), .requests = 10000};
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'c')
			options->consoled = optarg;
		else if (option == 's')
			options->seed = strtoull(optarg, NULL, 0);
		else if (option == 'r')
			options->requests = strtoull(optarg, NULL, 10);
		else
			return -1;
	}
	return options->consoled && optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
	static struct world world;
	struct options options;
	struct ground ground;
	sigset_t ending;

	if (parse(&options, argc, argv) < 0)
		errx(2, "usage: live --consoled FILE [--requests N] [--seed N]");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	printf("seed 0x%" PRIx64 "\n", options.seed);
	fflush(stdout);
	ground_begin(&ground, options.consoled, &world.routes);
	world.ground = &ground;
	talk(&world, &options);
	ground_finish(&ground);
	puts(ground.failed ? "FAILED" : "OK");
	return ground.failed ? 1 : 0;
}
