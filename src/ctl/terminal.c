/* SPDX-License-Identifier: MIT */
/*
 * Believes: whoever quits the pager has seen enough, so that EPIPE is no failure. less is told by LESS= what systemctl
 * tells it: F end at once if it fits, R colours, S do not wrap, X leave the screen, M position, K end at Ctrl-C.
 * LESSSECURE=: a pager that root started from here shall not be a shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/terminal.h"

static bool text_is_one_of(const char *text, const char *const *list)
{
        for (; *list; list++)
                if (strcasecmp(text, *list) == 0)
                        return true;
        return false;
}

static bool colors_are_wanted(ColorChoice choice, bool tty)
{
        static const char *const yes[] = {"1", "y", "yes", "t", "true", "on", "16", "256", "24bit", NULL};
        static const char *const no[] = {"0", "n", "no", "f", "false", "off", NULL};
        const char *systemd = getenv("SYSTEMD_COLORS"), *none = getenv("NO_COLOR"), *term = getenv("TERM");

        if (choice != COLOR_AUTO)
                return choice == COLOR_ALWAYS;
        if (systemd && text_is_one_of(systemd, yes))
                return true;
        if (systemd && text_is_one_of(systemd, no))
                return false;
        if ((none && *none) || (term && strcmp(term, "dumb") == 0))
                return false;
        return tty;
}

void terminal_init(Terminal *ret, const Options *options)
{
        bool tty = isatty(STDOUT_FILENO) == 1;

        (void)setlocale(LC_CTYPE, "");
        *ret = (Terminal){
                        .tty = tty,
                        .colors = colors_are_wanted(options->color, tty),
                        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
                        .pager_wanted = tty && !options->no_pager,
        };
}

/* --- the pager --- */

/* What the shell shall run; NULL: nothing. */
static const char *pager_command(void)
{
        const char *command = getenv("SYSTEMD_PAGER");

        if (!command)
                command = getenv("PAGER");
        if (!command)
                return "command -v less >/dev/null && exec less; exec cat";
        return *command && strcmp(command, "cat") != 0 ? command : NULL;
}

static _Noreturn void pager_become(const char *command)
{
        const char *less = getenv("SYSTEMD_LESS");

        (void)signal(SIGPIPE, SIG_DFL);
        (void)setenv("LESS", less ? less : "FRSXMK", 1);
        (void)setenv("LESSSECURE", "1", 0);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
}

void terminal_page(Terminal *terminal)
{
        const char *command = pager_command();
        int ends[2];
        pid_t pid;

        if (!terminal->pager_wanted || terminal->pager > 0 || !command || pipe2(ends, O_CLOEXEC) < 0)
                return;
        (void)fflush(stdout);
        pid = fork();
        if (pid == 0) {
                if (dup2(ends[0], STDIN_FILENO) >= 0)
                        pager_become(command);
                _exit(127);
        }
        if (pid > 0 && dup2(ends[1], STDOUT_FILENO) >= 0)
                terminal->pager = pid;
        (void)safe_close(ends[0]);
        (void)safe_close(ends[1]);
}

/* A pipe remembers that nobody reads. */
static bool reader_is_gone(void)
{
        struct pollfd out = {.fd = STDOUT_FILENO};

        return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

int terminal_done(Terminal *terminal)
{
        bool failed;

        errno = 0;
        failed = fflush(stdout) != 0 || ferror(stdout);
        if (terminal->pager > 0) {
                (void)fclose(stdout); /* the pager sees the end */
                while (waitpid(terminal->pager, NULL, 0) < 0 && errno == EINTR)
                        ;
                terminal->pager = 0;
                return 0;
        }
        if (!failed || reader_is_gone())
                return 0;
        /* The error number of a write may be long lost: the next one fails for the same reason. */
        if (errno == 0 && write(STDOUT_FILENO, "\n", 1) < 0)
                return -errno;
        return errno > 0 ? -errno : -EIO;
}

/* --- looks --- */

const char *terminal_shade(const Terminal *terminal, Shade shade)
{
        static const char *const codes[N_SHADES] = {
                        [SHADE_PLAIN] = "",           [SHADE_GOOD] = "\033[0;1;32m", [SHADE_WARN] = "\033[0;1;33m",
                        [SHADE_BAD] = "\033[0;1;31m", [SHADE_TITLE] = "\033[0;4m",   [SHADE_BOLD] = "\033[0;1m",
        };

        return terminal->colors ? codes[shade] : "";
}

const char *terminal_plain(const Terminal *terminal)
{
        return terminal->colors ? "\033[0m" : "";
}

const char *terminal_dot(const Terminal *terminal)
{
        return terminal->utf8 ? "\xe2\x97\x8f" : "*";
}

void terminal_size(unsigned *ret_columns, unsigned *ret_rows)
{
        struct winsize size = {0};

        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        *ret_columns = size.ws_col > 0 ? size.ws_col : 80;
        *ret_rows = size.ws_row > 0 ? size.ws_row : 24;
}

/* --- text from elsewhere --- */

/*
 * The next piece of the text as it may be shown. What the relay says is ASCII; anything else may move the cursor, take
 * two places or none, or read backwards. Advances the text.
 */
static size_t piece_safe(char piece[static 5], const char **text)
{
        unsigned char c = (unsigned char)*(*text)++;

        return (size_t)snprintf(piece, 5, c >= ' ' && c <= '~' ? "%c" : "\\x%02x", c);
}

const char *text_safe(char *buffer, size_t size, const char *text)
{
        char piece[5];
        size_t used = 0, n;

        while (*text) {
                n = piece_safe(piece, &text);
                if (used + n >= size)
                        break;
                memcpy(buffer + used, piece, n);
                used += n;
        }
        buffer[used] = '\0';
        return buffer;
}

void text_put(FILE *to, const char *text)
{
        char piece[5];

        while (*text) {
                (void)piece_safe(piece, &text);
                (void)fputs(piece, to);
        }
}

/* --- numbers for people --- */

const char *span_format(char buffer[static SPAN_TEXT_MAX], usec_t t)
{
        static const struct {
                usec_t from, keep;
        } precision[] = {
                        {USEC_PER_DAY, USEC_PER_HOUR},
                        {USEC_PER_HOUR, USEC_PER_MINUTE},
                        {USEC_PER_SEC, USEC_PER_SEC},
                        {USEC_PER_MSEC, USEC_PER_MSEC},
        };

        for (size_t i = 0; i < ELEMENTSOF(precision); i++)
                if (t >= precision[i].from)
                        return usec_format(buffer, t - t % precision[i].keep);
        return usec_format(buffer, 0);
}

const char *amount_format(char buffer[static AMOUNT_TEXT_MAX], uint64_t bytes)
{
        static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
        double value = (double)bytes / 1000;
        size_t i = 0;

        if (bytes < 1000) {
                (void)snprintf(buffer, AMOUNT_TEXT_MAX, "%u B", (unsigned)bytes);
                return buffer;
        }
        for (; value >= 999.95 && i + 1 < ELEMENTSOF(units); i++)
                value /= 1000;
        (void)snprintf(buffer, AMOUNT_TEXT_MAX, "%.1f %s", value, units[i]);
        return buffer;
}
