// SPDX-License-Identifier: Apache-2.0
/* The composition root: the loop and everything on it. It lives on main's stack. */
#pragma once

#include "api/api.h"
#include "daemon/http.h"
#include "daemon/listener.h"
#include "daemon/options.h"
#include "instances/instances.h"
#include "operations/events.h"
#include "operations/operations.h"
#include "util/clients.h"
#include "util/limits.h"

#include <uv.h>

#define SERVER_SIGNALS 3

struct server {
	uv_loop_t loop;
	uv_signal_t signals[SERVER_SIGNALS];
	int directory_fd, lock_fd;
	int inherited; /* the service manager's socket, until the listener has it; 0: none */
	struct limits limits;
	struct clients clients;
	struct store *store;
	struct consoles *consoles;
	struct websockets *websockets;
	struct events events;
	struct operations operations;
	struct history *history;
	struct instances instances;
	struct api api;
	struct http *http;
	struct listener *listener;
	unsigned int stage; /* how far server_init() came */
	char socket_path[PATH_MAX];
};

/*
 * Makes the directory, takes its lock, loads what is there and listens. -errno with the reason; server_finish() is to
 * be called all the same.
 */
int server_init(struct server *server, const struct options *options, struct error *error);

/* Serves until SIGTERM, SIGINT or SIGHUP. */
void server_run(struct server *server);

/* Releases everything. Instances go on. */
void server_finish(struct server *server);
