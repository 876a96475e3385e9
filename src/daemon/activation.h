/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The listener sockets: handed over by systemd (sd_listen_fds(3)) or bound by --listen. Each one is checked before
 * anything starts; what does not fit is one line on `problems` that names the descriptor, its name and what was
 * expected.
 */
#include <stdio.h>

#include "daemon/config.h"
#include "daemon/options.h"
#include "daemon/store.h"

typedef struct ListenerSocket {
        int fd;       /* owned */
        unsigned nth; /* of those bound to its address and device, from 0 on: the worker it is for */
        char name[LISTENER_NAME_MAX + 1];
} ListenerSocket;

enum { HTTP_SOCKETS_MAX = 16 };

typedef struct ListenerSockets {
        size_t n;
        ListenerSocket *items;
        size_t n_http; /* stream sockets named HTTP_SOCKET_NAME: for the HTTP server */
        int http[HTTP_SOCKETS_MAX];
        Store store; /* what earlier processes left with the service manager */
} ListenerSockets;

#define HTTP_SOCKET_NAME "http"

/*
 * 0; or a negative errno when a --listen address cannot be bound or a call fails, with one line on `problems` too. With
 * problems of the user's making it is 0 and *ret_n_problems counts them.
 */
int activation_collect(ListenerSockets *ret, const Config *config, const Options *options, FILE *problems,
                       unsigned *ret_n_problems);

/* Closes what was not taken. */
void listener_sockets_done(ListenerSockets *sockets);
