// SPDX-License-Identifier: Apache-2.0
/* What a server costs: its memory, that of a session and of a keeper, and what a thousand idle consoles take. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* --- /proc --- */

pid_t listener_pid(const char *path)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	cleanup_close int fd = unix_connect(path);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		err(1, "SO_PEERCRED");
	return peer.pid;
}

static FILE *proc_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* The number after `key` in /proc/PID/status; -1: no such process. */
static long proc_status(pid_t pid, const char *key)
{
	FILE *file = proc_open(pid, "status");
	char line[256];
	long value = -1;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			value = atol(line + strlen(key));
	if (file)
		fclose(file);
	return value;
}

struct memory {
	long private_kb;      /* of this process alone */
	long proportional_kb; /* and its share of what several have */
};

static struct memory proc_memory(pid_t pid)
{
	FILE *file = proc_open(pid, "smaps");
	struct memory memory = {0};
	bool ring = false;
	char line[512];
	long kb;

	while (file && fgets(line, sizeof(line), file)) {
		size_t length = strcspn(line, "\n");

		line[length] = '\0';
		if (line[0] < 'A' || line[0] > 'Z') /* a mapping's first line */
			ring = length > 5 && strcmp(line + length - 5, "/ring") == 0;
		else if (ring)
			continue;
		else if (sscanf(line, "Private_Clean: %ld", &kb) == 1 || sscanf(line, "Private_Dirty: %ld", &kb) == 1)
			memory.private_kb += kb;
		else if (sscanf(line, "Pss: %ld", &kb) == 1)
			memory.proportional_kb += kb;
	}
	if (file)
		fclose(file);
	return memory;
}

long private_kb(pid_t pid)
{
	return proc_memory(pid).private_kb;
}

/*
 * The memory of a process and all that descend from it, since LXD has a helper process for each session. Proportional:
 * what the helper shares with the daemon would otherwise count as the daemon's only while there is no helper.
 */
static long family_kb(pid_t pid)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	long total = proc_memory(pid).proportional_kb;

	while (proc && (entry = readdir(proc))) {
		pid_t child = atoi(entry->d_name);

		if (child > 0 && proc_status(child, "PPid:") == pid)
			total += family_kb(child);
	}
	if (proc)
		closedir(proc);
	return total;
}

int descriptors(pid_t pid)
{
	char path[64];
	DIR *directory;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

/* Nanoseconds on a CPU, of all threads. */
static uint64_t cpu_time(pid_t pid)
{
	char path[64];
	DIR *tasks;
	struct dirent *entry;
	uint64_t total = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		char name[40];
		FILE *file;
		unsigned long long time;

		snprintf(name, sizeof(name), "task/%d/schedstat", atoi(entry->d_name));
		file = entry->d_name[0] == '.' ? NULL : proc_open(pid, name);
		if (file && fscanf(file, "%llu", &time) == 1)
			total += time;
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return total;
}

void pause_for(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds};

	time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static bool is_keeper(pid_t pid)
{
	FILE *file = proc_open(pid, "comm");
	char name[32] = "";

	if (file) {
		(void)!fgets(name, sizeof(name), file);
		fclose(file);
	}
	return strncmp(name, "consoled-keeper", 15) == 0;
}

/* The keeper of an instance is its program's parent, or its container's grandparent. 0: this server has none. */
static pid_t keeper_pid(struct http *http, const char *instance)
{
	json_auto_t *state = NULL;
	char target[128];
	pid_t pid;

	snprintf(target, sizeof(target), "/1.0/instances/%s/state", instance);
	state = http_call(http, "GET", target, NULL);
	pid = (pid_t)json_integer_value(json_object_get(state, "pid"));
	while (pid > 1 && !is_keeper(pid))
		pid = (pid_t)proc_status(pid, "PPid:");
	return pid > 1 ? pid : 0;
}

/* --- memory --- */

int descriptors_left(pid_t pid, int before)
{
	int left = 0;

	for (int i = 0; i < 100; i++) {
		left = descriptors(pid) - before;
		if (left <= 0)
			return 0;
		pause_for(0.1);
	}
	return left;
}

static void measure_sessions(const struct options *options, pid_t pid, json_t *figures)
{
	size_t count = (size_t)options->count;
	cleanup_free struct session *sessions = calloc(count, sizeof(*sessions));
	struct session first = SESSION_NONE;
	int before = descriptors(pid);
	long kb;

	if (!sessions)
		err(1, NULL);
	session_open(&first, options); /* what the server allocates once is not a session's */
	shell_run(&first.data, ":");
	session_finish(&first);
	descriptors_left(pid, before);
	kb = family_kb(pid);
	for (size_t i = 0; i < count; i++) {
		sessions[i] = (struct session)SESSION_NONE;
		session_open(&sessions[i], options);
		shell_run(&sessions[i].data, ":"); /* LXD's helper process comes some time after the 101 */
		http_close(&sessions[i].http);     /* its connection is not a part of the session */
	}
	kb = family_kb(pid) - kb;
	for (size_t i = 0; i < count; i++) {
		http_open(&sessions[i].http, options->socket);
		session_finish(&sessions[i]);
	}
	json_object_set_new(figures, "session_kb", json_real((double)kb / options->count));
	json_object_set_new(figures, "descriptors_left", json_integer(descriptors_left(pid, before)));
}

json_t *section_memory(const struct options *options)
{
	pid_t pid = listener_pid(options->relay ? options->relay : options->socket), keeper;
	json_t *figures =
		json_pack("{s:i, s:i}", "rss_kb", (int)proc_status(pid, "VmRSS:"), "private_kb", (int)private_kb(pid));
	struct http http;

	if (options->relay || !options->instance)
		return figures;
	http_open(&http, options->socket);
	keeper = keeper_pid(&http, options->instance);
	if (keeper > 0)
		json_object_set_new(figures, "keeper_kb", json_integer(private_kb(keeper)));
	http_close(&http);
	measure_sessions(options, pid, figures);
	return figures;
}

/* --- idle --- */

static void instance_start(struct http *http, const char *name)
{
	char target[128];

	http_operate(http, "POST", "/1.0/instances",
		     json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "name", name, "type", "container", "source", "type",
			       "none", "config", "process.command", "cat"));
	snprintf(target, sizeof(target), "/1.0/instances/%s/state", name);
	http_operate(http, "PUT", target, json_pack("{s:s, s:i}", "action", "start", "timeout", 30));
}

/* Attached, and really: what is typed comes back. */
static void session_check(struct session *session)
{
	const unsigned char *data;

	link_write(&session->data, "k", 1);
	if (link_peek(&session->data, &data) == 0 || *data != 'k')
		errx(1, "a session among many does not echo");
	link_consume(&session->data, 1);
}

/* Starts `count` instances idle-0, idle-1 ... that are left running, with a session each for as long as this runs. */
json_t *section_idle(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free struct session *sessions = calloc(count, sizeof(*sessions));
	cleanup_free pid_t *pids = calloc(count + 1, sizeof(*pids));
	int64_t started = clock_now(), ready, end;
	uint64_t before = 0, after = 0;
	struct http http;
	long kb;

	if (!sessions || !pids)
		err(1, NULL);
	pids[count] = listener_pid(options->socket);
	kb = private_kb(pids[count]);
	http_open(&http, options->socket);
	for (size_t i = 0; i < count; i++) {
		char name[32];
		struct options side = {.socket = options->socket, .instance = name};

		snprintf(name, sizeof(name), "idle-%zu", i);
		instance_start(&http, name);
		pids[i] = keeper_pid(&http, name);
		if (pids[i] == 0)
			errx(1, "%s has no keeper", name);
		sessions[i] = (struct session)SESSION_NONE;
		session_open(&sessions[i], &side);
		http_close(&sessions[i].http);
		session_check(&sessions[i]);
	}
	ready = clock_now();
	pause_for(6); /* operations go five seconds after their end: that is not idling yet */
	for (size_t i = 0; i <= count; i++)
		before += cpu_time(pids[i]);
	end = clock_now();
	pause_for(options->seconds);
	end = clock_now() - end;
	for (size_t i = 0; i <= count; i++)
		after += cpu_time(pids[i]);
	kb = private_kb(pids[count]) - kb;
	for (size_t i = 0; i < count; i++) {
		session_check(&sessions[i]);
		http_open(&sessions[i].http, options->socket);
		session_finish(&sessions[i]);
	}
	http_close(&http);
	return json_pack("{s:f, s:f, s:f}", "cpu_percent", (double)(after - before) * 100 / (double)end, "start_ms",
			 (double)(ready - started) / 1e6 / options->count, "each_kb", (double)kb / options->count);
}
