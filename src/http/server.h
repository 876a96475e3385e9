/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The HTTP server: GET and HEAD, one answer for each connection, in the control loop. libmicrohttpd does the protocol.
 *
 * Whoever connects gets little of it: a number of connections, some memory for each, and a time for the whole of it,
 * however busy they keep it. On TCP the Host must be an address or a name that was configured, so that no web page can
 * have a browser ask in its stead (DNS rebinding). Nothing can be changed over it.
 */
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "http/view.h"

enum {
        HTTP_CONNECTIONS_MAX = 64,      /* of one listening socket */
        HTTP_CONNECTIONS_OF_ONE = 16,   /* of one address; TCP */
        HTTP_CONNECTION_MEMORY = 32768, /* bytes; a longer request is refused */
        HTTP_CONNECTION_SECONDS = 30,   /* for the whole of it */
        HTTP_IDLE_SECONDS = 10,
        HTTP_HOSTS_TEXT_MAX = 768,
};

typedef struct HttpSettings {
        bool session_labels;             /* in /metrics, one series for each session */
        bool show_clients;               /* on the page, over TCP, too */
        char hosts[HTTP_HOSTS_TEXT_MAX]; /* names that it is asked for by, with blanks between them */
} HttpSettings;

typedef struct HttpServer HttpServer;

/* The source must live as long. 0 or negative errno. */
int http_server_new(HttpServer **ret, sd_event *event, const ViewSource *source);
void http_server_set(HttpServer *server, const HttpSettings *settings);

/* Serves a listening stream socket; takes fd on success. 0 or negative errno. */
int http_server_listen(HttpServer *server, int fd);

/* File descriptors that it and its clients hold at most. */
size_t http_server_n_descriptors(const HttpServer *server);

/* From now on nothing is read, looked at or sent; sockets stay open. What is shown may be taken down. Takes NULL. */
void http_server_close(HttpServer *server);

/* Cuts off what is not finished. No slice of sessions may come any more. Takes NULL. */
HttpServer *http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer, http_server_free)
