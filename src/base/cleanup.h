/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Ownership, said where a variable is declared and handed over in one visible place.
 *
 * A variable marked _cleanup_(f) is released by f(&variable) when it leaves its scope. TAKE_PTR and TAKE_FD empty the
 * variable and yield what it held: the line that bears one of them is the line where the owner changes. File
 * descriptors that hold nothing are -EBADF, so that a slip shows up in strace as what it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define TAKE_PTR(p)                          \
        __extension__({                      \
                __typeof__(p) *_pp = &(p);   \
                __typeof__(p) _taken = *_pp; \
                *_pp = NULL;                 \
                _taken;                      \
        })

/* The object that embeds `member`; p points at the member. */
#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

static inline int take_fd(int *fd)
{
        int taken = *fd;

        *fd = -EBADF;
        return taken;
}
#define TAKE_FD(fd) take_fd(&(fd))

/* Closes what is open and says -EBADF, so that `fd = safe_close(fd)` cannot leave a stale number. Keeps errno. */
static inline int safe_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void cleanup_close(int *fd)
{
        *fd = safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

static inline void cleanup_free(void *p)
{
        free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(cleanup_free)

/* static inline void cleanup_T(T **p): what _cleanup_() wants, from a destructor that takes NULL and yields NULL. */
#define DEFINE_CLEANUP(type, destructor)                  \
        static inline void cleanup_##destructor(type **p) \
        {                                                 \
                if (*p)                                   \
                        *p = destructor(*p);              \
        }
