/* SPDX-License-Identifier: MIT */
/*
 * Makes the corpus of image.c, in the directory that is named: an image of a small relay as this version writes it, and
 * what may have become of it. To be run again when what an image is made of changes; a test says so.
 */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/relay.h"
#include "state/image.h"

enum { N_SLOTS = 6, N_SESSIONS = 3 };

static unsigned char bytes[sizeof(ImageHeader) + N_SLOTS * RELAY_SLOT];

static ImageHeader *header(void)
{
        return (void *)bytes;
}

static SessionRecord *record(unsigned slot)
{
        return (void *)(bytes + sizeof(ImageHeader) + slot * (size_t)RELAY_SLOT);
}

static void make(void)
{
        Address bound = {.family = AF_INET, .port = 51820}, upstream = {.family = AF_INET6, .port = 51820};

        memset(bytes, 0, sizeof(bytes));
        (void)inet_pton(AF_INET, "192.0.2.1", &bound.v4);
        (void)inet_pton(AF_INET6, "2001:db8:100::10", &upstream.v6);
        image_begin(header(), N_SLOTS, RELAY_SLOT, 4711);
        image_add_listener(header(), &bound, 0, 0);
        image_add_listener(header(), &bound, 0, 0);
        image_set_name(header(), 0, "relay");
        image_seal(header());
        image_set_upstream(header(), 0, 0, "home.example:51820", &upstream);
        header()->alive = 5000;
        header()->n_used = 5;
        header()->last_id = N_SESSIONS;
        for (unsigned i = 0; i < N_SESSIONS; i++) {
                SessionRecord *r = record(2 * i);

                r->age = SESSION_ASSURED;
                r->bound = i == 2;
                r->flow = (Flow){.client.s_addr = htonl(0xc0000264 + i),
                                 .local = bound.v4,
                                 .client_port = 62000,
                                 .listener = (uint16_t)(i % 2)};
                r->source = (Address){.family = AF_INET6, .port = (uint16_t)(41001 + i), .v6 = upstream.v6};
                r->opened = r->last_use = 4800 + i;
                record_begin(r, i + 1);
        }
}

static void put(FILE *to, uint32_t value, size_t n)
{
        value = htole32(value);
        (void)fwrite(&value, 1, n, to);
}

/* What is not zero, in parts; `sealed`: after the first of them. */
static void write_image(const char *name, size_t size, bool sealed)
{
        FILE *to = fopen(name, "we");
        size_t at = 0;

        if (!to) {
                perror(name);
                exit(EXIT_FAILURE);
        }
        put(to, (uint32_t)size, 4);
        while (at < size) {
                size_t n = 0, quiet = 0;

                while (at < size && !bytes[at])
                        at++;
                while (at + n < size && quiet < 16)
                        quiet = bytes[at + n++] ? 0 : quiet + 1;
                if (n > quiet) {
                        put(to, (uint32_t)at | (sealed ? 1U << 31 : 0), 4);
                        put(to, (uint32_t)(n - quiet), 2);
                        (void)fwrite(bytes + at, 1, n - quiet, to);
                }
                at += n;
        }
        (void)fclose(to);
}

static void write_flipped(const char *name, void *at, bool sealed)
{
        *(unsigned char *)at ^= 0x81;
        write_image(name, sizeof(bytes), sealed);
        *(unsigned char *)at ^= 0x81;
}

int main(int argc, char **argv)
{
        if (argc != 2 || chdir(argv[1]) < 0) {
                (void)fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
                return EXIT_FAILURE;
        }
        make();
        write_image("whole", sizeof(bytes), false);
        write_image("cut-header", sizeof(ImageHeader) - 1, false);
        write_image("no-slots", sizeof(ImageHeader), false);
        write_image("cut-record", sizeof(ImageHeader) + 2 * RELAY_SLOT + 50, false);
        write_image("cut-slot", sizeof(ImageHeader) + 3 * RELAY_SLOT - 1, false);
        write_flipped("magic", header()->magic, false);
        write_flipped("version", &header()->version, true);
        write_flipped("seal", &header()->seal, false);
        write_flipped("stride", &header()->stride, true);
        write_flipped("slots", &header()->n_slots, true);
        write_flipped("listeners", &header()->n_listeners, true);
        write_flipped("used", &header()->n_used, false);
        write_flipped("listener-name", &header()->listeners[0].name, true);
        write_flipped("name", header()->names[0].name, false);
        write_flipped("id", &record(2)->id, false);
        write_flipped("bound", &record(2)->bound, false);
        write_flipped("flow", &record(4)->flow.listener, false);
        memset(header()->names[0].name, 'n', sizeof(header()->names[0].name));
        write_image("name-without-end", sizeof(bytes), false);
        make();
        header()->n_listeners = IMAGE_LISTENERS_MAX;
        header()->n_slots = header()->n_used = UINT32_MAX;
        header()->stride = sizeof(SessionRecord);
        write_image("all-there-can-be", sizeof(bytes), true);
        header()->stride = 0xfffffff8;
        write_image("wide", sizeof(bytes), true);
        return EXIT_SUCCESS;
}
