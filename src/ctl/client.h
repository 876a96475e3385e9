/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Asks the relay over HTTP, on its Unix socket or over TCP. Whatever answers there is bounded in time, and its headers
 * in size; the body goes to a sink piece by piece, which bounds it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum {
        CLIENT_SILENCE_SECONDS = 5, /* without a byte */
        CLIENT_WHOLE_SECONDS = 30,  /* for one answer; the server takes no longer either */
        CLIENT_HEADERS_MAX = 64 * 1024,
        CLIENT_WHY_MAX = 512,
};

typedef struct Client Client;

/* Where a body goes. NULL: go on; else why this answer is of no use, a phrase that outlives the call. */
typedef const char *(*ClientSink)(void *userdata, const char *data, size_t size);

/* Exactly one of both is used: the URL if it is not NULL. Both must outlive the client. 0 or negative errno. */
int client_new(Client **ret, const char *socket, const char *url);
Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free)

/* Asked about once a second: shall the question be given up? */
void client_set_stop(Client *client, bool (*stop)(void *userdata), void *userdata);

/* `/debug/status` to the sink. 0, or -EIO and client_why() says why, or -ECANCELED. */
int client_get(Client *client, const char *resource, ClientSink sink, void *userdata);

/* What was answered is of no use: makes this client_why() and client_remedy(). Both outlive the client. Returns -EIO.
 */
int client_refuse(Client *client, const char *why, const char *remedy);
#define CLIENT_ASK_ELSEWHERE "See what is asked there, --socket= or --url=."

/* Whom it asks: the path or the URL. */
const char *client_place(const Client *client);

/* One line, about the last question that failed. What the server said is in it as it came. */
const char *client_why(const Client *client);
/* What to do about it, a sentence; "" if there is nothing to recommend. */
const char *client_remedy(const Client *client);
