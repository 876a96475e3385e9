/* SPDX-License-Identifier: MIT */
#pragma once
/* main() of a world test program: `WORLD_SUITE(title, test, test …)` at its end. */
#include "world.h"

#define WORLD_SUITE(title, ...)                                      \
        int main(void)                                               \
        {                                                            \
                const TTest *const tests[] = {__VA_ARGS__};          \
                Suite *suite = suite_create("world/" title);         \
                SRunner *runner = srunner_create(suite);             \
                int n_failed;                                        \
                                                                     \
                for (size_t i = 0; i < ELEMENTSOF(tests); i++) {     \
                        TCase *tcase = tcase_create(tests[i]->name); \
                                                                     \
                        tcase_set_timeout(tcase, 60);                \
                        tcase_add_test(tcase, tests[i]);             \
                        suite_add_tcase(suite, tcase);               \
                }                                                    \
                srunner_run_all(runner, CK_NORMAL);                  \
                n_failed = srunner_ntests_failed(runner);            \
                srunner_free(runner);                                \
                return n_failed > 0;                                 \
        }
