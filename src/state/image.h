/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The image of a relay: what its successor has to know, as bytes. A header, then slots, each with a SessionRecord at
 * its beginning (relay/record.h) and whatever else a session is made of behind it, which means nothing to anybody else.
 * It is written in place while the relay works, so that it can be read after a death at any instruction.
 *
 * Who reads one believes nothing: another version, a damaged header costs its sessions, a damaged record costs itself.
 * Pure functions of the bytes: they are fuzzed. Integers are the host's; an image never leaves it.
 */
#include <stddef.h>

#include "relay/record.h"

enum {
        IMAGE_VERSION = 1,
        IMAGE_LISTENERS_MAX = 1024,
        IMAGE_NAMES_MAX = 256,
        IMAGE_NAME_MAX = 47,
        IMAGE_UPSTREAMS_MAX = 8,
};

/*
 * A listener, by which it is found again: its name, its address, the device it is bound to, and its number among those
 * that have the same.
 */
typedef struct ImageListener {
        Address bound;
        uint16_t name; /* index of its name */
        uint16_t nth;
        uint32_t device; /* interface index; 0: any */
} ImageListener;

/* Where an upstream was found: of no use but to one who knows what it is called. */
typedef struct ImageUpstream {
        uint64_t called; /* hash of its text */
        Address address; /* family 0: not known */
        uint32_t seal;   /* over these two, which change while the relay works */
        uint8_t _pad[4];
} ImageUpstream;

/* A name of listeners, and what they were directed to. */
typedef struct ImageName {
        char name[IMAGE_NAME_MAX + 1]; /* under the header's seal */
        ImageUpstream upstreams[IMAGE_UPSTREAMS_MAX];
} ImageName;

typedef struct ImageHeader {
        char magic[8];
        uint32_t version;
        uint32_t header_size, record_size, stride; /* bytes; the slots begin at header_size */
        uint32_t n_slots, n_listeners;
        uint64_t born;    /* when its process began, monotonic µs: of two images, the later one */
        uint64_t seal;    /* over what is above, the listeners, and the names */
        usec_t alive;     /* when the relay last worked */
        uint64_t last_id; /* the largest that a session got */
        uint32_t n_used;  /* slots that were ever used: the others hold nothing */
        uint32_t clean;   /* 1: it stopped of itself */
        ImageListener listeners[IMAGE_LISTENERS_MAX];
        ImageName names[IMAGE_NAMES_MAX];
} ImageHeader;

/* --- writing --- */

/* Begins an image in zeroed memory. The listeners and the names follow, then image_seal(). */
void image_begin(ImageHeader *header, uint32_t n_slots, size_t stride, uint64_t born);
void image_add_listener(ImageHeader *header, const Address *bound, uint32_t device, unsigned name);
void image_set_name(ImageHeader *header, unsigned i, const char *name);
void image_seal(ImageHeader *header);

/* At any time: the k-th upstream of the i-th name. */
void image_set_upstream(ImageHeader *header, unsigned i, unsigned k, const char *upstream, const Address *address);

/* --- reading --- */

typedef struct Image {
        const ImageHeader *header; /* borrowed */
        const uint8_t *slots;
        uint32_t n; /* slots there are to look at */
} Image;

/*
 * How many bytes of a file of this size there are to be read, its first sizeof(ImageHeader) being these. 0 or negative
 * errno, as image_open().
 */
int image_size(const ImageHeader *header, size_t file_size, size_t *ret);

/* 0; -EPROTONOSUPPORT: of another version; -EBADMSG: it is damaged. The bytes are aligned as by malloc(3). */
int image_open(Image *ret, const void *bytes, size_t size);

/* The record in a slot: NULL if there is none. It may be damaged, see record_is_whole(). */
const SessionRecord *image_record(const Image *image, uint32_t i);

/* The listener of a record, NULL if it names none; the i-th name, NULL if there is none. */
const ImageListener *image_listener(const Image *image, const SessionRecord *record);
const ImageName *image_name(const Image *image, unsigned i);

/* Where the name's upstream was that is called so; family 0: not known, or damaged. */
Address image_upstream(const ImageName *name, const char *upstream);
