/* SPDX-License-Identifier: MIT */
/*
 * Strangers: who gets a session, who makes way for whom, and what they may get by it. Nobody who is assured feels
 * anything of that.
 */
#include <arpa/inet.h>
#include <string.h>

#include "relay/admission.h"
#include "suite.h"

enum { MANY = 8 };

typedef struct Gate {
        World w;
        const Listener *l;
        Policy *policy;
        Address listener, upstream;
        int home, friend, clients[MANY];
} Gate;

/* It is answered, and shows that it hears. */
static void befriend(Gate *g, int client)
{
        (void)world_round(&g->w, client, g->home, "friend");
        (void)world_round(&g->w, client, g->home, "who hears");
}

/* One client is proven; the others have not come yet. */
static void gate_init(Gate *g, const PolicySettings *settings)
{
        world_init(&g->w, 1000);
        g->home = upstream_new(NULL, 0, &g->upstream);
        g->policy = world_policy(&g->w, settings, &g->upstream);
        g->l = world_listener(&g->w, NULL, g->policy, &g->listener);
        g->friend = client_new(NULL, &g->listener);
        befriend(g, g->friend);
        for (int i = 0; i < MANY; i++)
                g->clients[i] = client_new("127.0.0.2", &g->listener);
}

/* It is carried to home, and nobody answers. */
static void come_in(Gate *g, int client)
{
        char got[100];

        peer_send(client, "stranger", 8);
        ck_assert_uint_eq(peer_receive(&g->w, g->home, got, sizeof(got), NULL), 8);
}

static void stay_out(Gate *g, int client, Verdict verdict)
{
        uint64_t before = world_verdicts(g->l, FORWARD, verdict);

        peer_send(client, "stranger", 8);
        ck_assert(peer_silent(&g->w, g->home));
        ck_assert_uint_eq(world_verdicts(g->l, FORWARD, verdict), before + 1);
}

static uint64_t n_ended(const Gate *g, SessionEnd end)
{
        return counter_get(&g->l->stats.sessions_closed[end]);
}

static uint64_t n_sessions(const Gate *g, SessionAge age)
{
        return counter_get(&g->policy->n_sessions[age]);
}

/* Whoever was not answered makes way, the one that was silent for the longest time first, and after its chance. */
START_TEST(unreplied_ones_make_way_for_each_other)
{
        PolicySettings settings = world_settings;
        Gate g;

        settings.max_unreplied = 3;
        gate_init(&g, &settings);
        for (int i = 0; i < 3; i++) {
                come_in(&g, g.clients[i]);
                g.w.now += USEC_PER_MSEC;
        }
        stay_out(&g, g.clients[3], VERDICT_UNREPLIED_FULL);
        come_in(&g, g.clients[0]); /* which is the last that was used now */
        g.w.now += ADMISSION_CHANCE - USEC_PER_MSEC;
        come_in(&g, g.clients[3]); /* for the second */
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        come_in(&g, g.clients[0]);
        come_in(&g, g.clients[2]);
        ck_assert_uint_eq(g.w.n_opened, 5);
        stay_out(&g, g.clients[1], VERDICT_UNREPLIED_FULL);
        ck_assert_uint_eq(n_sessions(&g, SESSION_UNREPLIED), 3);
        ck_assert_uint_eq(counter_get(&g.policy->unreplied.current), 3);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        world_pass(&g.w, g.w.now + USEC_PER_HOUR);
        ck_assert_uint_eq(counter_get(&g.policy->unreplied.current), 0);
        world_done(&g.w);
}
END_TEST

/* To be used again and again keeps nobody's place: his chance was when he came. */
START_TEST(a_stranger_cannot_stay_by_asking_again)
{
        PolicySettings settings = world_settings;
        Gate g;

        settings.max_unreplied = 3;
        gate_init(&g, &settings);
        for (int i = 0; i < 3; i++)
                come_in(&g, g.clients[i]);
        g.w.now += ADMISSION_CHANCE;
        for (int i = 0; i < 3; i++)
                come_in(&g, g.clients[i]);
        (void)world_round(&g.w, g.clients[3], g.home, "in the place of the first");
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        come_in(&g, g.clients[0]);
        come_in(&g, g.clients[1]);
        come_in(&g, g.clients[2]);
        stay_out(&g, g.clients[4], VERDICT_UNREPLIED_FULL); /* the first has come anew */
        world_done(&g.w);
}
END_TEST

/* Who is answered gives his place among the unreplied ones back. */
START_TEST(an_answer_makes_room)
{
        PolicySettings settings = world_settings;
        Gate g;

        settings.max_unreplied = 1;
        gate_init(&g, &settings);
        for (int i = 0; i < MANY; i++)
                (void)world_round(&g.w, g.clients[i], g.home, "and an answer");
        ck_assert_uint_eq(counter_get(&g.policy->unreplied.current), 0);
        ck_assert_uint_eq(counter_get(&g.policy->unreplied.peak), 1);
        world_done(&g.w);
}
END_TEST

START_TEST(no_assured_one_makes_way)
{
        PolicySettings settings = world_settings;
        Gate g;

        settings.max_sessions = 3;
        gate_init(&g, &settings);
        befriend(&g, g.clients[0]);
        come_in(&g, g.clients[1]);
        stay_out(&g, g.clients[2], VERDICT_TABLE_FULL);
        g.w.now += ADMISSION_CHANCE;
        befriend(&g, g.clients[2]); /* in the stranger's place */
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        g.w.now += 100 * USEC_PER_SEC;
        stay_out(&g, g.clients[3], VERDICT_TABLE_FULL);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        (void)world_round(&g.w, g.clients[0], g.home, "friend");
        (void)world_round(&g.w, g.clients[2], g.home, "friend");
        ck_assert_uint_eq(g.w.n_closed, 1);
        world_done(&g.w);
}
END_TEST

/* All together are too many, and those who may make way came in by another name. */
START_TEST(strangers_make_way_for_another_name)
{
        Address other;
        int client;
        Gate g;

        gate_init(&g, NULL);
        world_listener(&g.w, NULL, world_policy(&g.w, NULL, &g.upstream), &other);
        relay_set_limit(g.w.relay, 2);
        come_in(&g, g.clients[0]);
        g.w.now += ADMISSION_CHANCE;
        client = client_new(NULL, &other);
        (void)world_round(&g.w, client, g.home, "by another name");
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        world_done(&g.w);
}
END_TEST

/* All that are unreplied together are too many, and not those of the newcomer's name. */
START_TEST(strangers_make_way_where_only_all_are_too_many)
{
        Quota all = {0};
        Policy *policy;
        Address other;
        Gate g;

        gate_init(&g, NULL);
        counter_set(&all.limit, 2);
        policy = world_policy(&g.w, NULL, &g.upstream);
        world_listener(&g.w, NULL, policy, &other);
        g.policy->unreplied.parent = policy->unreplied.parent = &all;
        come_in(&g, g.clients[0]);
        come_in(&g, g.clients[1]);
        g.w.now += ADMISSION_CHANCE;
        come_in(&g, client_new(NULL, &other));
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        relay_close_sessions(g.w.relay, SESSION_SHUTDOWN, g.w.now);
        world_done(&g.w);
}
END_TEST

/* Of several names the one whose stranger has waited for longest. */
START_TEST(the_oldest_stranger_of_all_makes_way)
{
        Address other, third;
        Gate g;

        gate_init(&g, NULL);
        world_listener(&g.w, NULL, world_policy(&g.w, NULL, &g.upstream), &other);
        world_listener(&g.w, NULL, world_policy(&g.w, NULL, &g.upstream), &third);
        relay_set_limit(g.w.relay, 3);
        come_in(&g, g.clients[0]);
        g.w.now += USEC_PER_SEC;
        come_in(&g, client_new(NULL, &other));
        g.w.now += ADMISSION_CHANCE;
        (void)world_round(&g.w, client_new(NULL, &third), g.home, "by the third name");
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        ck_assert_uint_eq(n_sessions(&g, SESSION_UNREPLIED), 0);
        world_done(&g.w);
}
END_TEST

/* Each newcomer brings a lowered limit about a little, though he is refused. */
START_TEST(a_lowered_limit_is_brought_about)
{
        Gate g;

        gate_init(&g, NULL);
        come_in(&g, g.clients[0]);
        come_in(&g, g.clients[1]);
        g.w.now += ADMISSION_CHANCE;
        relay_set_limit(g.w.relay, 2);
        stay_out(&g, g.clients[2], VERDICT_TABLE_FULL);
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        come_in(&g, g.clients[2]);
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 2);
        world_done(&g.w);
}
END_TEST

/* Whoever was answered once and says nothing more may be anybody: he goes, after the strangers. */
START_TEST(who_was_only_answered_makes_way)
{
        Gate g;

        gate_init(&g, NULL);
        relay_set_limit(g.w.relay, 3);
        (void)world_round(&g.w, g.clients[0], g.home, "answered");
        come_in(&g, g.clients[1]);
        g.w.now += ADMISSION_CHANCE;
        befriend(&g, g.clients[2]); /* in the place of the stranger */
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 1);
        come_in(&g, g.clients[1]);
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 2);
        ck_assert_uint_eq(n_sessions(&g, SESSION_ASSURED), 2);
        stay_out(&g, g.clients[0], VERDICT_TABLE_FULL);
        world_done(&g.w);
}
END_TEST

/* A stranger who has not had his chance yet keeps nobody out who finds another place. */
START_TEST(a_young_stranger_is_passed_over)
{
        Gate g;

        gate_init(&g, NULL);
        relay_set_limit(g.w.relay, 4);
        (void)world_round(&g.w, g.clients[0], g.home, "answered");
        (void)world_round(&g.w, g.clients[1], g.home, "answered");
        g.w.now += ADMISSION_CHANCE;
        come_in(&g, g.clients[2]);
        come_in(&g, g.clients[3]);
        come_in(&g, g.clients[4]);
        ck_assert_uint_eq(n_ended(&g, SESSION_REPLACED), 2);
        stay_out(&g, g.clients[5], VERDICT_TABLE_FULL);
        world_done(&g.w);
}
END_TEST

/* All together are too many, and so are those of the newcomer's name: a stranger of another one cannot help. */
START_TEST(nobody_makes_way_for_a_name_that_is_full)
{
        PolicySettings small = world_settings;
        const Listener *l;
        Address other;
        Gate g;

        gate_init(&g, NULL);
        small.max_sessions = 1;
        l = world_listener(&g.w, NULL, world_policy(&g.w, &small, &g.upstream), &other);
        befriend(&g, client_new(NULL, &other)); /* all there may be by this name */
        come_in(&g, g.clients[0]);
        g.w.now += ADMISSION_CHANCE;
        relay_set_limit(g.w.relay, 3);
        peer_send(client_new(NULL, &other), "out", 3);
        ck_assert(peer_silent(&g.w, g.home));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_TABLE_FULL), 1);
        ck_assert_uint_eq(g.w.n_closed, 0);
        world_done(&g.w);
}
END_TEST

/* One address opens sessions as fast as it can: it is held up, nobody else is, and its open ones are not. */
START_TEST(one_address_is_held_up)
{
        PolicySettings settings = world_settings;
        Gate g;

        settings.client_sessions = (RateLimit){.burst = 2, .interval = 20 * USEC_PER_SEC};
        gate_init(&g, &settings);
        (void)world_round(&g.w, g.clients[0], g.home, "one");
        come_in(&g, g.clients[1]);
        stay_out(&g, g.clients[2], VERDICT_CLIENT_LIMIT);
        (void)world_round(&g.w, g.clients[0], g.home, "it is open");
        (void)world_round(&g.w, client_new("127.0.0.3", &g.listener), g.home, "another address");
        g.w.now += 10 * USEC_PER_SEC - 1;
        stay_out(&g, g.clients[2], VERDICT_CLIENT_LIMIT);
        g.w.now++;
        come_in(&g, g.clients[2]);
        stay_out(&g, g.clients[3], VERDICT_CLIENT_LIMIT);
        world_done(&g.w);
}
END_TEST

START_TEST(all_together_are_held_up)
{
        PolicySettings settings = world_settings;
        Rate shared = {0};
        Gate g;

        settings.new_sessions = (RateLimit){.burst = 3, .interval = 3 * USEC_PER_SEC};
        gate_init(&g, &settings);
        come_in(&g, g.clients[0]);
        come_in(&g, g.clients[1]);
        stay_out(&g, g.clients[2], VERDICT_NEW_SESSION_LIMIT);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        g.w.now += USEC_PER_SEC;
        come_in(&g, g.clients[2]);
        g.policy->new_sessions = &shared; /* with siblings: it is full */
        for (int i = 3; i < 6; i++)
                come_in(&g, g.clients[i]);
        stay_out(&g, g.clients[6], VERDICT_NEW_SESSION_LIMIT);
        world_done(&g.w);
}
END_TEST

static Filter *filter_of(const char *allowed, const char *denied)
{
        const char *why = NULL;
        Network yes, no;
        Filter *filter = NULL;

        ck_assert(!allowed || network_parse(allowed, &yes, &why) == 0);
        ck_assert(!denied || network_parse(denied, &no, &why) == 0);
        ck_assert_int_eq(filter_new(&filter, allowed ? &yes : NULL, 1, &no, denied ? 1 : 0), 0);
        return filter;
}

START_TEST(who_may_not_come)
{
        Gate g;

        gate_init(&g, NULL);
        policy_set_filter(g.policy, filter_of("127.0.0.1", NULL));
        stay_out(&g, g.clients[0], VERDICT_NOT_ALLOWED);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        policy_set_filter(g.policy, NULL);
        come_in(&g, g.clients[0]);
        ck_assert_uint_eq(g.w.n_closed, 0);
        world_done(&g.w);
}
END_TEST

/* Open sessions are judged again: with the client's next datagram, or the upstream's, whoever is first. */
START_TEST(who_may_not_come_any_more)
{
        Address leg;
        Gate g;

        gate_init(&g, NULL);
        leg = world_round(&g.w, g.clients[0], g.home, "in");
        come_in(&g, g.clients[1]);
        policy_set_filter(g.policy, filter_of(NULL, "127.0.0.2"));
        upstream_reply(g.home, &leg, "out", 3);
        ck_assert(peer_silent(&g.w, g.clients[0]));
        ck_assert_uint_eq(n_ended(&g, SESSION_DENIED), 1);
        stay_out(&g, g.clients[1], VERDICT_NOT_ALLOWED);
        ck_assert_uint_eq(n_ended(&g, SESSION_DENIED), 2);
        stay_out(&g, g.clients[0], VERDICT_NOT_ALLOWED);
        (void)world_round(&g.w, g.friend, g.home, "friend");
        ck_assert_uint_eq(g.w.n_closed, 2);
        world_done(&g.w);
}
END_TEST

/* Whoever was let in by another process is judged again by this one. */
START_TEST(who_may_not_come_back)
{
        SessionRecord record;
        Session *session;
        Gate g;

        gate_init(&g, NULL);
        relay_close_sessions(g.w.relay, SESSION_SHUTDOWN, g.w.now);
        come_in(&g, g.clients[0]);
        record = ((const Session *)slots_at(&g.w.relay->slots, 0))->record;
        relay_close_sessions(g.w.relay, SESSION_SHUTDOWN, g.w.now);
        policy_set_filter(g.policy, filter_of(NULL, "127.0.0.2"));
        ck_assert_int_eq(session_adopt(g.w.relay, g.w.relay->listeners[0], &record, -EBADF, -EBADF, g.w.now, &session),
                         0);
        g.w.n_opened++;
        stay_out(&g, g.clients[0], VERDICT_NOT_ALLOWED);
        ck_assert_uint_eq(n_ended(&g, SESSION_DENIED), 1);
        world_done(&g.w);
}
END_TEST

/* --- no amplification --- */

static PolicySettings three_times(void)
{
        PolicySettings settings = world_settings;

        settings.amplification = 3;
        return settings;
}

/* The upstream says so much to whoever sent 100 bytes: how many datagrams of it come. */
static size_t replies_that_come(Gate *g, int client, size_t n, size_t size)
{
        static char much[2000], ask[100];
        char got[100];
        Address leg;

        peer_send(client, ask, sizeof(ask));
        ck_assert_uint_eq(peer_receive(&g->w, g->home, got, sizeof(got), &leg), sizeof(ask));
        for (size_t i = 0; i < n; i++)
                upstream_reply(g->home, &leg, much, size);
        return peer_count(&g->w, client);
}

/* 128 bytes on the wire, with both headers: three times that may go back. */
START_TEST(who_has_sent_once_gets_no_more_than_three_times_that)
{
        const PolicySettings settings = three_times();
        Gate g;

        gate_init(&g, &settings);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 5, 100), 3);
        ck_assert_uint_eq(world_verdicts(g.l, REPLY, VERDICT_AMPLIFICATION), 2);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[1], 1, 356), 1);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[2], 1, 357), 0);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[3], 20, 0), 13); /* 28 bytes each */
        world_done(&g.w);
}
END_TEST

/* Who asks again after he was answered hears us: it is his own address. */
START_TEST(who_answers_gets_all)
{
        const PolicySettings settings = three_times();
        Gate g;

        gate_init(&g, &settings);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 5, 100), 3);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 50, 1000), 50);
        ck_assert_uint_eq(replies_that_come(&g, g.friend, 50, 1000), 50);
        world_done(&g.w);
}
END_TEST

/* Two forged ones in a row prove nothing: he was not answered in between. */
START_TEST(who_sends_twice_is_not_proven)
{
        const PolicySettings settings = three_times();
        Gate g;

        gate_init(&g, &settings);
        come_in(&g, g.clients[0]);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 50, 1000), 0); /* 164 bytes of his */
        come_in(&g, g.clients[1]);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[1], 50, 100), 3);
        world_done(&g.w);
}
END_TEST

/* An answer that was too long for him to get is none. */
START_TEST(who_got_nothing_is_not_proven)
{
        const PolicySettings settings = three_times();
        Gate g;

        gate_init(&g, &settings);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 1, 1000), 0);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 1, 1000), 0);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 2, 1000), 1); /* 384 bytes of his, three times */
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 2, 1000), 2);
        world_done(&g.w);
}
END_TEST

/* A train loses its end, and nothing behind it goes before it. */
START_TEST(a_train_loses_its_end)
{
        const PolicySettings settings = three_times();
        static char train[10 * 100], ask[100];
        char got[1000];
        Address leg;
        Gate g;

        gate_init(&g, &settings);
        peer_send(g.clients[0], ask, sizeof(ask));
        ck_assert_uint_eq(peer_receive(&g.w, g.home, got, sizeof(got), &leg), sizeof(ask));
        for (size_t i = 0; i < sizeof(train); i++)
                train[i] = (char)(i / 100);
        peer_send_train(g.home, train, sizeof(train), 100, &leg);
        for (char i = 0; i < 3; i++) {
                ck_assert_uint_eq(peer_receive(&g.w, g.clients[0], got, sizeof(got), NULL), 100);
                ck_assert_mem_eq(got, train + 100 * (size_t)i, 100);
        }
        ck_assert(peer_silent(&g.w, g.clients[0]));
        ck_assert_uint_eq(world_verdicts(g.l, REPLY, VERDICT_AMPLIFICATION), 7);
        ck_assert_uint_eq(world_verdicts(g.l, REPLY, VERDICT_FORWARDED), 5); /* with the friend's */
        world_done(&g.w);
}
END_TEST

START_TEST(no_limit_no_loss)
{
        Gate g;

        gate_init(&g, NULL);
        ck_assert_uint_eq(replies_that_come(&g, g.clients[0], 50, 1400), 50);
        world_done(&g.w);
}
END_TEST

WORLD_SUITE("admission", unreplied_ones_make_way_for_each_other, a_stranger_cannot_stay_by_asking_again,
            an_answer_makes_room, no_assured_one_makes_way, strangers_make_way_for_another_name,
            strangers_make_way_where_only_all_are_too_many, the_oldest_stranger_of_all_makes_way,
            a_lowered_limit_is_brought_about, who_was_only_answered_makes_way, a_young_stranger_is_passed_over,
            nobody_makes_way_for_a_name_that_is_full, one_address_is_held_up, all_together_are_held_up,
            who_may_not_come, who_may_not_come_any_more, who_may_not_come_back,
            who_has_sent_once_gets_no_more_than_three_times_that, who_answers_gets_all, who_sends_twice_is_not_proven,
            who_got_nothing_is_not_proven, a_train_loses_its_end, no_limit_no_loss)
