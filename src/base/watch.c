/* SPDX-License-Identifier: MIT */
/*
 * Believes: EPOLL_CTL_ADD on a set that is itself watched by another epoll takes a global mutex in the kernel, yet
 * costs less than anything else in opening a session. EPOLLERR is always reported; the owner finds out by reading.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/watch.h"

int watch_set_init(WatchSet *set)
{
        set->fd = epoll_create1(EPOLL_CLOEXEC);
        return set->fd < 0 ? -errno : 0;
}

void watch_set_done(WatchSet *set)
{
        set->fd = safe_close(set->fd);
}

int watch_set_add(WatchSet *set, Watch *watch, int fd, WatchReady ready)
{
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
        uint32_t kind = 0;

        while (kind < WATCH_KINDS_MAX && set->kinds[kind] && set->kinds[kind] != ready)
                kind++;
        watch->fd = -EBADF;
        if (kind == WATCH_KINDS_MAX)
                return -E2BIG;
        set->kinds[kind] = ready;
        *watch = (Watch){.fd = fd, .kind = kind};
        if (epoll_ctl(set->fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                watch->fd = -EBADF;
                return -errno;
        }
        return 0;
}

void watch_set_remove(WatchSet *set, Watch *watch)
{
        if (watch->fd < 0)
                return;
        (void)epoll_ctl(set->fd, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->fd = -EBADF;
}

int watch_set_want_room(WatchSet *set, Watch *watch, bool wanted)
{
        struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = watch};

        return epoll_ctl(set->fd, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

int watch_set_wait(WatchSet *set, int milliseconds)
{
        set->n_met = epoll_wait(set->fd, set->met, WATCH_TURN_MAX, milliseconds);
        if (set->n_met >= 0)
                return set->n_met;
        set->n_met = 0;
        return errno == EINTR ? 0 : -errno;
}

int watch_set_dispatch(WatchSet *set, void *context, usec_t now)
{
        int n = set->n_met > 0 ? set->n_met : watch_set_wait(set, 0);

        set->n_met = 0;
        for (int i = 0; i < n; i++) {
                Watch *watch = set->met[i].data.ptr;
                int r;

                if (watch->fd < 0) /* removed earlier in this turn */
                        continue;
                r = set->kinds[watch->kind](watch, context, now);
                if (r < 0)
                        return r;
        }
        return n;
}
