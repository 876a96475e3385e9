/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bench's two ends, one program: clients that offer load, ask or arrive anew, and the home they all write to.
 *
 * Many clients need few sockets: client k is the address 203.0.113.(1 + k % 250) and the port 20000 + k / 250. One
 * socket for each port sends from all addresses in turn (IP_PKTINFO), and receives what comes for any of them.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
        BATCH = 32,
        ROOM = 65536,
        ADDRESSES = 250,
        SOCKETS_MAX = 100,
        CLIENTS_MAX = ADDRESSES * SOCKETS_MAX,
        SAMPLES_MAX = 1000000,
        CONTROL = 128,
};

/*
 * The head of a datagram that wants an answer, in host order: both ends are on one machine and read one clock, so that
 * the time home took can be told from the time on the way. Nanoseconds of CLOCK_REALTIME, as the kernel's stamps are.
 */
typedef struct Ask {
        uint64_t mark;
        uint64_t client;
        uint64_t sent;    /* by the client, before the system call */
        uint64_t arrived; /* at home's socket: the kernel's stamp */
        uint64_t left;    /* home, before the system call */
} Ask;

#define ASK_MARK UINT64_C(0x756470343661736b)

typedef struct Clients {
        unsigned first, n, n_sockets;
        bool connected; /* a single client: its socket is its own, and the kernel need not look for a route each time */
        int fds[SOCKETS_MAX];
        struct sockaddr_in to;
} Clients;

/* What an answer said: which client it is for, and how long it was on its way, without home's own time. */
typedef struct Answer {
        uint64_t client, at; /* when it reached the client's socket */
        double way;          /* µs */
} Answer;

typedef struct Samples {
        unsigned long n;
        double *at, *way; /* seconds since the start; µs */
} Samples;

/* common.c: time, failure, control messages, quantiles */
uint64_t now_ns(void);
double cpu_idle(void); /* seconds all processors were idle, waiting or stolen, since boot */
double own_work(void); /* CPU seconds of this process */
void fail(const char *what);
void set_buffers(int fd);
void set_option(int fd, int level, int option, int value);
uint64_t stamp_of(struct msghdr *header);
unsigned segment_of(struct msghdr *header);
uint32_t local_of(struct msghdr *header); /* the IPv4 address it was sent to; 0: not known */
void samples_init(Samples *samples);
void samples_add(Samples *samples, double at, double way);
void samples_dump(const Samples *samples, const char *path); /* "-": nowhere */
void samples_print(Samples *samples);                        /* JSON members; sorts */

/* clients.c */
void clients_open(Clients *clients, const char *address, int port, unsigned first, unsigned n, bool connected);
/* Sends the same datagram `n` times, from client k on; returns how often it went. */
unsigned clients_send(Clients *clients, unsigned long k, unsigned n, const void *data, unsigned size);
void clients_ask(Clients *clients, unsigned k, unsigned size);
/* What waits at one socket, without waiting; returns the number of answers, at most BATCH. */
unsigned clients_answers(Clients *clients, unsigned socket, Answer answers[BATCH]);

/* trains.c: `n` trains of so many datagrams, from connected client k on; returns how many went. */
typedef struct Trains {
        int file;
        unsigned size, length;
        unsigned long sent;
} Trains;

void trains_init(Trains *trains, Clients *clients, unsigned size, unsigned length);
unsigned trains_send(Trains *trains, Clients *clients, unsigned long k, unsigned n);

/* The things it does; arguments as in main.c. */
void load_offer(char **arguments);
void load_new(char **arguments);
void load_home(char **arguments);
void load_flood(char **arguments);
void load_reply(char **arguments);
