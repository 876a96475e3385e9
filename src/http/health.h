/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Does it work, and if not, why? Judged from a View, in plain sentences that claim no more than is known: that an
 * upstream answered, not that it is reachable; that nothing came back, not that it is down.
 */
#include "http/history.h"

typedef enum HealthLevel { HEALTH_GOOD, HEALTH_WAITING, HEALTH_DOUBTFUL, HEALTH_BAD, N_HEALTH_LEVELS } HealthLevel;

typedef struct Finding {
        HealthLevel level;
        const char *word; /* the answer in a word or two */
        char text[768];   /* its reason, without a full stop; not escaped */
} Finding;

enum { HEALTH_NOTES_MAX = 6 };

/* `good`, `waiting`, `doubtful`, `bad`. */
const char *health_level_name(HealthLevel level);

/* Whether it matters when clients asked: somebody was silent for long. Else nobody need look through the sessions. */
bool health_wants_asked(const View *view);
/* Of this name it does. */
bool health_is_silent(const View *view, const ViewName *name);

/* Of the listeners of one name. asked: when a client of theirs with an open session last sent something, or 0. */
Finding health_of_name(const View *view, size_t name, usec_t asked);

/* What is worth knowing besides, of all together: losses of the last minutes, full tables. How many there are. */
unsigned health_notes(const View *view, const History *history, Finding notes[static HEALTH_NOTES_MAX]);

/*
 * All as one: the name that is worst off, and the first note if that takes something from a good answer. asked: as
 * above, for each name.
 */
typedef struct Health {
        Finding finding;
        size_t name;     /* whom it speaks of */
        bool note_is_in; /* it has told the first note */
} Health;

Health health_of_all(const View *view, const usec_t asked[], const Finding *notes, unsigned n_notes);
