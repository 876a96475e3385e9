/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/lines.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors begin a file with one */
#define BLANKS " \t\r\n\v\f"

/* *ret: open for reading, or NULL. 0 or negative errno. */
static int open_file(const char *path, off_t bytes_max, FILE **ret)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > bytes_max)
                return -EFBIG;
        *ret = fdopen(fd, "re");
        if (!*ret)
                return -errno;
        TAKE_FD(fd);
        return 0;
}

static char *without_blanks(char *line)
{
        line += strspn(line, BLANKS);
        for (char *end = line + strlen(line); end > line && strchr(BLANKS, end[-1]);)
                *--end = '\0';
        return line;
}

int lines_read(const char *path, off_t bytes_max, LineTaken take, void *userdata)
{
        _cleanup_free_ char *line = NULL;
        unsigned number = 0;
        FILE *file = NULL;
        size_t room = 0;
        ssize_t n;
        int r = open_file(path, bytes_max, &file);

        if (r < 0)
                return r;
        errno = 0;
        while (r >= 0 && (n = getline(&line, &room, file)) >= 0) {
                const char *why = strlen(line) == (size_t)n ? NULL : "not a text (a NUL byte)";
                char *text = line;

                if (++number == 1 && strncmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
                        text += strlen(BYTE_ORDER_MARK);
                r = take(userdata, number, without_blanks(text), why);
        }
        if (r >= 0 && !feof(file))
                r = -(errno > 0 ? errno : EIO);
        (void)fclose(file);
        return r;
}
