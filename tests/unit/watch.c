/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/watch.h"
#include "unit.h"

/* A pipe with something to read in it. */
typedef struct Source {
        Watch watch;
        int ends[2];
        unsigned n_served;
} Source;

typedef struct World {
        WatchSet set;
        Source sources[WATCH_TURN_MAX + 36];
        unsigned n_served;
        int answer; /* what ready() returns */
        bool remove_others;
        usec_t now;
} World;

static World world;

static int ready(Watch *watch, void *context, usec_t now)
{
        Source *source = container_of(watch, Source, watch);
        World *w = context;

        source->n_served++;
        w->n_served++;
        w->now = now;
        if (w->remove_others)
                for (size_t i = 0; i < ELEMENTSOF(w->sources); i++)
                        if (&w->sources[i] != source && w->sources[i].ends[0] > 0)
                                watch_set_remove(&w->set, &w->sources[i].watch);
        return w->answer;
}

static void world_init(unsigned n_sources)
{
        world = (World){0};
        ck_assert_int_eq(watch_set_init(&world.set), 0);
        for (unsigned i = 0; i < n_sources; i++) {
                Source *source = &world.sources[i];

                ck_assert_int_eq(pipe2(source->ends, O_CLOEXEC | O_NONBLOCK), 0);
                ck_assert_int_eq(write(source->ends[1], "x", 1), 1);
                ck_assert_int_eq(watch_set_add(&world.set, &source->watch, source->ends[0], ready), 0);
        }
}

static int turn(void)
{
        return watch_set_dispatch(&world.set, &world, 4711);
}

START_TEST(serves_what_is_ready)
{
        char c;

        world_init(2);
        ck_assert_int_eq(read(world.sources[0].ends[0], &c, 1), 1);
        ck_assert_int_eq(turn(), 1);
        ck_assert_uint_eq(world.sources[0].n_served, 0);
        ck_assert_uint_eq(world.sources[1].n_served, 1);
        ck_assert_uint_eq(world.now, 4711);
        watch_set_done(&world.set);
        ck_assert_int_eq(world.set.fd, -EBADF);
}
END_TEST

START_TEST(nothing_ready_is_no_wait)
{
        usec_t before = clock_monotonic();

        world_init(0);
        ck_assert_int_eq(turn(), 0);
        ck_assert_uint_lt(clock_monotonic() - before, USEC_PER_SEC);
}
END_TEST

/* What was not read is met again. */
START_TEST(is_level_triggered)
{
        char c;

        world_init(1);
        for (unsigned i = 1; i <= 3; i++) {
                ck_assert_int_eq(turn(), 1);
                ck_assert_uint_eq(world.sources[0].n_served, i);
        }
        ck_assert_int_eq(read(world.sources[0].ends[0], &c, 1), 1);
        ck_assert_int_eq(turn(), 0);
}
END_TEST

START_TEST(the_end_of_a_source_is_ready_too)
{
        char c;

        world_init(1);
        ck_assert_int_eq(read(world.sources[0].ends[0], &c, 1), 1);
        (void)close(world.sources[0].ends[1]);
        ck_assert_int_eq(turn(), 1);
        ck_assert_uint_eq(world.n_served, 1);
}
END_TEST

/* Whichever comes first removes the others: they are in the kernel's answer of this turn already. */
START_TEST(a_removed_watch_is_not_called_in_the_same_turn)
{
        world_init(8);
        world.remove_others = true;
        ck_assert_int_ge(turn(), 0);
        ck_assert_uint_eq(world.n_served, 1);
        ck_assert_int_eq(turn(), 1);
        ck_assert_uint_eq(world.n_served, 2);
}
END_TEST

START_TEST(removing_twice_is_fine)
{
        world_init(1);
        watch_set_remove(&world.set, &world.sources[0].watch);
        ck_assert_int_eq(world.sources[0].watch.fd, -EBADF);
        watch_set_remove(&world.set, &world.sources[0].watch);
        ck_assert_int_eq(turn(), 0);
        ck_assert_int_eq(watch_set_add(&world.set, &world.sources[0].watch, world.sources[0].ends[0], ready), 0);
        ck_assert_int_eq(turn(), 1);
}
END_TEST

START_TEST(an_error_ends_the_turn_and_is_passed_up)
{
        world_init(3);
        world.answer = -EIO;
        ck_assert_int_eq(turn(), -EIO);
        ck_assert_uint_eq(world.n_served, 1);
}
END_TEST

/* More sources than a turn serves: nobody is served twice before everybody was served once. */
START_TEST(turns_are_bounded_and_rotate)
{
        world_init(ELEMENTSOF(world.sources));
        ck_assert_int_eq(turn(), WATCH_TURN_MAX);
        ck_assert_uint_eq(world.n_served, WATCH_TURN_MAX);
        ck_assert_int_gt(turn(), 0);
        for (size_t i = 0; i < ELEMENTSOF(world.sources); i++)
                ck_assert_msg(world.sources[i].n_served > 0, "source %zu was never served", i);
}
END_TEST

/* So that a whole set can be one source of another loop. */
START_TEST(the_set_is_readable_while_anything_is_ready)
{
        struct pollfd set;
        char c;

        world_init(1);
        set = (struct pollfd){.fd = world.set.fd, .events = POLLIN};
        ck_assert_int_eq(poll(&set, 1, 0), 1);
        ck_assert_int_eq(turn(), 1);
        ck_assert_int_eq(poll(&set, 1, 0), 1);
        ck_assert_int_eq(read(world.sources[0].ends[0], &c, 1), 1);
        ck_assert_int_eq(turn(), 0);
        ck_assert_int_eq(poll(&set, 1, 0), 0);
}
END_TEST

/* A pair of sockets, one of them watched; there is nothing to read, and room to write. */
static Source *watched_socket(void)
{
        Source *source = &world.sources[0];

        world_init(0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, source->ends), 0);
        ck_assert_int_eq(watch_set_add(&world.set, &source->watch, source->ends[0], ready), 0);
        return source;
}

START_TEST(room_is_looked_at_only_when_it_is_wanted)
{
        Source *source = watched_socket();

        ck_assert_int_eq(turn(), 0);
        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, true), 0);
        ck_assert_int_eq(turn(), 1);
        ck_assert_int_eq(turn(), 1); /* level-triggered, as reading is */
        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, true), 0);
        ck_assert_int_eq(turn(), 1);
        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, false), 0);
        ck_assert_int_eq(turn(), 0);
        ck_assert_uint_eq(source->n_served, 3);
}
END_TEST

START_TEST(a_full_buffer_has_no_room)
{
        static char page[4096];
        Source *source = watched_socket();

        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, true), 0);
        while (write(source->ends[0], page, sizeof(page)) > 0)
                ;
        ck_assert_int_eq(turn(), 0);
        while (read(source->ends[1], page, sizeof(page)) > 0)
                ;
        ck_assert_int_eq(turn(), 1);
}
END_TEST

/* Who waits for room hears of what comes in all the same, then and afterwards; and once for both. */
START_TEST(who_wants_room_reads_on)
{
        Source *source = watched_socket();
        static char page[4096];

        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, true), 0);
        ck_assert_int_eq(write(source->ends[1], "x", 1), 1);
        ck_assert_int_eq(turn(), 1);
        ck_assert_uint_eq(source->n_served, 1);
        while (write(source->ends[0], page, sizeof(page)) > 0)
                ;
        ck_assert_int_eq(turn(), 1);
        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, false), 0);
        ck_assert_int_eq(turn(), 1);
        ck_assert_int_eq(read(source->ends[0], page, sizeof(page)), 1);
        ck_assert_int_eq(turn(), 0);
}
END_TEST

START_TEST(a_removed_watch_wants_nothing)
{
        Source *source = watched_socket();

        watch_set_remove(&world.set, &source->watch);
        ck_assert_int_eq(watch_set_want_room(&world.set, &source->watch, true), -EBADF);
        ck_assert_int_eq(turn(), 0);
        ck_assert_int_eq(watch_set_add(&world.set, &source->watch, source->ends[0], ready), 0);
        ck_assert_int_eq(turn(), 0); /* a new watch does not inherit the wish */
}
END_TEST

START_TEST(what_cannot_be_watched_is_refused)
{
        int file = open("file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        Watch watch;

        world_init(1);
        ck_assert_int_ge(file, 0);
        ck_assert_int_eq(watch_set_add(&world.set, &watch, -EBADF, ready), -EBADF);
        ck_assert_int_eq(watch.fd, -EBADF);
        ck_assert_int_eq(watch_set_add(&world.set, &watch, file, ready), -EPERM);
        ck_assert_int_eq(watch.fd, -EBADF);
        ck_assert_int_eq(watch_set_add(&world.set, &watch, world.sources[0].ends[0], ready), -EEXIST);
        watch_set_remove(&world.set, &watch); /* does nothing, above all not to the other watch of that descriptor */
        ck_assert_int_eq(turn(), 1);
        (void)close(file);
}
END_TEST

UNIT_SUITE("base/watch", UNIT_TEST(serves_what_is_ready), UNIT_TEST(nothing_ready_is_no_wait),
           UNIT_TEST(is_level_triggered), UNIT_TEST(the_end_of_a_source_is_ready_too),
           UNIT_TEST(a_removed_watch_is_not_called_in_the_same_turn), UNIT_TEST(removing_twice_is_fine),
           UNIT_TEST(an_error_ends_the_turn_and_is_passed_up), UNIT_TEST(turns_are_bounded_and_rotate),
           UNIT_TEST(the_set_is_readable_while_anything_is_ready), UNIT_TEST(room_is_looked_at_only_when_it_is_wanted),
           UNIT_TEST(a_full_buffer_has_no_room), UNIT_TEST(who_wants_room_reads_on),
           UNIT_TEST(a_removed_watch_wants_nothing), UNIT_TEST(what_cannot_be_watched_is_refused))
