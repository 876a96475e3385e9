/* SPDX-License-Identifier: MIT */
#pragma once
/* Runs other programs and reads what they print: for a bounded time, as text, without a terminal. */
#include <stdbool.h>
#include <stddef.h>

enum { PROGRAM_SECONDS = 5 };

/*
 * Standard output and error, as much as fits, end up in `output`, always a string. Returns the exit status; -ENOENT if
 * there is no such program (sbin is looked into, too), -ETIMEDOUT, -ECHILD if a signal ended it, or another negative
 * errno. argv ends with NULL.
 */
int program_run(const char *const argv[], char *output, size_t size);

/* Is there such a program? */
bool program_exists(const char *name);
