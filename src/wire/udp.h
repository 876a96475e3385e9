/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The one place that says sockaddr, cmsg, recvmmsg and sendmmsg. Nothing here waits: every socket is non-blocking.
 *
 * Two kinds of failure, in two places. A negative return is ours (a bad descriptor, a bad pointer). What the world did
 * to a datagram is in Datagram.error, and ICMP errors are counted apart as advice: a connected UDP socket reports the
 * last one on the next call instead of doing that call's work (Linux, every version), so a receive reads on and a send
 * sends the same datagram once more.
 */
#include "wire/address.h"
#include "wire/datagram.h"

/* An IPv4 socket bound to `address`, ready for udp_receive_from(). Its descriptor or a negative errno. */
int udp_listen(const Address *address);

/* Makes an inherited IPv4 socket ready: non-blocking, IP_PKTINFO. *ret_bound: where it is bound. 0 or negative errno.
 */
int udp_adopt_listener(int fd, Address *ret_bound);

/* What becomes of the eight bits that IPv4 calls TOS and IPv6 traffic class. */
typedef enum Marking {
        MARKING_NONE, /* the kernel's default */
        MARKING_COPY, /* as they came: what is received is `marked`, and what is marked leaves so */
        MARKING_FIXED,
        MARKING_UNKNOWN, /* of a socket that had another owner */
} Marking;

/* The manner in which datagrams leave. All zero: as the kernel does by itself. */
typedef struct Manner {
        uint8_t marking; /* MARKING_… */
        uint8_t tclass;  /* of MARKING_FIXED */
        bool whole;      /* what the path does not carry in one piece is refused with EMSGSIZE, never fragmented */
} Manner;

static inline bool manner_equal(const Manner *a, const Manner *b)
{
        return a->marking == b->marking && a->tclass == b->tclass && a->whole == b->whole;
}

/*
 * Has a leg, or a listener, send and receive in this manner from now on, what waits in it included. A fixed class is
 * set on a leg; a listener's is for whoever sends to say of each datagram, because the socket is not ours alone: it
 * outlives us, and its unit may have given it a class (IPTOS=).
 */
void udp_set_leg_manner(int fd, const Manner *manner);
void udp_set_listener_manner(int fd, const Manner *manner);

/*
 * An IPv6 socket of its own port, connected. `device`: the interface that it sends and receives through, whatever the
 * routes say (SO_BINDTODEVICE, since Linux 5.7 without privilege); "": as they say. `from`: its own address and port,
 * which need not be this host's yet (IPV6_FREEBIND, Linux 4.15; takes no privilege); NULL: the kernel chooses both.
 * *ret_local: what it became. Its descriptor or a negative errno.
 */
int udp_connect(const char *device, const Address *from, const Address *peer, Address *ret_local);

/*
 * Makes a connected socket that outlived its process ready again: is it one of IPv6 and UDP, whatever became of it on
 * its way? *ret_local: its own address. 0 or negative errno: it is nothing of the kind.
 */
int udp_adopt_leg(int fd, Address *ret_local);

/*
 * Connects it to nobody, which gives a port back that the kernel chose, though somebody still holds the socket. false:
 * it was bound to its port, by its owner or by udp_reconnect(), and has it until it is closed.
 */
bool udp_dissolve(int fd);

/* Where a socket of any family is bound: an address, or a path. Returns the buffer. */
enum { SOCKET_TEXT_MAX = 128 };
const char *socket_format(char buffer[static SOCKET_TEXT_MAX], int fd);

/* A listening TCP socket over IPv4: the one thing here that is no UDP. Its descriptor or a negative errno. */
int tcp_listen(const Address *address);

/* Datagrams that the kernel dropped because the socket's receive buffer was full. 0 if it does not say. */
uint64_t udp_kernel_drops(int fd);

/* Is it an address of this host, one by a local route (AnyIP) included? if_unknown: where that cannot be found out. */
bool udp_is_local(const Address *address, bool if_unknown);

/*
 * Points a connected socket at another peer, through another device; the local port stays, the source address is chosen
 * anew. 0, or a negative errno: then it is connected to nobody and lets nothing in, until a later call succeeds.
 */
int udp_reconnect(int fd, const char *device, const Address *peer, Address *ret_local);

/*
 * A second socket on a connected one's address, port and device, which hears only what these send. The order in which
 * that is safe: the first was bound alone; the filter is there before the second is bound. Its descriptor or a negative
 * errno. And another filter: 0 or negative errno, and it has the old one. `port`: of sources that have none.
 */
int udp_open_beside(int fd, const ReplySources *from, uint16_t port);
int udp_filter_replies(int fd, const ReplySources *from, uint16_t port);

/* Is it such a one, and not a leg? It is the only kind that may share its port, and is never connected. */
bool udp_is_beside(int fd);

/* Has it hear nobody, whoever else still holds it; what waits in it is gone. */
void udp_mute(int fd);

/* Lets the kernel hand over trains (UDP_GRO, Linux 5.0). 0 or negative errno. */
int udp_set_trains(int fd);

/* The index of the interface it is bound to (SO_BINDTODEVICE); 0: none. And is it the one of this name? */
uint32_t udp_device(int fd);
bool udp_is_on(int fd, const char *device);

/* Where it is bound; whom it is connected to. 0 or negative errno. */
int udp_local(int fd, Address *ret);
int udp_peer(int fd, Address *ret);

/* What came back by ICMP: advice, which anybody can forge. */
typedef struct Icmp {
        uint64_t errors;  /* but */
        uint64_t too_big; /* "packet too big": the kernel knows the path's size now */
} Icmp;

/*
 * Reads up to n_max datagrams: from a listener with sender and local address, from a connected socket without. Fills
 * the batch and returns how many there are (0: nothing waiting). What ICMP told on the way is added to *icmp.
 */
int udp_receive_from(int fd, Batch *batch, unsigned n_max);
int udp_receive(int fd, Batch *batch, unsigned n_max, Icmp *icmp);

/* What the kernel says beside a payload: the length of a train's datagrams, the local address, the class. */
struct msghdr;
void udp_describe(Datagram *d, struct msghdr *header);

/* From a socket that is not connected, over IPv6; and who sent the i-th. */
int udp_receive_named(int fd, Batch *batch, unsigned n_max, Icmp *icmp);
Address batch_sender(const Batch *batch, unsigned i);

/*
 * What one path is known to take; trains_init() at its beginning and whenever it leads elsewhere. NULL instead of one:
 * no trains at all, single datagrams only. What a path refused once it may take later (its MTU, its route), and the
 * refusal may have been forged: after TRAINS_PATIENCE trains that went in pieces it is tried anew.
 */
enum { TRAINS_PATIENCE = 1000 };

typedef struct Trains {
        uint16_t segment_max; /* longest datagram that may be part of a train; shrinks on refusal */
        uint16_t patience;    /* trains that will still go in pieces before the path is tried anew */
} Trains;

static inline void trains_init(Trains *trains)
{
        *trains = (Trains){.segment_max = UINT16_MAX};
}

/*
 * Sends n (1 … BATCH_MAX) datagrams in order: to a connected socket's peer, or from the local IPv4 address `from` to
 * `to`:`to_port`. Each one's `error` says what became of it; *icmp grows by the pending errors that were overcome. 0,
 * or a negative errno when we are broken.
 */
int udp_send(int fd, Datagram *run, unsigned n, Trains *trains, Icmp *icmp);
int udp_send_to(int fd, struct in_addr from, struct in_addr to, uint16_t to_port, Datagram *run, unsigned n,
                Trains *trains);
