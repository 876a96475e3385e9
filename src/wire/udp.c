/* SPDX-License-Identifier: MIT */
/*
 * The sockets. Believes: an unconnected socket without IP_RECVERR never hears of ICMP errors; a connected one hears of
 * them on its next call. Refuses: to close anything because of an ICMP error, which anybody can forge.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "wire/udp.h"

static struct sockaddr_in to_sockaddr_in(struct in_addr address, uint16_t port)
{
        return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = address, .sin_port = htons(port)};
}

static struct sockaddr_in6 to_sockaddr_in6(const Address *a)
{
        return (struct sockaddr_in6){.sin6_family = AF_INET6,
                                     .sin6_addr = a->v6,
                                     .sin6_port = htons(a->port),
                                     .sin6_scope_id = a->scope};
}

int udp_local(int fd, Address *ret)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } name = {0};
        socklen_t length = sizeof(name);

        if (getsockname(fd, &name.any, &length) < 0)
                return -errno;
        *ret = (Address){.family = name.any.sa_family};
        if (name.any.sa_family == AF_INET) {
                ret->port = ntohs(name.v4.sin_port);
                ret->v4 = name.v4.sin_addr;
        } else if (name.any.sa_family == AF_INET6) {
                ret->port = ntohs(name.v6.sin6_port);
                ret->v6 = name.v6.sin6_addr;
                ret->scope = name.v6.sin6_scope_id;
        } else
                return -EAFNOSUPPORT;
        return 0;
}

static int ask_for_local_address(int fd)
{
        static const int on = 1;

        return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ? -errno : 0;
}

int udp_adopt_listener(int fd, Address *ret_bound)
{
        int flags = fcntl(fd, F_GETFL), r;

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = ask_for_local_address(fd);
        return r < 0 ? r : udp_local(fd, ret_bound);
}

int udp_listen(const Address *address)
{
        struct sockaddr_in name = to_sockaddr_in(address->v4, address->port);
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* Asked before the first datagram can come: the kernel notes its local address on arrival. */
        if (fd < 0 || ask_for_local_address(fd) < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int connect_to(int fd, const Address *peer, Address *ret_local)
{
        struct sockaddr_in6 name = to_sockaddr_in6(peer);

        if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                return -errno;
        return udp_local(fd, ret_local);
}

enum { RECEIVE_BUFFER = 2 << 20 };

/* IPv6 only: a leg shall not take its port from the host's IPv4, nor lose it to that when it is bound again. */
static int ipv6_socket(void)
{
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)) < 0)
                return -errno;
        /* What comes while nobody relays waits here. The kernel gives twice net.core.rmem_max, if that is less. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER}, sizeof(int));
        return TAKE_FD(fd);
}

/* A port that takes a privilege (below 1024) is to the caller like one that somebody else has. */
static int bind_to(int fd, const Address *from)
{
        struct sockaddr_in6 name = to_sockaddr_in6(from);

        if (bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
                return 0;
        return errno == EACCES ? -EADDRINUSE : -errno;
}

/* Only where a socket has none yet: another one takes a privilege. */
static int bind_to_device(int fd, const char *device)
{
        if (!*device)
                return 0;
        return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) < 0 ? -errno : 0;
}

/* To the device that the kernel itself gives our sockets, as it does for whoever was started in a VRF. */
static int bind_to_device_of_birth(int fd)
{
        _cleanup_close_ int fresh = ipv6_socket();
        const uint32_t device = fresh >= 0 ? udp_device(fresh) : 0;

        if (fresh < 0)
                return fresh;
        if (device == 0)
                return 0;
        return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)) < 0 ? -errno : 0;
}

/*
 * Asks the routing table: bind() does not know of addresses that are the host's by a local route alone (as of Linux
 * 6.18; for IPv4 it does). The kernel answers while it is asked.
 */
static int ask_whether_local(const Address *address)
{
        const unsigned short size = address->family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
        struct {
                struct nlmsghdr header;
                struct rtmsg route;
                struct rtattr attribute;
                struct in6_addr destination; /* or an IPv4 one, and nothing behind it */
        } question = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)) + RTA_LENGTH(size),
                                 .nlmsg_type = RTM_GETROUTE,
                                 .nlmsg_flags = NLM_F_REQUEST},
                      .route = {.rtm_family = (unsigned char)address->family, .rtm_dst_len = (unsigned char)(8 * size)},
                      .attribute = {.rta_len = RTA_LENGTH(size), .rta_type = RTA_DST}};
        union {
                struct nlmsghdr header;
                uint8_t bytes[4096];
        } answer;
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        memcpy(&question.destination, address->family == AF_INET6 ? (const void *)&address->v6 : &address->v4, size);
        if (fd < 0 || send(fd, &question, question.header.nlmsg_len, 0) < 0 ||
            recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) < (ssize_t)NLMSG_LENGTH(sizeof(struct rtmsg)))
                return -EIO;
        return answer.header.nlmsg_type == RTM_NEWROUTE &&
               ((const struct rtmsg *)NLMSG_DATA(&answer.header))->rtm_type == RTN_LOCAL;
}

bool udp_is_local(const Address *address, bool if_unknown)
{
        int r = ask_whether_local(address);

        return r < 0 ? if_unknown : r > 0;
}

int udp_connect(const char *device, const Address *from, const Address *peer, Address *ret_local)
{
        _cleanup_close_ int fd = ipv6_socket();
        int r;

        if (fd < 0)
                return fd;
        if ((r = bind_to_device(fd, device)) < 0)
                return r;
        if (from && setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &(int){1}, sizeof(int)) < 0)
                return -errno;
        if (from && (r = bind_to(fd, from)) < 0)
                return r;
        r = connect_to(fd, peer, ret_local);
        if (r < 0)
                return r;
        /* What is here already came from a stranger, between the choice of the port and the connect. */
        while (recv(fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0)
                ;
        return TAKE_FD(fd);
}

static int socket_option(int fd, int name)
{
        int value = -1;
        socklen_t length = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

uint32_t udp_device(int fd)
{
        int index = socket_option(fd, SO_BINDTOIFINDEX);

        return index > 0 ? (uint32_t)index : 0;
}

/* By its index, which a device that comes back under its old name has not kept. */
bool udp_is_on(int fd, const char *device)
{
        return udp_device(fd) > 0 && udp_device(fd) == if_nametoindex(device);
}

static void set_option(int fd, int level, int name, int value)
{
        (void)setsockopt(fd, level, name, &value, sizeof(value)); /* every kernel that has IPv6 knows them */
}

/* The class of what waits is read from its header when it is received: whoever asks late misses nothing. */
void udp_set_leg_manner(int fd, const Manner *manner)
{
        /* -1: what a fresh socket has (RFC 3542, section 6.5) */
        set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, manner->marking == MARKING_FIXED ? manner->tclass : -1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, manner->marking == MARKING_COPY);
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, manner->whole ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_WANT);
}

/* Takes back only what we set ourselves: the host may have its own default (net.ipv4.ip_no_pmtu_disc). */
void udp_set_listener_manner(int fd, const Manner *manner)
{
        int discovery = -1;
        socklen_t length = sizeof(discovery);

        set_option(fd, IPPROTO_IP, IP_RECVTOS, manner->marking == MARKING_COPY);
        (void)getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discovery, &length);
        if (manner->whole)
                set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
        else if (discovery == IP_PMTUDISC_DO)
                set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
}

int udp_adopt_leg(int fd, Address *ret_local)
{
        Address peer;

        if (socket_option(fd, SO_DOMAIN) != AF_INET6 || socket_option(fd, SO_TYPE) != SOCK_DGRAM ||
            socket_option(fd, SO_PROTOCOL) != IPPROTO_UDP)
                return -EPROTOTYPE;
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        /* Whoever died in udp_reconnect() left its filter behind; while it is connected to nobody that keeps strangers
         * out. */
        if (udp_peer(fd, &peer) >= 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int));
        return udp_local(fd, ret_local);
}

static void dissolve(int fd)
{
        (void)connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

bool udp_dissolve(int fd)
{
        Address own = {0};

        dissolve(fd);
        return udp_local(fd, &own) >= 0 && own.port == 0;
}

const char *socket_format(char buffer[static SOCKET_TEXT_MAX], int fd)
{
        struct sockaddr_un name = {0};
        socklen_t length = sizeof(name);
        char text[ADDRESS_TEXT_MAX];
        Address address;

        if (udp_local(fd, &address) >= 0)
                (void)strcpy(buffer, address_format(text, &address));
        else if (getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.sun_family == AF_UNIX)
                *(char *)mempcpy(buffer, name.sun_path, strnlen(name.sun_path, sizeof(name.sun_path))) = '\0';
        else
                (void)strcpy(buffer, "-");
        return buffer;
}

int tcp_listen(const Address *address)
{
        struct sockaddr_in name = to_sockaddr_in(address->v4, address->port);
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
            bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, SOMAXCONN) < 0)
                return -errno;
        return TAKE_FD(fd);
}

uint64_t udp_kernel_drops(int fd)
{
        uint32_t values[SK_MEMINFO_VARS] = {0};
        socklen_t length = sizeof(values);

        return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &length) < 0 ? 0 : values[SK_MEMINFO_DROPS];
}

int udp_set_trains(int fd)
{
        static const int on = 1;

        return setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0 ? -errno : 0;
}

int udp_peer(int fd, Address *ret)
{
        struct sockaddr_in6 name = {0};
        socklen_t length = sizeof(name);

        if (getpeername(fd, (struct sockaddr *)&name, &length) < 0)
                return -errno;
        *ret = (Address){.family = AF_INET6,
                         .port = ntohs(name.sin6_port),
                         .scope = name.sin6_scope_id,
                         .v6 = name.sin6_addr};
        return 0;
}

/*
 * A second connect() alone would keep the source address that suited the first peer. So the association is dissolved,
 * which frees an automatic port, too: it is bound again at once, and lost only to somebody who takes it in that very
 * moment. Meanwhile a filter keeps strangers out. It lets go of its device, too (Linux, every version), which is why
 * that can be another one afterwards, without privilege, and must be said again.
 */
/* SO_REUSEADDR would let any user of this host in; this one asks for the same user on both sides. */
static void set_reuse(int fd, int value)
{
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof(value));
}

bool udp_is_beside(int fd)
{
        Address peer;

        return socket_option(fd, SO_REUSEPORT) > 0 && udp_peer(fd, &peer) < 0;
}

/* On the port that it had, unless it kept it (EINVAL); there may be one beside it. */
static void bind_again(int fd, uint16_t port)
{
        const struct sockaddr_in6 name = to_sockaddr_in6(&(Address){.port = port});

        if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0 || errno != EADDRINUSE)
                return;
        set_reuse(fd, 1);
        (void)bind(fd, (const struct sockaddr *)&name, sizeof(name));
        set_reuse(fd, 0);
}

int udp_reconnect(int fd, const char *device, const Address *peer, Address *ret_local)
{
        static const struct sock_filter drop_all[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
        const struct sock_fprog filter = {ELEMENTSOF(drop_all), (struct sock_filter *)(uintptr_t)drop_all};
        const bool had_device = udp_device(fd) > 0;
        Address own = {0};
        int r;

        r = udp_local(fd, &own);
        if (r < 0)
                return r;
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0)
                return -errno;
        dissolve(fd); /* from its device, too */
        bind_again(fd, own.port);
        r = had_device && !*device ? bind_to_device_of_birth(fd) : bind_to_device(fd, device);
        if (r >= 0)
                r = connect_to(fd, peer, ret_local);
        if (r >= 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int));
        return r;
}

/* --- a second socket --- */

enum { FILTER_OF_ONE = 2 + 4 * 3 + 1, FILTER_MAX = REPLY_SOURCES_MAX * FILTER_OF_ONE + 1 };

/* A part of it at least is said by the prefix. */
static uint32_t mask_of(uint8_t length, unsigned word)
{
        unsigned bits = length > 32 * word ? length - 32 * word : 0;

        return bits >= 32 ? UINT32_MAX : ~(UINT32_MAX >> bits);
}

/*
 * Classic BPF: of a datagram that a UDP socket gets the filter sees the UDP header at 0 and the IPv6 header at
 * SKF_NET_OFF. Each source is a block of tests that all jump to the next one.
 */
static unsigned filter_one(struct sock_filter *code, const ReplySource *source, uint16_t port)
{
        unsigned n = 0;

        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, source->port > 0 ? source->port : port, 0,
                                                 0);
        for (unsigned word = 0; word < 4; word++) {
                uint32_t mask = mask_of(source->prefix.length, word);

                if (mask == 0)
                        break;
                code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                         (uint32_t)(SKF_NET_OFF + 8) + 4 * word);
                code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask);
                code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                         ntohl(source->prefix.address.s6_addr32[word]), 0, 0);
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
        for (unsigned i = 0; i < n; i++)
                if (BPF_CLASS(code[i].code) == BPF_JMP)
                        code[i].jf = (uint8_t)(n - i - 1);
        return n;
}

int udp_filter_replies(int fd, const ReplySources *from, uint16_t port)
{
        struct sock_filter code[FILTER_MAX];
        struct sock_fprog filter = {.filter = code};
        unsigned n = 0;

        for (unsigned i = 0; i < from->n; i++)
                n += filter_one(code + n, &from->items[i], port);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
        filter.len = (unsigned short)n;
        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? -errno : 0;
}

void udp_mute(int fd)
{
        const ReplySources nobody = {0};
        uint8_t byte;

        (void)udp_filter_replies(fd, &nobody, 0);
        while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
                ;
}

int udp_open_beside(int fd, const ReplySources *from, uint16_t port)
{
        _cleanup_close_ int beside = ipv6_socket();
        const uint32_t device = udp_device(fd);
        Address local = {0};
        int r;

        if (beside < 0)
                return beside;
        if ((r = udp_local(fd, &local)) < 0 || (r = udp_filter_replies(beside, from, port)) < 0)
                return r;
        if (device > 0 && setsockopt(beside, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)) < 0)
                return -errno;
        if (setsockopt(beside, IPPROTO_IPV6, IPV6_FREEBIND, &(int){1}, sizeof(int)) < 0)
                return -errno;
        set_reuse(fd, 1);
        set_reuse(beside, 1); /* stays: the first one keeps others away from the port */
        r = bind_to(beside, &local);
        set_reuse(fd, 0);
        return r < 0 ? r : TAKE_FD(beside);
}
