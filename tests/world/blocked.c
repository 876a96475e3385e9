/* SPDX-License-Identifier: MIT */
/* Fault 5: one blocked upstream write stalled the whole listener. */
#include <string.h>

#include "suite.h"

START_TEST(a_full_send_buffer_delays_nobody)
{
        enum { N = 3000 };
        static uint8_t data[1200];
        Address slow_listener, quick_listener, far, near;
        const Listener *slow, *quick;
        usec_t began, took = 0;
        World w;
        int home, stuck, client;

        world_init(&w, 100);
        /* A path that takes what comes and lets nothing out: its queue keeps the sender's buffer occupied. */
        world_run("ip link add far type veth peer name far-end && ip link set far up && ip link set far-end up && "
                  "ip -6 addr add 2001:db8:1::1/64 dev far nodad && "
                  "ip -6 neigh add 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev far nud permanent && "
                  "tc qdisc add dev far root tbf rate 1kbit burst 2k limit 100m");
        far = (Address){.family = AF_INET6, .port = 51820};
        memcpy(&far.v6, "\x20\x01\x0d\xb8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02", 16);
        home = upstream_new(NULL, 0, &near);
        slow = world_listener(&w, NULL, world_policy(&w, NULL, &far), &slow_listener);
        quick = world_listener(&w, NULL, world_policy(&w, NULL, &near), &quick_listener);
        stuck = client_new(NULL, &slow_listener);
        client = client_new(NULL, &quick_listener);
        (void)world_round(&w, client, home, "before");
        for (int i = 0; i < N; i++) {
                peer_send(stuck, data, sizeof(data));
                began = clock_monotonic();
                ck_assert_int_ge(relay_dispatch(w.relay, w.now), 0);
                if (clock_monotonic() - began > took)
                        took = clock_monotonic() - began;
        }
        ck_assert_uint_gt(world_verdicts(slow, FORWARD, VERDICT_SEND_BUFFER_FULL), 100);
        ck_assert_uint_gt(world_verdicts(slow, FORWARD, VERDICT_FORWARDED), 10);
        ck_assert_uint_lt(took, 500 * USEC_PER_MSEC); /* a write that waits would take seconds */
        (void)world_round(&w, client, home, "meanwhile");
        ck_assert_uint_eq(world_verdicts(quick, FORWARD, VERDICT_FORWARDED), 2);
        world_done(&w);
}
END_TEST

WORLD_SUITE("blocked", a_full_send_buffer_delays_nobody)
