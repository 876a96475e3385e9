/* SPDX-License-Identifier: MIT */
/*
 * Believes: an answer that cannot be made whole is better cut off than made up; the client sees that its end is missing
 * (the encoding is chunked). Refuses: to hold more than one slice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/body.h"

typedef enum Step { STEP_BEGIN, STEP_WALK, STEP_ASK, STEP_ROWS, STEP_END, STEP_DONE, STEP_FAILED } Step;

typedef struct Making {
        Body body; /* first: what the kinds see */
        struct MHD_Connection *connection;
        BodyWake wake;
        Step step;
        unsigned n_walks;
        void *walk;
        bool waiting; /* for a slice, suspended */
        bool last;    /* the slice is the walk's last one */
        Listing slice;
        char *text; /* what is made and not yet sent: from `sent` on */
        size_t size, sent;
} Making;

const View *body_look(Body *body)
{
        const View *view = body->source->look(body->source->userdata);

        body->clock_offset = view->clock_offset;
        return view;
}

static void making_free(void *userdata)
{
        Making *making = userdata;

        if (making->walk)
                making->body.source->walk_end(making->walk);
        free(making->text);
        free(making);
}

/* Makes the next piece by one of the kind's functions. */
#define MAKE(making, function, ...)                                                         \
        do {                                                                                \
                FILE *to_ = piece_open(making);                                             \
                if (to_ && (making)->body.kind->function)                                   \
                        (making)->body.kind->function(&(making)->body, to_, ##__VA_ARGS__); \
                piece_close(making, to_);                                                   \
        } while (0)

static FILE *piece_open(Making *making)
{
        FILE *to;

        free(making->text);
        making->text = NULL;
        making->size = making->sent = 0;
        to = open_memstream(&making->text, &making->size);
        return to;
}

static void piece_close(Making *making, FILE *to)
{
        if (!to || fclose(to) != 0)
                making->step = STEP_FAILED;
}

static void walk_done(Making *making)
{
        making->body.source->walk_end(making->walk);
        making->walk = NULL;
        making->body.walk++;
        making->step = making->body.walk < making->n_walks ? STEP_WALK : STEP_END;
}

/* Whoever brings it has more to do: it is rendered when libmicrohttpd asks. */
static void slice_ready(void *userdata, const Listing *slice, bool last)
{
        Making *making = userdata;

        making->waiting = false;
        making->step = slice ? STEP_ROWS : STEP_FAILED;
        if (slice)
                making->slice = *slice;
        making->last = last;
        MHD_resume_connection(making->connection);
        making->wake.wake(making->wake.userdata); /* `making` may be gone after this */
}

static void row_remember(Body *body, const ListingRow *row)
{
        if (row->policy < ELEMENTSOF(body->asked) && row->traffic[FORWARD].last > body->asked[row->policy])
                body->asked[row->policy] = row->traffic[FORWARD].last;
}

static void rows_make(Making *making)
{
        const BodyKind *kind = making->body.kind;
        FILE *to = piece_open(making);

        for (unsigned i = 0; to && i < making->slice.n; i++) {
                row_remember(&making->body, &making->slice.rows[i]);
                if (kind->row)
                        kind->row(&making->body, to, &making->slice.rows[i]);
        }
        piece_close(making, to);
}

/* One step; what it made is in the text. May leave the connection suspended. */
static void making_step(Making *making)
{
        const ViewSource *source = making->body.source;

        switch (making->step) {
        case STEP_BEGIN:
                making->step = making->n_walks > 0 ? STEP_WALK : STEP_END;
                MAKE(making, begin);
                break;
        case STEP_WALK:
                making->step = STEP_ASK;
                MAKE(making, walk);
                making->walk = source->walk_begin(source->userdata);
                if (!making->walk)
                        making->step = STEP_FAILED;
                break;
        case STEP_ASK:
                making->waiting = source->walk_next(making->walk, slice_ready, making);
                if (making->waiting)
                        MHD_suspend_connection(making->connection);
                else
                        making->step = STEP_FAILED;
                break;
        case STEP_ROWS:
                making->step = STEP_ASK;
                rows_make(making);
                if ((making->last || making->body.enough) && making->step != STEP_FAILED)
                        walk_done(making);
                break;
        case STEP_END:
                making->step = STEP_DONE;
                MAKE(making, end);
                break;
        case STEP_DONE:
        case STEP_FAILED:
                break;
        }
}

static ssize_t making_read(void *userdata, uint64_t position, char *buffer, size_t max)
{
        Making *making = userdata;
        size_t n;

        (void)position;
        while (making->sent == making->size && !making->waiting) {
                if (making->step == STEP_DONE)
                        return MHD_CONTENT_READER_END_OF_STREAM;
                if (making->step == STEP_FAILED)
                        return MHD_CONTENT_READER_END_WITH_ERROR;
                making_step(making);
                making->wake.worked(making->wake.userdata);
        }
        n = making->waiting ? 0 : making->size - making->sent;
        n = n < max ? n : max;
        memcpy(buffer, making->text ? making->text + making->sent : "", n);
        making->sent += n;
        return (ssize_t)n;
}

struct MHD_Response *body_response(const BodyKind *kind, const BodyQuery *query, const ViewSource *source,
                                   struct MHD_Connection *connection, const BodyWake *wake)
{
        enum { BLOCK = 16 * 1024 };
        Making *making = calloc(1, sizeof(Making));
        struct MHD_Response *response;

        if (!making)
                return NULL;
        making->body = (Body){.kind = kind, .query = *query, .source = source};
        making->connection = connection;
        making->wake = *wake;
        making->n_walks = kind->n_walks ? kind->n_walks(&making->body) : 0;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, making_read, making, making_free);
        if (!response)
                making_free(making);
        return response;
}
