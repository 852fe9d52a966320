// SPDX-License-Identifier: Apache-2.0
#include "api/handlers.h"
#include "api/render.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int root_list(struct api *api, struct request *request, struct response *response, struct error *error)
{
	return response_sync(response, json_pack("[s]", "/1.0"));
}

/*
 * What we do of LXD's and Incus' API. Clients look here before they ask for a thing: `console` and what `lxc list`,
 * `lxc info` and pylxd insist on. operation_wait is left out on purpose: without it lxc waits by events, which every
 * version does well.
 */
static json_t *extensions(void)
{
	static const char *const names[] = {
		"etag",
		"patch",
		"container_last_used_at",
		"container_cpu_time",
		"console",
		"console_vga_type",
		"operation_description",
		"event_lifecycle",
		"event_lifecycle_requestor",
		"container_full",
		"instances",
		"api_filtering",
		"instance_get_full",
		"instance_bulk_state_change",
		"console_force",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *environment(void)
{
	struct utsname kernel = {0};
	char host[256] = "";

	uname(&kernel);
	gethostname(host, sizeof(host) - 1);
	return json_pack(
		"{s:[], s:[s], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:i, s:s, s:s, s:s, s:[]}",
		"addresses", "architectures", kernel.machine, "certificate", "", "certificate_fingerprint", "",
		"driver", "process", "driver_version", CONSOLED_VERSION, "kernel", kernel.sysname,
		"kernel_architecture", kernel.machine, "kernel_version", kernel.release, "project", "default",
		"server_clustered", 0, "server", "consoled", "server_name", host, "server_pid", (int)getpid(),
		"server_version", CONSOLED_VERSION, "storage", "", "storage_version", "", "storage_supported_drivers");
}

int root_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_t *server = json_pack("{s:{}, s:o, s:s, s:s, s:s, s:b, s:[s], s:o}", "config", "api_extensions",
				   extensions(), "api_status", "stable", "api_version", "1.0", "auth", "trusted",
				   "public", 0, "auth_methods", "tls", "environment", environment());
	char etag[ETAG_LENGTH + 1];

	if (!server || render_hash(server, etag) < 0) {
		json_decref(server);
		return -ENOMEM;
	}
	return response_sync_etag(response, server, etag);
}
