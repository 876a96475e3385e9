/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "daemon/store.h"
#include "unit.h"

static int thing(void)
{
        int fd = eventfd(0, EFD_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static int take(Store *store, const char *name)
{
        int fd = thing();

        ck_assert_msg(store_take(store, name, fd), "%s", name);
        return fd;
}

START_TEST(a_state_has_three_parts)
{
        Store store = {0};
        int out = take(&store, "state-00000000000012ab-3-out"), image, in, other;

        image = take(&store, "state-00000000000012ab-3-image");
        in = take(&store, "state-00000000000012ab-3-in");
        ck_assert_uint_eq(store.n, 1);
        ck_assert_uint_eq(store.states[0].born, 0x12ab);
        ck_assert_uint_eq(store.states[0].worker, 3);
        ck_assert_int_eq(store.states[0].image, image);
        ck_assert_int_eq(store.states[0].queue.in, in);
        ck_assert_int_eq(store.states[0].queue.out, out);
        other = take(&store, "state-00000000000012ab-2-in");
        (void)take(&store, "state-00000000000012ac-3-out");
        ck_assert_uint_eq(store.n, 3);
        ck_assert_int_eq(store.states[1].queue.in, other);
        ck_assert_int_eq(store.states[1].image, -EBADF);
        ck_assert_int_eq(store.states[1].queue.out, -EBADF);
        store_done(&store);
        ck_assert(!is_open(image) && !is_open(in) && !is_open(out) && !is_open(other));
        ck_assert_uint_eq(store.n, 0);
}
END_TEST

/* What the largest numbers make of it. */
START_TEST(names_have_room_for_all_numbers)
{
        Store store = {0};

        (void)take(&store, "state-ffffffffffffffff-4294967295-image");
        ck_assert_uint_eq(store.n, 1);
        ck_assert_uint_eq(store.states[0].born, UINT64_MAX);
        ck_assert_uint_eq(store.states[0].worker, UINT32_MAX);
        store_done(&store);
}
END_TEST

static const char *const strangers[] = {"",
                                        "relay",
                                        "state",
                                        "State-0000000000000001-0-image",
                                        "stat",
                                        "http",
                                        " state-0000000000000001-0-image"};

START_TEST(what_is_somebody_elses_is_left_alone)
{
        Store store = {0};
        int fd = thing();

        ck_assert_msg(!store_take(&store, strangers[_i], fd), "%s", strangers[_i]);
        ck_assert(is_open(fd));
        ck_assert_uint_eq(store.n, 0);
        (void)close(fd);
        store_done(&store);
}
END_TEST

static const char *const malformed[] = {
                "state-",
                "state-image",
                "state-0-image",
                "state-0000000000000001",
                "state-0000000000000001-",
                "state-0000000000000001-0",
                "state-0000000000000001-0-",
                "state-0000000000000001-0-imag",
                "state-0000000000000001-0-images",
                "state-0000000000000001-0-image ",
                "state-0000000000000001-0-Image",
                "state-0000000000000001-0 -image",
                "state-0000000000000001-x-image",
                "state-000000000000000g-0-image",
                "state-00000000000000001-0-image",
                "state-0000000000000001-0-in-out",
                "state-0000000000000001--1-in",
                /* what the manager could not be told to forget, because its name is not the one that we would say */
                "state-1-0-image",
                "state- 000000000000001-0-image",
                "state-+000000000000001-0-image",
                "state-0x00000000000001-0-image",
                "state--000000000000001-0-image",
                "state-000000000000000A-0-image",
                "state-0000000000000001-00-image",
                "state-0000000000000001- 0-image",
                "state-0000000000000001-+0-image",
                "state-0000000000000001-4294967296-image",
};

/* Of another version, perhaps: nobody else will ever want it. */
START_TEST(what_cannot_be_read_is_closed)
{
        Store store = {0};
        int fd = take(&store, malformed[_i]);

        ck_assert_msg(!is_open(fd), "%s", malformed[_i]);
        ck_assert_uint_eq(store.n, 0);
        store_done(&store);
}
END_TEST

START_TEST(of_two_of_a_name_the_later_is_kept)
{
        Store store = {0};
        int first = take(&store, "state-0000000000000001-0-in"), second;

        second = take(&store, "state-0000000000000001-0-in");
        ck_assert(!is_open(first) || first == second);
        ck_assert(is_open(second));
        ck_assert_uint_eq(store.n, 1);
        ck_assert_int_eq(store.states[0].queue.in, second);
        store_done(&store);
        ck_assert(!is_open(second));
}
END_TEST

START_TEST(the_youngest_comes_first)
{
        Store store = {0};

        store_sort(&store); /* none */
        (void)take(&store, "state-0000000000000010-0-in");
        (void)take(&store, "state-8000000000000000-0-in"); /* a difference that is no int */
        (void)take(&store, "state-0000000000000001-0-in");
        (void)take(&store, "state-0000000100000010-0-in");
        store_sort(&store);
        ck_assert_uint_eq(store.n, 4);
        ck_assert_uint_eq(store.states[0].born, 0x8000000000000000);
        ck_assert_uint_eq(store.states[1].born, 0x100000010);
        ck_assert_uint_eq(store.states[2].born, 0x10);
        ck_assert_uint_eq(store.states[3].born, 1);
        store_done(&store);
        store_done(&store);
}
END_TEST

UNIT_SUITE("daemon/store", UNIT_TEST(a_state_has_three_parts), UNIT_TEST(names_have_room_for_all_numbers),
           UNIT_LOOP(what_is_somebody_elses_is_left_alone, ELEMENTSOF(strangers)),
           UNIT_LOOP(what_cannot_be_read_is_closed, ELEMENTSOF(malformed)),
           UNIT_TEST(of_two_of_a_name_the_later_is_kept), UNIT_TEST(the_youngest_comes_first))
