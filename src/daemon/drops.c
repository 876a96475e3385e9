/* SPDX-License-Identifier: MIT */
/* Believes: who reads the journal wants to know what is wrong, since when and how much, in two lines. */
#include "daemon/drops.h"
#include "daemon/sentences.h"

#define QUIET_AFTER USEC_PER_MINUTE

/* One counter that is watched. */
typedef struct Drop {
        uint64_t seen;   /* when last looked at */
        uint64_t before; /* when it began to grow */
        usec_t grew;     /* when it was last seen to have grown; 0: is not growing */
} Drop;

typedef struct PlaceDrops {
        Drop verdicts[N_DIRECTIONS][N_VERDICTS];
        Drop icmp_errors;
} PlaceDrops;

struct Drops {
        size_t n;
        const Place *places;
        LogWriter *log;
        PlaceDrops drops[];
};

int drops_new(Drops **ret, const Place *places, size_t n_places, LogWriter *log)
{
        Drops *drops = calloc(1, sizeof(Drops) + n_places * sizeof(PlaceDrops));

        if (!drops)
                return -ENOMEM;
        drops->n = n_places;
        drops->places = places;
        drops->log = log;
        *ret = drops;
        return 0;
}

Drops *drops_free(Drops *drops)
{
        free(drops);
        return NULL;
}

typedef enum DropChange { DROP_SAME, DROP_BEGAN, DROP_ENDED } DropChange;

static DropChange drop_look(Drop *drop, uint64_t count, usec_t now)
{
        bool was_growing = drop->grew > 0;

        if (count != drop->seen) {
                if (!was_growing)
                        drop->before = drop->seen;
                drop->seen = count;
                drop->grew = now;
                return was_growing ? DROP_SAME : DROP_BEGAN;
        }
        if (!was_growing || usec_sub(now, drop->grew) < QUIET_AFTER)
                return DROP_SAME;
        drop->grew = 0;
        return DROP_ENDED;
}

static void record_begin(LogRecord *record, const Place *place, SentenceId sentence, const Drop *drop)
{
        char text[ADDRESS_TEXT_MAX];

        log_record_begin(record, &sentences[sentence]);
        log_record_add(record, "UDP46_LISTENER", "%s", address_format(text, &place->bound));
        log_record_add(record, "UDP46_COUNT", "%" PRIu64, drop->seen - drop->before);
}

static void look_at_verdict(Drops *drops, size_t i, const Stats *stats, Direction direction, Verdict verdict,
                            usec_t now)
{
        Drop *drop = &drops->drops[i].verdicts[direction][verdict];
        DropChange change = drop_look(drop, counter_get(&stats->directions[direction].verdicts[verdict]), now);
        LogRecord record;

        if (change == DROP_SAME)
                return;
        record_begin(&record, &drops->places[i], change == DROP_BEGAN ? SENTENCE_DROPS_BEGAN : SENTENCE_DROPS_ENDED,
                     drop);
        log_record_add(&record, "UDP46_DIRECTION", "%s", direction == FORWARD ? "forward" : "reply");
        log_record_add(&record, "UDP46_REASON", "%s", verdict_name(verdict));
        log_record_add(&record, "UDP46_MEANING", "%s", verdict_meaning(verdict));
        (void)log_writer_send(drops->log, &record);
}

static void look_at_icmp(Drops *drops, size_t i, const Stats *stats, usec_t now)
{
        Drop *drop = &drops->drops[i].icmp_errors;
        DropChange change = drop_look(drop, counter_get(&stats->icmp_errors), now);
        LogRecord record;

        if (change == DROP_SAME)
                return;
        record_begin(&record, &drops->places[i], change == DROP_BEGAN ? SENTENCE_ICMP_BEGAN : SENTENCE_ICMP_ENDED,
                     drop);
        (void)log_writer_send(drops->log, &record);
}

void drops_look(Drops *drops, usec_t now)
{
        for (size_t i = 0; i < drops->n; i++) {
                const Stats stats = place_stats(&drops->places[i]);

                for (Direction d = 0; d < N_DIRECTIONS; d++)
                        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                                if (v != VERDICT_NOT_ALLOWED) /* as it was wanted */
                                        look_at_verdict(drops, i, &stats, d, v, now);
                look_at_icmp(drops, i, &stats, now);
        }
}
