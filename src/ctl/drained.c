/* SPDX-License-Identifier: MIT */
/* Believes: the relay may read at any moment, so it must find either the old list or the new one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/drained.h"

#define BLANKS " \t\r\n\v\f"
#define TEMPORARY ".drained.new"
#define LOCK ".drained.lock"
#define LOCK_WITHIN (5 * USEC_PER_SEC)
#define LOCK_EVERY (20 * USEC_PER_MSEC)

/* The relay has another user: it must get there under any umask. */
static int directory_open(void)
{
        int fd;

        if (mkdir(DRAINED_DIRECTORY, 0755) == 0)
                (void)chmod(DRAINED_DIRECTORY, 0755);
        else if (errno != EEXIST)
                return -errno;
        fd = open(DRAINED_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* In a file that nobody but root can open: whoever can open one can lock it. */
static int directory_lock(int directory)
{
        const struct timespec pause = {.tv_nsec = LOCK_EVERY * 1000};
        _cleanup_close_ int fd = openat(directory, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        for (usec_t waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_EVERY) {
                if (errno != EWOULDBLOCK || waited >= LOCK_WITHIN)
                        return errno == EWOULDBLOCK ? -EBUSY : -errno;
                (void)nanosleep(&pause, NULL);
        }
        return TAKE_FD(fd);
}

static int file_read(DrainedList *list, int fd)
{
        struct stat st;
        size_t used = 0;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > DRAINED_BYTES_MAX)
                return S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
        list->text = calloc(1, DRAINED_BYTES_MAX + 2);
        if (!list->text)
                return -ENOMEM;
        while (used < DRAINED_BYTES_MAX && (n = read(fd, list->text + used, DRAINED_BYTES_MAX - used)) > 0)
                used += (size_t)n;
        for (size_t i = 0; i < used; i++)
                if (!list->text[i]) /* which is in no upstream's name */
                        list->text[i] = '?';
        if (used > 0 && list->text[used - 1] != '\n')
                list->text[used] = '\n';
        return 0;
}

static int directory_read(DrainedList *list)
{
        _cleanup_close_ int fd = openat(list->directory, DRAINED_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd >= 0)
                return file_read(list, fd);
        if (errno != ENOENT)
                return -errno;
        list->text = calloc(1, 1);
        return list->text ? 0 : -ENOMEM;
}

/* The directory, for us alone. */
static int list_begin(DrainedList *list)
{
        *list = (DrainedList){.directory = directory_open(), .lock = -EBADF};
        if (list->directory >= 0)
                list->lock = directory_lock(list->directory);
        return list->directory < 0 ? list->directory : list->lock;
}

int drained_open(DrainedList *ret)
{
        int r = list_begin(ret);

        if (r >= 0)
                r = directory_read(ret);
        if (r < 0)
                drained_close(ret);
        return r;
}

int drained_drop(void)
{
        DrainedList list;
        int r = list_begin(&list);

        if (r >= 0)
                r = unlinkat(list.directory, DRAINED_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
        drained_close(&list);
        return r;
}

void drained_close(DrainedList *list)
{
        free(list->text);
        (void)safe_close(list->directory);
        (void)safe_close(list->lock); /* and unlocks it */
        *list = (DrainedList){.directory = -EBADF, .lock = -EBADF};
}

/* Is the line, which ends behind n bytes, this upstream? */
static bool line_is(const char *line, size_t n, const Endpoint *endpoint)
{
        char text[ENDPOINT_TEXT_MAX];
        const char *why;
        Endpoint found;
        size_t blanks;

        blanks = strspn(line, BLANKS) < n ? strspn(line, BLANKS) : n;
        line += blanks;
        n -= blanks;
        while (n > 0 && strchr(BLANKS, line[n - 1]))
                n--;
        if (n == 0 || n >= sizeof(text))
                return false;
        memcpy(text, line, n);
        text[n] = '\0';
        return endpoint_parse(text, &found, &why) >= 0 && endpoint_same(&found, endpoint);
}

bool drained_has(const DrainedList *list, const Endpoint *endpoint)
{
        for (const char *line = list->text; *line; line = strchr(line, '\n') + 1)
                if (line_is(line, strcspn(line, "\n"), endpoint))
                        return true;
        return false;
}

int drained_add(DrainedList *list, const Endpoint *endpoint)
{
        char name[ENDPOINT_TEXT_MAX], *text;

        if (drained_has(list, endpoint))
                return 0;
        if (asprintf(&text, "%s%s\n", list->text, endpoint_format(name, endpoint)) < 0)
                return -ENOMEM;
        free(list->text);
        list->text = text;
        list->changed = true;
        return 0;
}

void drained_remove(DrainedList *list, const Endpoint *endpoint)
{
        for (char *line = list->text; *line;) {
                char *next = strchr(line, '\n') + 1;

                if (!line_is(line, strcspn(line, "\n"), endpoint)) {
                        line = next;
                        continue;
                }
                memmove(line, next, strlen(next) + 1);
                list->changed = true;
        }
}

static int file_write(int directory, const char *text)
{
        int fd = openat(directory, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        size_t n = strlen(text);
        int r = 0;

        if (fd < 0)
                return -errno;
        errno = ENOSPC;
        if (write(fd, text, n) != (ssize_t)n || fchmod(fd, 0644) < 0)
                r = -errno;
        (void)safe_close(fd);
        if (r < 0)
                (void)unlinkat(directory, TEMPORARY, 0);
        return r;
}

int drained_store(DrainedList *list)
{
        int r;

        if (strlen(list->text) > DRAINED_BYTES_MAX) /* nobody would read it */
                return -EFBIG;
        if (!*list->text)
                return unlinkat(list->directory, DRAINED_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
        (void)unlinkat(list->directory, TEMPORARY, 0); /* of somebody who was killed: we have the lock */
        r = file_write(list->directory, list->text);
        if (r >= 0 && renameat(list->directory, TEMPORARY, list->directory, DRAINED_FILE) < 0)
                r = -errno;
        return r;
}
