/* SPDX-License-Identifier: MIT */
/*
 * Believes: a line that cannot be understood is no reason to carry anybody to the others that can. Refuses: files that
 * would have to be waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "daemon/drained.h"

#define BLANKS " \t\r\n\v\f"

typedef struct Reader {
        Drained found;
        DrainedRefused refused;
        void *userdata;
} Reader;

static int add(Drained *to, const Endpoint *endpoint)
{
        Endpoint *items = reallocarray(to->items, to->n + 1, sizeof(Endpoint));

        if (!items)
                return -ENOMEM;
        to->items = items;
        to->items[to->n++] = *endpoint;
        return 0;
}

/* One line, with or without its end. The line is changed. */
static int take_line(Reader *reader, char *line, size_t length)
{
        const char *why = "not a text (a NUL byte)";
        Endpoint endpoint;
        bool whole = strlen(line) == length;

        line += strspn(line, BLANKS);
        for (char *end = line + strlen(line); end > line && strchr(BLANKS, end[-1]);)
                *--end = '\0';
        if (whole && (!*line || *line == '#'))
                return 0;
        if (whole && endpoint_parse(line, &endpoint, &why) >= 0)
                return add(&reader->found, &endpoint);
        reader->refused(reader->userdata, line, why);
        return 0;
}

static int read_lines(Reader *reader, FILE *file)
{
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        ssize_t n;
        int r = 0;

        errno = 0;
        while (r >= 0 && (n = getline(&line, &room, file)) >= 0)
                r = take_line(reader, line, (size_t)n);
        return r >= 0 && !feof(file) ? -(errno > 0 ? errno : EIO) : r;
}

/* NULL and errno. */
static FILE *open_file(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        FILE *file = NULL;

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) >= 0) {
                errno = !S_ISREG(st.st_mode) ? EINVAL : EFBIG;
                if (S_ISREG(st.st_mode) && st.st_size <= DRAINED_BYTES_MAX)
                        file = fdopen(fd, "re");
        }
        if (!file)
                (void)safe_close(fd);
        return file;
}

int drained_load(Drained *to, const char *path, DrainedRefused refused, void *userdata)
{
        Reader reader = {.refused = refused, .userdata = userdata};
        FILE *file = open_file(path);
        int r = file || errno == ENOENT ? 0 : -errno;

        if (file) {
                r = read_lines(&reader, file);
                (void)fclose(file);
        }
        drained_done(r < 0 ? &reader.found : to);
        if (r >= 0)
                *to = reader.found;
        return r;
}

void drained_done(Drained *drained)
{
        free(drained->items);
        *drained = (Drained){0};
}

bool drained_has(const Drained *drained, const Endpoint *endpoint)
{
        for (size_t i = 0; i < drained->n; i++)
                if (endpoint_same(&drained->items[i], endpoint))
                        return true;
        return false;
}
