/* SPDX-License-Identifier: MIT */
/*
 * Believes: whoever asks again and again and hears nothing is worse off than one who is carried elsewhere for nothing.
 * Refuses: to believe those whom nobody ever answered, as long as somebody was; to move a session that is answered to a
 * target of which nothing is known: new ones try that first.
 */
#include "daemon/failover.h"

#define PAUSE_MAX (30 * USEC_PER_MINUTE)
#define PAUSE_MIN USEC_PER_SEC /* or it would flap until that has been doubled some times */
#define TRUSTED_FOR (5 * USEC_PER_MINUTE)

enum {
        ASKS_MIN = 3,    /* one question may be lost */
        SOONER_PART = 3, /* of the time-out is enough where each look brings an ICMP error, or for one that was down
                            before */
};

const char *const target_health_names[N_TARGET_HEALTHS] = {
                [TARGET_UNKNOWN] = "unknown", [TARGET_UP] = "up", [TARGET_DOWN] = "down"};

void failover_forget(Failover *failover, uint8_t target)
{
        const TargetSeen seen = failover->targets[target].seen;

        failover->targets[target] = (TargetState){.seen = seen, .icmp_before = seen.icmp_errors};
}

static void become(TargetState *target, TargetHealth health, usec_t now)
{
        target->health = health;
        target->since = now;
        target->silent = 0;
}

static void go_down(TargetState *target, const FailoverSettings *settings, usec_t now)
{
        usec_t longer = 2 * target->pause < PAUSE_MAX ? 2 * target->pause : PAUSE_MAX;

        target->pause = longer > settings->back ? longer : settings->back;
        target->pause = target->pause > PAUSE_MIN ? target->pause : PAUSE_MIN;
        target->again = usec_add(now, target->pause);
        become(target, TARGET_DOWN, now);
}

/* It was asked and has not answered: is that long enough? A single ICMP error, which may be forged, is no reason. */
static bool is_silent(TargetState *target, const TargetSeen *seen, usec_t timeout, usec_t now)
{
        usec_t pause = timeout > ASKS_MIN * FAILOVER_LOOK_EVERY ? timeout : ASKS_MIN * FAILOVER_LOOK_EVERY;

        if (target->silent == 0 || usec_sub(now, target->asked) > pause) {
                target->silent = now;
                target->n_asks = target->n_icmp = 0;
        }
        target->n_icmp += seen->icmp_errors != target->seen.icmp_errors;
        target->asked = now;
        target->n_asks++;
        if (target->tried || target->n_icmp >= ASKS_MIN)
                timeout /= SOONER_PART;
        return target->n_asks >= ASKS_MIN && usec_sub(now, target->silent) >= timeout;
}

/* Strangers' questions count only where nobody better is there to ask. */
static bool is_asked(const TargetState *target, const TargetSeen *seen, usec_t now)
{
        bool trusted = seen->probed || (target->health == TARGET_UP && usec_sub(now, target->answered) < TRUSTED_FOR);

        return seen->asked != target->seen.asked || (seen->knocked != target->seen.knocked && !trusted);
}

static void look_at(TargetState *target, const TargetSeen *seen, const FailoverSettings *settings, usec_t now)
{
        if (seen->answered != target->seen.answered) {
                if (target->health != TARGET_UP)
                        become(target, TARGET_UP, now);
                target->silent = 0;
                target->answered = now;
                target->tried = false;
                if (usec_sub(now, target->since) >= target->pause)
                        target->pause = 0;
        } else if (target->health == TARGET_DOWN) {
                if (now >= target->again) {
                        become(target, TARGET_UNKNOWN, now);
                        target->tried = true;
                }
        } else if (is_asked(target, seen, now) && is_silent(target, seen, settings->timeout, now))
                go_down(target, settings, now);
        target->seen = *seen;
}

static bool usable(const TargetState *target)
{
        return target->seen.known && !target->drained;
}

/* The first that may answer; or the first there is, for there is no better one. */
static uint8_t choose(const Failover *failover)
{
        for (uint8_t i = 0; i < failover->n; i++)
                if (usable(&failover->targets[failover->order[i]]) &&
                    failover->targets[failover->order[i]].health != TARGET_DOWN)
                        return failover->order[i];
        for (uint8_t i = 0; i < failover->n; i++)
                if (usable(&failover->targets[failover->order[i]]))
                        return failover->order[i];
        for (uint8_t i = 0; i < failover->n; i++)
                if (failover->targets[failover->order[i]].seen.known)
                        return failover->order[i];
        return failover->order[0];
}

/* behind: the chosen one is preferred to it. */
static bool is_to_be_left(const Failover *failover, uint8_t target, bool behind, usec_t now)
{
        const TargetState *it = &failover->targets[target], *chosen = &failover->targets[failover->chosen];
        bool settled = chosen->health == TARGET_UP && usec_sub(now, chosen->since) >= failover->settings.back;

        if (target == failover->chosen || !failover->settings.move || chosen->health == TARGET_DOWN)
                return false;
        return it->drained || it->health == TARGET_DOWN || (behind && settled);
}

bool failover_look(Failover *failover, const TargetSeen seen[static UPSTREAM_TARGETS_MAX], usec_t now)
{
        uint8_t chosen = failover->chosen;
        uint16_t left = failover->left;
        bool changed = false, behind = false;

        for (uint8_t i = 0; i < failover->n; i++) {
                TargetState *target = &failover->targets[failover->order[i]];
                TargetHealth before = target->health;

                look_at(target, &seen[failover->order[i]], &failover->settings, now);
                changed = changed || target->health != before;
        }
        failover->chosen = choose(failover);
        failover->n_changes += failover->chosen != chosen;
        failover->left = 0;
        for (uint8_t i = 0; i < failover->n; i++) {
                if (is_to_be_left(failover, failover->order[i], behind, now))
                        failover->left |= (uint16_t)(1U << failover->order[i]);
                behind = behind || failover->order[i] == failover->chosen;
        }
        return changed || failover->chosen != chosen || failover->left != left;
}
