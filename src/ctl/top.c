/* SPDX-License-Identifier: MIT */
/*
 * The command top: a frame of what status and sessions know, drawn again and again. Plain ANSI: home, clear to the end.
 *
 * Believes: signals come through a descriptor (signalfd), so that the terminal is given back whatever ends it. Refuses
 * to draw more lines or columns than the screen has: it would scroll.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/ctl.h"
#include "ctl/sessions.h"

#define RATE_UNKNOWN UINT64_MAX /* there is nothing to compare with yet: shown as "-" */

enum { COLUMN_LISTENER = 1, FRAME_LINES_MIN = 4, RATE_COLUMNS = 2 };

/* What all listeners did until one moment. */
typedef struct Totals {
        usec_t at; /* 0: there was none yet */
        uint64_t forward, forward_bytes, reply, reply_bytes, dropped;
} Totals;

typedef struct Top {
        Ctl *ctl;
        Options options; /* a copy: keys change the order */
        bool live;
        int signals;
        struct termios saved;
        Totals totals;
        Sessions previous; /* in order of their numbers */
        usec_t previous_at;
        bool ended;
} Top;

/* --- numbers --- */

static void totals_add(Totals *totals, const json_t *listener)
{
        const json_t *forward = answer_part(listener, "client_to_upstream"),
                     *reply = answer_part(listener, "upstream_to_client");

        totals->forward += answer_count(forward, "datagrams");
        totals->forward_bytes += answer_count(forward, "bytes");
        totals->reply += answer_count(reply, "datagrams");
        totals->reply_bytes += answer_count(reply, "bytes");
        totals->dropped += answer_dropped(forward) + answer_dropped(reply);
}

/* A second's share of what was added since. Counters of a relay that was restarted begin anew. */
static uint64_t rate(uint64_t before, uint64_t after, usec_t between)
{
        if (between == 0 || after < before)
                return RATE_UNKNOWN;
        return (uint64_t)((double)(after - before) * (double)USEC_PER_SEC / (double)between);
}

static const char *rate_bytes(char buffer[static AMOUNT_TEXT_MAX], uint64_t bytes)
{
        return bytes == RATE_UNKNOWN ? strcpy(buffer, "-") : amount_format(buffer, bytes);
}

static const char *rate_count(char buffer[static AMOUNT_TEXT_MAX], uint64_t n)
{
        (void)snprintf(buffer, AMOUNT_TEXT_MAX, n == RATE_UNKNOWN ? "-" : "%" PRIu64, n);
        return buffer;
}

static int by_id(const void *a, const void *b)
{
        return strcmp(((const Session *)a)->id, ((const Session *)b)->id);
}

static void rates_find(Top *top, Sessions *sessions, usec_t between)
{
        for (size_t i = 0; i < sessions->n; i++) {
                Session *s = &sessions->items[i];
                const Session *old = top->previous.n > 0 ? bsearch(s, top->previous.items, top->previous.n,
                                                                   sizeof(Session), by_id)
                                                         : NULL;

                if (old && strcmp(old->client, s->client) != 0)
                        old = NULL;
                s->forward_rate = old ? rate(old->forward_bytes, s->forward_bytes, between) : RATE_UNKNOWN;
                s->reply_rate = old ? rate(old->reply_bytes, s->reply_bytes, between) : RATE_UNKNOWN;
        }
}

/* --- the frame --- */

static void write_forward_rate(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)rate_bytes(cell, ((const Session *)row)->forward_rate);
}

static void write_reply_rate(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)rate_bytes(cell, ((const Session *)row)->reply_rate);
}

static void line(FILE *to, unsigned columns, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void line(FILE *to, unsigned columns, const char *format, ...)
{
        char text[1024], safe[1024];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        (void)text_safe(safe, columns + 1 < sizeof(safe) ? columns + 1 : sizeof(safe), text);
        (void)fprintf(to, "%s\n", safe);
}

static void head_draw(const Top *top, FILE *to, unsigned columns, const json_t *status, const Totals *now)
{
        usec_t between = top->totals.at > 0 ? now->at - top->totals.at : 0, uptime;
        char span[SPAN_TEXT_MAX], texts[5][AMOUNT_TEXT_MAX];
        const uint64_t n = answer_count(status, "sessions");
        const Totals *old = &top->totals;

        (void)answer_span(status, "uptime_seconds", &uptime);
        line(to, columns,
             "udp46 %.40s, running for %s; %" PRIu64 " session%s (%" PRIu64 " unreplied, peak %" PRIu64
             ", limit %" PRIu64 ")",
             answer_text(status, "version"), span_format(span, uptime), n, plural(n), answer_count(status, "unreplied"),
             answer_count(status, "peak"), answer_count(status, "limit"));
        line(to, columns, "forward %s/s, %s/s; reply %s/s, %s/s; dropped %" PRIu64 " (%s/s)",
             rate_count(texts[0], rate(old->forward, now->forward, between)),
             rate_bytes(texts[1], rate(old->forward_bytes, now->forward_bytes, between)),
             rate_count(texts[2], rate(old->reply, now->reply, between)),
             rate_bytes(texts[3], rate(old->reply_bytes, now->reply_bytes, between)), now->dropped,
             rate_count(texts[4], rate(old->dropped, now->dropped, between)));
        line(to, columns, "sorted by %s%s", sort_key_name(top->options.sort),
             top->live ? "; b bytes, i idle, a age, c client, q quit" : "");
}

static void sessions_draw(const Top *top, FILE *to, unsigned columns, unsigned rows, const Sessions *sessions)
{
        const unsigned titles = top->options.no_legend ? 0 : 1;
        TableColumn all[N_SESSION_COLUMNS + RATE_COLUMNS];
        Table table = {
                        .columns = all,
                        .n_columns = ELEMENTSOF(all),
                        .rows = sessions->items,
                        .stride = sizeof(Session),
                        .context = sessions,
                        .no_titles = titles == 0,
                        .width = columns,
        };

        /* the client first, then what changes; the addresses that seldom do come last, where a screen is too narrow */
        all[0] = session_columns[0];
        for (size_t i = 4; i < N_SESSION_COLUMNS; i++)
                all[i - 3] = session_columns[i];
        all[6] = (TableColumn){"FORWARD/s", true, write_forward_rate, NULL};
        all[7] = (TableColumn){"REPLY/s", true, write_reply_rate, NULL};
        for (size_t i = 1; i < 4; i++)
                all[7 + i] = session_columns[i];
        table.n_rows = !top->live ? sessions->n : rows <= titles ? 0 : rows - titles;
        table.n_rows = table.n_rows < sessions->n ? table.n_rows : sessions->n;
        table_print(&table, &top->ctl->terminal, to);
}

/* Every line ends with what clears the rest of it; the last one does not end, or the screen scrolls. */
static void frame_show(const Top *top, const char *text, size_t size)
{
        if (!top->live) {
                (void)fwrite(text, 1, size, stdout);
                return;
        }
        (void)fputs("\033[H", stdout);
        for (size_t i = 0; i + 1 < size; i++)
                if (text[i] == '\n')
                        (void)fputs("\033[K\r\n", stdout);
                else
                        (void)putchar(text[i]);
        (void)fputs("\033[K\033[J", stdout);
        (void)fflush(stdout);
}

static void frame_draw(Top *top, const json_t *status, const Sessions *sessions, const Totals *now)
{
        _cleanup_free_ char *text = NULL;
        unsigned columns, rows;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        if (!to)
                return;
        terminal_size(&columns, &rows);
        if (!top->live)
                columns = 1000;
        head_draw(top, to, columns, status, now);
        if (!top->live || rows > FRAME_LINES_MIN)
                sessions_draw(top, to, columns, rows - FRAME_LINES_MIN, sessions);
        if (fclose(to) == 0)
                frame_show(top, text, size);
}

/* Asks and draws. 0, or as client_get() does. */
static int frame(Top *top)
{
        _cleanup_json_ json_t *status = NULL;
        Totals now = {0};
        Sessions sessions;
        int r;

        r = answer_status(top->ctl->client, &status);
        if (r < 0)
                return r;
        now.at = clock_monotonic();
        for (size_t i = 0; i < json_array_size(answer_part(status, "listeners")); i++)
                totals_add(&now, json_array_get(answer_part(status, "listeners"), i));
        r = sessions_fetch(&sessions, top->ctl->client, &top->options);
        if (r >= 0) {
                usec_t at = clock_monotonic();

                rates_find(top, &sessions, top->previous_at > 0 ? at - top->previous_at : 0);
                frame_draw(top, status, &sessions, &now);
                sessions_done(&top->previous);
                top->previous = sessions;
                if (top->previous.n > 1)
                        qsort(top->previous.items, top->previous.n, sizeof(Session), by_id);
                top->previous_at = at;
                top->totals = now;
                return 0;
        }
        sessions_done(&sessions);
        return r;
}

/* --- the terminal --- */

static void screen_take(Top *top)
{
        struct termios raw = top->saved;

        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        (void)fputs("\033[?1049h\033[?25l\033[2J", stdout);
}

static void screen_give_back(const Top *top)
{
        (void)fputs("\033[?25h\033[?1049l", stdout);
        (void)fflush(stdout);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &top->saved);
}

/* Asked while a question is on its way: nobody waits for an answer who wants to go. */
static bool must_end(void *userdata)
{
        sigset_t pending;

        (void)userdata;
        return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 ||
                                             sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGHUP) == 1);
}

static int screen_init(Top *top)
{
        sigset_t set;

        if (tcgetattr(STDIN_FILENO, &top->saved) < 0)
                return -errno;
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGTSTP);
        (void)sigaddset(&set, SIGWINCH);
        (void)sigaddset(&set, SIGCONT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        top->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (top->signals < 0)
                return -errno;
        client_set_stop(top->ctl->client, must_end, top);
        return 0;
}

/* --- what happens between two frames --- */

/* Does it change what is shown? */
static bool key_take(Top *top)
{
        char key;

        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') {
                top->ended = true;
                return false;
        }
        switch (key) {
        case 'b':
                top->options.sort = SORT_BYTES;
                return true;
        case 'i':
                top->options.sort = SORT_IDLE;
                return true;
        case 'a':
                top->options.sort = SORT_AGE;
                return true;
        case 'c':
                top->options.sort = SORT_CLIENT;
                return true;
        default:
                return key == ' ';
        }
}

static bool signal_take(Top *top)
{
        struct signalfd_siginfo info;
        bool draw = false;

        while (read(top->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (info.ssi_signo == SIGTSTP) {
                        screen_give_back(top);
                        (void)raise(SIGSTOP);
                }
                if (info.ssi_signo == SIGCONT)
                        screen_take(top);
                draw = draw || info.ssi_signo == SIGCONT || info.ssi_signo == SIGWINCH;
                top->ended = top->ended || (info.ssi_signo != SIGCONT && info.ssi_signo != SIGWINCH);
        }
        return draw;
}

/* Until the next frame is due, or a key or a signal asks for one. */
static void pause_for(Top *top)
{
        const usec_t due = usec_add(clock_monotonic(), top->options.interval);
        bool draw = false;

        while (!top->ended && !draw) {
                struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                         {.fd = top->signals, .events = POLLIN}};
                usec_t left = usec_sub(due, clock_monotonic());

                if (left == 0)
                        return;
                if (poll(ready, ELEMENTSOF(ready), (int)(left / USEC_PER_MSEC) + 1) <= 0)
                        continue;
                if (ready[1].revents)
                        draw = signal_take(top);
                if (ready[0].revents)
                        draw = key_take(top) || draw;
        }
}

int top_run(Ctl *ctl)
{
        Top top = {.ctl = ctl, .options = *ctl->options, .signals = -EBADF};
        int r;

        top.live = ctl->terminal.tty && isatty(STDIN_FILENO) == 1;
        if (top.options.sort == SORT_NONE)
                top.options.sort = SORT_BYTES;
        if (top.live && screen_init(&top) < 0)
                top.live = false;
        if (top.live)
                screen_take(&top);
        r = frame(&top);
        while (top.live && !top.ended && r >= 0) {
                pause_for(&top);
                if (!top.ended)
                        r = frame(&top);
        }
        if (top.live)
                screen_give_back(&top);
        sessions_done(&top.previous);
        top.signals = safe_close(top.signals);
        return r < 0 && r != -ECANCELED ? ctl_fail(ctl) : CTL_OK;
}
