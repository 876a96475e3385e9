/* SPDX-License-Identifier: MIT */
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

/* The bytes of an image, of which nobody else can change any more. NULL: they cannot be had. */
static void *image_read(int fd, size_t *ret_size)
{
        _cleanup_free_ ImageHeader *header = malloc(sizeof(ImageHeader));
        struct stat file;
        void *bytes;

        if (!header || !read_all(fd, header, sizeof(ImageHeader)))
                return NULL;
        *ret_size = fstat(fd, &file) == 0 ? image_size(header, (size_t)file.st_size) : 0;
        bytes = *ret_size > 0 ? malloc(*ret_size) : NULL;
        if (bytes && !read_all(fd, bytes, *ret_size)) {
                free(bytes);
                return NULL;
        }
        return bytes;
}

/* --- dealing out --- */

/* The listener that has the name, the address, the device and the number of this one; NULL: there is none any more. */
static const Place *find_place(const Workers *workers, const Image *image, const ImageListener *listener)
{
        const ImageName *name = image_name(image, listener->name);
        const Place *places = workers_places(workers);
        unsigned nth = 0;

        for (size_t i = 0; name && i < workers_n_places(workers); i++)
                if (strcmp(workers_name(workers, places[i].name), name->name) == 0 &&
                    address_equal(&places[i].bound, &listener->bound) &&
                    udp_device(places[i].listeners[0]->fd) == listener->device && nth++ == listener->nth)
                        return &places[i];
        return NULL;
}

/* Gives a record to the worker whose clients it is of. */
static int deal_out(Restore *restore, const Workers *workers, const Image *image, unsigned worker,
                    const SessionRecord *record, LegPool *pool)
{
        const ImageListener *listener = image_listener(image, record);
        SessionRecord mine = *record;
        const Place *place;

        if (!listener || !record_is_whole(record)) {
                restore->n_lost[LOSS_DAMAGED]++;
                return 0;
        }
        place = find_place(workers, image, listener);
        if (!place) {
                restore->n_lost[LOSS_NO_LISTENER]++;
                return 0;
        }
        worker = worker < place->n_listeners ? worker : 0;
        mine.flow.listener = place->listeners[worker]->index;
        if (record->id > restore->last_id)
                restore->last_id = record->id;
        return revival_add(&restore->revivals[worker], &mine, leg_pool_take(pool, record));
}

/* Each upstream's address, as the youngest image has it that knows it. */
static void take_names(Restore *restore, const Image *image)
{
        for (unsigned i = 0; i < IMAGE_NAMES_MAX && restore->n_names < RESTORE_NAMES_MAX; i++) {
                const ImageName *name = image_name(image, i);

                if (name && image_upstream_is_whole(name) && name->address.family != 0)
                        restore->names[restore->n_names++] = *name;
        }
}

static int take_image(Restore *restore, const Workers *workers, const StoredState *state, LegPool *pool)
{
        _cleanup_free_ void *bytes = NULL;
        size_t size = 0;
        Image image;
        int r = 0;

        bytes = image_read(state->image, &size);
        if (!bytes || image_open(&image, bytes, size) < 0) {
                restore->n_unreadable++;
                return 0;
        }
        if (image.header->last_id > restore->last_id)
                restore->last_id = image.header->last_id;
        for (unsigned i = 0; i < restore->n_workers; i++)
                if (image.header->alive > restore->revivals[i].alive)
                        restore->revivals[i].alive = image.header->alive;
        for (uint32_t i = 0; i < image.n && r >= 0; i++) {
                const SessionRecord *record = image_record(&image, i);

                if (record)
                        r = deal_out(restore, workers, &image, state->worker, record, pool);
        }
        take_names(restore, &image);
        return r;
}

int restore_gather(Restore *restore, Store *store, const Workers *workers)
{
        LegPool pool = {0};
        int r = 0;

        restore->n_workers = workers_n(workers);
        restore->revivals = calloc(restore->n_workers, sizeof(Revival));
        restore->names = calloc(RESTORE_NAMES_MAX, sizeof(ImageName));
        if (!restore->revivals || !restore->names)
                return -ENOMEM;
        store_sort(store);
        for (size_t i = 0; i < store->n; i++)
                (void)leg_pool_add(&pool, &store->states[i].queue);
        for (size_t i = 0; i < store->n && r >= 0; i++)
                r = take_image(restore, workers, &store->states[i], &pool);
        leg_pool_done(&pool);
        return r;
}

Address restore_address(const Restore *restore, const char *name, const char *upstream)
{
        for (size_t i = 0; i < restore->n_names; i++)
                if (strcmp(restore->names[i].name, name) == 0 && strcmp(restore->names[i].upstream, upstream) == 0)
                        return restore->names[i].address;
        return (Address){0};
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
