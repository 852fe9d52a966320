// SPDX-License-Identifier: Apache-2.0
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/server.h"
#include "daemon/trim.h"
#include "util/log.h"
#include "util/privilege.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What the daemon does itself with more than a user's rights; its keepers, which root executes, have their own lists.
 */
#define PRIVILEGES                                                                                        \
	(PRIVILEGE(CAP_CHOWN) |                          /* --group of the socket */                      \
	 PRIVILEGE(CAP_DAC_OVERRIDE) |                   /* others' root file systems, disks, lxcpaths */ \
	 PRIVILEGE(CAP_SETUID) | PRIVILEGE(CAP_SETGID) | /* whether a container's root gets there */      \
	 PRIVILEGE(CAP_KILL) |                           /* programs and QEMUs of others */               \
	 PRIVILEGE(CAP_SYS_PTRACE) |                     /* /proc/PID of containers and of QEMU */        \
	 PRIVILEGE(CAP_SYS_ADMIN))                       /* a look into a container's network namespace */

/* Only root has any to give up. Whoever may look into a daemon of another user's is that user anyway. */
static int give_up_privileges(void)
{
	int r = privilege_keep(PRIVILEGES);

	return r == 0 && geteuid() == 0 ? privilege_hide() : r;
}

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
	r = give_up_privileges();
	if (r < 0) {
		log_error("Privileges cannot be given up: %s", strerror(-r));
		return EXIT_FAILURE;
	}
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
