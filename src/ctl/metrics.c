/* SPDX-License-Identifier: MIT */
/* The command metrics: passed on as it comes, however much it is. Only a terminal is protected from it. */
#include <string.h>

#include "ctl/ctl.h"

static const char *pass(void *userdata, const char *data, size_t size)
{
        Ctl *ctl = userdata;

        terminal_page(&ctl->terminal);
        if (!ctl->terminal.tty)
                return fwrite(data, 1, size, stdout) == size ? NULL : "cannot be written";
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)data[i];

                if ((c < 0x20 && c != '\n') || c >= 0x7f)
                        (void)printf("\\x%02x", c);
                else
                        (void)putchar(c);
        }
        return ferror(stdout) ? "cannot be written" : NULL;
}

int metrics_run(Ctl *ctl)
{
        if (client_get(ctl->client, "/metrics", pass, ctl) >= 0)
                return CTL_OK;
        return ferror(stdout) ? CTL_OK : ctl_fail(ctl); /* terminal_done() tells why */
}
