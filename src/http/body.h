/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The body of an answer, made piece by piece while it is sent, so that its size is bounded by nothing and its memory by
 * one slice of sessions. While a slice is on its way from a worker the connection is suspended.
 */
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>

#include "http/request.h"
#include "http/view.h"
#include "relay/relay.h"

enum { BODY_TOP_MAX = 10 };

/* What was asked for, and by whom it may be seen. */
typedef struct BodyQuery {
        bool session_labels; /* metrics: one series for each session, too */
        bool mask_clients;   /* page */
        RequestQuery asked;  /* sessions: only these */
} BodyQuery;

typedef struct Body Body;

/* All of them write as much as they like to `to`. Any may be NULL. */
typedef struct BodyKind {
        const char *content_type;
        void (*begin)(Body *body, FILE *to);
        unsigned (*n_walks)(Body *body);    /* how often all sessions are walked; NULL: never */
        void (*walk)(Body *body, FILE *to); /* a walk begins */
        void (*row)(Body *body, FILE *to, const ListingRow *row);
        void (*end)(Body *body, FILE *to);
} BodyKind;

struct Body {
        const BodyKind *kind;
        BodyQuery query;
        const ViewSource *source;
        int64_t clock_offset; /* as in the View, from the first look on */
        unsigned walk;        /* which one this is, from 0 on */
        uint64_t n_rows;      /* that were written */
        bool enough;          /* no more rows are wanted */
        ListingRow top[BODY_TOP_MAX];
        unsigned n_top;
        usec_t asked[RELAY_POLICIES_MAX]; /* by name: when a client with an open session last sent something */
};

/* What there is to see now; valid until the answer's next step. */
const View *body_look(Body *body);

extern const BodyKind body_metrics, body_sessions, body_status, body_page;

typedef struct BodyWake {
        /* Called when a suspended connection goes on: libmicrohttpd does not find that out by itself. */
        void (*wake)(void *userdata);
        /* Called after each step of an answer. */
        void (*worked)(void *userdata);
        void *userdata;
} BodyWake;

/* An answer with this body for one connection. NULL without memory. */
struct MHD_Response *body_response(const BodyKind *kind, const BodyQuery *query, const ViewSource *source,
                                   struct MHD_Connection *connection, const BodyWake *wake);
