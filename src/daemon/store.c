/* SPDX-License-Identifier: MIT */
/* Believes: who may hand us descriptors may do anything to us anyway; but what an older version left must not stop us.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/store.h"

typedef enum Part { PART_IMAGE, PART_IN, PART_OUT, N_PARTS } Part;

static const char *const part_names[N_PARTS] = {[PART_IMAGE] = "image", [PART_IN] = "in", [PART_OUT] = "out"};

#define NAME_PREFIX "state-"
enum { NAME_MAX_LENGTH = 64 };

static void format_name(char name[static NAME_MAX_LENGTH], uint64_t born, unsigned worker, Part part)
{
        (void)snprintf(name, NAME_MAX_LENGTH, NAME_PREFIX "%016" PRIx64 "-%u-%s", born, worker, part_names[part]);
}

bool store_available(void)
{
        return getenv("NOTIFY_SOCKET") != NULL;
}

/* --- taking --- */

static StoredState *state_of(Store *store, uint64_t born, unsigned worker)
{
        StoredState *grown;
        size_t i = 0;

        while (i < store->n && (store->states[i].born != born || store->states[i].worker != worker))
                i++;
        if (i < store->n)
                return &store->states[i];
        grown = reallocarray(store->states, store->n + 1, sizeof(StoredState));
        if (!grown)
                return NULL;
        store->states = grown;
        store->states[store->n] =
                        (StoredState){.born = born, .worker = worker, .image = -EBADF, .queue = {-EBADF, -EBADF}};
        return &store->states[store->n++];
}

static int *part_of(StoredState *state, Part part)
{
        return part == PART_IMAGE ? &state->image : part == PART_IN ? &state->queue.in : &state->queue.out;
}

/* Which part of whose state a name is of. N_PARTS: of none; only what we would write ourselves is a name of ours. */
static Part parse_name(const char *name, uint64_t *ret_born, unsigned *ret_worker)
{
        char ours[NAME_MAX_LENGTH];
        Part part = 0;

        if (sscanf(name, NAME_PREFIX "%16" SCNx64 "-%u-", ret_born, ret_worker) != 2)
                return N_PARTS;
        for (; part < N_PARTS; part++) {
                format_name(ours, *ret_born, *ret_worker, part);
                if (strcmp(name, ours) == 0)
                        break;
        }
        return part;
}

bool store_take(Store *store, const char *name, int fd)
{
        StoredState *state;
        uint64_t born;
        unsigned worker;
        Part part;

        if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0)
                return false;
        part = parse_name(name, &born, &worker);
        state = part < N_PARTS ? state_of(store, born, worker) : NULL;
        if (!state) {
                (void)safe_close(fd);
                return true;
        }
        (void)safe_close(*part_of(state, part));
        *part_of(state, part) = fd;
        return true;
}

static int younger(const void *a, const void *b)
{
        uint64_t one = ((const StoredState *)a)->born, two = ((const StoredState *)b)->born;

        return (one < two) - (one > two);
}

void store_sort(Store *store)
{
        if (store->n > 0)
                qsort(store->states, store->n, sizeof(StoredState), younger);
}

/* --- keeping and forgetting --- */

static int keep(uint64_t born, unsigned worker, Part part, int fd)
{
        char name[NAME_MAX_LENGTH], text[NAME_MAX_LENGTH + 64];

        format_name(name, born, worker, part);
        /* FDPOLL=0: else a queue whose other end is gone would be thrown out. */
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        return sd_pid_notify_with_fds(0, false, text, &fd, 1);
}

int store_keep(const Keeper *keeper, unsigned worker)
{
        const int fds[N_PARTS] = {
                        [PART_IMAGE] = keeper->fd, [PART_IN] = keeper->queue.in, [PART_OUT] = keeper->queue.out};
        int r = 0;

        for (Part part = 0; part < N_PARTS && r >= 0; part++)
                r = keep(keeper->header->born, worker, part, fds[part]);
        return r;
}

void store_forget(Store *store)
{
        for (size_t i = 0; i < store->n; i++)
                for (Part part = 0; part < N_PARTS; part++) {
                        char name[NAME_MAX_LENGTH];

                        format_name(name, store->states[i].born, store->states[i].worker, part);
                        (void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
                }
        store_done(store);
}

void store_done(Store *store)
{
        for (size_t i = 0; i < store->n; i++) {
                (void)safe_close(store->states[i].image);
                parcel_queue_done(&store->states[i].queue);
        }
        free(store->states);
        *store = (Store){0};
}
