// SPDX-License-Identifier: Apache-2.0
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/server.h"
#include "daemon/trim.h"
#include "util/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct options options;
	struct server server;
	struct error error = {0};
	int r = options_parse(&options, argc, argv);

	if (r != 0)
		return r == OPTIONS_EXIT ? EXIT_SUCCESS : EXIT_FAILURE;
	log_set_level(options.level);
	umask(0077);
	r = server_init(&server, &options, &error);
	if (r == 0) {
		printf("consoled " CONSOLED_VERSION " is ready on %s\n", server.socket_path);
		fflush(stdout);
		notify_ready(server.socket_path);
		trim();
		server_run(&server);
		notify_stopping();
	} else {
		error.code = r;
		log_error("%s", error_text(&error));
	}
	server_finish(&server);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
