/* SPDX-License-Identifier: MIT */
#pragma once
/* A text file, line by line. Nothing that would have to be waited for is opened, and nothing that is far too large. */
#include <stdbool.h>
#include <sys/types.h>

/*
 * Told of each line, without its end and the blanks around it, which may be changed; `number` counts from 1. why NULL:
 * it is a text; else why not. 0, or a negative errno with which the reading ends.
 */
typedef int (*LineTaken)(void *userdata, unsigned number, char *line, const char *why);

/* 0 or negative errno: -ENOENT …; -EINVAL: no regular file; -EFBIG: larger than bytes_max; or what was told. */
int lines_read(const char *path, off_t bytes_max, LineTaken take, void *userdata);
