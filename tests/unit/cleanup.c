/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "unit.h"

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static int open_something(void)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

START_TEST(a_closed_descriptor_says_so)
{
        int fd = open_something(), number = fd;

        fd = safe_close(fd);
        ck_assert_int_eq(fd, -EBADF);
        ck_assert(!is_open(number));
        ck_assert_int_eq(safe_close(fd), -EBADF);
}
END_TEST

START_TEST(closing_keeps_errno)
{
        errno = ENOANO;
        (void)safe_close(1000000);
        ck_assert_int_eq(errno, ENOANO);
}
END_TEST

START_TEST(the_scope_closes_what_was_not_taken)
{
        int taken, left;

        {
                _cleanup_close_ int a = open_something();
                _cleanup_close_ int b = open_something();

                left = a;
                taken = TAKE_FD(b);
                ck_assert_int_eq(b, -EBADF);
        }
        ck_assert(!is_open(left));
        ck_assert(is_open(taken));
        (void)close(taken);
}
END_TEST

START_TEST(a_taken_pointer_leaves_null)
{
        char text[] = "text", *p = text;

        ck_assert_ptr_eq(TAKE_PTR(p), text);
        ck_assert_ptr_null(p);
        ck_assert_ptr_null(TAKE_PTR(p));
}
END_TEST

typedef struct Thing {
        int destroyed;
} Thing;

static Thing *thing_free(Thing *thing)
{
        thing->destroyed++;
        return NULL;
}
DEFINE_CLEANUP(Thing, thing_free)

START_TEST(a_destructor_runs_once_and_never_for_null)
{
        Thing thing = {0};

        {
                _cleanup_(cleanup_thing_free) Thing *held = &thing;
                _cleanup_(cleanup_thing_free) Thing *none = NULL;

                ck_assert_ptr_nonnull(held);
                ck_assert_ptr_null(none);
        }
        ck_assert_int_eq(thing.destroyed, 1);
        {
                _cleanup_(cleanup_thing_free) Thing *held = &thing;

                ck_assert_ptr_eq(TAKE_PTR(held), &thing);
        }
        ck_assert_int_eq(thing.destroyed, 1);
}
END_TEST

START_TEST(container_of_finds_the_whole)
{
        struct {
                int a;
                Thing b;
        } whole;

        ck_assert_ptr_eq(container_of(&whole.b, __typeof__(whole), b), &whole);
}
END_TEST

UNIT_SUITE("base/cleanup", UNIT_TEST(a_closed_descriptor_says_so), UNIT_TEST(closing_keeps_errno),
           UNIT_TEST(the_scope_closes_what_was_not_taken), UNIT_TEST(a_taken_pointer_leaves_null),
           UNIT_TEST(a_destructor_runs_once_and_never_for_null), UNIT_TEST(container_of_finds_the_whole))
