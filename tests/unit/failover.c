/* SPDX-License-Identifier: MIT */
/* Targets that answer, fall silent, come back: time is the test's, a look a second. */
#include "daemon/failover.h"
#include "unit.h"

enum { N = 3 };

typedef struct Scene {
        Failover f;
        TargetSeen seen[UPSTREAM_TARGETS_MAX];
        bool alive[UPSTREAM_TARGETS_MAX];
        usec_t now;
        unsigned n_told; /* looks that changed something */
} Scene;

static void scene_init(Scene *s)
{
        *s = (Scene){.f = {.n = N, .order = {0, 1, 2}, .settings = {15 * USEC_PER_SEC, USEC_PER_MINUTE, true}},
                     .now = USEC_PER_HOUR};
        for (unsigned i = 0; i < N; i++)
                s->seen[i].known = s->alive[i] = true;
}

/* A second in which these were asked (a bit for each), and answer if they live. */
static void pass_one(Scene *s, unsigned asked)
{
        for (unsigned i = 0; i < N; i++)
                if (asked & 1U << i) {
                        s->seen[i].asked++;
                        s->seen[i].answered += s->alive[i];
                }
        s->now += USEC_PER_SEC;
        s->n_told += failover_look(&s->f, s->seen, s->now);
}

static void pass(Scene *s, unsigned seconds, unsigned asked)
{
        while (seconds-- > 0)
                pass_one(s, asked);
}

static void check(const Scene *s, unsigned chosen, unsigned left)
{
        ck_assert_uint_eq(s->f.chosen, chosen);
        ck_assert_uint_eq(s->f.left, left);
}

static void check_health(const Scene *s, TargetHealth one, TargetHealth two, TargetHealth three)
{
        ck_assert_str_eq(target_health_names[s->f.targets[0].health], target_health_names[one]);
        ck_assert_str_eq(target_health_names[s->f.targets[1].health], target_health_names[two]);
        ck_assert_str_eq(target_health_names[s->f.targets[2].health], target_health_names[three]);
}

START_TEST(the_first_is_chosen_and_stays)
{
        Scene s;

        scene_init(&s);
        pass(&s, 5, 0);
        check(&s, 0, 0);
        check_health(&s, TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN);
        ck_assert_uint_eq(s.n_told, 0);
        pass(&s, 60, 1);
        check(&s, 0, 0);
        ck_assert_uint_eq(s.n_told, 1);
        pass(&s, 1000, 1);
        check(&s, 0, 6); /* were there sessions elsewhere, they would come */
        check_health(&s, TARGET_UP, TARGET_UNKNOWN, TARGET_UNKNOWN);
        ck_assert_uint_eq(s.n_told, 2);
        pass(&s, 1000, 0); /* nobody asks: nothing is known */
        check_health(&s, TARGET_UP, TARGET_UNKNOWN, TARGET_UNKNOWN);
        ck_assert_uint_eq(s.f.n_changes, 0);
}
END_TEST

START_TEST(one_that_is_silent_is_left_after_the_timeout)
{
        Scene s;

        scene_init(&s);
        pass(&s, 10, 1);
        s.alive[0] = false;
        pass(&s, 15, 1);
        check(&s, 0, 0);
        pass(&s, 1, 1);
        check(&s, 1, 1);
        check_health(&s, TARGET_DOWN, TARGET_UNKNOWN, TARGET_UNKNOWN);
        ck_assert_uint_eq(s.f.n_changes, 1);
        pass(&s, 10, 2);
        check(&s, 1, 1);
        check_health(&s, TARGET_DOWN, TARGET_UP, TARGET_UNKNOWN);
        s.alive[1] = false; /* and the next */
        pass(&s, 16, 2);
        check(&s, 2, 3);
}
END_TEST

/* Silence is only where somebody asks, and more than once. */
START_TEST(few_questions_are_no_silence)
{
        Scene s;

        scene_init(&s);
        s.alive[0] = false;
        for (unsigned i = 0; i < 100; i++) { /* one in 20 s: each may have been answered where we do not see it */
                pass(&s, 1, 1);
                pass(&s, 19, 0);
        }
        check(&s, 0, 0);
        pass(&s, 1, 1);
        pass(&s, 14, 0);
        pass(&s, 1, 1); /* two in 15 s */
        check(&s, 0, 0);
        pass(&s, 5, 0);
        pass(&s, 1, 1); /* as WireGuard does, every few seconds */
        check(&s, 1, 1);
}
END_TEST

START_TEST(an_icmp_error_makes_it_sooner_but_never_alone)
{
        Scene s;

        scene_init(&s);
        for (unsigned i = 0; i < 100; i++) {
                s.seen[0].icmp_errors++; /* forged: it answers */
                pass(&s, 1, 1);
        }
        check(&s, 0, 6);
        for (unsigned i = 0; i < 100; i++) {
                s.seen[0].icmp_errors++; /* nobody asks */
                pass(&s, 1, 0);
        }
        check(&s, 0, 6);
        s.alive[0] = false;
        s.seen[0].icmp_errors++; /* one proves nothing */
        pass(&s, 15, 1);
        check(&s, 0, 6);
        pass(&s, 1, 1);
        check(&s, 1, 1);
}
END_TEST

START_TEST(icmp_errors_with_each_question_make_it_sooner)
{
        Scene s;

        scene_init(&s);
        pass(&s, 10, 1);
        s.alive[0] = false;
        for (unsigned i = 0; i < 6; i++) {
                check(&s, 0, 0);
                s.seen[0].icmp_errors++;
                pass(&s, 1, 1);
        }
        check(&s, 1, 1);
}
END_TEST

/* Who was never answered is believed only where nobody was answered lately, and where we do not ask by ourselves. */
START_TEST(strangers_are_believed_if_there_is_nobody_else)
{
        Scene s;

        scene_init(&s);
        for (unsigned i = 0; i < 16; i++) {
                s.seen[0].knocked++;
                pass(&s, 1, 0);
        }
        check(&s, 1, 1); /* it was never known to answer */
        scene_init(&s);
        pass(&s, 10, 1);
        for (unsigned i = 0; i < 5 * 60 - 1; i++) {
                s.seen[0].knocked++;
                pass(&s, 1, 0);
        }
        check(&s, 0, 6);
        for (unsigned i = 0; i < 16; i++) {
                s.seen[0].knocked++;
                pass(&s, 1, 0);
        }
        ck_assert_uint_eq(s.f.chosen, 1);
        scene_init(&s);
        s.seen[0].probed = true;
        for (unsigned i = 0; i < 1000; i++) {
                s.seen[0].knocked++;
                pass(&s, 1, 0);
        }
        check(&s, 0, 0);
}
END_TEST

/* A time-out that is shorter than some looks is as long as these. */
START_TEST(the_shortest_timeout)
{
        Scene s;

        scene_init(&s);
        s.f.settings.timeout = USEC_PER_MSEC;
        s.alive[0] = false;
        pass(&s, 2, 1);
        check(&s, 0, 0);
        pass(&s, 1, 1);
        check(&s, 1, 1);
}
END_TEST

/* Where in the list a target stands is not its number. */
START_TEST(the_order_is_not_the_number)
{
        Scene s;

        scene_init(&s);
        s.f.order[0] = 2;
        s.f.order[2] = 0;
        pass(&s, 5, 4);
        check(&s, 2, 0);
        s.alive[2] = false;
        pass(&s, 16, 4);
        check(&s, 1, 4);
        s.f.order[0] = 1; /* the list is another one */
        s.f.order[1] = 0;
        s.f.n = 2;
        pass(&s, 1, 2);
        check(&s, 1, 0);
}
END_TEST

/* It is tried with new sessions after a minute; those that were moved come back when it has answered for another. */
START_TEST(the_preferred_one_comes_back)
{
        Scene s;

        scene_init(&s);
        pass(&s, 10, 1);
        s.alive[0] = false;
        pass(&s, 16, 1);
        check(&s, 1, 1);
        pass(&s, 59, 2);
        check(&s, 1, 1);
        s.alive[0] = true;
        pass(&s, 1, 2);
        check(&s, 0, 0); /* nobody is moved to what is not known */
        check_health(&s, TARGET_UNKNOWN, TARGET_UP, TARGET_UNKNOWN);
        pass(&s, 60, 3);
        check_health(&s, TARGET_UP, TARGET_UP, TARGET_UNKNOWN);
        check(&s, 0, 0);
        pass(&s, 1, 3);
        check(&s, 0, 6);
        ck_assert_uint_eq(s.f.n_changes, 2);
}
END_TEST

/* Tried in vain: sooner told from the living, and later tried again, half an hour at most. */
START_TEST(a_dead_one_is_tried_less_and_less)
{
        static const unsigned minutes[] = {1, 2, 4, 8, 16, 30, 30};
        Scene s;

        scene_init(&s);
        s.alive[0] = false;
        pass(&s, 16, 1);
        check(&s, 1, 1);
        for (unsigned i = 0; i < ELEMENTSOF(minutes); i++) {
                pass(&s, 60 * minutes[i] - 1, 2);
                ck_assert_uint_eq(s.f.chosen, 1);
                ck_assert(s.f.left & 1);
                pass(&s, 1, 2);
                check(&s, 0, 0);
                pass(&s, 5, 3);
                check(&s, 0, 0);
                pass(&s, 1, 3);
                ck_assert_uint_eq(s.f.chosen, 1);
        }
        s.alive[0] = true;
        pass(&s, 60 * 30, 2);
        pass(&s, 60 * 31, 3); /* it has to be good for as long as it was not trusted */
        s.alive[0] = false;
        pass(&s, 16, 1);
        ck_assert_uint_eq(s.f.chosen, 1);
        pass(&s, 60, 2);
        check(&s, 0, 0);
}
END_TEST

START_TEST(all_are_down)
{
        Scene s;

        scene_init(&s);
        for (unsigned i = 0; i < N; i++)
                s.alive[i] = false;
        pass(&s, 40, 7);
        check(&s, 0, 0); /* there is no better one, and nobody is moved for that */
        check_health(&s, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN);
        s.seen[2].answered++;
        pass(&s, 1, 0);
        check(&s, 2, 3);
}
END_TEST

START_TEST(sessions_may_stay)
{
        Scene s;

        scene_init(&s);
        s.f.settings.move = false;
        s.alive[0] = false;
        pass(&s, 16, 1);
        check(&s, 1, 0);
        s.alive[0] = true;
        pass(&s, 300, 3);
        check(&s, 0, 0);
}
END_TEST

START_TEST(drained_and_unknown_ones_are_left)
{
        Scene s;

        scene_init(&s);
        pass(&s, 10, 7);
        s.f.targets[0].drained = true;
        pass(&s, 1, 7);
        check(&s, 1, 1);
        s.seen[1].known = false;
        pass(&s, 1, 7);
        ck_assert_uint_eq(s.f.chosen, 2);
        s.f.targets[2].drained = true; /* nothing else is left */
        pass(&s, 1, 7);
        ck_assert_uint_eq(s.f.chosen, 0);
        s.f.targets[0].drained = s.f.targets[2].drained = false;
        s.seen[1].known = true;
        pass(&s, 1, 7);
        ck_assert_uint_eq(s.f.chosen, 0);
}
END_TEST

START_TEST(what_is_forgotten)
{
        Scene s;

        scene_init(&s);
        pass(&s, 10, 7);
        check_health(&s, TARGET_UP, TARGET_UP, TARGET_UP);
        failover_forget(&s.f, 1);
        pass(&s, 1, 0);
        check_health(&s, TARGET_UP, TARGET_UNKNOWN, TARGET_UP); /* its sums are no news */
}
END_TEST

UNIT_SUITE("daemon/failover", UNIT_TEST(the_first_is_chosen_and_stays),
           UNIT_TEST(one_that_is_silent_is_left_after_the_timeout), UNIT_TEST(few_questions_are_no_silence),
           UNIT_TEST(an_icmp_error_makes_it_sooner_but_never_alone),
           UNIT_TEST(icmp_errors_with_each_question_make_it_sooner),
           UNIT_TEST(strangers_are_believed_if_there_is_nobody_else), UNIT_TEST(the_shortest_timeout),
           UNIT_TEST(the_order_is_not_the_number), UNIT_TEST(the_preferred_one_comes_back),
           UNIT_TEST(a_dead_one_is_tried_less_and_less), UNIT_TEST(all_are_down), UNIT_TEST(sessions_may_stay),
           UNIT_TEST(drained_and_unknown_ones_are_left), UNIT_TEST(what_is_forgotten))
