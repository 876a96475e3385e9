/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What unit tests share. Each test runs in a process of its own (unless CK_FORK=no) and may therefore change limits,
 * namespaces and descriptors as it likes; each program starts in an empty directory that is removed at its end.
 */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

typedef struct UnitTest {
        const TTest *test;
        int n; /* runs with _i from 0 to n - 1 */
} UnitTest;

#define UNIT_TEST(name) ((UnitTest){name, 1})
#define UNIT_LOOP(name, n) ((UnitTest){name, (int)(n)})

/* main() of a test program: `UNIT_SUITE("base/list", UNIT_TEST(list_order), UNIT_LOOP(list_many, 3))` at its end. */
#define UNIT_SUITE(title, ...)                                     \
        int main(void)                                             \
        {                                                          \
                const UnitTest tests[] = {__VA_ARGS__};            \
                                                                   \
                return unit_main(title, tests, ELEMENTSOF(tests)); \
        }

int unit_main(const char *title, const UnitTest *tests, size_t n);

/* Writes a file in the test's directory. */
void unit_write(const char *name, const void *data, size_t size);

/* A stream to collect text in; unit_text() ends what was written with a NUL and returns all of it. */
typedef struct UnitText {
        FILE *to;
        char *text;
        size_t size;
} UnitText;

void unit_text_init(UnitText *text);
const char *unit_text(UnitText *text);
void unit_text_done(UnitText *text);

/* The number of lines; the number of times a text occurs. */
unsigned unit_count_lines(const char *text);
unsigned unit_count(const char *text, const char *part);

/* Catches standard error; unit_stderr_end() gives it back and returns (to be freed) what was written. */
void unit_stderr_begin(void);
char *unit_stderr_end(void);

/* How often a text has been written to it so far. */
unsigned unit_stderr_count(const char *part);

/* Makes standard error a pipe that is full (of NUL bytes) and that nobody reads. Returns its reading end. */
int unit_stderr_stall(void);

/*
 * A network of one's own in which lo is up (a name service cannot be asked then), or mounts of one's own. Root may, and
 * often everybody (user namespaces). false: it is not allowed here; the test says so and ends.
 */
bool unit_own_network(void);
bool unit_own_mounts(void);

/* The ports that the kernel hands out in a network of one's own. false: it cannot be set up. */
bool unit_own_ports(unsigned low, unsigned high);

/* Runs a shell command; false if it failed. */
bool unit_run(const char *command);

/* Moves what is open at fd to a number from 100 on, so that small numbers can be given away. */
int unit_fd_high(int fd);
