/* SPDX-License-Identifier: MIT */
/* A command line: the input's strings, with NUL bytes between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/options.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { ARGUMENTS_MAX = 256 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        char program[] = "udp46", *argv[ARGUMENTS_MAX + 2] = {program}, *text = malloc(size + 1), *said = NULL;
        static Options options;
        size_t said_size;
        FILE *problems = open_memstream(&said, &said_size);
        int argc = 1;
        unsigned n, lines = 0;

        if (!text || !problems)
                abort();
        memcpy(text, data, size);
        text[size] = '\0';
        for (char *word = text; word < text + size && argc <= ARGUMENTS_MAX; word += strlen(word) + 1)
                argv[argc++] = word;
        memset(&options, 0, sizeof(options));
        n = options_parse(&options, argc, argv, problems);
        (void)fclose(problems);
        for (const char *p = said; *p; p++)
                lines += *p == '\n';
        if (lines != n)
                abort(); /* each mistake is one line */
        free(said);
        free(text);
        return 0;
}
