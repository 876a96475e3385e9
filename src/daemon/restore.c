/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/restore.h"
#include "wire/udp.h"

/* --- reading --- */

static bool read_all(int fd, void *to, size_t size)
{
        size_t done = 0;

        while (done < size) {
                ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)done);

                if (n <= 0)
                        return false;
                done += (size_t)n;
        }
        return true;
}

/* The bytes of an image, of which nobody else can change any more. 0; -ENOMEM; or as image_open(). */
static int image_read(int fd, void **ret, size_t *ret_size)
{
        _cleanup_free_ ImageHeader *header = malloc(sizeof(ImageHeader));
        _cleanup_free_ void *bytes = NULL;
        struct stat file;
        int r;

        if (!header)
                return -ENOMEM;
        if (!read_all(fd, header, sizeof(ImageHeader)) || fstat(fd, &file) < 0)
                return -EBADMSG;
        r = image_size(header, (size_t)file.st_size, ret_size);
        if (r < 0)
                return r;
        bytes = malloc(*ret_size);
        if (!bytes)
                return -ENOMEM;
        if (!read_all(fd, bytes, *ret_size))
                return -EBADMSG;
        *ret = TAKE_PTR(bytes);
        return 0;
}

/* --- dealing out --- */

/* Where the sessions of an image belong now; NULL: nowhere. */
typedef const Place *PlaceOf[IMAGE_LISTENERS_MAX];

/* The listener that has the name, the address, the device and the number of this one; NULL: there is none any more. */
static const Place *find_place(const Workers *workers, const Image *image, const ImageListener *listener)
{
        const ImageName *name = image_name(image, listener->name);
        const Place *places = workers_places(workers);
        unsigned nth = 0;

        for (size_t i = 0; name && i < workers_n_places(workers); i++)
                if (strcmp(workers_name(workers, places[i].name), name->name) == 0 &&
                    address_equal(&places[i].bound, &listener->bound) && places[i].device == listener->device &&
                    nth++ == listener->nth)
                        return &places[i];
        return NULL;
}

/* Ids go on from there. None gets near the largest number: what says so is damaged. */
static void note_id(Restore *restore, uint64_t id)
{
        if (id > restore->last_id && id < UINT64_MAX / 2)
                restore->last_id = id;
}

/* Gives a record to the worker whose clients it is of. */
static int deal_out(Restore *restore, const Image *image, PlaceOf place_of, unsigned worker,
                    const SessionRecord *record)
{
        const ImageListener *listener = image_listener(image, record);
        SessionRecord mine = *record;
        const Place *place;

        if (!listener || !record_is_whole(record)) {
                restore->n_lost[LOSS_DAMAGED]++;
                return 0;
        }
        place = place_of[record->flow.listener];
        if (!place) {
                restore->n_lost[LOSS_NO_LISTENER]++;
                return 0;
        }
        worker = worker < place->n_listeners ? worker : 0;
        mine.flow.listener = place->listeners[worker]->index;
        note_id(restore, record->id);
        return revival_add(&restore->revivals[worker], &mine);
}

/* Where their upstreams were; the youngest image is asked first. */
static void take_names(Restore *restore, const Image *image)
{
        for (unsigned i = 0; i < IMAGE_NAMES_MAX && restore->n_names < RESTORE_NAMES_MAX; i++) {
                const ImageName *name = image_name(image, i);

                if (name)
                        restore->names[restore->n_names++] = *name;
        }
}

/* 0; -EPROTONOSUPPORT, -EBADMSG: nothing in it can be read; -ENOMEM. */
static int take_image(Restore *restore, const Workers *workers, const StoredState *state)
{
        _cleanup_free_ void *bytes = NULL;
        PlaceOf place_of;
        size_t size = 0;
        Image image;
        int r;

        r = image_read(state->image, &bytes, &size);
        if (r >= 0)
                r = image_open(&image, bytes, size);
        if (r < 0)
                return r;
        note_id(restore, image.header->last_id);
        for (unsigned i = 0; i < restore->n_workers; i++)
                if (image.header->alive > restore->revivals[i].alive)
                        restore->revivals[i].alive = image.header->alive;
        for (uint32_t i = 0; i < image.header->n_listeners; i++)
                place_of[i] = find_place(workers, &image, &image.header->listeners[i]);
        for (uint32_t i = 0; i < image.n && r >= 0; i++) {
                const SessionRecord *record = image_record(&image, i);

                if (record)
                        r = deal_out(restore, &image, place_of, state->worker, record);
        }
        take_names(restore, &image);
        return r;
}

/* The sessions of the images that could not be read: all that is known of them is their sockets. */
static void count_unread(Restore *restore, const LegPool *pool, const RevivalLoss *unread, size_t n)
{
        for (unsigned i = 0; i < n; i++)
                if (unread[i] < N_LOSSES)
                        restore->n_lost[unread[i]] += leg_pool_left(pool, i);
}

static RevivalLoss loss_of_image(int r)
{
        switch (r) {
        case 0:
                return N_LOSSES;
        case -EPROTONOSUPPORT:
                return LOSS_VERSION;
        case -ENOMEM:
                return LOSS_FAILED;
        default:
                return LOSS_DAMAGED;
        }
}

static int take_all(Restore *restore, const Store *store, const Workers *workers, LegPool *pool)
{
        _cleanup_free_ RevivalLoss *unread = calloc(store->n, sizeof(RevivalLoss));

        if (!unread)
                return -ENOMEM;
        for (unsigned i = 0; i < store->n; i++) {
                if (leg_pool_add(pool, &store->states[i].queue, i) == -EMFILE)
                        for (unsigned k = 0; k < restore->n_workers; k++)
                                restore->revivals[k].unread = true;
                unread[i] = loss_of_image(take_image(restore, workers, &store->states[i]));
        }
        revivals_match(restore->revivals, restore->n_workers, pool);
        count_unread(restore, pool, unread, store->n);
        return 0;
}

int restore_gather(Restore *restore, Store *store, const Workers *workers)
{
        LegPool pool = {0};
        int r;

        restore->n_workers = workers_n(workers);
        restore->revivals = calloc(restore->n_workers, sizeof(Revival));
        restore->names = calloc(RESTORE_NAMES_MAX, sizeof(ImageName));
        if (!restore->revivals || !restore->names)
                return -ENOMEM;
        store_sort(store);
        r = take_all(restore, store, workers, &pool);
        leg_pool_done(&pool);
        return r;
}

Address restore_address(const Restore *restore, const char *name, const char *upstream)
{
        Address address = {0};

        for (size_t i = 0; i < restore->n_names && address.family == 0; i++)
                if (strcmp(restore->names[i].name, name) == 0)
                        address = image_upstream(&restore->names[i], upstream);
        return address;
}

uint64_t restore_lost(const Restore *restore)
{
        uint64_t n = 0;

        for (RevivalLoss loss = 0; loss < N_LOSSES; loss++)
                n += restore->n_lost[loss];
        return n;
}

bool restore_answered(Restore *restore, Revival *revival)
{
        restore->n_restored += revival->n_restored;
        for (RevivalLoss loss = 0; loss < N_LOSSES; loss++)
                restore->n_lost[loss] += revival->n_lost[loss];
        if (revival->gap > restore->gap)
                restore->gap = revival->gap;
        revival_done(revival);
        return --restore->n_awaited == 0;
}

void restore_done(Restore *restore)
{
        for (unsigned i = 0; restore->revivals && i < restore->n_workers; i++)
                revival_done(&restore->revivals[i]);
        free(restore->revivals);
        restore->revivals = NULL;
        free(restore->names);
        restore->names = NULL;
        restore->n_names = 0;
}
