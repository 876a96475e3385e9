/* SPDX-License-Identifier: MIT */
/*
 * Believes: a session is as alive as its client. Replies refresh it too, because a client may only listen for a while;
 * but an upstream that talks on to nobody would hold the slot for ever, so replies count only for `reply_refresh` after
 * the client's last datagram. Refuses: more sessions than the policy's and the relay's limits, whoever asks.
 */
#include <errno.h>

#include "relay/beside.h"
#include "relay/relay.h"
#include "relay/waiting.h"

/*
 * A client that goes on talking and hears nothing for this long may have a leg that leads nowhere: its source address
 * is gone (a new prefix, a link-local choice at boot) or somebody dissolved it. It is pointed anew, which costs little.
 */
#define DOUBT_AFTER (10 * USEC_PER_SEC)

/* To some 0.07 s, for 9 years: half the room, in each of thousands of sessions. */
static uint32_t coarse(usec_t t)
{
        return (uint32_t)(t >> 16);
}

/*
 * Who asks again and again and hears nothing says something of the upstream. A keepalive is no question, and one
 * question may be lost: so it is the third run without an answer, none of them later than this after the one before.
 * WireGuard repeats a handshake after 5 seconds, and answers data within 10.
 */
#define INSISTS_WITHIN (10 * USEC_PER_SEC)
enum { INSISTS_AFTER = 3 };

static const char *const end_names[N_SESSION_ENDS] = {
                [SESSION_IDLE_TIMEOUT] = "idle_timeout",
                [SESSION_REPLACED] = "replaced",
                [SESSION_DENIED] = "denied",
                [SESSION_SHUTDOWN] = "shutdown",
};
static const char *const age_names[N_SESSION_AGES] = {
                [SESSION_UNREPLIED] = "unreplied",
                [SESSION_ASSURED] = "assured",
};

const char *session_end_name(SessionEnd end)
{
        return end_names[end];
}

const char *session_age_name(SessionAge age)
{
        return age_names[age];
}

SessionStanding session_standing(const SessionRecord *record)
{
        if (record->age == SESSION_UNREPLIED)
                return STANDING_STRANGER;
        return record->proven ? STANDING_PROVEN : STANDING_ANSWERED;
}

static List *idle_list(const Session *session)
{
        return &session->listener->policy->idle[session_standing(&session->record)];
}

/*
 * Where it belongs by its last use: at the end, or, if it is of an earlier process and another one was used later, at
 * the beginning; for of these the last used comes first.
 */
static void session_enter_age(Session *session, SessionAge age)
{
        List *idle;
        ListNode *last;

        session->record.age = (uint8_t)age;
        idle = idle_list(session);
        last = idle->last;
        if (last && container_of(last, Session, idle)->record.last_use > session->record.last_use)
                list_prepend(idle, &session->idle);
        else
                list_append(idle, &session->idle);
        counter_add(&session->listener->policy->n_sessions[age], 1);
}

static void session_leave_age(Session *session)
{
        Counter *n = &session->listener->policy->n_sessions[session->record.age];

        list_remove(idle_list(session), &session->idle);
        counter_set(n, counter_get(n) - 1);
}

/* Counts a session against all quotas. false: one of them has nothing left. */
static bool session_count(Relay *relay, Policy *policy, SessionAge age)
{
        Quota *quotas[] = {&policy->quota, &relay->quota, age == SESSION_UNREPLIED ? &policy->unreplied : NULL};
        size_t n = 0;

        while (n < ELEMENTSOF(quotas) && (!quotas[n] || quota_take(quotas[n])))
                n++;
        if (n == ELEMENTSOF(quotas))
                return true;
        while (n-- > 0)
                quota_give(quotas[n]);
        return false;
}

static Session *session_new(Relay *relay, Listener *listener, usec_t now)
{
        Session *session = slots_take(&relay->slots);

        if (!session)
                return NULL;
        session->listener = listener;
        session->n_filters = listener->policy->n_filters;
        session->heard = coarse(now);
        trains_init(&session->reply_trains);
        leg_init(&session->leg, listener->bound.port);
        return session;
}

/* Its leg is watched and it counts, or its sockets are closed. 0, -EDQUOT: a sibling was quicker; or what the kernel
 * says. */
static int session_join(Relay *relay, Session *session, SessionAge age, usec_t now)
{
        Policy *policy = session->listener->policy;
        int r = watch_set_add(&relay->watches, &session->leg.watch, session->leg.fd, relay->leg_ready);

        if (r >= 0 && session_count(relay, policy, age)) {
                beside_follow(relay, session, now);
                return 0;
        }
        beside_close(relay, session); /* that of an adopted one */
        watch_set_remove(&relay->watches, &session->leg.watch);
        policy->upstream.kind->close(&policy->upstream, &session->leg);
        return r < 0 ? r : -EDQUOT;
}

/* From here on it is found, here and by whoever comes after us. */
static void session_begin(Relay *relay, Session *session, SessionAge age, uint64_t id)
{
        session_enter_age(session, age);
        table_insert(&relay->table, session);
        record_begin(&session->record, id);
}

Verdict session_open(Relay *relay, Listener *listener, const Flow *flow, usec_t now, Session **ret)
{
        Policy *policy = listener->policy;
        Session *session;
        Verdict verdict;
        int r;

        session = session_new(relay, listener, now);
        if (!session)
                return VERDICT_NO_MEMORY;
        session->record.flow = *flow;
        session->record.opened = session->record.last_use = now;
        verdict = policy->upstream.kind->open(&policy->upstream, flow, &session->leg, &session->record.source);
        if (verdict != VERDICT_FORWARDED) {
                slots_give(&relay->slots, session);
                counter_add(&listener->stats.open_errors, 1);
                return verdict;
        }
        session->record.bound = session->leg.sources != 0;
        r = session_join(relay, session, SESSION_UNREPLIED, now);
        if (r < 0) {
                session_free(relay, session);
                return r == -EDQUOT ? VERDICT_TABLE_FULL : verdict_of_error(-r);
        }
        session_begin(relay, session, SESSION_UNREPLIED, quota_number(&relay->quota));
        counter_add(&listener->stats.sessions_created, 1);
        if (relay->observer.session_opened)
                relay->observer.session_opened(relay->observer.userdata, session, now);
        *ret = session;
        return VERDICT_FORWARDED;
}

/* A clock that ran ahead would keep it for ever. */
static usec_t not_after(usec_t t, usec_t now)
{
        return t < now ? t : now;
}

/* What there is of a record for a session of this listener that has not begun yet. */
static SessionRecord record_for(const Listener *listener, const SessionRecord *record, usec_t now)
{
        SessionRecord mine = *record;

        mine.id = 0;
        mine.flow.listener = listener->index;
        mine.opened = not_after(record->opened, now);
        mine.last_use = not_after(record->last_use, now);
        for (Direction d = 0; d < N_DIRECTIONS; d++)
                mine.traffic[d].last = not_after(record->traffic[d].last, now);
        return mine;
}

int session_adopt(Relay *relay, Listener *listener, const SessionRecord *record, int fd, int beside, usec_t now,
                  Session **ret)
{
        _cleanup_close_ int own = fd, own_beside = beside;
        const SessionRecord mine = record_for(listener, record, now);
        Policy *policy = listener->policy;
        Session *session;
        int r;

        if (mine.age >= N_SESSION_AGES || address_source_refusal(mine.flow.client, mine.flow.client_port))
                return -EBADMSG;
        if (table_find(&relay->table, &mine.flow, table_hash(&relay->table, &mine.flow)))
                return -EEXIST;
        session = session_new(relay, listener, now);
        if (!session)
                return -ENOMEM;
        session->record = mine;
        session->n_filters--; /* its client was let in by another process's: it is asked again */
        r = policy->upstream.kind->adopt(&policy->upstream, &mine.source, mine.bound, TAKE_FD(own), &session->leg);
        if (r >= 0) {
                beside_take(session, TAKE_FD(own_beside));
                r = session_join(relay, session, (SessionAge)mine.age, now);
        }
        if (r < 0) {
                session_free(relay, session);
                return r;
        }
        session_begin(relay, session, (SessionAge)mine.age, record->id);
        *ret = session;
        return 0;
}

static void session_observe_end(Session *session, SessionEnd end, usec_t now)
{
        Stats *stats = &session->listener->stats;
        usec_t forward = session->record.traffic[FORWARD].last, reply = session->record.traffic[REPLY].last;

        counter_add(&stats->sessions_closed[end], 1);
        histogram_observe(&stats->session_duration, usec_sub(now, session->record.opened));
        histogram_observe(&stats->session_idle, usec_sub(now, forward > reply ? forward : reply));
}

void session_close(Relay *relay, Session *session, SessionEnd end, usec_t now)
{
        Policy *policy = session->listener->policy;

        if (relay->observer.session_closed)
                relay->observer.session_closed(relay->observer.userdata, session, end, now);
        record_end(&session->record);
        waiting_clear(relay, session);
        beside_close(relay, session);
        watch_set_remove(&relay->watches, &session->leg.watch);
        policy->upstream.kind->close(&policy->upstream, &session->leg);
        if (session->record.age == SESSION_UNREPLIED)
                quota_give(&policy->unreplied);
        session_leave_age(session);
        table_remove(&relay->table, session);
        quota_give(&relay->quota);
        quota_give(&policy->quota);
        session_observe_end(session, end, now);
        list_append(&relay->dead, &session->idle);
}

void session_free(Relay *relay, Session *session)
{
        beside_free(session);
        slots_give(&relay->slots, session);
}

/* Where its leg leads, and what is known of that. */
static UpstreamTarget *session_target(Session *session)
{
        return &session->listener->policy->upstream.targets[session->leg.target];
}

int session_forward(Relay *relay, Session *session, Datagram *run, unsigned n, usec_t now)
{
        Upstream *upstream = &session->listener->policy->upstream;
        bool moved;
        Icmp icmp = {0};
        int r = upstream->kind->follow(upstream, &session->leg, &moved);

        if (moved) /* it may be answered at once */
                beside_follow(relay, session, now);
        for (unsigned i = 0; i < n && r < 0; i++)
                run[i].error = -r;
        if (r < 0)
                return 0;
        r = upstream->kind->forward(upstream, &session->leg, run, n, &icmp);
        session_note_icmp(session, &icmp);
        return r;
}

void session_note_icmp(Session *session, const Icmp *icmp)
{
        counter_add(&session->listener->stats.icmp_errors, icmp->errors);
        counter_add(&session->listener->stats.icmp_too_big, icmp->too_big);
        counter_add(&session_target(session)->icmp_errors, icmp->errors);
}

static void session_refresh(Session *session, usec_t now)
{
        session->record.last_use = now;
        list_move_last(idle_list(session), &session->idle);
}

/* Who sends after something has left for him hears us. */
static void session_prove(Session *session)
{
        if (session->record.proven || session->record.traffic[REPLY].datagrams == 0)
                return;
        list_remove(idle_list(session), &session->idle);
        session->record.proven = 1;
        list_append(idle_list(session), &session->idle); /* it is being used */
}

static void note_asked(Session *session, bool sent, usec_t now)
{
        UpstreamTarget *target = session_target(session);

        if (!sent)
                return;
        if (usec_sub(now, session->record.traffic[FORWARD].last) > INSISTS_WITHIN)
                session->n_unheard = 0;
        if (session->n_unheard < INSISTS_AFTER)
                session->n_unheard++;
        if (session->n_unheard == INSISTS_AFTER)
                counter_add(session->record.age == SESSION_ASSURED ? &target->asked : &target->knocked, 1);
}

void session_touch_forward(Session *session, bool sent, usec_t now)
{
        note_asked(session, sent, now);
        session_prove(session);
        session->record.traffic[FORWARD].last = now;
        session_refresh(session, now);
        if (coarse(now) - session->heard >= coarse(DOUBT_AFTER)) {
                session->leg.doubted = true;
                session->heard = coarse(now);
        }
}

void session_touch_reply(Session *session, bool answered, usec_t now)
{
        UpstreamTarget *target = session_target(session);
        usec_t silent = usec_sub(now, session->record.traffic[FORWARD].last);

        session->record.traffic[REPLY].last = now;
        if (answered) {
                session->heard = coarse(now);
                session->n_unheard = 0;
                counter_set(&target->last_reply, now);
                counter_add(&target->answered, 1);
        }
        if (session->record.age == SESSION_UNREPLIED) {
                quota_give(&session->listener->policy->unreplied);
                session_leave_age(session);
                session->record.last_use = now;
                session_enter_age(session, SESSION_ASSURED);
        } else if (silent < session->listener->policy->settings.reply_refresh)
                session_refresh(session, now);
}

usec_t session_deadline(const Session *session)
{
        return usec_add(session->record.last_use, session->listener->policy->settings.timeouts[session->record.age]);
}
