/* SPDX-License-Identifier: MIT */
/*
 * A configuration file, whatever is in it: it is understood or refused, line by line; what was understood is printed as
 * a file that means the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void expect(bool true_always)
{
        if (!true_always)
                abort();
}

/* A file of these bytes, under the path that is written to `path`. */
static int file_of(const void *data, size_t size, char path[static 32])
{
        int fd = memfd_create("udp46.conf", MFD_CLOEXEC);

        expect(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
        return fd;
}

/* How many problems; NULL and 1 if it could not be loaded at all. */
static unsigned load(Config **ret, const char *path)
{
        static const Settings none;
        char *said = NULL;
        size_t said_size;
        FILE *problems = open_memstream(&said, &said_size);
        unsigned n = 1, lines = 0;

        expect(problems);
        if (config_load(ret, path, true, &none, problems, &n) < 0)
                *ret = NULL;
        else if (n == 0)
                n = config_check(*ret, problems);
        (void)fclose(problems);
        for (const char *p = said; *p; p++)
                lines += *p == '\n';
        expect(!*ret || lines >= (n > 0)); /* who refuses says why */
        free(said);
        return n;
}

static char *print(const Config *config)
{
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        expect(to);
        config_print(config, to);
        (void)fclose(to);
        return text;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        _cleanup_(cleanup_config_free) Config *config = NULL, *again = NULL;
        char path[32], *text, *text_again;
        int fd = file_of(data, size, path);
        unsigned n = load(&config, path);

        (void)safe_close(fd);
        if (!config || n > 0)
                return 0;
        text = print(config);
        fd = file_of(text, strlen(text), path);
        expect(load(&again, path) == 0);
        (void)safe_close(fd);
        text_again = print(again);
        expect(strcmp(text, text_again) == 0);
        free(text);
        free(text_again);
        return 0;
}
