/* SPDX-License-Identifier: MIT */
/*
 * Believes: a queue that is only ever appended to before it is shortened is complete at every instruction. Refuses: to
 * wait for room in it; what is not parked can be opened again on its port.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "relay/beside.h"
#include "state/keeper.h"
#include "wire/udp.h"

#define RETRY_AFTER (100 * USEC_PER_MSEC) /* when the kernel takes no more parcels */
#define PURGE_AFTER USEC_PER_SEC          /* when closed legs hold their ports */

/* Parcels that may be there beside those that are needed: small ones, of quiet times. */
enum { PARCELS_SPARE = 64 };

static size_t image_bytes(uint32_t n_slots)
{
        return sizeof(ImageHeader) + (size_t)n_slots * RELAY_SLOT;
}

int keeper_new(Keeper **ret, uint32_t n_slots, uint64_t born)
{
        _cleanup_(cleanup_keeper_free) Keeper *keeper = calloc(1, sizeof(Keeper));
        void *memory;
        int r;

        if (!keeper)
                return -ENOMEM;
        keeper->queue = (ParcelQueue){-EBADF, -EBADF};
        keeper->size = image_bytes(n_slots);
        keeper->first = keeper->next = 1;
        keeper->due = USEC_NEVER;
        keeper->fd = memfd_create("udp46-sessions", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (keeper->fd < 0 || ftruncate(keeper->fd, (off_t)keeper->size) < 0)
                return -errno;
        (void)fcntl(keeper->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
        memory = mmap(NULL, keeper->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, keeper->fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        keeper->header = memory;
        r = parcel_queue_new(&keeper->queue);
        if (r < 0)
                return r;
        image_begin(keeper->header, n_slots, RELAY_SLOT, born);
        *ret = TAKE_PTR(keeper);
        return 0;
}

Keeper *keeper_free(Keeper *keeper)
{
        if (!keeper)
                return NULL;
        if (keeper->header)
                (void)munmap(keeper->header, keeper->size);
        (void)safe_close(keeper->fd);
        parcel_queue_done(&keeper->queue);
        free(keeper);
        return NULL;
}

int keeper_house(Keeper *keeper, Relay *relay, const char *const *names)
{
        for (uint16_t i = 0; i < relay->n_listeners; i++)
                image_add_listener(keeper->header, &relay->listeners[i]->bound, udp_device(relay->listeners[i]->fd),
                                   relay_policy_index(relay, relay->listeners[i]->policy));
        for (uint16_t i = 0; i < relay->n_policies; i++)
                image_set_name(keeper->header, i, names[i]);
        image_seal(keeper->header);
        return relay_house(relay, keeper->header + 1, keeper->header->n_slots, &keeper->header->n_used);
}

/* --- the queue --- */

static uint64_t n_parcels(const Keeper *keeper)
{
        return keeper->next - keeper->first;
}

static Session *session_of(ListNode *node)
{
        return container_of(node, Session, parked);
}

/* The number of its parcel, of which it has the lower bits: there are never so many parcels at once. */
static uint64_t parcel_of(const Keeper *keeper, const Session *session)
{
        return keeper->next - (uint32_t)((uint32_t)keeper->next - session->parcel);
}

/* Throws away the oldest parcels, as long as none that lives is in them. 0 or negative errno. */
static int drop_dead_parcels(Keeper *keeper)
{
        uint64_t alive = keeper->parked.first ? parcel_of(keeper, session_of(keeper->parked.first)) : keeper->next;

        while (keeper->first < alive) {
                int r = parcel_drop(&keeper->queue);

                if (r < 0)
                        return r;
                keeper->n_entries -= keeper->sizes[keeper->first % ELEMENTSOF(keeper->sizes)];
                keeper->first++;
        }
        return 0;
}

static bool has_beside(const Session *session)
{
        return session->beside && session->beside->fd >= 0;
}

/* Out of the parked ones. */
static void leave(Keeper *keeper, Session *session)
{
        list_remove(&keeper->parked, &session->parked);
        keeper->n_living -= session->n_parked;
        session->n_parked = 0;
}

static void enter(Keeper *keeper, Session *session)
{
        list_append(&keeper->parked, &session->parked);
        session->n_parked = has_beside(session) ? 2 : 1;
        keeper->n_living += session->n_parked;
        session->parcel = (uint32_t)keeper->next;
}

/* Sends the first of a list as one parcel, and appends them to the parked ones. How many; or negative errno. */
static int park(Keeper *keeper, List *from)
{
        int fds[PARCEL_MAX] = {0}, r;
        unsigned n = 0, n_sessions = 0;

        if (n_parcels(keeper) >= ELEMENTSOF(keeper->sizes) - 1)
                return -EAGAIN;
        for (ListNode *node = from->first; node; node = node->next, n_sessions++) {
                const Session *session = session_of(node);

                if (n + 1U + has_beside(session) > PARCEL_MAX)
                        break;
                fds[n++] = session->leg.fd;
                if (has_beside(session))
                        fds[n++] = session->beside->fd;
        }
        r = parcel_send(&keeper->queue, fds, n);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < n_sessions; i++) {
                Session *session = session_of(from->first);

                if (from == &keeper->parked)
                        leave(keeper, session);
                else
                        list_remove(from, &session->parked);
                enter(keeper, session);
        }
        keeper->sizes[keeper->next % ELEMENTSOF(keeper->sizes)] = (uint8_t)n;
        keeper->next++;
        keeper->n_entries += n;
        return (int)n_sessions;
}

static int park_fresh(Keeper *keeper)
{
        int n = park(keeper, &keeper->fresh);

        if (n > 0) {
                counter_set(&keeper->n_fresh, counter_get(&keeper->n_fresh) - (unsigned)n);
                counter_add(&keeper->n_parked, (unsigned)n);
        }
        return n;
}

/* Is there too much in the queue that is dead, or too many small parcels? */
static bool is_stale(const Keeper *keeper)
{
        uint64_t n = keeper->n_living;

        return keeper->n_entries > 2 * n + PARCEL_MAX || n_parcels(keeper) > 2 * (n / PARCEL_MAX) + PARCELS_SPARE ||
               (keeper->purge >= keeper->first && n_parcels(keeper) > 0);
}

static void due_by(Keeper *keeper, usec_t when)
{
        if (when < keeper->due)
                keeper->due = when;
}

/* There is no room to move them in: what lives in the oldest parcel waits outside, so that the dead of it can go. */
static void unpark_oldest(Keeper *keeper)
{
        const uint64_t oldest = keeper->first;
        unsigned n = 0;

        for (; keeper->parked.first && parcel_of(keeper, session_of(keeper->parked.first)) == oldest; n++) {
                Session *session = session_of(keeper->parked.first);

                leave(keeper, session);
                list_append(&keeper->fresh, &session->parked);
        }
        counter_set(&keeper->n_parked, counter_get(&keeper->n_parked) - n);
        counter_add(&keeper->n_fresh, n);
        (void)drop_dead_parcels(keeper);
}

/*
 * Moving comes first, also where there is always somebody fresh: it alone makes room. Both, because the fresh must not
 * wait for ports that are in use no more.
 */
void keeper_turn(Keeper *keeper, usec_t now)
{
        int r = 0, dropped;

        keeper->due = USEC_NEVER;
        if (keeper->header->clean) /* the queue is the next process's */
                return;
        if (is_stale(keeper) && keeper->parked.first)
                r = park(keeper, &keeper->parked);
        dropped = drop_dead_parcels(keeper);
        if (r >= 0 && keeper->fresh.first)
                r = park_fresh(keeper);
        if (r < 0 && keeper->n_entries > keeper->n_living) {
                unpark_oldest(keeper);
                due_by(keeper, usec_add(now, KEEPER_PARK_WITHIN));
        } else if (keeper->fresh.first || is_stale(keeper))
                due_by(keeper, r < 0 || dropped < 0 ? usec_add(now, RETRY_AFTER) : now);
}

void keeper_park_all(Keeper *keeper, usec_t now)
{
        while (keeper->fresh.first && park_fresh(keeper) > 0)
                ;
        if (keeper->fresh.first)
                due_by(keeper, usec_add(now, RETRY_AFTER));
}

/* --- sessions --- */

/* Parcels up to this one shall go, whatever lives in them. */
static void purge_to(Keeper *keeper, uint64_t parcel)
{
        if (parcel > keeper->purge)
                keeper->purge = parcel;
}

void keeper_opened(Keeper *keeper, Session *session, usec_t now)
{
        uint64_t n = counter_get(&keeper->n_fresh) + 1;

        if (session->record.id > keeper->header->last_id)
                keeper->header->last_id = session->record.id;
        list_append(&keeper->fresh, &session->parked);
        counter_set(&keeper->n_fresh, n);
        due_by(keeper, n < PARCEL_MAX ? usec_add(now, KEEPER_PARK_WITHIN) : now);
}

/* What is parked is not what it has: it is parked again, and what it had before shall go. */
void keeper_changed(Keeper *keeper, Session *session, usec_t now)
{
        if (session->n_parked == 0)
                return;
        purge_to(keeper, parcel_of(keeper, session));
        leave(keeper, session);
        counter_set(&keeper->n_parked, counter_get(&keeper->n_parked) - 1);
        list_append(&keeper->fresh, &session->parked);
        counter_set(&keeper->n_fresh, counter_get(&keeper->n_fresh) + 1);
        due_by(keeper, usec_add(now, KEEPER_PARK_WITHIN));
}

void keeper_closed(Keeper *keeper, Session *session, usec_t now)
{
        uint64_t parcel;

        if (session->n_parked == 0) {
                list_remove(&keeper->fresh, &session->parked);
                counter_set(&keeper->n_fresh, counter_get(&keeper->n_fresh) - 1);
                return;
        }
        parcel = parcel_of(keeper, session);
        leave(keeper, session);
        counter_set(&keeper->n_parked, counter_get(&keeper->n_parked) - 1);
        if (keeper->header->clean) /* it is not the session that ends, and its socket is the next process's */
                return;
        if (!udp_dissolve(session->leg.fd) ||
            has_beside(session)) { /* the queue holds them for a while, and their port */
                purge_to(keeper, parcel);
                due_by(keeper, usec_add(now, PURGE_AFTER));
        } else if (is_stale(keeper))
                due_by(keeper, now);
}

/* --- the end --- */

void keeper_finish(Keeper *keeper, usec_t now)
{
        keeper_park_all(keeper, now);
        keeper->header->alive = now;
        keeper->header->clean = 1;
        /* The same memory, but ours alone. If that fails, what is there must not be touched: it stays as it is. */
        if (mmap(keeper->header, keeper->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                 keeper->fd, 0) == MAP_FAILED)
                _exit(EXIT_SUCCESS);
}
