/* SPDX-License-Identifier: MIT */
/* An image is read as if its writer meant us harm: each byte of a small one is damaged in turn. */
#include <arpa/inet.h>
#include <stddef.h>

#include "relay/session.h"
#include "state/image.h"
#include "unit.h"

enum { N_SLOTS = 8, N_USED = 5, N_SESSIONS = 3, STRIDE = sizeof(SessionRecord) + 16, N_LISTENERS = 3, N_NAMES = 2 };
enum { SIZE = sizeof(ImageHeader) + N_USED * STRIDE };

static const unsigned sessions[N_SESSIONS] = {0, 2, 4}; /* their slots */

static Address listener_address(const char *address, uint16_t port)
{
        Address a = {.family = AF_INET, .port = port};

        ck_assert_int_eq(inet_pton(AF_INET, address, &a.v4), 1);
        return a;
}

#define HOME "home.example:51820"
#define AWAY "[2001:db8::2]:51820"

static const Address upstream = {.family = AF_INET6, .port = 51820, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 1}},
                     other_upstream = {.family = AF_INET6, .port = 51820, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 2}};

/* Three listeners of two names, and three sessions; to be freed. Nothing lies behind its last byte. */
static uint8_t *image_new(void)
{
        uint8_t *bytes = calloc(1, SIZE);
        ImageHeader *header = (void *)bytes;
        Address one = listener_address("192.0.2.1", 5000), other = listener_address("192.0.2.2", 5000);

        ck_assert_ptr_nonnull(bytes);
        image_begin(header, N_SLOTS, STRIDE, 4711);
        image_add_listener(header, &one, 0, 0);
        image_add_listener(header, &other, 0, 1);
        image_add_listener(header, &one, 0, 0);
        image_set_name(header, 0, "relay");
        image_set_name(header, 1, "other");
        image_seal(header);
        image_set_upstream(header, 0, 0, HOME, &upstream);
        image_set_upstream(header, 0, IMAGE_UPSTREAMS_MAX - 1, AWAY, &other_upstream);
        image_set_upstream(header, 1, 0, HOME, &(Address){0});
        header->n_used = N_USED;
        header->last_id = 99;
        for (unsigned i = 0; i < N_SESSIONS; i++) {
                SessionRecord *record = (void *)(bytes + sizeof(ImageHeader) + sessions[i] * STRIDE);

                record->age = SESSION_ASSURED;
                record->flow = (Flow){
                                .client.s_addr = htonl(0xc0000200 + i), .client_port = 62000, .listener = (uint16_t)i};
                record->source = (Address){.family = AF_INET6, .port = (uint16_t)(40000 + i)};
                record->bound = i == 2;
                record->opened = record->last_use = 1000 + i;
                record_begin(record, 90 + i);
                memset(record + 1, 0xff, STRIDE - sizeof(SessionRecord)); /* which means nothing to anybody else */
        }
        return bytes;
}

static ImageHeader *header_of(uint8_t *bytes)
{
        return (void *)bytes;
}

/* What there is to be read of them; 0: nothing. */
static size_t size_of(uint8_t *bytes)
{
        size_t size = 0;

        return image_size(header_of(bytes), SIZE, &size) < 0 ? 0 : size;
}

/* Looks at all there is to see: which of the sessions are whole, a bit for each; none may be another one. */
static unsigned look(const Image *image)
{
        unsigned whole = 0, n = 0;

        ck_assert_uint_le(image->n, N_SLOTS);
        for (uint32_t i = 0; i < image->n + 2; i++) {
                const SessionRecord *record = image_record(image, i);
                const ImageListener *listener = record ? image_listener(image, record) : NULL;

                if (!record || !record_is_whole(record) || !listener)
                        continue;
                ck_assert_uint_le(listener->name, N_NAMES);
                for (unsigned k = 0; k < N_SESSIONS; k++)
                        if (sessions[k] == i && record->id == 90 + k)
                                whole |= 1U << k;
                n++;
        }
        ck_assert_uint_eq(n, (unsigned)__builtin_popcount(whole));
        return whole;
}

enum { ALL = (1U << N_SESSIONS) - 1 };

static const ImageName *check_name(const Image *image, unsigned i, const char *name)
{
        const ImageName *found = image_name(image, i);

        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found->name, name);
        return found;
}

static void check_upstream(const ImageName *name, const char *text, const Address *expected)
{
        const Address found = image_upstream(name, text);

        ck_assert_uint_eq(found.family, expected ? expected->family : 0);
        ck_assert(!expected || address_equal(&found, expected));
}

START_TEST(what_was_written_is_read)
{
        uint8_t *bytes = image_new();
        const ImageListener *listener;
        Image image;

        ck_assert_uint_eq(size_of(bytes), SIZE);
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_uint_eq(image.n, N_USED);
        ck_assert_uint_eq(image.header->born, 4711);
        ck_assert_uint_eq(image.header->last_id, 99);
        ck_assert_uint_eq(look(&image), ALL);
        for (unsigned i = 0; i < N_SESSIONS; i++) {
                const SessionRecord *record = image_record(&image, sessions[i]);

                ck_assert_uint_eq(record->id, 90 + i);
                ck_assert_uint_eq(record->source.port, 40000 + i);
        }
        ck_assert_ptr_null(image_record(&image, 1));
        ck_assert_ptr_null(image_record(&image, N_USED));
        ck_assert_ptr_null(image_record(&image, UINT32_MAX));
        /* of the same name and address, the second: its number says so */
        listener = image_listener(&image, image_record(&image, sessions[2]));
        ck_assert_uint_eq(listener->name, 0);
        ck_assert_uint_eq(listener->nth, 1);
        ck_assert_uint_eq(image.header->listeners[0].nth, 0);
        ck_assert_uint_eq(image.header->listeners[1].nth, 0);
        check_upstream(check_name(&image, 0, "relay"), HOME, &upstream);
        check_upstream(image_name(&image, 0), AWAY, &other_upstream);
        check_upstream(image_name(&image, 0), "nowhere.example:51820", NULL);
        check_upstream(image_name(&image, 0), "", NULL);
        check_upstream(check_name(&image, 1, "other"), HOME, NULL);
        ck_assert_ptr_null(image_name(&image, 2));
        ck_assert_ptr_null(image_name(&image, IMAGE_NAMES_MAX));
        free(bytes);
}
END_TEST

/* The address of an upstream moves while the relay works, and so may what a name is directed to. */
START_TEST(an_upstream_may_be_written_anew)
{
        uint8_t *bytes = image_new();
        const ImageName *name;
        Image image;

        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        name = image_name(&image, 0);
        image_set_upstream(header_of(bytes), 0, 0, HOME, &other_upstream);
        check_upstream(name, HOME, &other_upstream);
        image_set_upstream(header_of(bytes), 0, 0, "[2001:db8::1]:1", &upstream);
        check_upstream(name, "[2001:db8::1]:1", &upstream);
        check_upstream(name, HOME, NULL);
        check_upstream(name, AWAY, &other_upstream);
        image_set_upstream(header_of(bytes), 0, IMAGE_UPSTREAMS_MAX - 1, "", &(Address){0});
        check_upstream(name, AWAY, NULL);
        check_upstream(name, "", NULL);
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        free(bytes);
}
END_TEST

/* Whatever is there is read, and nothing behind it (the sanitizer looks). */
START_TEST(an_image_may_be_cut_anywhere)
{
        uint8_t *bytes = image_new();

        for (size_t size = 0; size <= SIZE; size++) {
                uint8_t *cut = malloc(size > 0 ? size : 1);
                Image image;
                int r;

                memcpy(cut, bytes, size < sizeof(ImageHeader) ? size % 512 : size); /* nobody looks at half a header */
                r = image_open(&image, cut, size);
                if (size < sizeof(ImageHeader))
                        ck_assert_int_eq(r, -EBADMSG);
                else {
                        unsigned expected = 0;

                        ck_assert_int_eq(r, 0);
                        for (unsigned i = 0; i < N_SESSIONS; i++)
                                if (size >= sizeof(ImageHeader) + (sessions[i] + 1) * STRIDE)
                                        expected |= 1U << i;
                        ck_assert_uint_eq(look(&image), expected);
                }
                free(cut);
        }
        free(bytes);
}
END_TEST

/* The name that a byte is of, or N_NAMES. */
static unsigned name_at(size_t at)
{
        return at < offsetof(ImageHeader, names) ? N_NAMES
                                                 : (unsigned)((at - offsetof(ImageHeader, names)) / sizeof(ImageName));
}

static size_t within_name(size_t at)
{
        return (at - offsetof(ImageHeader, names)) % sizeof(ImageName);
}

/* Behind what is sealed of the header, a flip may cost what it says itself, but nothing that others say. */
static bool may_cost_sessions(size_t at)
{
        return at < offsetof(ImageHeader, alive) ||
               (at >= offsetof(ImageHeader, n_used) && at < offsetof(ImageHeader, clean)) ||
               (at >= offsetof(ImageHeader, listeners) &&
                at < offsetof(ImageHeader, listeners) + N_LISTENERS * sizeof(ImageListener)) ||
               (name_at(at) < N_NAMES && within_name(at) <= IMAGE_NAME_MAX) ||
               (name_at(at) == N_NAMES && at >= offsetof(ImageHeader, names) && within_name(at) == 0);
}

/* Is the byte one that the k-th upstream of the first name consists of? */
static bool is_of_upstream(size_t at, unsigned k)
{
        size_t begin = offsetof(ImageHeader, names) + offsetof(ImageName, upstreams) + k * sizeof(ImageUpstream);

        return at >= begin && at < begin + offsetof(ImageUpstream, _pad);
}

/* An upstream that is damaged is not known, and that is all it costs. */
static void check_names(const Image *image, size_t flipped)
{
        const ImageName *name = check_name(image, 0, "relay");

        check_upstream(name, HOME, is_of_upstream(flipped, 0) ? NULL : &upstream);
        check_upstream(name, AWAY, is_of_upstream(flipped, IMAGE_UPSTREAMS_MAX - 1) ? NULL : &other_upstream);
        check_upstream(check_name(image, 1, "other"), HOME, NULL);
}

static void check_flip(uint8_t *bytes, size_t at, uint8_t bits)
{
        Image image;

        bytes[at] ^= bits;
        (void)size_of(bytes);
        if (image_open(&image, bytes, SIZE) >= 0) {
                unsigned whole = look(&image);

                if (at < sizeof(ImageHeader))
                        ck_assert_msg(whole == ALL || may_cost_sessions(at), "byte %zu", at);
                else
                        for (unsigned i = 0; i < N_SESSIONS; i++)
                                if (sessions[i] != (at - sizeof(ImageHeader)) / STRIDE)
                                        ck_assert_msg(whole & 1U << i, "byte %zu costs session %u", at, i);
                check_names(&image, at);
        } else
                ck_assert_msg(at < sizeof(ImageHeader) && may_cost_sessions(at), "byte %zu", at);
        bytes[at] ^= bits;
}

START_TEST(a_byte_that_flips_costs_what_it_is_of)
{
        static const uint8_t bits[] = {0x01, 0x80, 0xff};
        uint8_t *bytes = image_new();
        Image image;

        for (size_t at = 0; at < SIZE; at++)
                check_flip(bytes, at, bits[_i]);
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_uint_eq(look(&image), ALL);
        free(bytes);
}
END_TEST

/* What the header says of its own shape, its listeners and its age is sealed, all of it. */
START_TEST(a_damaged_header_is_found)
{
        uint8_t *bytes = image_new();
        Image image;

        for (size_t bit = 0; bit < 8 * sizeof(ImageHeader); bit++) {
                size_t at = bit / 8;
                int r;

                if (at == offsetof(ImageHeader, alive))
                        bit = 8 * offsetof(ImageHeader, listeners), at = bit / 8;
                if (at == offsetof(ImageHeader, listeners) + N_LISTENERS * sizeof(ImageListener))
                        break;
                bytes[at] ^= (uint8_t)(1U << bit % 8);
                r = image_open(&image, bytes, SIZE);
                bytes[at] ^= (uint8_t)(1U << bit % 8);
                if (at >= offsetof(ImageHeader, version) && at < offsetof(ImageHeader, header_size))
                        ck_assert_int_eq(r, -EPROTONOSUPPORT);
                else
                        ck_assert_msg(r == -EBADMSG, "bit %zu: %d", bit, r);
        }
        free(bytes);
}
END_TEST

/* An honest one of another version says so, whatever else it says. */
START_TEST(another_version_is_no_damage)
{
        uint8_t *bytes = image_new();
        Image image;

        header_of(bytes)->version = IMAGE_VERSION + 1;
        header_of(bytes)->header_size = 0;
        image_seal(header_of(bytes));
        ck_assert_uint_eq(size_of(bytes), 0);
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EPROTONOSUPPORT);
        header_of(bytes)->magic[0] = 'U';
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EBADMSG);
        free(bytes);
}
END_TEST

/* It is counted up while the relay works, and so it is not sealed. */
START_TEST(more_slots_than_there_are)
{
        static const uint32_t n_used[] = {N_USED + 1, N_SLOTS, N_SLOTS + 1, 1 << 22, UINT32_MAX};
        uint8_t *bytes = image_new();
        Image image;

        for (size_t i = 0; i < ELEMENTSOF(n_used); i++) {
                header_of(bytes)->n_used = n_used[i];
                ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
                ck_assert_uint_eq(image.n, N_USED);
                ck_assert_uint_eq(look(&image), ALL);
        }
        header_of(bytes)->n_used = 3;
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_uint_eq(look(&image), 3);
        /* fewer than the file has room for */
        header_of(bytes)->n_used = N_USED;
        header_of(bytes)->n_slots = 1;
        image_seal(header_of(bytes));
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_uint_eq(image.n, 1);
        /* whoever asks how much there is to read gets no answer that is out of all reason */
        header_of(bytes)->n_used = UINT32_MAX;
        ck_assert_uint_eq(size_of(bytes), sizeof(ImageHeader) + STRIDE);
        header_of(bytes)->n_slots = UINT32_MAX;
        image_seal(header_of(bytes));
        ck_assert_uint_eq(size_of(bytes), SIZE);
        header_of(bytes)->n_used = N_USED;
        header_of(bytes)->stride = UINT32_MAX;
        ck_assert_uint_eq(size_of(bytes), 0);
        free(bytes);
}
END_TEST

/* Shapes that are sealed, and lead astray: slots that overlap, that are nowhere aligned, that are endless. */
START_TEST(shapes_that_cannot_be)
{
        static const uint32_t strides[] = {0,        8,         sizeof(SessionRecord) - 8, STRIDE + 4, STRIDE + 1,
                                           4096 + 8, 0xfffffff8};
        uint8_t *bytes = image_new();
        Image image;

        for (size_t i = 0; i < ELEMENTSOF(strides); i++) {
                header_of(bytes)->stride = strides[i];
                image_seal(header_of(bytes));
                ck_assert_msg(image_open(&image, bytes, SIZE) == -EBADMSG, "%u", strides[i]);
        }
        header_of(bytes)->stride = STRIDE;
        header_of(bytes)->record_size += 8;
        image_seal(header_of(bytes));
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EBADMSG);
        header_of(bytes)->record_size -= 8;
        header_of(bytes)->header_size -= 8;
        image_seal(header_of(bytes));
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EBADMSG);
        header_of(bytes)->header_size += 8;
        header_of(bytes)->n_listeners = IMAGE_LISTENERS_MAX + 1;
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EBADMSG);
        header_of(bytes)->n_listeners = UINT32_MAX;
        ck_assert_int_eq(image_open(&image, bytes, SIZE), -EBADMSG);
        free(bytes);
}
END_TEST

START_TEST(a_listener_that_is_not_there)
{
        static const uint16_t indices[] = {N_LISTENERS, IMAGE_LISTENERS_MAX, UINT16_MAX};
        uint8_t *bytes = image_new();
        Image image;

        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        for (size_t i = 0; i < ELEMENTSOF(indices); i++) {
                SessionRecord record = *image_record(&image, 0);

                record.flow.listener = indices[i];
                ck_assert_ptr_null(image_listener(&image, &record));
        }
        /* and one whose name is not there */
        header_of(bytes)->listeners[0].name = UINT16_MAX;
        image_seal(header_of(bytes));
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_ptr_null(image_name(&image, image_listener(&image, image_record(&image, 0))->name));
        free(bytes);
}
END_TEST

/* A name that never ends would be read beyond its place, whatever its seal says. */
START_TEST(a_name_without_an_end)
{
        uint8_t *bytes = image_new();
        ImageName *name = &header_of(bytes)->names[0];
        Image image;

        memset(name->name, 'n', sizeof(name->name));
        image_seal(header_of(bytes));
        ck_assert_int_eq(image_open(&image, bytes, SIZE), 0);
        ck_assert_ptr_null(image_name(&image, 0));
        (void)check_name(&image, 1, "other");
        free(bytes);
}
END_TEST

UNIT_SUITE("state/image", UNIT_TEST(what_was_written_is_read), UNIT_TEST(an_upstream_may_be_written_anew),
           UNIT_TEST(an_image_may_be_cut_anywhere), UNIT_LOOP(a_byte_that_flips_costs_what_it_is_of, 3),
           UNIT_TEST(a_damaged_header_is_found), UNIT_TEST(another_version_is_no_damage),
           UNIT_TEST(more_slots_than_there_are), UNIT_TEST(shapes_that_cannot_be),
           UNIT_TEST(a_listener_that_is_not_there), UNIT_TEST(a_name_without_an_end))
