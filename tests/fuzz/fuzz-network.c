// SPDX-License-Identifier: Apache-2.0
/*
 * What rtnetlink(7) answers of a container: the kernel's shape, with names and addresses of the guest's choice. The
 * first byte says which list it is. The answers are not to be had without a namespace, so this looks inside network.c.
 */
#include "instances/network.c"
#include "tests/fuzz/fuzz.h"

static void check(const struct network *network)
{
	require(network->interface_count <= NETWORK_INTERFACES_MAX && network->address_count <= NETWORK_ADDRESSES_MAX);
	for (unsigned int i = 0; i < network->interface_count; i++) {
		const struct network_interface *interface = &network->interfaces[i];

		require(strnlen(interface->name, IF_NAMESIZE) < IF_NAMESIZE);
		for (const char *c = interface->name; *c; c++)
			require(*c > ' ' && *c <= '~');
		require(strnlen(interface->hardware, sizeof(interface->hardware)) < sizeof(interface->hardware));
	}
	for (unsigned int i = 0; i < network->address_count; i++)
		require(network->addresses[i].text[0] && network->addresses[i].scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const message_handler handlers[] = {on_link, on_address, on_number};
	static struct network network;
	struct view view = {.ours = -1, .links = -1, .addresses = -1, .our_number = -1, .network = &network};
	cleanup_free void *record = size > 0 ? malloc(size) : NULL; /* aligned, and of just that size */

	if (!record)
		return 0;
	network.interface_count = network.address_count = 0;
	memcpy(record, data + 1, size - 1);
	for (unsigned int i = 0; i < RECORDS_MAX; i++)
		if (!each_message(&view, record, (int)size - 1, handlers[data[0] % 3]))
			break;
	check(&network);
	return 0;
}
