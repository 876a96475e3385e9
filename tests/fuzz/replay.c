/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target on the files that are named, without a fuzzer. */
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                static unsigned char data[1 << 16];
                FILE *file = fopen(argv[i], "rb");
                size_t size;

                if (!file) {
                        perror(argv[i]);
                        return EXIT_FAILURE;
                }
                size = fread(data, 1, sizeof(data), file);
                (void)fclose(file);
                (void)LLVMFuzzerTestOneInput(data, size);
        }
        printf("%d files\n", argc - 1);
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
