/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Mistakes of the user's making, told one line each. What was typed is repeated in them, so control characters (a line
 * end above all) become `?`.
 */
#include <stdio.h>

void problem_tell(FILE *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));
