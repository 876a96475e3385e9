/* SPDX-License-Identifier: MIT */
/*
 * Believes: getopt_long() would take `--up` for --upstream and cannot say which text was wrong; with one table there is
 * less to say than it needs. Refuses: abbreviations, flags given twice (--listen apart), words that belong to no flag.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/config.h"
#include "daemon/options.h"
#include "daemon/problems.h"

typedef enum FlagId {
        FLAG_CONFIG,
        FLAG_CHECK_CONFIG,
        FLAG_LISTEN,
        FLAG_METRICS_ENABLED,
        FLAG_METRICS_LISTEN,
        FLAG_METRICS_SESSION_LABELS,
        FLAG_VERSION,
        FLAG_HELP,
        N_FLAGS
} FlagId;

/* The flags that are no settings; argument NULL: a switch, which may be given as --flag=true or --flag=false. */
static const struct {
        const char *name, *argument, *fallback, *help;
} flags[N_FLAGS] = {
                [FLAG_CONFIG] = {"config", "path", CONFIG_DEFAULT_PATH, "the configuration file"},
                [FLAG_CHECK_CONFIG] = {"check-config", NULL, NULL,
                                       "read the configuration, print it as understood, and exit"},
                [FLAG_LISTEN] = {"listen", "A.B.C.D:port", NULL,
                                 "bind this IPv4 address instead of taking a socket from systemd; repeatable"},
                [FLAG_METRICS_ENABLED] = {"metrics.enabled", NULL, "off", "serve HTTP on --metrics.listen, too"},
                [FLAG_METRICS_LISTEN] = {"metrics.listen", "A.B.C.D:port", "127.0.0.1:9108", "the address for that"},
                [FLAG_METRICS_SESSION_LABELS] = {"metrics.session-labels", NULL, "off", "as --http-session-labels=yes"},
                [FLAG_VERSION] = {"version", NULL, NULL, "print the version and exit"},
                [FLAG_HELP] = {"help", NULL, NULL, "print this help and exit"},
};

typedef struct Parser {
        Options *options;
        FILE *problems;
        unsigned n_problems;
        uint32_t seen; /* a bit for each FlagId */
        const char *metrics_listen;
} Parser;

#define complain(parser, ...)                                  \
        do {                                                   \
                problem_tell((parser)->problems, __VA_ARGS__); \
                (parser)->n_problems++;                        \
        } while (0)

static void take_setting(Parser *parser, SettingKey key, const char *value)
{
        Settings *settings = &parser->options->settings;
        const char *why;

        if (settings_given(settings, key) && !setting_specs[key].repeatable)
                complain(parser, "--%s %s: given twice", setting_specs[key].flag, value);
        else if (settings_parse(settings, key, value, &why) < 0)
                complain(parser, "--%s %s: %s", setting_specs[key].flag, value, why);
}

static void take_listen(Parser *parser, const char *value)
{
        Options *options = parser->options;
        const char *why;

        if (options->n_listen == OPTIONS_LISTEN_MAX)
                complain(parser, "--listen %s: more than %d listeners", value, OPTIONS_LISTEN_MAX);
        else if (address_parse_listener(value, &options->listen[options->n_listen], &why) < 0)
                complain(parser, "--listen %s: %s", value, why);
        else
                options->n_listen++;
}

static void take_flag(Parser *parser, FlagId id, const char *value)
{
        Options *options = parser->options;
        bool on = true;

        if (id != FLAG_LISTEN && (parser->seen & (UINT32_C(1) << id))) {
                complain(parser, "--%s: given twice", flags[id].name);
                return;
        }
        parser->seen |= UINT32_C(1) << id;
        if (!flags[id].argument && value) {
                on = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
                if (!on && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
                        complain(parser, "--%s=%s: must be true or false", flags[id].name, value);
                        return;
                }
        }
        switch (id) {
        case FLAG_CONFIG:
                options->config_path = value;
                break;
        case FLAG_CHECK_CONFIG:
                options->check_config = on;
                break;
        case FLAG_LISTEN:
                take_listen(parser, value);
                break;
        case FLAG_METRICS_ENABLED:
                options->metrics_enabled = on;
                break;
        case FLAG_METRICS_LISTEN:
                parser->metrics_listen = value;
                break;
        case FLAG_METRICS_SESSION_LABELS:
                options->metrics_session_labels = on;
                break;
        case FLAG_VERSION:
                options->version = on;
                break;
        case FLAG_HELP:
                options->help = on;
                break;
        case N_FLAGS:
                break;
        }
}

/* Finds the flag of a word (`name` or `name=value`). Settings come behind the plain flags. -ENOENT: there is none. */
static int find_flag(const char *word, size_t length)
{
        if (length == 1 && *word == 'h')
                return FLAG_HELP;
        for (int id = 0; id < N_FLAGS; id++)
                if (strlen(flags[id].name) == length && memcmp(flags[id].name, word, length) == 0)
                        return id;
        for (int key = 0; key < N_SETTINGS; key++)
                if (strlen(setting_specs[key].flag) == length && memcmp(setting_specs[key].flag, word, length) == 0)
                        return N_FLAGS + key;
        return -ENOENT;
}

unsigned options_parse(Options *ret, int argc, char *const *argv, FILE *problems)
{
        Parser parser = {.options = ret, .problems = problems, .metrics_listen = flags[FLAG_METRICS_LISTEN].fallback};
        const char *why;

        *ret = (Options){0};
        for (int i = 1; i < argc; i++) {
                const char *word = argv[i], *value;
                int id;

                if (word[0] != '-' || !word[1]) {
                        complain(&parser, "%s: belongs to no flag", word);
                        continue;
                }
                word += word[1] == '-' ? 2 : 1;
                value = strchr(word, '=');
                id = find_flag(word, value ? (size_t)(value - word) : strlen(word));
                if (id < 0) {
                        complain(&parser, "%s: unknown flag, see --help", argv[i]);
                        continue;
                }
                if (value)
                        value++;
                else if (id >= N_FLAGS || flags[id].argument) {
                        if (i + 1 == argc) {
                                complain(&parser, "%s: needs a value", argv[i]);
                                continue;
                        }
                        value = argv[++i];
                }
                if (id < N_FLAGS)
                        take_flag(&parser, (FlagId)id, value);
                else
                        take_setting(&parser, (SettingKey)(id - N_FLAGS), value);
        }
        if (ret->metrics_enabled && address_parse_listener(parser.metrics_listen, &ret->metrics_listen, &why) < 0)
                complain(&parser, "--metrics.listen %s: %s", parser.metrics_listen, why);
        return parser.n_problems;
}

static void help_line(FILE *to, const char *name, const char *argument, const char *help, const char *fallback)
{
        char left[64];

        (void)snprintf(left, sizeof(left), "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
        (void)fprintf(to, "  %-31s %s", left, help);
        if (fallback)
                (void)fprintf(to, " (%s)", fallback);
        (void)fputc('\n', to);
}

void options_help(FILE *to)
{
        (void)fputs("Usage: udp46 [FLAGS]\n\n"
                    "Relays UDP from IPv4 clients to an IPv6 service; each client has a port of its own there.\n"
                    "Listeners come from udp46.socket, or from --listen. Flags win over the configuration file.\n\n",
                    to);
        for (int key = 0; key < N_SETTINGS; key++)
                help_line(to, setting_specs[key].flag, setting_specs[key].argument, setting_specs[key].help,
                          setting_specs[key].fallback);
        for (int id = 0; id < N_FLAGS; id++)
                help_line(to, flags[id].name, flags[id].argument, flags[id].help, flags[id].fallback);
        (void)fputs("\nA span is a time like 180s, 3min or 500ms.\nExit status: 0 clean, 1 a failure while running, 2 "
                    "usage or configuration.\n"
                    "See udp46(8) and udp46.conf(5).\n",
                    to);
}
