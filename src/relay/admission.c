/* SPDX-License-Identifier: MIT */
/*
 * Believes: under a flood of forged sources a newcomer's best hope is to be let in at all and to stay until his answer
 * comes; so who has not shown that he hears makes way, in order of last use, but none before he had time for an answer.
 * That time begins with his first datagram: otherwise whoever asks on and on would hold all places for ever. Where a
 * limit was lowered, each newcomer brings it about a little, though he is refused.
 */
#include "relay/admission.h"
#include "wire/udp.h"

/* The session of this worker's that was not used for the longest time, or NULL. */
static Session *oldest_of(const Policy *policy, SessionStanding standing)
{
        ListNode *node = policy->idle[standing].first;

        return node ? container_of(node, Session, idle) : NULL;
}

static Session *oldest_of_all(const Relay *relay, SessionStanding standing)
{
        Session *oldest = NULL;

        for (uint16_t i = 0; i < relay->n_policies; i++) {
                Session *session = oldest_of(relay->policies[i], standing);

                if (session && (!oldest || session->record.last_use < oldest->record.last_use))
                        oldest = session;
        }
        return oldest;
}

static bool had_its_chance(const Session *session, usec_t now)
{
        return usec_sub(now, session->record.opened) >= ADMISSION_CHANCE;
}

/* Of this policy, or, if it has none and only those of all together are too many, of any. */
static Session *who_makes_way(const Relay *relay, const Policy *policy, usec_t now)
{
        const bool unreplied = quota_full(&policy->unreplied),
                   any = !quota_full(&policy->quota) &&
                         (unreplied ? quota_full_on_top(&policy->unreplied) : quota_full(&relay->quota));
        const SessionStanding last = unreplied ? STANDING_STRANGER : STANDING_ANSWERED;

        for (SessionStanding standing = 0; standing <= last; standing++) {
                Session *oldest = oldest_of(policy, standing);

                if (!oldest && any)
                        oldest = oldest_of_all(relay, standing);
                if (oldest && had_its_chance(oldest, now))
                        return oldest;
        }
        return NULL;
}

static bool has_room(const Relay *relay, const Policy *policy)
{
        return !quota_full(&policy->unreplied) && !quota_full(&policy->quota) && !quota_full(&relay->quota);
}

static Verdict make_room(Relay *relay, Policy *policy, usec_t now)
{
        const Verdict full = quota_full(&policy->unreplied) ? VERDICT_UNREPLIED_FULL : VERDICT_TABLE_FULL;
        Session *oldest;

        if (has_room(relay, policy))
                return VERDICT_FORWARDED;
        oldest = who_makes_way(relay, policy, now);
        if (!oldest)
                return full;
        session_close(relay, oldest, SESSION_REPLACED, now);
        return has_room(relay, policy) ? VERDICT_FORWARDED : full;
}

/* Its answers would come in here again, by this listener or by another one. */
static bool is_ourselves(const Relay *relay, const Flow *flow)
{
        const Address client = {.family = AF_INET, .v4 = flow->client, .port = flow->client_port};
        bool anywhere = false;

        for (uint16_t i = 0; i < relay->n_listeners; i++) {
                const Address *bound = &relay->listeners[i]->bound;

                if (address_equal(bound, &client))
                        return true;
                anywhere = anywhere || (bound->v4.s_addr == INADDR_ANY && bound->port == client.port);
        }
        return anywhere && udp_is_local(&client, false);
}

Verdict admission_ask(Relay *relay, Listener *listener, const Flow *flow, const Datagram *first, usec_t now)
{
        Policy *policy = listener->policy;
        const PolicySettings *settings = &policy->settings;
        Verdict way;

        if (address_source_refusal(flow->client, flow->client_port))
                return VERDICT_BAD_SOURCE;
        if (!filter_allows(policy->filter, flow->client))
                return VERDICT_NOT_ALLOWED;
        if (echo_hear(&relay->echo, first))
                return VERDICT_LOOP;
        way = upstream_way(&policy->upstream);
        if (way != VERDICT_FORWARDED)
                return way;
        if (!newcomers_take(relay->newcomers, flow->client, relay_policy_index(relay, policy),
                            &settings->client_sessions, now))
                return VERDICT_CLIENT_LIMIT;
        if (!rate_take(policy->new_sessions, &settings->new_sessions, now))
                return VERDICT_NEW_SESSION_LIMIT;
        if (is_ourselves(relay, flow)) /* which may ask the kernel: not for each datagram of a flood */
                return VERDICT_LOOP;
        return make_room(relay, policy, now);
}

bool admission_holds(Relay *relay, Session *session, usec_t now)
{
        const Policy *policy = session->listener->policy;

        if (session->n_filters == policy->n_filters)
                return true;
        session->n_filters = policy->n_filters;
        if (filter_allows(policy->filter, session->record.flow.client))
                return true;
        session_close(relay, session, SESSION_DENIED, now);
        return false;
}
