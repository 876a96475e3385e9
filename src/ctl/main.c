/* SPDX-License-Identifier: MIT */
/* udp46ctl: from the command line to a command, and its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl.h"

void ctl_complain(const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        (void)fputs("udp46ctl: ", stderr);
        if (n < 0)
                text = NULL;
        else
                text_put(stderr, text);
        (void)fputc('\n', stderr);
}

int ctl_fail(const Ctl *ctl)
{
        const char *remedy = client_remedy(ctl->client);

        ctl_complain("%s: %s%s%s", client_place(ctl->client), client_why(ctl->client), *remedy ? ". " : "", remedy);
        return CTL_FAILURE;
}

static int (*const commands[N_COMMANDS])(Ctl *ctl) = {
                [COMMAND_STATUS] = status_run, [COMMAND_SESSIONS] = sessions_run, [COMMAND_DUMP] = sessions_run,
                [COMMAND_TOP] = top_run,       [COMMAND_METRICS] = metrics_run,   [COMMAND_CHECK] = check_run,
                [COMMAND_DRAIN] = drain_run,   [COMMAND_UNDRAIN] = drain_run,
};

static int refuse(char *problems)
{
        for (char *line; (line = strsep(&problems, "\n")) && *line;)
                ctl_complain("%s", line);
        return CTL_USAGE;
}

static int run(const Options *options)
{
        _cleanup_(cleanup_client_free) Client *client = NULL;
        Ctl ctl = {.options = options};
        int r, status = CTL_OK;

        terminal_init(&ctl.terminal, options);
        if (options->help)
                options_help(stdout);
        else if (options->version)
                (void)printf("udp46ctl version=%s commit=%s date=%s\n", UDP46_VERSION, UDP46_COMMIT, UDP46_DATE);
        else {
                r = client_new(&client, options->socket, options->url);
                if (r < 0) {
                        ctl_complain("%s", strerror(-r));
                        return CTL_FAILURE;
                }
                ctl.client = client;
                status = commands[options->command](&ctl);
        }
        r = terminal_done(&ctl.terminal);
        if (r < 0) {
                ctl_complain("standard output: %s", strerror(-r));
                return CTL_FAILURE;
        }
        return status;
}

/*
 * Whoever closed one of the three standard descriptors must not get a socket in its place. Returns whether there is
 * somewhere to write.
 */
static bool standard_files_fill(void)
{
        const bool writable = fcntl(STDOUT_FILENO, F_GETFD) >= 0;

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void)open("/dev/null", O_RDWR); /* takes the lowest that is free: this one */
        return writable;
}

int main(int argc, char **argv)
{
        const bool writable = standard_files_fill();
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *problems = open_memstream(&text, &size);
        Options options;
        unsigned n;

        if (!problems)
                return CTL_FAILURE;
        (void)signal(SIGPIPE, SIG_IGN);
        n = options_parse(&options, argc, argv, problems);
        (void)fclose(problems);
        if (n > 0)
                return refuse(text);
        if (!writable) {
                ctl_complain("standard output: %s", strerror(EBADF));
                return CTL_FAILURE;
        }
        return run(&options);
}
