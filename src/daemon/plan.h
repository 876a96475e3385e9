/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the configuration means on this host: defaults that depend on it filled in, limits that it cannot keep lowered.
 */
#include "daemon/config.h"
#include "relay/policy.h"
#include "relay/sources.h"

/* What holds for all listeners together. */
typedef struct PlanWhole {
        uint64_t sessions;   /* at most, */
        uint64_t unreplied;  /* and of these, such as were never answered */
        uint64_t host_ports; /* of these, with a port that the kernel chooses */
        uint64_t wanted;     /* sessions that were asked for, */
        const char *lowered; /* and why there are fewer, or none for a name; or NULL */
} PlanWhole;

/* `names`: of the listeners there are; n_descriptors are taken by them. */
PlanWhole plan_whole(const Config *config, const char *const *names, unsigned n_names, size_t n_descriptors);

/* What holds for the listeners of one name. */
PolicySettings plan_policy(const Config *config, const char *name, const PlanWhole *whole);
SourcesSettings plan_sources(const Config *config, const char *name);
