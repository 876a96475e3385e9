/* SPDX-License-Identifier: MIT */
/*
 * From the command line to a running relay, and the exit status: 0 clean, 1 a failure while running (binding included),
 * 2 usage or configuration. Mistakes are all told, one line each, and nothing starts half-configured.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/activation.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/limits.h"
#include "daemon/options.h"
#include "daemon/sentences.h"
#include "daemon/status.h"
#include "daemon/workers.h"

enum { EXIT_CLEAN = 0, EXIT_RUNNING = 1, EXIT_CONFIGURATION = 2 };

static void record_make(LogRecord *ret, SentenceId sentence, const char *reason)
{
        log_record_begin(ret, &sentences[sentence]);
        log_record_add(ret, "UDP46_REASON", "%s", reason);
}

/* Before there is a log thread, and through it. */
static void say(LogTarget target, SentenceId sentence, const char *reason)
{
        LogRecord record;

        record_make(&record, sentence, reason);
        log_say_now(target, &record);
}

static void queue(LogWriter *writer, SentenceId sentence, const char *reason)
{
        LogRecord record;

        record_make(&record, sentence, reason);
        (void)log_writer_send(writer, &record);
}

/*
 * journald finds out in /proc whose entry it reads. A process that is gone by then has said something that no
 * `journalctl -u` shows: so it stays a moment.
 */
static void let_it_be_read(LogTarget target)
{
        if (target == LOG_TARGET_JOURNAL)
                (void)usleep(250 * 1000);
}

/* A person at a terminal reads `configuration error: …`, the journal gets the sentence with its fields. */
static int refuse(char *problems, LogTarget target)
{
        char status[512];

        (void)snprintf(status, sizeof(status), "configuration error: %.*s", (int)strcspn(problems, "\n"), problems);
        status_say(status);
        for (char *line; (line = strsep(&problems, "\n")) && *line;) {
                if (target == LOG_TARGET_JOURNAL) {
                        say(target, SENTENCE_CONFIGURATION_ERROR, line);
                        continue;
                }
                (void)fprintf(stderr, "configuration error: %s\n", line);
        }
        let_it_be_read(target);
        return EXIT_CONFIGURATION;
}

static int fail(LogTarget target, const char *reason)
{
        say(target, SENTENCE_FAILED, reason);
        let_it_be_read(target);
        return EXIT_RUNNING;
}

/* What was asked for was printed, if it could be. */
static int printed(LogTarget target)
{
        return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_CLEAN : fail(target, strerror(errno));
}

/* Threads inherit the mask: the signals are for the control loop alone. */
static void block_signals(void)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGHUP);
        (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

/* Takes *config. */
static int relay(const Options *options, Config **config, ListenerSockets *sockets, LogTarget target)
{
        _cleanup_(cleanup_log_free) Log *log = NULL;
        _cleanup_(cleanup_control_free) Control *control = NULL;
        LogWriter *writer;
        Settings whole;
        int r;

        block_signals();
        config_whole(*config, &whole);
        limits_expect_sessions(whole.max_sessions > 0 ? whole.max_sessions : limits_default_sessions());
        r = log_new(&log, target, whole.log_level, CONTROL_LOG_WORKERS + workers_needed(sockets),
                    &sentences[SENTENCE_RECORDS_LOST]);
        if (r < 0)
                return fail(target, strerror(-r));
        writer = log_writer(log, CONTROL_LOG_CONTROL);
        r = control_new(&control, log, *config, options, sockets);
        if (r >= 0) {
                *config = NULL;
                r = control_run(control);
        }
        if (r >= 0)
                return EXIT_CLEAN;
        queue(writer, SENTENCE_FAILED, strerror(-r));
        let_it_be_read(target);
        return EXIT_RUNNING;
}

static int run(int argc, char **argv, FILE *problems, char **text)
{
        _cleanup_(listener_sockets_done) ListenerSockets sockets = {0};
        _cleanup_(cleanup_config_free) Config *config = NULL;
        const LogTarget target = log_target_find();
        Options options;
        unsigned n;
        int r;

        n = options_parse(&options, argc, argv, problems);
        if (n == 0 && options.help) {
                options_help(stdout);
                return printed(target);
        }
        if (n == 0 && options.version) {
                (void)printf("udp46 version=%s commit=%s date=%s\n", UDP46_VERSION, UDP46_COMMIT, UDP46_DATE);
                return printed(target);
        }
        if (n > 0) {
                (void)fflush(problems);
                return refuse(*text, target);
        }
        r = config_load(&config, options.config_path ? options.config_path : CONFIG_DEFAULT_PATH,
                        options.config_path != NULL, &options.settings, problems, &n);
        if (r < 0)
                return fail(target, strerror(-r));
        if (n == 0)
                n = config_check(config, problems);
        if (n == 0 && options.check_config) {
                config_print(config, stdout);
                return printed(target);
        }
        if (n == 0) {
                r = activation_collect(&sockets, config, &options, problems, &n);
                (void)fflush(problems);
                if (r < 0)
                        return fail(target, *text && **text ? strtok(*text, "\n") : strerror(-r));
        }
        if (n > 0) {
                (void)fflush(problems);
                return refuse(*text, target);
        }
        return relay(&options, &config, &sockets, target);
}

int main(int argc, char **argv)
{
        char *text = NULL;
        size_t size;
        FILE *problems = open_memstream(&text, &size);
        int r;

        if (!problems)
                return fail(log_target_find(), strerror(errno));
        r = run(argc, argv, problems, &text);
        (void)fclose(problems);
        free(text);
        return r;
}
