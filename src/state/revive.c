/* SPDX-License-Identifier: MIT */
/* Believes: a session without its socket is worth another one on the same port: its peer notices nothing. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "state/revive.h"
#include "wire/udp.h"

const char *const revival_loss_names[N_LOSSES] = {
                [LOSS_DAMAGED] = "damaged", [LOSS_NO_LISTENER] = "no_listener", [LOSS_LIMIT] = "limit",
                [LOSS_NO_PORT] = "no_port", [LOSS_FAILED] = "failed",
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

static int pool_add_one(LegPool *pool, int fd)
{
        _cleanup_close_ int own = fd;
        Address local;
        void *grown;

        if (udp_adopt_leg(own, &local) < 0 || local.port == 0) /* closed, but still in the queue */
                return 0;
        grown = grow(pool->legs, pool->n, &pool->room, sizeof(PooledLeg));
        if (!grown)
                return -ENOMEM;
        pool->legs = grown;
        pool->legs[pool->n++] = (PooledLeg){.local = local, .fd = TAKE_FD(own)};
        return 0;
}

int leg_pool_add(LegPool *pool, ParcelQueue *queue)
{
        int fds[PARCEL_MAX], n, r;

        pool->sorted = false;
        r = parcel_peek_begin(queue);
        if (r < 0)
                return r;
        while ((n = parcel_peek(queue, fds)) > 0)
                for (int i = 0; i < n; i++)
                        if (r >= 0)
                                r = pool_add_one(pool, fds[i]);
                        else
                                (void)safe_close(fds[i]);
        return r < 0 ? r : n;
}

static int by_port(const void *a, const void *b)
{
        return ((const PooledLeg *)a)->local.port - ((const PooledLeg *)b)->local.port;
}

int leg_pool_take(LegPool *pool, const SessionRecord *record)
{
        size_t low = 0, high = pool->n;

        if (!pool->sorted && pool->n > 0)
                qsort(pool->legs, pool->n, sizeof(PooledLeg), by_port);
        pool->sorted = true;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (pool->legs[middle].local.port < record->source.port)
                        low = middle + 1;
                else
                        high = middle;
        }
        /* Two legs may share a port, on different addresses. Where the kernel chose, the address may have changed. */
        for (size_t i = low; i < pool->n && pool->legs[i].local.port == record->source.port; i++)
                if (pool->legs[i].fd >= 0 && IN6_ARE_ADDR_EQUAL(&pool->legs[i].local.v6, &record->source.v6))
                        return TAKE_FD(pool->legs[i].fd);
        if (!record->bound && low < pool->n && pool->legs[low].local.port == record->source.port)
                return TAKE_FD(pool->legs[low].fd);
        return -EBADF;
}

void leg_pool_done(LegPool *pool)
{
        for (size_t i = 0; i < pool->n; i++)
                (void)safe_close(pool->legs[i].fd);
        free(pool->legs);
        *pool = (LegPool){0};
}

/* --- sessions --- */

int revival_add(Revival *revival, const SessionRecord *record, int fd)
{
        void *grown = grow(revival->items, revival->n, &revival->room, sizeof(RevivalItem));

        if (!grown) {
                (void)safe_close(fd);
                return -ENOMEM;
        }
        revival->items = grown;
        revival->items[revival->n] = (RevivalItem){.record = *record, .fd = fd, .nth = revival->n};
        revival->n++;
        return 0;
}

/* The last used first: where there is room for fewer, the idle ones are lost. Of two of a flow, the younger image's. */
static int by_last_use(const void *a, const void *b)
{
        const RevivalItem *one = a, *two = b;

        if (one->record.last_use != two->record.last_use)
                return one->record.last_use < two->record.last_use ? 1 : -1;
        return (one->nth > two->nth) - (one->nth < two->nth);
}

static RevivalLoss loss_of(int r)
{
        switch (r) {
        case -EBADMSG:
                return LOSS_DAMAGED;
        case -EDQUOT:
                return LOSS_LIMIT;
        case -EADDRINUSE:
                return LOSS_NO_PORT;
        default:
                return LOSS_FAILED;
        }
}

void revival_adopt(Revival *revival, Relay *relay, Keeper *keeper, usec_t now)
{
        if (revival->n > 0)
                qsort(revival->items, revival->n, sizeof(RevivalItem), by_last_use);
        for (size_t i = 0; i < revival->n; i++) {
                RevivalItem *item = &revival->items[i];
                Listener *listener = relay->listeners[item->record.flow.listener];
                Session *session;
                int r = session_adopt(relay, listener, &item->record, TAKE_FD(item->fd), now, &session);

                if (r < 0) {
                        if (r != -EEXIST) /* an older process had it too */
                                revival->n_lost[loss_of(r)]++;
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
        for (size_t i = 0; i < revival->n; i++)
                (void)safe_close(revival->items[i].fd);
        free(revival->items);
        *revival = (Revival){0};
}
