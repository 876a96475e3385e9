/* SPDX-License-Identifier: MIT */
/* Believes: a reader that copies what it reads cannot be surprised by who goes on writing. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "state/image.h"

enum { STRIDE_MAX = 4096 };

static const char image_magic[8] = {'u', 'd', 'p', '4', '6', 'i', 'm', 'g'};
static const HashKey no_key;

static uint64_t header_seal(const ImageHeader *header)
{
        uint64_t seal = hash_bytes(&no_key, header, offsetof(ImageHeader, seal));

        seal ^= hash_bytes(&no_key, header->listeners, header->n_listeners * sizeof(ImageListener));
        for (unsigned i = 0; i < IMAGE_NAMES_MAX && *header->names[i].name; i++) /* each at its place */
                seal = (seal << 1 | seal >> 63) ^ hash_bytes(&no_key, header->names[i].name, IMAGE_NAME_MAX + 1);
        return seal;
}

static uint32_t upstream_seal(const ImageUpstream *upstream)
{
        return (uint32_t)hash_bytes(&no_key, upstream, offsetof(ImageUpstream, seal));
}

/* --- writing --- */

void image_begin(ImageHeader *header, uint32_t n_slots, size_t stride, uint64_t born)
{
        memcpy(header->magic, image_magic, sizeof(image_magic));
        header->version = IMAGE_VERSION;
        header->header_size = sizeof(ImageHeader);
        header->record_size = sizeof(SessionRecord);
        header->stride = (uint32_t)stride;
        header->n_slots = n_slots;
        header->born = born;
}

void image_add_listener(ImageHeader *header, const Address *bound, uint32_t device, unsigned name)
{
        ImageListener *listener = &header->listeners[header->n_listeners];

        listener->bound = *bound;
        listener->name = (uint16_t)name;
        listener->device = device;
        for (uint32_t i = 0; i < header->n_listeners; i++) {
                const ImageListener *other = &header->listeners[i];

                if (other->name == name && other->device == device && address_equal(&other->bound, bound))
                        listener->nth++;
        }
        header->n_listeners++;
}

void image_seal(ImageHeader *header)
{
        header->seal = header_seal(header);
}

void image_set_name(ImageHeader *header, unsigned i, const char *name)
{
        (void)strncpy(header->names[i].name, name, IMAGE_NAME_MAX);
}

/* Whoever dies in the middle of it leaves one that is not known. */
void image_set_upstream(ImageHeader *header, unsigned i, unsigned k, const char *upstream, const Address *address)
{
        ImageUpstream *to = &header->names[i].upstreams[k];

        to->called = hash_bytes(&no_key, upstream, strlen(upstream));
        to->address = *address;
        to->seal = upstream_seal(to);
}

/* --- reading --- */

static uint32_t slots_to_read(const ImageHeader *header, size_t file_size)
{
        size_t n = header->n_used < header->n_slots ? header->n_used : header->n_slots;
        size_t room = (file_size - sizeof(ImageHeader)) / header->stride;

        return (uint32_t)(n < room ? n : room);
}

static int check_header(const ImageHeader *header, size_t size)
{
        if (size < sizeof(ImageHeader) || memcmp(header->magic, image_magic, sizeof(image_magic)) != 0)
                return -EBADMSG;
        if (header->version != IMAGE_VERSION)
                return -EPROTONOSUPPORT;
        if (header->header_size != sizeof(ImageHeader) || header->record_size != sizeof(SessionRecord) ||
            header->stride < sizeof(SessionRecord) || header->stride > STRIDE_MAX ||
            header->stride % sizeof(uint64_t) != 0 || header->n_listeners > IMAGE_LISTENERS_MAX ||
            header->seal != header_seal(header))
                return -EBADMSG;
        return 0;
}

int image_size(const ImageHeader *header, size_t file_size, size_t *ret)
{
        int r = check_header(header, file_size);

        if (r >= 0)
                *ret = sizeof(ImageHeader) + (size_t)slots_to_read(header, file_size) * header->stride;
        return r;
}

int image_open(Image *ret, const void *bytes, size_t size)
{
        const ImageHeader *header = bytes;
        int r = check_header(header, size);

        if (r >= 0)
                *ret = (Image){.header = header,
                               .slots = (const uint8_t *)bytes + sizeof(ImageHeader),
                               .n = slots_to_read(header, size)};
        return r;
}

const SessionRecord *image_record(const Image *image, uint32_t i)
{
        const SessionRecord *record = (const void *)(image->slots + (size_t)i * image->header->stride);

        return i < image->n && record->id != 0 ? record : NULL;
}

const ImageListener *image_listener(const Image *image, const SessionRecord *record)
{
        return record->flow.listener < image->header->n_listeners ? &image->header->listeners[record->flow.listener]
                                                                  : NULL;
}

const ImageName *image_name(const Image *image, unsigned i)
{
        const ImageName *name = i < IMAGE_NAMES_MAX ? &image->header->names[i] : NULL;

        return name && *name->name && strnlen(name->name, sizeof(name->name)) < sizeof(name->name) ? name : NULL;
}

Address image_upstream(const ImageName *name, const char *upstream)
{
        const uint64_t called = hash_bytes(&no_key, upstream, strlen(upstream));

        for (unsigned k = 0; k < IMAGE_UPSTREAMS_MAX; k++) {
                const ImageUpstream *it = &name->upstreams[k];

                if (it->called == called && it->address.family != 0 && it->seal == upstream_seal(it))
                        return it->address;
        }
        return (Address){0};
}
