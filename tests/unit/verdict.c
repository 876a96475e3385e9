/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "relay/verdict.h"
#include "unit.h"

static const struct {
        int error;
        Verdict verdict;
} errors[] = {
                {0, VERDICT_FORWARDED},
                {EAGAIN, VERDICT_SEND_BUFFER_FULL},
                {EWOULDBLOCK, VERDICT_SEND_BUFFER_FULL},
                {EMFILE, VERDICT_NO_DESCRIPTOR},
                {ENFILE, VERDICT_NO_DESCRIPTOR},
                {EADDRINUSE, VERDICT_NO_PORT},
                {ENOMEM, VERDICT_NO_MEMORY},
                {ENOBUFS, VERDICT_NO_MEMORY},
                {ENOSPC, VERDICT_NO_MEMORY},
                {ENETUNREACH, VERDICT_NO_ROUTE},
                {EADDRNOTAVAIL, VERDICT_NO_ROUTE},
                {ENETDOWN, VERDICT_NO_ROUTE},
                {ENODEV, VERDICT_NO_DEVICE},
                {ECONNREFUSED, VERDICT_UNREACHABLE},
                {EHOSTUNREACH, VERDICT_UNREACHABLE},
                {EHOSTDOWN, VERDICT_UNREACHABLE},
                {ENOPROTOOPT, VERDICT_UNREACHABLE},
                {EPROTO, VERDICT_UNREACHABLE},
                {EACCES, VERDICT_UNREACHABLE},
                {EMSGSIZE, VERDICT_TOO_BIG},
                {EPERM, VERDICT_DENIED},
                {EINVAL, VERDICT_SEND_FAILED},
                {EIO, VERDICT_SEND_FAILED},
};

START_TEST(errors_have_their_verdicts)
{
        ck_assert_str_eq(verdict_name(verdict_of_error(errors[_i].error)), verdict_name(errors[_i].verdict));
}
END_TEST

/* Nothing that was refused counts as forwarded, and only reasons that a send can have come out. */
START_TEST(every_error_has_a_verdict)
{
        for (int error = 1; error < 4096; error++) {
                Verdict verdict = verdict_of_error(error);

                ck_assert_int_gt(verdict, VERDICT_FORWARDED);
                ck_assert_int_lt(verdict, N_VERDICTS);
                ck_assert_int_ne(verdict, VERDICT_OVERSIZE);
                ck_assert_int_ne(verdict, VERDICT_BAD_SOURCE);
                ck_assert_int_ne(verdict, VERDICT_TABLE_FULL);
                ck_assert_int_ne(verdict, VERDICT_UPSTREAM_UNRESOLVED);
        }
}
END_TEST

/* They are label values of metrics and fields of the journal. */
START_TEST(names_are_unique_and_plain)
{
        for (Verdict v = 0; v < N_VERDICTS; v++) {
                const char *name = verdict_name(v);

                ck_assert_ptr_nonnull(name);
                ck_assert_uint_gt(strlen(name), 0);
                ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
                ck_assert_uint_gt(strlen(verdict_meaning(v)), 0);
                ck_assert_int_eq(verdict_remedy(v)[strlen(verdict_remedy(v)) - 1], '.');
                for (Verdict other = 0; other < v; other++) {
                        ck_assert_str_ne(verdict_name(other), name);
                        ck_assert_str_ne(verdict_meaning(other), verdict_meaning(v));
                }
        }
        ck_assert_str_eq(verdict_name(VERDICT_FORWARDED), "forwarded");
}
END_TEST

UNIT_SUITE("relay/verdict", UNIT_LOOP(errors_have_their_verdicts, ELEMENTSOF(errors)),
           UNIT_TEST(every_error_has_a_verdict), UNIT_TEST(names_are_unique_and_plain))
