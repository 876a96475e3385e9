/* SPDX-License-Identifier: MIT */
/* Believes: a reader that copies what it reads cannot be surprised by who goes on writing. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "state/image.h"

static const char image_magic[8] = {'u', 'd', 'p', '4', '6', 'i', 'm', 'g'};
static const HashKey no_key;

static uint64_t header_seal(const ImageHeader *header)
{
        const uint64_t fixed = hash_bytes(&no_key, header, offsetof(ImageHeader, seal));

        return fixed ^ hash_bytes(&no_key, header->listeners, header->n_listeners * sizeof(ImageListener));
}

static uint32_t name_seal(const ImageName *name)
{
        return (uint32_t)hash_bytes(&no_key, name, offsetof(ImageName, seal));
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

void image_add_listener(ImageHeader *header, const Address *bound, unsigned name)
{
        ImageListener *listener = &header->listeners[header->n_listeners];

        listener->bound = *bound;
        listener->name = (uint16_t)name;
        for (uint32_t i = 0; i < header->n_listeners; i++)
                if (header->listeners[i].name == name && address_equal(&header->listeners[i].bound, bound))
                        listener->nth++;
        header->n_listeners++;
}

void image_seal(ImageHeader *header)
{
        header->seal = header_seal(header);
}

void image_set_name(ImageHeader *header, unsigned i, const char *name, const char *upstream, const Address *address)
{
        ImageName *to = &header->names[i];

        to->seal = 0;
        (void)strncpy(to->name, name, IMAGE_NAME_MAX);
        memset(to->upstream, 0, sizeof(to->upstream));
        (void)strncpy(to->upstream, upstream, sizeof(to->upstream) - 1);
        to->address = *address;
        to->seal = name_seal(to);
}

/* --- reading --- */

size_t image_size(const ImageHeader *header)
{
        enum { STRIDE_MAX = 4096, SLOTS_MAX = 1 << 22 };

        if (memcmp(header->magic, image_magic, sizeof(image_magic)) != 0 || header->version != IMAGE_VERSION ||
            header->header_size != sizeof(ImageHeader) || header->stride > STRIDE_MAX || header->n_used > SLOTS_MAX)
                return 0;
        return sizeof(ImageHeader) + (size_t)header->n_used * header->stride;
}

int image_open(Image *ret, const void *bytes, size_t size)
{
        const ImageHeader *header = bytes;

        if (size < sizeof(ImageHeader) || memcmp(header->magic, image_magic, sizeof(image_magic)) != 0)
                return -EBADMSG;
        if (header->version != IMAGE_VERSION)
                return -EPROTONOSUPPORT;
        if (header->header_size != sizeof(ImageHeader) || header->record_size != sizeof(SessionRecord) ||
            header->stride < sizeof(SessionRecord) || header->stride % sizeof(uint64_t) != 0 ||
            header->n_listeners > IMAGE_LISTENERS_MAX || header->seal != header_seal(header))
                return -EBADMSG;
        *ret = (Image){.header = header, .slots = (const uint8_t *)bytes + sizeof(ImageHeader), .n = header->n_used};
        if (ret->n > header->n_slots)
                ret->n = header->n_slots;
        if (ret->n > (size - sizeof(ImageHeader)) / header->stride)
                ret->n = (uint32_t)((size - sizeof(ImageHeader)) / header->stride);
        return 0;
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
        const ImageName *name = &image->header->names[i];

        if (i >= IMAGE_NAMES_MAX || name->seal != name_seal(name) ||
            strnlen(name->name, sizeof(name->name)) == sizeof(name->name) ||
            strnlen(name->upstream, sizeof(name->upstream)) == sizeof(name->upstream))
                return NULL;
        return name;
}
