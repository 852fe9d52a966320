// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "api/handlers.h"
#include "api/render.h"
#include "instances/instances.h"
#include "util/json.h"

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
		"instance_console_screenshot",
		"consoled_console_sessions",
		"consoled_console_log",
		"consoled_console_history",
		"consoled_console_wait",
		"consoled_console_input",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_append(&list, json_string(names[i]));
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
		"driver", "lxc | qemu | process", "driver_version", CONSOLED_VERSION, "kernel", kernel.sysname,
		"kernel_architecture", kernel.machine, "kernel_version", kernel.release, "project", "default",
		"server_clustered", 0, "server", "consoled", "server_name", host, "server_pid", (int)getpid(),
		"server_version", CONSOLED_VERSION, "storage", "", "storage_version", "", "storage_supported_drivers");
}

/* The tag covers what PUT may change and no more, as in LXD. */
int root_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_t *config = api->instances->settings.values;
	json_t *server = json_pack("{s:O, s:o, s:s, s:s, s:s, s:b, s:[s], s:o}", "config", config, "api_extensions",
				   extensions(), "api_status", "stable", "api_version", "1.0", "auth", "trusted",
				   "public", 0, "auth_methods", "tls", "environment", environment());
	char etag[ETAG_LENGTH + 1];

	if (!server || render_hash(config, etag) < 0) {
		json_decref(server);
		return -ENOMEM;
	}
	return response_sync_etag(response, server, etag);
}

static int change_config(struct api *api, struct request *request, bool merge, struct response *response,
			 struct error *error)
{
	struct settings *settings = &api->instances->settings;
	json_auto_t *document = NULL;
	json_t *config = NULL;
	const struct body_field fields[] = {{"config", BODY_OBJECT, &config}, {0}};
	char etag[ETAG_LENGTH + 1];
	int r;

	r = render_hash(settings->values, etag);
	if (r == 0)
		r = request_check_etag(request, etag, error);
	if (r == 0)
		r = body_decode(request, BODY_STREAM, "ServerPut", fields, &document, error);
	if (r == 0 && config) /* LXD, too, leaves all as it is where nothing is said */
		r = settings_change(settings, config, merge, instances_apply, api->instances, error);
	return r < 0 ? r : response_empty(response);
}

int root_put(struct api *api, struct request *request, struct response *response, struct error *error)
{
	return change_config(api, request, false, response, error);
}

int root_patch(struct api *api, struct request *request, struct response *response, struct error *error)
{
	return change_config(api, request, true, response, error);
}
