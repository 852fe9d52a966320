// SPDX-License-Identifier: Apache-2.0
/*
 * The network interfaces of a container, asked of the kernel (rtnetlink(7)) through sockets that are made in its
 * namespace. The thread is there for no longer than that; nothing here waits for a guest.
 */
#pragma once

#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

/* A guest may make more than anybody wants to read; the rest is left out. */
#define NETWORK_INTERFACES_MAX 64
#define NETWORK_ADDRESSES_MAX 256

struct network_interface {
	int index;
	char name[IF_NAMESIZE];      /* printable ASCII; other bytes have become '?' */
	char host_name[IF_NAMESIZE]; /* the other end of a veth(4), if it is in our namespace; or empty */
	char hardware[3 * 32];       /* aa:bb:.., or empty */
	unsigned int flags;          /* netdevice(7) */
	uint32_t mtu;
	struct rtnl_link_stats64 counters;
};

struct network_address {
	int interface; /* network_interface::index */
	int family;
	unsigned int prefix;
	const char *scope; /* LXD's: local, link or global */
	char text[INET6_ADDRSTRLEN];
};

struct network {
	unsigned int interface_count, address_count;
	struct network_interface interfaces[NETWORK_INTERFACES_MAX];
	struct network_address addresses[NETWORK_ADDRESSES_MAX];
};

/*
 * The interfaces in the namespace of `pid`. -ENODATA: it is ours as well; -EPERM, -EACCES: not for an ordinary user;
 * others: it has ended, or the kernel did not tell. If the way back into our own namespace fails, the process aborts:
 * it could open sockets in the guest's from then on.
 */
int network_of(pid_t pid, struct network *network);
