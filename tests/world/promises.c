/* SPDX-License-Identifier: MIT */
/* Believes: what cannot be said in a few lines is promised to nobody. */
#include <string.h>

#include "base/cleanup.h"
#include "promises.h"

enum { HEADERS = 28, ALL_ADDRESSES = (1 << N_ADDRESSES) - 1 };

#define CHANCE USEC_PER_SEC /* for an answer, until an unreplied session makes way */

void promises_init(Promises *p, usec_t now)
{
        *p = (Promises){.now = now, .n_ranks = N_FLOWS};
        for (unsigned i = 0; i < N_NAMES; i++)
                p->names[i] = (PromisedName){.allowed = ALL_ADDRESSES, .used = 1};
}

PromisedName *promises_name(Promises *p, unsigned place)
{
        return &p->names[name_of[listener_of[place]]];
}

static PromisedBooks *books_of(Promises *p, unsigned place)
{
        return &p->books[listener_of[place]];
}

static unsigned name_of_session(const Promised *s)
{
        return name_of[listener_of[s->place]];
}

Promised *promises_find(Promises *p, unsigned client, unsigned place)
{
        for (unsigned i = 0; i < N_FLOWS; i++)
                if (p->sessions[i].open && p->sessions[i].client == client && p->sessions[i].place == place)
                        return &p->sessions[i];
        return NULL;
}

unsigned promises_count(const Promises *p, int name, int age)
{
        unsigned n = 0;

        for (unsigned i = 0; i < N_FLOWS; i++) {
                const Promised *s = &p->sessions[i];

                n += s->open && (name < 0 || name_of_session(s) == (unsigned)name) &&
                     (age < 0 || s->age == (SessionAge)age);
        }
        return n;
}

static void raise_to(uint64_t *peak, uint64_t n)
{
        if (n > *peak)
                *peak = n;
}

static void note_peaks(Promises *p)
{
        raise_to(&p->peak, promises_count(p, -1, -1));
        for (int i = 0; i < N_NAMES; i++) {
                raise_to(&p->names[i].peak, promises_count(p, i, -1));
                raise_to(&p->names[i].unreplied_peak, promises_count(p, i, SESSION_UNREPLIED));
        }
}

/* --- buckets --- */

static uint64_t missing_now(const Promises *p, const Bucket *bucket, const RateLimit *limit)
{
        uint64_t back = (p->now - bucket->at) * limit->burst;

        return bucket->missing > back ? bucket->missing - back : 0;
}

static bool bucket_take(const Promises *p, Bucket *bucket, const RateLimit *limit)
{
        uint64_t missing = missing_now(p, bucket, limit);

        if (limit->burst == 0)
                return true;
        if (missing + limit->interval > limit->burst * limit->interval)
                return false;
        *bucket = (Bucket){missing + limit->interval, p->now};
        return true;
}

usec_t promises_wait(const Promises *p, const Bucket *bucket, const RateLimit *limit)
{
        uint64_t wanted = missing_now(p, bucket, limit) + limit->interval, size = limit->burst * limit->interval;

        return limit->burst > 0 && wanted > size ? (wanted - size + limit->burst - 1) / limit->burst : 0;
}

/* --- where legs lead --- */

static int home_of(const PromisedName *name, unsigned target, unsigned place)
{
        int home = name->targets[target];

        return home == AT_PORT ? AT_PORT + (int)listener_of[place] : home;
}

/*
 * A session belongs to the target that has the address where it is, its own first, or else to its own; to the chosen
 * one, if that is none any more, is to be left, or is not known. It goes there, if that is known.
 */
static void follow(Promises *p, Promised *s)
{
        const PromisedName *name = promises_name(p, s->place);
        unsigned belongs = s->target;

        for (unsigned i = N_TARGETS; i-- > 0;) {
                unsigned target = (s->target + i) % N_TARGETS;

                if ((name->used & 1U << target) && home_of(name, target, s->place) == s->home)
                        belongs = target;
        }
        if (!(name->used & 1U << belongs) || (name->left & 1U << belongs) || name->targets[belongs] == NOWHERE)
                belongs = name->chosen;
        s->target = belongs;
        if (name->targets[belongs] != NOWHERE)
                s->home = home_of(name, belongs, s->place);
}

/* --- who comes, and who goes --- */

static void end(Promises *p, Promised *s, SessionEnd why)
{
        books_of(p, s->place)->closed[why]++;
        s->open = false;
}

static bool used_before(const Promised *a, const Promised *b)
{
        return a->last_use != b->last_use ? a->last_use < b->last_use : a->rank < b->rank;
}

static void use(Promises *p, Promised *s)
{
        s->last_use = p->now;
        s->rank = ++p->n_ranks;
}

static int standing(const Promised *s)
{
        return s->age == SESSION_UNREPLIED ? 0 : 1 + s->proven;
}

/* The one of this standing that was not used for the longest time; name -1: of any. */
static Promised *oldest_of(Promises *p, int name, int of)
{
        Promised *oldest = NULL;

        for (unsigned i = 0; i < N_FLOWS; i++) {
                Promised *s = &p->sessions[i];

                if (s->open && standing(s) == of && (name < 0 || name_of_session(s) == (unsigned)name) &&
                    (!oldest || used_before(s, oldest)))
                        oldest = s;
        }
        return oldest;
}

/* Is there a place for one more of this age? */
static bool has_room(const Promises *p, int name, SessionAge age)
{
        const PolicySettings *settings = &p->names[name].settings;

        return promises_count(p, -1, -1) < p->max_sessions && promises_count(p, name, -1) < settings->max_sessions &&
               (age != SESSION_UNREPLIED || promises_count(p, name, SESSION_UNREPLIED) < settings->max_unreplied);
}

/*
 * Who goes, if he has had his chance: of the same name, or, if that would have room, of any; never one who has shown
 * that he hears.
 */
static Promised *who_makes_way(Promises *p, int name, bool too_many_unreplied)
{
        const bool name_is_full = promises_count(p, name, -1) >= p->names[name].settings.max_sessions,
                   all_are = promises_count(p, -1, -1) >= p->max_sessions;
        Promised *gone = NULL;

        for (int of = 0; of < (too_many_unreplied ? 1 : 2) && !gone; of++) {
                gone = oldest_of(p, name, of);
                if (!gone && all_are && !name_is_full && !too_many_unreplied)
                        gone = oldest_of(p, -1, of);
                if (gone && p->now - gone->opened < CHANCE)
                        gone = NULL;
        }
        return gone;
}

/* One makes way; that may not be enough, where a limit was lowered. */
static Verdict make_room(Promises *p, int name)
{
        const bool too_many_unreplied = promises_count(p, name, SESSION_UNREPLIED) >=
                                        p->names[name].settings.max_unreplied;
        Promised *gone = who_makes_way(p, name, too_many_unreplied);

        if (!has_room(p, name, SESSION_UNREPLIED) && gone)
                end(p, gone, SESSION_REPLACED);
        if (has_room(p, name, SESSION_UNREPLIED))
                return VERDICT_FORWARDED;
        return too_many_unreplied ? VERDICT_UNREPLIED_FULL : VERDICT_TABLE_FULL;
}

/* Who is refused for a later reason has had his turn all the same: it is out of the buckets. */
static Verdict admit(Promises *p, unsigned client, unsigned place)
{
        PromisedName *name = promises_name(p, place);

        if (!(name->allowed & 1U << client / 2))
                return VERDICT_NOT_ALLOWED;
        if (name->targets[name->chosen] == NOWHERE)
                return VERDICT_UPSTREAM_UNRESOLVED;
        if (!bucket_take(p, &name->each[client / 2], &name->settings.client_sessions))
                return VERDICT_CLIENT_LIMIT;
        if (!bucket_take(p, &name->all, &name->settings.new_sessions))
                return VERDICT_NEW_SESSION_LIMIT;
        return make_room(p, (int)name_of[listener_of[place]]);
}

static Promised *begin(Promises *p, unsigned client, unsigned place)
{
        const PromisedName *name = promises_name(p, place);
        Promised *s = p->sessions;

        while (s->open)
                s++;
        *s = (Promised){.open = true,
                        .client = client,
                        .place = place,
                        .serial = ++p->n_serials,
                        .opened = p->now,
                        .target = name->chosen,
                        .home = home_of(name, name->chosen, place)};
        books_of(p, place)->created++;
        note_peaks(p);
        return s;
}

static void forwarded(Promises *p, Promised *s, Direction direction, size_t size, uint32_t number)
{
        s->traffic[direction].datagrams++;
        s->traffic[direction].bytes += size;
        books_of(p, s->place)->bytes[direction] += size;
        p->dues[p->n_dues++] = (Due){.direction = direction,
                                     .serial = s->serial,
                                     .client = s->client,
                                     .place = s->place,
                                     .home = s->home,
                                     .size = size,
                                     .number = number};
}

static Verdict to_home(Promises *p, unsigned client, unsigned place, size_t size, uint32_t number)
{
        const PromisedName *name = promises_name(p, place);
        Promised *s = promises_find(p, client, place);
        Verdict verdict;

        if (size > name->settings.max_datagram)
                return name->allowed & 1U << client / 2 ? VERDICT_OVERSIZE : VERDICT_NOT_ALLOWED;
        if (s && !(name->allowed & 1U << client / 2)) {
                end(p, s, SESSION_DENIED);
                return VERDICT_NOT_ALLOWED;
        }
        if (!s) {
                verdict = admit(p, client, place);
                if (verdict != VERDICT_FORWARDED)
                        return verdict;
                s = begin(p, client, place);
        }
        follow(p, s);
        forwarded(p, s, FORWARD, size, number);
        s->proven |= s->traffic[REPLY].datagrams > 0;
        s->traffic[FORWARD].last = p->now;
        use(p, s);
        return VERDICT_FORWARDED;
}

Verdict promises_forward(Promises *p, unsigned client, unsigned place, size_t size, uint32_t number)
{
        Verdict verdict = to_home(p, client, place, size, number);

        books_of(p, place)->verdicts[FORWARD][verdict]++;
        return verdict;
}

static uint64_t on_wire(const SessionTraffic *traffic)
{
        return traffic->bytes + traffic->datagrams * HEADERS;
}

uint64_t promises_budget(const Promises *p, const Promised *s)
{
        const uint64_t most = p->names[name_of_session(s)].settings.amplification * on_wire(&s->traffic[FORWARD]),
                       sent = on_wire(&s->traffic[REPLY]);

        return most > sent ? most - sent : 0;
}

static Verdict to_client(Promises *p, Promised *s, size_t size, uint32_t number)
{
        const PolicySettings *settings = &promises_name(p, s->place)->settings;

        if (settings->amplification > 0 && !s->proven && size + HEADERS > promises_budget(p, s))
                return VERDICT_AMPLIFICATION;
        if (size > settings->max_datagram)
                return VERDICT_OVERSIZE;
        forwarded(p, s, REPLY, size, number);
        return VERDICT_FORWARDED;
}

/* Whose client may not come ends unread; and what was dropped was an answer all the same. */
void promises_reply(Promises *p, Promised *s, int home, size_t size, uint32_t number)
{
        const PromisedName *name = promises_name(p, s->place);

        if (!s->open || home != s->home)
                return;
        if (!(name->allowed & 1U << s->client / 2)) {
                end(p, s, SESSION_DENIED);
                return;
        }
        books_of(p, s->place)->verdicts[REPLY][to_client(p, s, size, number)]++;
        s->traffic[REPLY].last = p->now;
        if (s->age == SESSION_UNREPLIED || p->now - s->traffic[FORWARD].last < name->settings.reply_refresh)
                use(p, s);
        s->age = SESSION_ASSURED;
}

/* --- time --- */

static usec_t deadline_of(const Promises *p, const Promised *s)
{
        return s->last_use + p->names[name_of_session(s)].settings.timeouts[s->age];
}

void promises_expire(Promises *p)
{
        for (unsigned i = 0; i < N_FLOWS; i++)
                if (p->sessions[i].open && deadline_of(p, &p->sessions[i]) <= p->now)
                        end(p, &p->sessions[i], SESSION_IDLE_TIMEOUT);
}

usec_t promises_deadline(const Promises *p)
{
        usec_t first = USEC_NEVER;

        for (unsigned i = 0; i < N_FLOWS; i++)
                if (p->sessions[i].open && deadline_of(p, &p->sessions[i]) < first)
                        first = deadline_of(p, &p->sessions[i]);
        return first;
}

void promises_close_all(Promises *p)
{
        for (unsigned i = 0; i < N_FLOWS; i++)
                if (p->sessions[i].open)
                        end(p, &p->sessions[i], SESSION_SHUTDOWN);
}

/* --- another process --- */

/* Its own socket stays where it leads, if that is still a target; another one leads to the chosen one. */
static bool comes_back(Promises *p, Promised *s)
{
        const PromisedName *name = promises_name(p, s->place);

        if (!s->parked && name->targets[name->chosen] == NOWHERE)
                return false;
        s->target = name->chosen;
        if (!s->parked)
                s->home = home_of(name, name->chosen, s->place);
        follow(p, s);
        return true;
}

static bool comes_before(const Promised *a, const Promised *b)
{
        return standing(a) != standing(b) ? standing(a) > standing(b) : used_before(b, a);
}

/* By standing, the last used first, as long as there is room. Books and buckets are a process's own: they
 * begin anew. */
void promises_restart(Promises *p)
{
        Promised before[N_FLOWS], *next;

        memcpy(before, p->sessions, sizeof(before));
        memset(p->sessions, 0, sizeof(p->sessions));
        memset(p->books, 0, sizeof(p->books));
        memset(p->n_lost, 0, sizeof(p->n_lost));
        p->peak = 0;
        for (unsigned i = 0; i < N_NAMES; i++) {
                p->names[i].all = (Bucket){0};
                memset(p->names[i].each, 0, sizeof(p->names[i].each));
                p->names[i].peak = p->names[i].unreplied_peak = 0;
        }
        for (unsigned n = 0;; n++) {
                next = NULL;
                for (unsigned i = 0; i < N_FLOWS; i++)
                        if (before[i].open && (!next || comes_before(&before[i], next)))
                                next = &before[i];
                if (!next)
                        break;
                next->open = false;
                if (!comes_back(p, next))
                        p->n_lost[1]++;
                else if (!has_room(p, (int)name_of_session(next), next->age))
                        p->n_lost[0]++;
                else {
                        p->sessions[n] = *next;
                        p->sessions[n].open = true;
                        note_peaks(p);
                }
        }
}
