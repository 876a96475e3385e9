/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target on all files of a directory, without a fuzzer. Each in memory of its own size. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void replay(FILE *file, size_t size)
{
        unsigned char *data = malloc(size > 0 ? size : 1);

        if (!data || fread(data, 1, size, file) != size)
                abort();
        (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
}

int main(int argc, char **argv)
{
        DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
        unsigned n = 0;

        if (!directory || chdir(argv[1]) < 0) {
                perror(argc == 2 ? argv[1] : "usage: replay DIRECTORY");
                return EXIT_FAILURE;
        }
        for (const struct dirent *entry; (entry = readdir(directory));) {
                FILE *file = fopen(entry->d_name, "rbe");
                struct stat st;

                if (file && fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode)) {
                        replay(file, (size_t)st.st_size);
                        n++;
                }
                if (file)
                        (void)fclose(file);
        }
        (void)closedir(directory);
        printf("%u files\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
