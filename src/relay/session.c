/* SPDX-License-Identifier: MIT */
/*
 * Believes: a session is as alive as its client. Replies refresh it too, because a client may only listen for a while;
 * but an upstream that talks on to nobody would hold the slot for ever, so replies count only for `reply_refresh` after
 * the client's last datagram. Refuses: more sessions than the policy's and the relay's limits, whoever asks.
 */
#include "relay/relay.h"
#include "relay/waiting.h"

/*
 * A client that goes on talking and hears nothing for this long may have a leg that leads nowhere: its source address
 * is gone (a new prefix, a link-local choice at boot) or somebody dissolved it. It is pointed anew, which costs little.
 */
#define DOUBT_AFTER (10 * USEC_PER_SEC)

static const char *const end_names[N_SESSION_ENDS] = {
                [SESSION_IDLE_TIMEOUT] = "idle_timeout",
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

static void session_enter_age(Session *session, SessionAge age)
{
        Policy *policy = session->listener->policy;

        session->age = (uint8_t)age;
        list_append(&policy->idle[age], &session->idle);
        counter_add(&policy->n_sessions[age], 1);
}

static void session_leave_age(Session *session)
{
        Policy *policy = session->listener->policy;
        Counter *n = &policy->n_sessions[session->age];

        list_remove(&policy->idle[session->age], &session->idle);
        counter_set(n, counter_get(n) - 1);
}

/* Counts a session against both quotas. false: one of them has nothing left. */
static bool session_count(Relay *relay, Policy *policy)
{
        if (!quota_take(&policy->quota))
                return false;
        if (quota_take(&relay->quota))
                return true;
        quota_give(&policy->quota);
        return false;
}

Verdict session_open(Relay *relay, Listener *listener, const Flow *flow, usec_t now, Session **ret)
{
        Policy *policy = listener->policy;
        _cleanup_free_ Session *session = NULL;
        Verdict verdict;
        int r;

        if (quota_full(&policy->quota) || quota_full(&relay->quota))
                return VERDICT_TABLE_FULL;
        session = calloc(1, sizeof(Session));
        if (!session)
                return VERDICT_NO_MEMORY;
        session->flow = *flow;
        session->listener = listener;
        trains_init(&session->reply_trains);
        session->opened = session->heard = session->last_use = now;
        verdict = policy->upstream.kind->open(&policy->upstream, flow, &session->leg);
        if (verdict != VERDICT_FORWARDED) {
                if (verdict != VERDICT_UPSTREAM_UNRESOLVED)
                        counter_add(&listener->stats.open_errors, 1);
                return verdict;
        }
        r = watch_set_add(&relay->watches, &session->leg.watch, session->leg.fd, relay->leg_ready);
        if (r < 0 || !session_count(relay, policy)) { /* a sibling was quicker */
                watch_set_remove(&relay->watches, &session->leg.watch);
                policy->upstream.kind->close(&policy->upstream, &session->leg);
                return r < 0 ? verdict_of_error(-r) : VERDICT_TABLE_FULL;
        }
        session->id = quota_number(&relay->quota);
        session_enter_age(session, SESSION_UNREPLIED);
        table_insert(&relay->table, session);
        counter_add(&listener->stats.sessions_created, 1);
        if (relay->observer.session_opened)
                relay->observer.session_opened(relay->observer.userdata, session, now);
        *ret = TAKE_PTR(session);
        return VERDICT_FORWARDED;
}

static void session_observe_end(Session *session, SessionEnd end, usec_t now)
{
        Stats *stats = &session->listener->stats;
        usec_t forward = session->traffic[FORWARD].last, reply = session->traffic[REPLY].last;

        counter_add(&stats->sessions_closed[end], 1);
        histogram_observe(&stats->session_duration, usec_sub(now, session->opened));
        histogram_observe(&stats->session_idle, usec_sub(now, forward > reply ? forward : reply));
}

void session_close(Relay *relay, Session *session, SessionEnd end, usec_t now)
{
        Policy *policy = session->listener->policy;

        if (relay->observer.session_closed)
                relay->observer.session_closed(relay->observer.userdata, session, end, now);
        waiting_clear(relay, session);
        watch_set_remove(&relay->watches, &session->leg.watch);
        policy->upstream.kind->close(&policy->upstream, &session->leg);
        session_leave_age(session);
        table_remove(&relay->table, session);
        quota_give(&relay->quota);
        quota_give(&policy->quota);
        session_observe_end(session, end, now);
        list_append(&relay->dead, &session->idle);
}

static void session_refresh(Session *session, usec_t now)
{
        session->last_use = now;
        list_move_last(&session->listener->policy->idle[session->age], &session->idle);
}

void session_touch_forward(Session *session, usec_t now)
{
        session->traffic[FORWARD].last = now;
        session_refresh(session, now);
        if (usec_sub(now, session->heard) >= DOUBT_AFTER) {
                session->leg.doubted = true;
                session->heard = now;
        }
}

void session_touch_reply(Session *session, usec_t now)
{
        usec_t silent = usec_sub(now, session->traffic[FORWARD].last);

        session->traffic[REPLY].last = session->heard = now;
        counter_set(&session->listener->policy->last_reply, now);
        if (session->age == SESSION_UNREPLIED) {
                session_leave_age(session);
                session_enter_age(session, SESSION_ASSURED);
                session->last_use = now;
        } else if (silent < session->listener->policy->settings.reply_refresh)
                session_refresh(session, now);
}

usec_t session_deadline(const Session *session)
{
        return usec_add(session->last_use, session->listener->policy->settings.timeouts[session->age]);
}
