/* SPDX-License-Identifier: MIT */
/* Believes: a session without its socket is worth another one on the same port: its peer notices nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "state/revive.h"
#include "wire/udp.h"

const char *const revival_loss_names[N_LOSSES] = {
                [LOSS_VERSION] = "version", [LOSS_DAMAGED] = "damaged", [LOSS_NO_LISTENER] = "no_listener",
                [LOSS_LIMIT] = "limit",     [LOSS_NO_PORT] = "no_port", [LOSS_FAILED] = "failed",
};

/* Room for one more. */
static void *grow(void *items, size_t n, size_t *room, size_t size)
{
        void *grown;

        if (n < *room)
                return items;
        grown = reallocarray(items, *room > 0 ? 2 * *room : 256, size);
        if (grown)
                *room = *room > 0 ? 2 * *room : 256;
        return grown;
}

/* --- sockets --- */

static int by_address(const void *a, const void *b)
{
        const PooledLeg *first = a, *second = b;
        const Address *one = &first->local, *two = &second->local;
        int r = one->port != two->port ? one->port - two->port : memcmp(&one->v6, &two->v6, sizeof(one->v6));

        return r != 0 ? r : first->beside - second->beside;
}

/* Two of one address are one: it is in two queues, or in one twice, because it was about to be moved. */
static void pool_sort(LegPool *pool)
{
        size_t n = 0;

        if (pool->n_sorted == pool->n)
                return;
        qsort(pool->legs, pool->n, sizeof(PooledLeg), by_address);
        for (size_t i = 0; i < pool->n; i++)
                if (n > 0 && by_address(&pool->legs[n - 1], &pool->legs[i]) == 0)
                        (void)safe_close(pool->legs[i].fd);
                else
                        pool->legs[n++] = pool->legs[i];
        pool->n = pool->n_sorted = n;
}

/* The first one that is sorted on that port, or behind. */
static PooledLeg *pool_port(LegPool *pool, uint16_t port)
{
        size_t low = 0, high = pool->n_sorted;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (pool->legs[middle].local.port < port)
                        low = middle + 1;
                else
                        high = middle;
        }
        return pool->legs + low;
}

static bool is_on_port(const LegPool *pool, const PooledLeg *leg, uint16_t port)
{
        return leg < pool->legs + pool->n_sorted && leg->local.port == port;
}

static PooledLeg *pool_find(LegPool *pool, const Address *local, bool beside)
{
        for (PooledLeg *leg = pool_port(pool, local->port); is_on_port(pool, leg, local->port); leg++)
                if (IN6_ARE_ADDR_EQUAL(&leg->local.v6, &local->v6) && leg->beside == beside)
                        return leg;
        return NULL;
}

static int pool_add_one(LegPool *pool, int fd, unsigned origin)
{
        _cleanup_close_ int own = fd;
        Address local;
        bool beside;
        void *grown;

        /* Without a port: closed, but still in the queue. Whether it is one of ours otherwise is looked at in
         * leg_adopt(). */
        if (udp_local(own, &local) < 0 || local.family != AF_INET6 || local.port == 0)
                return 0;
        beside = udp_is_beside(own);
        if (pool_find(pool, &local, beside))
                return 0;
        grown = grow(pool->legs, pool->n, &pool->room, sizeof(PooledLeg));
        if (!grown)
                return -ENOMEM;
        pool->legs = grown;
        pool->legs[pool->n++] = (PooledLeg){.local = local, .beside = beside, .origin = origin, .fd = TAKE_FD(own)};
        return 0;
}

int leg_pool_add(LegPool *pool, ParcelQueue *queue, unsigned origin)
{
        int fds[PARCEL_MAX], n, r;

        r = parcel_peek_begin(queue);
        if (r < 0)
                return r;
        while ((n = parcel_peek(queue, fds)) > 0)
                for (int i = 0; i < n; i++)
                        if (r >= 0)
                                r = pool_add_one(pool, fds[i], origin);
                        else
                                (void)safe_close(fds[i]);
        pool_sort(pool);
        return r < 0 ? r : n;
}

int leg_pool_take(LegPool *pool, const SessionRecord *record)
{
        PooledLeg *leg = pool_find(pool, &record->source, false);

        return leg ? TAKE_FD(leg->fd) : -EBADF;
}

int leg_pool_take_moved(LegPool *pool, const SessionRecord *record)
{
        const uint16_t port = record->source.port;

        for (PooledLeg *leg = pool_port(pool, port); !record->bound && is_on_port(pool, leg, port); leg++)
                if (leg->fd >= 0 && !leg->beside)
                        return TAKE_FD(leg->fd);
        return -EBADF;
}

int leg_pool_take_beside(LegPool *pool, int leg)
{
        PooledLeg *beside = NULL;
        Address local;

        if (udp_local(leg, &local) >= 0)
                beside = pool_find(pool, &local, true);
        return beside ? TAKE_FD(beside->fd) : -EBADF;
}

size_t leg_pool_left(const LegPool *pool, unsigned origin)
{
        size_t n = 0;

        for (size_t i = 0; i < pool->n; i++)
                n += pool->legs[i].fd >= 0 && !pool->legs[i].beside && pool->legs[i].origin == origin;
        return n;
}

void leg_pool_done(LegPool *pool)
{
        for (size_t i = 0; i < pool->n; i++)
                (void)safe_close(pool->legs[i].fd);
        free(pool->legs);
        *pool = (LegPool){0};
}

/* --- sessions --- */

int revival_add(Revival *revival, const SessionRecord *record)
{
        void *grown = grow(revival->items, revival->n, &revival->room, sizeof(RevivalItem));

        if (!grown)
                return -ENOMEM;
        revival->items = grown;
        revival->items[revival->n] =
                        (RevivalItem){.record = *record, .fd = -EBADF, .beside = -EBADF, .nth = revival->n};
        revival->n++;
        return 0;
}

static void revivals_take(Revival *revivals, unsigned n, LegPool *pool,
                          int (*take)(LegPool *pool, const SessionRecord *record))
{
        for (unsigned k = 0; k < n; k++)
                for (size_t i = 0; i < revivals[k].n; i++) {
                        RevivalItem *item = &revivals[k].items[i];

                        if (item->fd < 0)
                                item->fd = take(pool, &item->record);
                }
}

/* Who has moved takes what is left, or it would take another one's. */
void revivals_match(Revival *revivals, unsigned n, LegPool *pool)
{
        revivals_take(revivals, n, pool, leg_pool_take);
        revivals_take(revivals, n, pool, leg_pool_take_moved);
        for (unsigned k = 0; k < n; k++)
                for (size_t i = 0; i < revivals[k].n; i++)
                        if (revivals[k].items[i].fd >= 0)
                                revivals[k].items[i].beside = leg_pool_take_beside(pool, revivals[k].items[i].fd);
}

/*
 * By standing, and the last used first: where there is room for fewer, the others are lost. Of two of a flow, the
 * younger image's.
 */
static int by_merit(const void *a, const void *b)
{
        const RevivalItem *one = a, *two = b;
        const SessionStanding first = session_standing(&one->record), second = session_standing(&two->record);

        if (first != second)
                return first < second ? 1 : -1;
        if (one->record.last_use != two->record.last_use)
                return one->record.last_use < two->record.last_use ? 1 : -1;
        return (one->nth > two->nth) - (one->nth < two->nth);
}

static RevivalLoss loss_of(int r, bool unread)
{
        switch (r) {
        case -EBADMSG:
                return LOSS_DAMAGED;
        case -EDQUOT:
                return LOSS_LIMIT;
        case -EADDRINUSE:
                return unread ? LOSS_FAILED : LOSS_NO_PORT;
        default:
                return LOSS_FAILED;
        }
}

void revival_adopt(Revival *revival, Relay *relay, Keeper *keeper, usec_t now)
{
        if (revival->n > 0)
                qsort(revival->items, revival->n, sizeof(RevivalItem), by_merit);
        for (size_t i = 0; i < revival->n; i++) {
                RevivalItem *item = &revival->items[i];
                Listener *listener = relay->listeners[item->record.flow.listener];
                Session *session;
                int r = session_adopt(relay, listener, &item->record, TAKE_FD(item->fd), TAKE_FD(item->beside), now,
                                      &session);

                if (r < 0) {
                        if (r != -EEXIST) /* an older process had it too */
                                revival->n_lost[loss_of(r, revival->unread)]++;
                        continue;
                }
                revival->n_restored++;
                if (keeper)
                        keeper_opened(keeper, session, now);
        }
        if (keeper)
                keeper_park_all(keeper, now);
        now = clock_monotonic();
        if (revival->alive > 0)
                revival->gap = usec_sub(now, revival->alive);
}

void revival_done(Revival *revival)
{
        for (size_t i = 0; i < revival->n; i++) {
                (void)safe_close(revival->items[i].fd);
                (void)safe_close(revival->items[i].beside);
        }
        free(revival->items);
        *revival = (Revival){0};
}
