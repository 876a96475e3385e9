/* SPDX-License-Identifier: MIT */
/* Believes: a line that cannot be understood is no reason to carry anybody to the others that can. */
#include <errno.h>
#include <stdlib.h>

#include "base/lines.h"
#include "daemon/drained.h"

typedef struct Reader {
        Drained found;
        DrainedRefused refused;
        void *userdata;
} Reader;

static int add(Drained *to, const Endpoint *endpoint)
{
        Endpoint *items = reallocarray(to->items, to->n + 1, sizeof(Endpoint));

        if (!items)
                return -ENOMEM;
        to->items = items;
        to->items[to->n++] = *endpoint;
        return 0;
}

static int take_line(void *userdata, unsigned number, char *line, const char *why)
{
        Reader *reader = userdata;
        Endpoint endpoint;

        (void)number;
        if (!why && (!*line || *line == '#'))
                return 0;
        if (!why && endpoint_parse(line, &endpoint, &why) >= 0)
                return add(&reader->found, &endpoint);
        reader->refused(reader->userdata, line, why);
        return 0;
}

int drained_load(Drained *to, const char *path, DrainedRefused refused, void *userdata)
{
        Reader reader = {.refused = refused, .userdata = userdata};
        int r = lines_read(path, DRAINED_BYTES_MAX, take_line, &reader);

        if (r == -ENOENT)
                r = 0;
        drained_done(r < 0 ? &reader.found : to);
        if (r >= 0)
                *to = reader.found;
        return r;
}

void drained_done(Drained *drained)
{
        free(drained->items);
        *drained = (Drained){0};
}

bool drained_has(const Drained *drained, const Endpoint *endpoint)
{
        for (size_t i = 0; i < drained->n; i++)
                if (endpoint_same(&drained->items[i], endpoint))
                        return true;
        return false;
}
