// SPDX-License-Identifier: Apache-2.0
#include "api/render.h"

#include "instances/instance.h"
#include "instances/network.h"
#include "instances/usage.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <uuid.h>

static json_t *render_time(int64_t timestamp)
{
	char text[TIMESTAMP_LENGTH + 1];

	timestamp_format(timestamp, text);
	return json_string(text);
}

static json_t *render_architecture(void)
{
	struct utsname kernel;

	return json_string(uname(&kernel) == 0 ? kernel.machine : "unknown");
}

json_t *render_instance(const struct instance *instance)
{
	const struct store_row *row = &instance->row;

	return json_pack("{s:o, s:O, s:O, s:b, s:O, s:b, s:s, s:o, s:O, s:O, s:s, s:s, s:i, s:o, s:s, s:s, s:s}",
			 "architecture", render_architecture(), "config", row->config, "devices", row->devices,
			 "ephemeral", row->ephemeral, "profiles", row->profiles, "stateful", 0, "description",
			 row->description, "created_at", render_time(row->created_at), "expanded_config", row->config,
			 "expanded_devices", row->devices, "name", row->name, "status",
			 instance_status_name(instance->status), "status_code", instance->status, "last_used_at",
			 render_time(row->last_used_at), "location", "none", "type", instance_type_name(row->type),
			 "project", "default");
}

static json_t *render_addresses(const struct network *network, int interface)
{
	json_t *addresses = json_array();
	char prefix[12];

	for (unsigned int i = 0; i < network->address_count; i++) {
		const struct network_address *address = &network->addresses[i];

		if (address->interface != interface)
			continue;
		snprintf(prefix, sizeof(prefix), "%u", address->prefix);
		json_append(&addresses,
			    json_pack("{s:s, s:s, s:s, s:s}", "family", address->family == AF_INET6 ? "inet6" : "inet",
				      "address", address->text, "netmask", prefix, "scope", address->scope));
	}
	return addresses;
}

static json_t *render_counters(const struct rtnl_link_stats64 *counters)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes_received", (json_int_t)counters->rx_bytes,
			 "bytes_sent", (json_int_t)counters->tx_bytes, "packets_received",
			 (json_int_t)counters->rx_packets, "packets_sent", (json_int_t)counters->tx_packets,
			 "errors_received", (json_int_t)counters->rx_errors, "errors_sent",
			 (json_int_t)counters->tx_errors, "packets_dropped_outbound", (json_int_t)counters->tx_dropped,
			 "packets_dropped_inbound", (json_int_t)counters->rx_dropped);
}

static const char *interface_type(unsigned int flags)
{
	if (flags & IFF_LOOPBACK)
		return "loopback";
	if (flags & IFF_POINTOPOINT)
		return "point-to-point";
	return flags & IFF_BROADCAST ? "broadcast" : "unknown";
}

/* null as well where an ordinary user may not look. */
static json_t *render_network(pid_t pid)
{
	struct network network;
	json_t *interfaces;

	if (network_of(pid, &network) < 0)
		return json_null();
	interfaces = json_object();
	for (unsigned int i = 0; i < network.interface_count; i++) {
		const struct network_interface *interface = &network.interfaces[i];

		json_put(&interfaces, interface->name,
			 json_pack("{s:o, s:o, s:s, s:s, s:I, s:s, s:s}", "addresses",
				   render_addresses(&network, interface->index), "counters",
				   render_counters(&interface->counters), "hwaddr", interface->hardware, "host_name",
				   interface->host_name, "mtu", (json_int_t)interface->mtu, "state",
				   interface->flags & IFF_UP ? "up" : "down", "type",
				   interface_type(interface->flags)));
	}
	return interfaces;
}

/* Programs have the host's network; that is not theirs to tell. */
json_t *render_state(const struct instance *instance)
{
	bool container = driver_find(&instance->row) == &driver_lxc;
	pid_t pid = instance_running(instance) ? instance_pid(instance) : 0;
	json_t *network = pid > 0 && container ? render_network(pid) : json_null();
	struct usage usage = {0};

	if (pid > 0 && container)
		usage_of_container(pid, &usage);
	else if (pid > 0)
		usage_of(pid, &usage);
	if (pid != instance_pid(instance)) { /* it has ended, and what was seen may be another's */
		pid = 0;
		usage = (struct usage){0};
		json_decref(network);
		network = json_null();
	}
	return json_pack("{s:s, s:i, s:{}, s:{s:I, s:I, s:I, s:I}, s:o, s:i, s:I, s:{s:I}}", "status",
			 instance_status_name(instance->status), "status_code", instance->status, "disk", "memory",
			 "usage", (json_int_t)usage.memory, "usage_peak", (json_int_t)usage.memory_peak, "swap_usage",
			 (json_int_t)usage.swap, "swap_usage_peak", (json_int_t)usage.swap_peak, "network", network,
			 "pid", (int)pid, "processes", (json_int_t)usage.processes, "cpu", "usage",
			 (json_int_t)usage.cpu);
}

json_t *render_full(const struct instance *instance)
{
	json_t *full = render_instance(instance);

	if (!full || json_object_set_new(full, "backups", json_null()) < 0 ||
	    json_object_set_new(full, "state", render_state(instance)) < 0 ||
	    json_object_set_new(full, "snapshots", json_null()) < 0) {
		json_decref(full);
		return NULL;
	}
	return full;
}

int render_hash(const json_t *document, char etag[static ETAG_LENGTH + 1])
{
	cleanup_free char *text = json_text(document, JSON_COMPACT | JSON_SORT_KEYS);
	uuid_t hash;

	if (!text)
		return -ENOMEM;
	uuid_generate_sha1(hash, *uuid_get_template("oid"), text, strlen(text));
	uuid_unparse_lower(hash, etag);
	return 0;
}

int render_etag(const struct instance *instance, char etag[static ETAG_LENGTH + 1])
{
	const struct store_row *row = &instance->row;
	json_auto_t *covered = json_pack("[O, O, b, O]", row->config, row->devices, row->ephemeral, row->profiles);

	return covered ? render_hash(covered, etag) : -ENOMEM;
}
