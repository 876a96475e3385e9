/* SPDX-License-Identifier: MIT */
/*
 * Believes: who gives an option to a command that does not look at it has misunderstood something, and wants to know.
 * Refuses: abbreviations, options given twice, options of another command.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/options.h"

enum { INTERVAL_MIN_MSEC = 100 };

static const struct {
        const char *name, *help;
} commands[N_COMMANDS] = {
                [COMMAND_STATUS] = {"status", "does it work? Sessions, upstreams, listeners; the default"},
                [COMMAND_SESSIONS] = {"sessions", "the open sessions as a table"},
                [COMMAND_DUMP] = {"dump", "the open sessions, one line each, for programs"},
                [COMMAND_TOP] = {"top", "the busiest sessions, live; q quits, b i a c sort"},
                [COMMAND_METRICS] = {"metrics", "what a Prometheus would get"},
                [COMMAND_CHECK] = {"check", "walk the way of a datagram, and name the first step that fails"},
                [COMMAND_DRAIN] = {"drain", "leave these upstreams until undrain or a reboot; none: which are left"},
                [COMMAND_UNDRAIN] = {"undrain", "use these upstreams again"},
};

typedef enum OptionId {
        OPTION_SOCKET,
        OPTION_URL,
        OPTION_CLIENT,
        OPTION_LISTENER,
        OPTION_LIMIT,
        OPTION_SORT,
        OPTION_INTERVAL,
        OPTION_ALL,
        OPTION_FORCE,
        OPTION_JSON,
        OPTION_COLOR,
        OPTION_NO_PAGER,
        OPTION_NO_LEGEND,
        OPTION_VERSION,
        OPTION_HELP,
        N_OPTIONS
} OptionId;

#define OF(command) (UINT32_C(1) << COMMAND_##command)
#define OF_ALL UINT32_MAX
#define OF_DRAINS (OF(DRAIN) | OF(UNDRAIN))

/* argument NULL: a switch; with `|` in it: one of these. */
static const struct {
        const char *name, *argument, *fallback, *help;
        uint32_t commands;
} options[N_OPTIONS] = {
                [OPTION_SOCKET] = {"socket", "path", OPTIONS_SOCKET_DEFAULT, "the Unix socket that is asked", OF_ALL},
                [OPTION_URL] = {"url", "http://host:port", NULL, "ask there instead, over TCP", ~OF_DRAINS},
                [OPTION_CLIENT] = {"client", "A.B.C.D[:port]", NULL, "only this client's sessions",
                                   OF(SESSIONS) | OF(DUMP) | OF(TOP)},
                [OPTION_LISTENER] = {"listener", "A.B.C.D:port", NULL, "only this listener's sessions",
                                     OF(SESSIONS) | OF(DUMP) | OF(TOP)},
                [OPTION_LIMIT] = {"limit", "number", NULL, "so many sessions at most", OF(SESSIONS) | OF(DUMP)},
                [OPTION_SORT] = {"sort", "bytes|age|idle|client", NULL, "most, oldest, longest or lowest first",
                                 OF(SESSIONS) | OF(DUMP) | OF(TOP)},
                [OPTION_INTERVAL] = {"interval", "span", "2s", "how often it is drawn", OF(TOP)},
                [OPTION_ALL] = {"all", NULL, NULL, "all that are drained", OF(UNDRAIN)},
                [OPTION_FORCE] = {"force", NULL, NULL, "also the last one of a listener", OF(DRAIN)},
                [OPTION_JSON] = {"json", "short|pretty", NULL, "JSON instead of text",
                                 OF(STATUS) | OF(SESSIONS) | OF(CHECK) | OF_DRAINS},
                [OPTION_COLOR] = {"color", "auto|always|never", "auto", "colours", OF_ALL},
                [OPTION_NO_PAGER] = {"no-pager", NULL, NULL, "do not pipe what is long into a pager", OF_ALL},
                [OPTION_NO_LEGEND] = {"no-legend", NULL, NULL, "neither column titles nor a sum below",
                                      OF(SESSIONS) | OF(DUMP) | OF(TOP) | OF(CHECK) | OF_DRAINS},
                [OPTION_VERSION] = {"version", NULL, NULL, "print the version and exit", OF_ALL},
                [OPTION_HELP] = {"help", NULL, NULL, "print this help and exit", OF_ALL},
};

typedef struct Parser {
        Options *options;
        FILE *problems;
        unsigned n_problems;
        uint32_t seen; /* a bit for each OptionId */
        bool command_seen;
} Parser;

#define complain(parser, ...)                                   \
        do {                                                    \
                (void)fprintf((parser)->problems, __VA_ARGS__); \
                (void)fputc('\n', (parser)->problems);          \
                (parser)->n_problems++;                         \
        } while (0)

/* Which of `a|b|c` the value is; -EINVAL: none. */
static int choice_find(const char *choices, const char *value)
{
        size_t length = strlen(value);

        for (int i = 0;; i++) {
                size_t n = strcspn(choices, "|");

                if (n == length && memcmp(choices, value, n) == 0)
                        return i;
                if (!choices[n])
                        return -EINVAL;
                choices += n + 1;
        }
}

static void take_choice(Parser *parser, OptionId id, const char *value)
{
        int i = choice_find(options[id].argument, value);

        if (i < 0) {
                complain(parser, "--%s=%s: must be one of %s", options[id].name, value, options[id].argument);
                return;
        }
        if (id == OPTION_SORT)
                parser->options->sort = (SortKey)i;
        else if (id == OPTION_JSON)
                parser->options->json = (JsonForm)i;
        else
                parser->options->color = (ColorChoice)i;
}

/* As the relay writes it. */
static int client_parse(char ret[static ADDRESS_TEXT_MAX], const char *value, const char **ret_why)
{
        char host[INET_ADDRSTRLEN];
        struct in_addr v4;
        Address address;

        *ret_why = "must be an address like 192.0.2.10 or 192.0.2.10:62000";
        if (inet_pton(AF_INET, value, &v4) == 1) {
                (void)strcpy(ret, inet_ntop(AF_INET, &v4, host, sizeof(host)));
                return 0;
        }
        if (address_parse_listener(value, &address, &(const char *){NULL}) < 0)
                return -EINVAL;
        (void)address_format(ret, &address);
        return 0;
}

static void take_address(Parser *parser, OptionId id, const char *value)
{
        Address address;
        const char *why;

        if (id == OPTION_CLIENT) {
                if (client_parse(parser->options->client, value, &why) < 0)
                        complain(parser, "--client=%s: %s", value, why);
        } else if (address_parse_listener(value, &address, &why) < 0)
                complain(parser, "--listener=%s: %s", value, why);
        else
                (void)address_format(parser->options->listener, &address);
}

/* What is wrong with a text that shall be http://host:port, with or without a slash behind it; NULL: nothing. */
static const char *url_fault(const char *value)
{
        static const char in_names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
        const char *host = value + strlen("http://"), *end;
        bool bracketed;
        size_t n;

        if (strncmp(value, "http://", strlen("http://")) != 0 || strlen(value) > OPTIONS_URL_MAX)
                return "that is none";
        bracketed = *host == '[';
        n = bracketed ? 1 + strspn(host + 1, "0123456789abcdefABCDEF:.") : strspn(host, in_names);
        if (n == bracketed || (bracketed && host[n++] != ']'))
                return "there is no host";
        end = host + n;
        if (*end != ':')
                return "the port is missing";
        n = strspn(++end, "0123456789");
        if (n == 0 || n > 5 || strtoul(end, NULL, 10) == 0 || strtoul(end, NULL, 10) > UINT16_MAX)
                return "the port must be from 1 to 65535";
        end += n;
        return *end && strcmp(end, "/") != 0 ? "nothing may follow the port" : NULL;
}

/* A password is not printed. */
static void take_url(Parser *parser, const char *value)
{
        const char *fault = url_fault(value);

        if (strchr(value, '@'))
                complain(parser, "--url: must be like http://192.0.2.1:9108, without a user and a password");
        else if (fault)
                complain(parser, "--url=%s: must be like http://192.0.2.1:9108: %s", value, fault);
}

static void take_place(Parser *parser, OptionId id, const char *value)
{
        if (id == OPTION_SOCKET) {
                if (!*value || strlen(value) > OPTIONS_SOCKET_MAX)
                        complain(parser, "--socket=%s: must have 1 to %d bytes", value, OPTIONS_SOCKET_MAX);
                parser->options->socket = value;
        } else {
                take_url(parser, value);
                parser->options->url = value;
        }
}

static void take_number(Parser *parser, OptionId id, const char *value)
{
        if (id == OPTION_LIMIT) {
                if (!*value || strlen(value) > 18 || strspn(value, "0123456789") != strlen(value))
                        complain(parser, "--limit=%s: must be a number", value);
                else
                        parser->options->limit = strtoull(value, NULL, 10);
        } else if (usec_parse(value, &parser->options->interval) < 0 ||
                   parser->options->interval < INTERVAL_MIN_MSEC * USEC_PER_MSEC ||
                   parser->options->interval > USEC_PER_DAY)
                complain(parser, "--interval=%s: must be a time from 100ms to 1d", value);
}

static void take_switch(Parser *parser, OptionId id)
{
        if (id == OPTION_NO_PAGER)
                parser->options->no_pager = true;
        else if (id == OPTION_NO_LEGEND)
                parser->options->no_legend = true;
        else if (id == OPTION_ALL)
                parser->options->all = true;
        else if (id == OPTION_FORCE)
                parser->options->force = true;
        else if (id == OPTION_VERSION)
                parser->options->version = true;
        else
                parser->options->help = true;
}

static void take_option(Parser *parser, OptionId id, const char *value)
{
        if (parser->seen & (UINT32_C(1) << id)) {
                complain(parser, "--%s: given twice", options[id].name);
                return;
        }
        parser->seen |= UINT32_C(1) << id;
        switch (id) {
        case OPTION_SOCKET:
        case OPTION_URL:
                take_place(parser, id, value);
                break;
        case OPTION_CLIENT:
        case OPTION_LISTENER:
                take_address(parser, id, value);
                break;
        case OPTION_LIMIT:
        case OPTION_INTERVAL:
                take_number(parser, id, value);
                break;
        case OPTION_SORT:
        case OPTION_JSON:
        case OPTION_COLOR:
                take_choice(parser, id, value);
                break;
        default:
                take_switch(parser, id);
        }
}

static bool takes_upstreams(const Options *taken)
{
        return taken->command == COMMAND_DRAIN || taken->command == COMMAND_UNDRAIN;
}

static void take_upstream(Parser *parser, const char *word)
{
        Options *taken = parser->options;
        Endpoint endpoint;
        const char *why;

        if (endpoint_parse(word, &endpoint, &why) < 0)
                complain(parser, "%s: %s", word, why);
        else if (taken->n_upstreams == OPTIONS_UPSTREAMS_MAX)
                complain(parser, "%s: more than %d upstreams", word, OPTIONS_UPSTREAMS_MAX);
        else
                taken->upstreams[taken->n_upstreams++] = word;
}

static void take_command(Parser *parser, const char *word)
{
        if (parser->command_seen && takes_upstreams(parser->options)) {
                take_upstream(parser, word);
                return;
        }
        if (parser->command_seen) {
                complain(parser, "%s: only one command at a time", word);
                return;
        }
        parser->command_seen = true;
        for (int i = 0; i < N_COMMANDS; i++)
                if (strcmp(commands[i].name, word) == 0) {
                        parser->options->command = (Command)i;
                        return;
                }
        complain(parser, "%s: unknown command, see --help", word);
}

/* Finds the option of a word without its dashes (`name` or `name=value`). -ENOENT: there is none. */
static int option_find(const char *word)
{
        size_t length = strcspn(word, "=");

        for (int id = 0; id < N_OPTIONS; id++)
                if (strlen(options[id].name) == length && memcmp(options[id].name, word, length) == 0)
                        return id;
        return -ENOENT;
}

/* Takes one word that begins with a dash, and what follows it if that is its value. Returns how many words. */
static int take_word(Parser *parser, char *const *argv)
{
        const char *word = strcmp(argv[0], "-h") == 0 ? "--help" : argv[0], *value = strchr(word, '=');
        int id = strncmp(word, "--", 2) == 0 ? option_find(word + 2) : -ENOENT;

        if (id < 0)
                complain(parser, "%s: unknown option, see --help", argv[0]);
        else if (!options[id].argument && value)
                complain(parser, "%s: takes no value", argv[0]);
        else if (options[id].argument && !value && !argv[1])
                complain(parser, "%s: needs a value", argv[0]);
        else if (options[id].argument && !value) {
                take_option(parser, (OptionId)id, argv[1]);
                return 2;
        } else
                take_option(parser, (OptionId)id, value ? value + 1 : "");
        return 1;
}

unsigned options_parse(Options *ret, int argc, char *const *argv, FILE *problems)
{
        Parser parser = {.options = ret, .problems = problems};

        *ret = (Options){.socket = OPTIONS_SOCKET_DEFAULT,
                         .limit = UINT64_MAX,
                         .sort = SORT_NONE,
                         .json = JSON_FORM_NONE,
                         .interval = 2 * USEC_PER_SEC};
        for (int i = 1; i < argc;)
                if (argv[i][0] == '-')
                        i += take_word(&parser, argv + i);
                else
                        take_command(&parser, argv[i++]);
        if (ret->url && (parser.seen & (UINT32_C(1) << OPTION_SOCKET)))
                complain(&parser, "--url=%s: not together with --socket", ret->url);
        if (ret->command == COMMAND_UNDRAIN && !ret->help && !ret->version && ret->all == (ret->n_upstreams > 0))
                complain(&parser, "undrain: %s",
                         ret->all ? "upstreams or --all, not both" : "which upstream, or --all?");
        for (int id = 0; id < N_OPTIONS && !ret->help && !ret->version; id++)
                if ((parser.seen & (UINT32_C(1) << id)) && !(options[id].commands & (UINT32_C(1) << ret->command)))
                        complain(&parser, "--%s: not for the command %s", options[id].name,
                                 commands[ret->command].name);
        return parser.n_problems;
}

void options_help(FILE *to)
{
        char left[64];

        (void)fputs("Usage: udp46ctl [OPTIONS] [COMMAND [UPSTREAM...]]\n\n"
                    "Shows what the relay udp46 does, helps to find out why it does not, and takes upstreams out for a "
                    "while.\n\nCommands:\n",
                    to);
        for (int i = 0; i < N_COMMANDS; i++)
                (void)fprintf(to, "  %-31s %s\n", commands[i].name, commands[i].help);
        (void)fputs("\nOptions:\n", to);
        for (int id = 0; id < N_OPTIONS; id++) {
                (void)snprintf(left, sizeof(left), "--%s%s%s%s", options[id].name, options[id].argument ? "=" : "",
                               options[id].argument ? options[id].argument : "", id == OPTION_HELP ? ", -h" : "");
                (void)fprintf(to, "  %-31s %s", left, options[id].help);
                if (options[id].fallback)
                        (void)fprintf(to, " (%s)", options[id].fallback);
                (void)fputc('\n', to);
        }
        (void)fputs("\nExit status: 0 good, 1 nobody answers, 2 usage, 3 status: the relay cannot work, 4 check: a "
                    "step "
                    "fails.\nSee udp46ctl(1).\n",
                    to);
}

const char *sort_key_name(SortKey key)
{
        static const char *const names[] = {
                        [SORT_BYTES] = "bytes",   [SORT_AGE] = "age",   [SORT_IDLE] = "idle",
                        [SORT_CLIENT] = "client", [SORT_NONE] = "none",
        };

        return names[key];
}
