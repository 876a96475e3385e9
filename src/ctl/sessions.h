/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The open sessions as the relay lists them. The list is taken apart while it arrives, so that memory is bounded by the
 * number of sessions, whatever is sent. All texts are safe to show.
 */
#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/table.h"

enum {
        SESSIONS_MAX = 1024 * 1024,
        SESSION_TEXT_MAX = 72, /* an address with interface and port */
        SESSION_OBJECT_MAX = 16 * 1024,
};

typedef struct Session {
        char id[24], state[16];
        char listener[48], client[48];
        char source[SESSION_TEXT_MAX], upstream[SESSION_TEXT_MAX];
        unsigned char client_key[18];                         /* address and port, in their order */
        char created[28], last_client[28], last_upstream[28]; /* as they came; "-": never */
        usec_t opened, last;                                  /* CLOCK_REALTIME; 0: not known */
        uint64_t forward_datagrams, forward_bytes, reply_datagrams, reply_bytes;
        uint64_t forward_rate, reply_rate; /* bytes a second; only top.c knows */
        char *json;                        /* as it came, if that was asked for */
} Session;

typedef struct Sessions {
        Session *items;
        size_t n, room;
        size_t n_found; /* how many there were before the limit cut them; not known where the relay did */
        usec_t taken;   /* CLOCK_REALTIME */
} Sessions;

void sessions_done(Sessions *sessions);

/*
 * What the options ask for: filtered, sorted, not more than the limit. A listener that the relay does not have is
 * refused, or a slip of the finger would look like a quiet listener. 0, or as client_get() does.
 */
int sessions_fetch(Sessions *ret, Client *client, const Options *options);

/* Bytes of both directions. */
uint64_t session_bytes(const Session *session);

/* The context of a column is the Sessions. */
enum { N_SESSION_COLUMNS = 9 };
extern const TableColumn session_columns[N_SESSION_COLUMNS];
