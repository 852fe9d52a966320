// SPDX-License-Identifier: Apache-2.0
#include "instances/network.h"

#include "util/cleanup.h"
#include "util/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define RECORDS_MAX 16 /* of up to 32 KiB: bounds what a guest can make us look through */

/* The kernel as seen from the container's namespace. */
struct view {
	int ours;             /* our own namespace */
	int links, addresses; /* sockets in theirs, one for each list: the rest of one that is too long is never read */
	int our_number;       /* what their namespace calls ours; -1: nothing, so no veth leads from there to here */
	struct network *network;
};

/* Whether to go on. */
typedef bool (*message_handler)(struct view *view, const struct nlmsghdr *header);

/* --- sockets in another namespace --- */

static int open_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
}

/* A socket stays in the namespace in which it was made. */
static int open_sockets(struct view *view, int theirs)
{
	int error;

	if (setns(theirs, CLONE_NEWNET) < 0)
		return -errno;
	view->links = open_socket();
	view->addresses = view->links < 0 ? -1 : open_socket();
	error = errno;
	if (setns(view->ours, CLONE_NEWNET) < 0) {
		log_error("No way back from a container's network namespace: %s", strerror(errno));
		abort();
	}
	return view->addresses < 0 ? -error : 0;
}

static int open_view(struct view *view, pid_t pid)
{
	cleanup_close int theirs = -1;
	struct stat here, there;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	theirs = open(path, O_RDONLY | O_CLOEXEC);
	if (theirs < 0)
		return -errno;
	view->ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (view->ours < 0 || fstat(theirs, &there) < 0 || fstat(view->ours, &here) < 0)
		return -errno;
	if (there.st_dev == here.st_dev && there.st_ino == here.st_ino)
		return -ENODATA;
	return open_sockets(view, theirs);
}

static void close_view(struct view *view)
{
	close_fd(&view->ours);
	close_fd(&view->links);
	close_fd(&view->addresses);
}

/* --- asking --- */

/* Whether more is to come. */
static bool each_message(struct view *view, const void *record, int length, message_handler handle)
{
	const struct nlmsghdr *header = record;

	/* The length may become less than 0: behind the last, which is padded. */
	for (; length >= (int)sizeof(*header) && NLMSG_OK(header, (unsigned int)length);
	     header = NLMSG_NEXT(header, length))
		if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR || !handle(view, header) ||
		    !(header->nlmsg_flags & NLM_F_MULTI))
			return false;
	return true;
}

/*
 * The kernel makes up its answer inside send() and recvfrom(), so there is nothing to wait for. The container's root
 * could send to our socket as well; only the kernel's address is 0.
 */
static int ask(struct view *view, int fd, const struct nlmsghdr *question, message_handler handle)
{
	char record[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct sockaddr_nl sender = {0};
	socklen_t size;
	ssize_t n;

	if (send(fd, question, question->nlmsg_len, 0) < 0)
		return -errno;
	for (unsigned int i = 0; i < RECORDS_MAX; i++) {
		size = sizeof(sender);
		n = recvfrom(fd, record, sizeof(record), 0, (struct sockaddr *)&sender, &size);
		if (n < 0)
			return -errno;
		if (sender.nl_pid == 0 && !each_message(view, record, (int)n, handle))
			break;
	}
	return 0;
}

static int ask_all(struct view *view, int fd, uint16_t type, message_handler handle)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg message; /* RTM_GETADDR has a shorter one: all of both is zero */
	} question = {.header = {.nlmsg_len = sizeof(question),
				 .nlmsg_type = type,
				 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	return ask(view, fd, &question.header, handle);
}

/* --- answers --- */

/*
 * Sorts attributes by type; `found` has room for types up to `max`, and is empty. A length may become negative: behind
 * the last one is padding, which does not count.
 */
static void find_attributes(const struct rtattr *attribute, int length, const struct rtattr **found, unsigned int max)
{
	for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
		if ((attribute->rta_type & NLA_TYPE_MASK) <= max)
			found[attribute->rta_type & NLA_TYPE_MASK] = attribute;
}

/* Copies an attribute's value, or as much of it as there is: older kernels have shorter structures. */
static void copy_value(const struct rtattr *attribute, void *value, size_t size)
{
	if (attribute)
		memcpy(value, RTA_DATA(attribute), RTA_PAYLOAD(attribute) < size ? RTA_PAYLOAD(attribute) : size);
}

static bool is_veth(const struct rtattr *information)
{
	const struct rtattr *found[IFLA_INFO_MAX + 1] = {NULL};
	char kind[8] = "";

	if (information)
		find_attributes(RTA_DATA(information), (int)RTA_PAYLOAD(information), found, IFLA_INFO_MAX);
	copy_value(found[IFLA_INFO_KIND], kind, sizeof(kind));
	return memcmp(kind, "veth", sizeof("veth")) == 0;
}

/* The kernel allows all but '/', ':' and blanks in a name. */
static void copy_name(const struct rtattr *attribute, char name[static IF_NAMESIZE])
{
	copy_value(attribute, name, IF_NAMESIZE - 1);
	for (; *name; name++)
		if (*name < '!' || *name > '~')
			*name = '?';
}

static void print_hardware(const struct rtattr *attribute, struct network_interface *interface)
{
	const unsigned char *bytes = RTA_DATA(attribute);
	size_t used = 0;

	for (size_t i = 0; i < RTA_PAYLOAD(attribute) && used + sizeof(":ff") <= sizeof(interface->hardware); i++)
		used += (size_t)snprintf(interface->hardware + used, sizeof(":ff"), "%s%02x", i ? ":" : "", bytes[i]);
}

/* A veth's link is its other end's index, in the namespace of that number. */
static void find_host_name(const struct view *view, const struct rtattr *const *found,
			   struct network_interface *interface)
{
	int32_t number = -1;
	uint32_t link = 0;

	copy_value(found[IFLA_LINK_NETNSID], &number, sizeof(number));
	copy_value(found[IFLA_LINK], &link, sizeof(link));
	if (number < 0 || number != view->our_number || !is_veth(found[IFLA_LINKINFO]))
		return;
	if (!if_indextoname(link, interface->host_name))
		interface->host_name[0] = '\0';
}

static bool on_link(struct view *view, const struct nlmsghdr *header)
{
	struct network_interface *interface = &view->network->interfaces[view->network->interface_count];
	const struct rtattr *found[IFLA_MAX + 1] = {NULL};
	const struct ifinfomsg *message = NLMSG_DATA(header);

	if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(*message)))
		return true;
	find_attributes(IFLA_RTA(message), (int)IFLA_PAYLOAD(header), found, IFLA_MAX);
	*interface = (struct network_interface){.index = message->ifi_index, .flags = message->ifi_flags};
	copy_name(found[IFLA_IFNAME], interface->name);
	copy_value(found[IFLA_MTU], &interface->mtu, sizeof(interface->mtu));
	copy_value(found[IFLA_STATS64], &interface->counters, sizeof(interface->counters));
	if (found[IFLA_ADDRESS] && !(message->ifi_flags & IFF_LOOPBACK))
		print_hardware(found[IFLA_ADDRESS], interface);
	find_host_name(view, found, interface);
	return ++view->network->interface_count < NETWORK_INTERFACES_MAX;
}

static const char *scope_of(int family, const void *address)
{
	const unsigned char *bytes = address;

	if (family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(address) : bytes[0] == 127)
		return "local";
	if (family == AF_INET6 ? IN6_IS_ADDR_LINKLOCAL(address) : bytes[0] == 169 && bytes[1] == 254)
		return "link";
	return "global";
}

/* On a point-to-point link IFA_ADDRESS is the other side's. */
static bool on_address(struct view *view, const struct nlmsghdr *header)
{
	struct network_address *address = &view->network->addresses[view->network->address_count];
	const struct rtattr *found[IFA_MAX + 1] = {NULL}, *own;
	const struct ifaddrmsg *message = NLMSG_DATA(header);
	struct in6_addr bytes = {0};

	if (header->nlmsg_type != RTM_NEWADDR || header->nlmsg_len < NLMSG_LENGTH(sizeof(*message)))
		return true;
	find_attributes(IFA_RTA(message), (int)IFA_PAYLOAD(header), found, IFA_MAX);
	own = found[IFA_LOCAL] ? found[IFA_LOCAL] : found[IFA_ADDRESS];
	copy_value(own, &bytes, sizeof(bytes));
	if (!own || !inet_ntop(message->ifa_family, &bytes, address->text, sizeof(address->text)))
		return true;
	address->interface = (int)message->ifa_index;
	address->family = message->ifa_family;
	address->prefix = message->ifa_prefixlen;
	address->scope = scope_of(message->ifa_family, &bytes);
	return ++view->network->address_count < NETWORK_ADDRESSES_MAX;
}

static bool on_number(struct view *view, const struct nlmsghdr *header)
{
	const struct rtattr *found[NETNSA_MAX + 1] = {NULL};
	const char *message = NLMSG_DATA(header);
	size_t fixed = NLMSG_ALIGN(sizeof(struct rtgenmsg));

	if (header->nlmsg_type != RTM_NEWNSID || header->nlmsg_len < NLMSG_LENGTH(fixed))
		return false;
	find_attributes((const void *)(message + fixed), (int)(header->nlmsg_len - NLMSG_LENGTH(fixed)), found,
			NETNSA_MAX);
	copy_value(found[NETNSA_NSID], &view->our_number, sizeof(view->our_number));
	return false;
}

static int ask_our_number(struct view *view)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg message __attribute__((aligned(NLMSG_ALIGNTO)));
		struct rtattr attribute __attribute__((aligned(NLMSG_ALIGNTO)));
		int fd;
	} question = {
		.header = {.nlmsg_len = sizeof(question), .nlmsg_type = RTM_GETNSID, .nlmsg_flags = NLM_F_REQUEST},
		.attribute = {.rta_len = RTA_LENGTH(sizeof(int)), .rta_type = NETNSA_FD},
		.fd = view->ours};

	return ask(view, view->links, &question.header, on_number);
}

int network_of(pid_t pid, struct network *network)
{
	struct view view = {.ours = -1, .links = -1, .addresses = -1, .our_number = -1, .network = network};
	int r;

	network->interface_count = network->address_count = 0;
	r = open_view(&view, pid);
	if (r == 0)
		r = ask_our_number(&view);
	if (r == 0)
		r = ask_all(&view, view.links, RTM_GETLINK, on_link);
	if (r == 0)
		r = ask_all(&view, view.addresses, RTM_GETADDR, on_address);
	close_view(&view);
	return r;
}
