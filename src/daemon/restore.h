/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * From what the service manager held to sessions again: reads the images, gathers the sockets, and deals both out to
 * the workers, which adopt them before anything else. What is damaged or not ours costs its sessions, never the start.
 */
#include "daemon/store.h"
#include "daemon/workers.h"
#include "state/revive.h"

enum { RESTORE_NAMES_MAX = 4 * IMAGE_NAMES_MAX };

typedef struct Restore {
        bool begun;
        unsigned n_awaited; /* workers that have not answered yet */
        uint64_t n_restored, n_lost[N_LOSSES];
        uint64_t last_id;
        usec_t gap;        /* the longest, until it worked again; 0: there was nobody before */
        Revival *revivals; /* for each worker */
        unsigned n_workers;
        size_t n_names;
        ImageName *names; /* from the youngest image on */
} Restore;

/* 0 or -ENOMEM. */
int restore_gather(Restore *restore, Store *store, const Workers *workers);

/* The address that a name's upstream of this text had; family 0: not known. */
Address restore_address(const Restore *restore, const char *name, const char *upstream);

/* A worker has adopted what was its. true: it was the last one. */
bool restore_answered(Restore *restore, Revival *revival);

/* For whatever reason. */
uint64_t restore_lost(const Restore *restore);
void restore_done(Restore *restore);
