/* SPDX-License-Identifier: MIT */
/*
 * Believes: whoever asks again and again and hears nothing is worse off than one who is carried elsewhere for nothing.
 * Refuses: to move a session that is answered to a target of which nothing is known; new ones try that first.
 */
#include "daemon/failover.h"

#define PAUSE_MAX (30 * USEC_PER_MINUTE)

enum {
        ASKS_MIN = 3,    /* one question may be lost */
        SOONER_PART = 3, /* of the time-out is enough after an ICMP error, or for one that was down before */
};

const char *const target_health_names[N_TARGET_HEALTHS] = {
                [TARGET_UNKNOWN] = "unknown", [TARGET_UP] = "up", [TARGET_DOWN] = "down"};

void failover_forget(Failover *failover, uint8_t target)
{
        failover->targets[target] = (TargetState){.seen = failover->targets[target].seen};
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
        target->again = usec_add(now, target->pause);
        become(target, TARGET_DOWN, now);
}

void failover_resume(Failover *failover, uint8_t chosen, usec_t now)
{
        for (uint8_t i = 0; i < chosen; i++)
                go_down(&failover->targets[i], &failover->settings, now);
        failover->chosen = chosen;
}

/* It was asked and has not answered: is that long enough? */
static bool is_silent(TargetState *target, const TargetSeen *seen, usec_t timeout, usec_t now)
{
        if (target->silent == 0 || usec_sub(now, target->asked) > timeout) {
                target->silent = now;
                target->n_asks = 0;
                target->refused = false;
        }
        target->refused = target->refused || seen->icmp_errors != target->seen.icmp_errors;
        target->asked = now;
        target->n_asks++;
        if (target->tried || target->refused)
                timeout /= SOONER_PART;
        return target->n_asks >= ASKS_MIN && usec_sub(now, target->silent) >= timeout;
}

static void look_at(TargetState *target, const TargetSeen *seen, const FailoverSettings *settings, usec_t now)
{
        if (seen->answered != target->seen.answered) {
                if (target->health != TARGET_UP)
                        become(target, TARGET_UP, now);
                target->silent = 0;
                target->tried = false;
                if (usec_sub(now, target->since) >= target->pause)
                        target->pause = 0;
        } else if (target->health == TARGET_DOWN) {
                if (now >= target->again) {
                        become(target, TARGET_UNKNOWN, now);
                        target->tried = true;
                }
        } else if (seen->asked != target->seen.asked && is_silent(target, seen, settings->timeout, now))
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
                if (usable(&failover->targets[i]) && failover->targets[i].health != TARGET_DOWN)
                        return i;
        for (uint8_t i = 0; i < failover->n; i++)
                if (usable(&failover->targets[i]))
                        return i;
        for (uint8_t i = 0; i < failover->n; i++)
                if (failover->targets[i].seen.known)
                        return i;
        return 0;
}

static bool is_to_be_left(const Failover *failover, uint8_t i, usec_t now)
{
        const TargetState *target = &failover->targets[i], *chosen = &failover->targets[failover->chosen];
        bool settled = chosen->health == TARGET_UP && usec_sub(now, chosen->since) >= failover->settings.back;

        if (i == failover->chosen || !failover->settings.move || chosen->health == TARGET_DOWN)
                return false;
        return target->drained || target->health == TARGET_DOWN || (i > failover->chosen && settled);
}

bool failover_look(Failover *failover, const TargetSeen seen[static UPSTREAM_TARGETS_MAX], usec_t now)
{
        uint8_t chosen = failover->chosen, left = failover->left;
        bool changed = false;

        for (uint8_t i = 0; i < failover->n; i++) {
                TargetHealth before = failover->targets[i].health;

                look_at(&failover->targets[i], &seen[i], &failover->settings, now);
                changed = changed || failover->targets[i].health != before;
        }
        failover->chosen = choose(failover);
        failover->n_changes += failover->chosen != chosen;
        failover->left = 0;
        for (uint8_t i = 0; i < failover->n; i++)
                if (is_to_be_left(failover, i, now))
                        failover->left |= (uint8_t)(1U << i);
        return changed || failover->chosen != chosen || failover->left != left;
}
