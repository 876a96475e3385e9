/* SPDX-License-Identifier: MIT */
#include <stdarg.h>

#include "base/cleanup.h"
#include "daemon/problems.h"

void problem_tell(FILE *problems, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                (void)fputs("out of memory\n", problems);
                return;
        }
        for (char *p = text; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';
        (void)fprintf(problems, "%s\n", text);
}
