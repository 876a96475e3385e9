/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A world of its own for each test: a private network namespace, a real Relay on real sockets, clients and upstreams as
 * plain sockets. The relay's time is the test's: it passes only when the test says so. Ends by asserting the law of
 * conservation. Failures abort the test.
 */
#include <check.h>

#include "relay/relay.h"

typedef struct World {
        Relay *relay;
        usec_t now;
        unsigned n_opened, n_closed;
        SessionEnd last_end;
} World;

extern const PolicySettings world_settings; /* 180 s, 30 s, 12 min, 1000 sessions, any size */

/* Unshares the network (once a process: Check forks one for each test) and brings up the loopback. */
void world_init(World *w, uint64_t max_sessions);
void world_done(World *w);

/* Runs a command line of ip(8), tc(8) … that must succeed. */
void world_run(const char *command);

/*
 * A second host, joined to this one by a cable: `here` on this side, `there` on the other. Returns its network
 * namespace; by setns() the test can open sockets in it.
 */
int world_second_host(void);

/* Lets a socket keep this many bytes that nobody has read yet, as the kernel counts them (a datagram is 768 at least).
 */
void world_deepen(int fd, int bytes);

Policy *world_policy(World *w, const PolicySettings *settings, const Address *upstream);
/* Binds and adds a listener; *ret_address is where. address NULL: 127.0.0.1, any port. */
const Listener *world_listener(World *w, const char *address, Policy *policy, Address *ret_address);

/* Lets the relay work until it is quiet for a moment. */
void world_settle(World *w);
/* Moves the clock, and lets sessions expire on their way there. */
void world_pass(World *w, usec_t t);

/* As many ports and open files as the machine allows. How many files. */
uint64_t world_raise_limits(void);

/* Many clients with one socket: each number is a client of its own, 127.1.0.0 and following. */
int crowd_new(void);
void crowd_send(int crowd, const Address *listener, unsigned number, const char *text);

/* Clients and upstreams. All sockets are non-blocking; peers wait up to 2 s for what must come. */
int client_new(const char *from, const Address *listener);          /* connected; from NULL: any address */
int upstream_new(const char *address, uint16_t port, Address *ret); /* bound; port 0: any */
void peer_send(int fd, const void *data, size_t size);
void upstream_reply(int fd, const Address *to, const void *data, size_t size);
size_t peer_receive(World *w, int fd, void *data, size_t size, Address *ret_from); /* fails the test if nothing comes */
bool peer_silent(World *w, int fd);                                                /* nothing there once all is quiet */
size_t peer_count(World *w, int fd); /* takes all that came, once all is quiet: how many datagrams */

/*
 * Sends bytes as datagrams of `segment` bytes each (the last may be shorter), in one piece where the kernel can; `to`
 * NULL: to the socket's peer. And what one receive brings: its size, and its datagrams' size if it is a train, else 0.
 */
void peer_send_train(int fd, const void *data, size_t size, uint16_t segment, const Address *to);
size_t peer_receive_train(World *w, int fd, void *data, size_t size, uint16_t *ret_segment);

/* One datagram there and back; returns the address the upstream saw. */
Address world_round(World *w, int client, int upstream, const char *text);

uint64_t world_verdicts(const Listener *l, Direction d, Verdict v);

/* One client, one listener, one upstream, and a session between them that has carried a datagram each way. */
typedef struct Line {
        World w;
        Policy *policy;
        const Listener *l;
        Address listener, upstream, leg; /* the leg as the upstream sees it */
        int home, client;
} Line;

void line_init(Line *line, const PolicySettings *settings); /* all on this host */
/* One end is a second host's, behind a cable of its own, which a command line may have made worse before. */
void line_init_far_upstream(Line *line, const PolicySettings *settings, const char *cable);
void line_init_far_client(Line *line, const PolicySettings *settings, const char *cable);
