/* SPDX-License-Identifier: MIT */
/*
 * Trains are sent from a file in memory that is larger than the caches, page by page and without a copy. Copied ones go
 * into pages that the relay has just given back: as long as it keeps up, those lie in its core's cache, and to write
 * them costs three times as much as when it lags behind. A generator that slows down when the relay is fast cannot
 * judge.
 */
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "load.h"

enum { FILE_TRAINS = 512 };

void trains_init(Trains *trains, Clients *clients, unsigned size, unsigned length)
{
        static const char payload[ROOM] = {1};

        *trains = (Trains){.file = memfd_create("trains", MFD_CLOEXEC), .size = size, .length = length};
        for (unsigned i = 0; i < FILE_TRAINS; i++)
                if (write(trains->file, payload, sizeof(payload)) != sizeof(payload))
                        fail("a file in memory");
        for (unsigned i = 0; i < clients->n_sockets; i++)
                set_option(clients->fds[i], IPPROTO_UDP, UDP_SEGMENT, (int)size);
}

unsigned trains_send(Trains *trains, Clients *clients, unsigned long k, unsigned n)
{
        size_t bytes = (size_t)trains->size * trains->length;
        unsigned sent = 0;

        for (; sent < n; sent++) {
                off_t from = (off_t)(trains->sent++ % FILE_TRAINS) * ROOM;

                if (sendfile(clients->fds[(k + sent) % clients->n_sockets], trains->file, &from, bytes) !=
                    (ssize_t)bytes)
                        break;
        }
        return sent;
}
