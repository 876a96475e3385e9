/* SPDX-License-Identifier: MIT */
/*
 * Believes: libinih splits Key=value well, but cuts what is too long for it, tells nobody of an empty section and only
 * of the first senseless line. So every line passes our own eyes first: sections are ours, and so is everything that is
 * neither a section nor a comment nor Key=value. libinih sees the rest.
 */
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "daemon/config.h"
#include "daemon/limits.h"
#include "daemon/problems.h"

#define BLANKS " \t\r\v\f"

typedef struct Reader {
        Config *config;
        FILE *file;
        FILE *problems;
        unsigned n_problems;
        unsigned line;
        bool in_section;        /* has there been one? */
        ConfigSection *section; /* NULL: a refused one, its keys are passed over */
        bool stop;
} Reader;

#define complain(reader, format, ...)                                                      \
        do {                                                                               \
                problem_tell((reader)->problems, "%s:%u: " format, (reader)->config->path, \
                             (reader)->line __VA_OPT__(, ) __VA_ARGS__);                   \
                (reader)->n_problems++;                                                    \
        } while (0)

/* `Relay` is "", `Relay NAME` is NAME, anything else is NULL. */
static const char *section_listener(const char *title)
{
        if (strcmp(title, "Relay") == 0)
                return "";
        if (strncmp(title, "Relay ", 6) != 0 || !title[6] || strchr(BLANKS, title[6]) ||
            strchr(BLANKS, title[strlen(title) - 1]))
                return NULL;
        return title + 6;
}

static void open_section(Reader *reader, const char *title)
{
        const char *name = section_listener(title);
        Config *config = reader->config;
        ConfigSection *section = NULL;

        reader->section = NULL;
        if (!name) {
                complain(reader, "[%s]: unknown section, expected [Relay] or [Relay NAME]", title);
                return;
        }
        for (const char *p = name; *p; p++)
                if (*p < ' ' || *p > '~') {
                        complain(reader, "[Relay ...]: the name has characters that are not ASCII");
                        return;
                }
        if (strlen(name) > LISTENER_NAME_MAX) {
                complain(reader, "[%s]: the name is longer than %d characters", title, LISTENER_NAME_MAX);
                return;
        }
        for (size_t i = 0; i < config->n_sections && !section; i++)
                if (strcmp(config->sections[i].name, name) == 0)
                        section = &config->sections[i];
        if (section && section->line > 0) {
                complain(reader, "[%s]: section given twice, first in line %u", title, section->line);
                return;
        }
        if (!section && config->n_sections == CONFIG_SECTIONS_MAX) {
                complain(reader, "[%s]: more than %d sections", title, CONFIG_SECTIONS_MAX);
                return;
        }
        if (!section) {
                section = &config->sections[config->n_sections++];
                (void)strcpy(section->name, name);
        }
        section->line = reader->line;
        reader->section = section;
}

/* `[title]` with nothing behind it. */
static void take_section(Reader *reader, char *line)
{
        char *close = strchr(line, ']');

        reader->in_section = true;
        reader->section = NULL;
        if (!close || close[1 + strspn(close + 1, BLANKS "\n")]) {
                complain(reader, "expected [Relay] or [Relay NAME] alone in the line");
                return;
        }
        *close = '\0';
        open_section(reader, line + 1);
}

/* One line of the file, whole and without NUL bytes. false: the end, or nothing that could be read on. */
static bool next_line(Reader *reader, char line[static CONFIG_LINE_MAX + 2])
{
        const size_t room = CONFIG_LINE_MAX + 2;
        size_t length;

        if (reader->stop)
                return false;
        memset(line, '\n', room);
        if (!fgets(line, (int)room, reader->file))
                return false;
        reader->line++;
        length = (size_t)((char *)memrchr(line, '\0', room) - line); /* the NUL that fgets() wrote */
        reader->stop = true;
        if (strlen(line) < length)
                complain(reader, "not a text file (a NUL byte)");
        else if (length == room - 1 && line[length - 1] != '\n')
                complain(reader, "the line is longer than %d bytes", CONFIG_LINE_MAX);
        else
                reader->stop = false;
        return !reader->stop;
}

/* libinih's line source: fgets() with a look at what comes. What libinih shall not see reaches it as an empty line. */
static char *read_line(char *text, int size, void *userdata)
{
        Reader *reader = userdata;
        char buffer[CONFIG_LINE_MAX + 2], *line = buffer;

        if (!next_line(reader, buffer))
                return NULL;
        if (reader->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
                line += 3;
        line += strspn(line, BLANKS);
        if (*line == '[')
                take_section(reader, line);
        else if (strchr("#;\n", *line) || !*line)
                ; /* a comment, or nothing */
        else if (!strchr(line, '='))
                complain(reader, "expected Key=value, [Relay] or [Relay NAME]");
        else
                return strncpy(text, line, (size_t)size);
        return strcpy(text, "\n");
}

static int take_key(void *userdata, const char *title, const char *key, const char *value)
{
        Reader *reader = userdata;
        ConfigSection *section = reader->section;
        const char *why;

        (void)title;
        if (!reader->in_section)
                complain(reader, "%s=%s: stands before the first section", key, value);
        if (!section)
                return 1;
        for (SettingKey i = 0; i < N_SETTINGS; i++) {
                if (strcmp(setting_specs[i].key, key) != 0)
                        continue;
                if (setting_specs[i].whole_relay_only && *section->name)
                        complain(reader, "%s=%s: belongs into [Relay], it holds for all listeners", key, value);
                else if (section->lines[i] > 0 && !setting_specs[i].repeatable)
                        complain(reader, "%s=%s: given twice, first in line %u", key, value, section->lines[i]);
                else if (settings_parse(&section->settings, i, value, &why) < 0)
                        complain(reader, "%s=%s: %s", key, value, why);
                section->lines[i] = reader->line;
                return 1;
        }
        for (SettingKey i = 0; i < N_SETTINGS; i++)
                if (strcasecmp(setting_specs[i].key, key) == 0) {
                        complain(reader, "%s=%s: unknown key, did you mean %s=?", key, value, setting_specs[i].key);
                        return 1;
                }
        complain(reader, "%s=%s: unknown key", key, value);
        return 1;
}

static void read_file(Reader *reader)
{
        int line;

        /* Settings of the library, the same for every reading. */
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_use_stack = false;
        ini_max_line = ini_initial_alloc = CONFIG_LINE_MAX + 2;
        line = ini_parse_stream(read_line, reader, take_key, reader);
        if (line != 0 && reader->n_problems == 0) /* nothing that it is shown should displease it; if it does, say so */
                complain(reader, "libinih refuses line %d", line);
        if (ferror(reader->file)) {
                problem_tell(reader->problems, "%s: %s", reader->config->path, strerror(errno));
                reader->n_problems++;
        }
}

/* NULL and errno; EINVAL for what is neither a regular file nor /dev/null (a pipe would be waited for). */
static FILE *open_file(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return NULL;
        if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))) {
                errno = EINVAL;
                return NULL;
        }
        return fopen(path, "re");
}

Config *config_free(Config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; i < CONFIG_SECTIONS_MAX; i++)
                (void)filter_free(config->filters[i]);
        free(config);
        return NULL;
}

int config_load(Config **ret, const char *path, int must_exist, const Settings *flags, FILE *problems,
                unsigned *ret_n_problems)
{
        _cleanup_(cleanup_config_free) Config *config = calloc(1, sizeof(Config));
        Reader reader = {.config = config, .problems = problems};

        if (!config)
                return -ENOMEM;
        config->path = path;
        config->flags = *flags;
        config->n_sections = 1;
        reader.file = open_file(path);
        if (!reader.file && (errno != ENOENT || must_exist)) {
                problem_tell(problems, "%s: %s", path, errno == EINVAL ? "not a regular file" : strerror(errno));
                reader.n_problems++;
        } else if (reader.file) {
                read_file(&reader);
                (void)fclose(reader.file);
        }
        *ret_n_problems = reader.n_problems;
        *ret = TAKE_PTR(config);
        return 0;
}

void config_whole(const Config *config, Settings *ret)
{
        *ret = config->sections[0].settings;
        settings_overlay(ret, &config->flags);
        settings_complete(ret);
}

/* The section [Relay NAME], or NULL. */
static const ConfigSection *own_section(const Config *config, const char *name)
{
        for (size_t i = 1; i < config->n_sections; i++)
                if (strcmp(config->sections[i].name, name) == 0)
                        return &config->sections[i];
        return NULL;
}

int config_for(const Config *config, const char *listener_name, Settings *ret)
{
        const ConfigSection *own = own_section(config, listener_name);

        if (!own && strcmp(listener_name, LISTENER_DEFAULT_NAME) != 0)
                return -ENOENT;
        *ret = config->sections[0].settings;
        if (own)
                settings_overlay(ret, &own->settings);
        settings_overlay(ret, &config->flags);
        settings_complete(ret);
        return ret->upstream.n == 0 ? -EDESTADDRREQ : 0;
}

static bool has_endpoint_without_port(const EndpointList *list)
{
        for (unsigned i = 0; i < list->n; i++)
                if (list->items[i].port == 0)
                        return true;
        return false;
}

static bool all_reserved(const PortRange *ports)
{
        const PortRange reserved = limits_reserved_ports(limits_host_ports());

        return port_range_overlap(ports, &reserved) == port_range_size(ports);
}

/* What is wrong with the whole of what holds for a section, or NULL. */
static const char *section_mistake(const Settings *s)
{
        if (s->upstream.n == 0)
                return "no upstream: write Upstream= there or under [Relay]";
        if (s->probe_payload.n > 0 && has_endpoint_without_port(&s->upstream))
                return "ProbePayload= needs to know a port: write it into each Upstream=";
        if (s->probe_payload.n > 0 && s->probe_interval > s->failover_timeout / 3)
                return "ProbeIntervalSec= is a third of FailoverTimeoutSec= at most, or no silence would be long "
                       "enough";
        if (s->source_addresses.n > 0 && s->source_prefix.n > 0)
                return "SourceAddress= and SourcePrefix= exclude each other; an empty value takes back what [Relay] "
                       "says";
        if (s->source_ports.high > 0 && all_reserved(&s->source_ports))
                return "SourcePorts=: all of them stay with the host (the first sixteenth of "
                       "net.ipv4.ip_local_port_range), choose others";
        return NULL;
}

enum { SECTION_TITLE_MAX = 320 };

/* Where a section is, as messages have it. */
static const char *section_title(char buffer[static SECTION_TITLE_MAX], const Config *config, size_t i)
{
        if (i == 0)
                (void)snprintf(buffer, SECTION_TITLE_MAX, "%.200s: [Relay]", config->path);
        else
                (void)snprintf(buffer, SECTION_TITLE_MAX, "%.200s:%u: [Relay %s]", config->path,
                               config->sections[i].line, config->sections[i].name);
        return buffer;
}

/* The whole of what holds for a section. How many problems there are; one mistake is one line. */
static unsigned check_section(Config *config, size_t i, const Settings *settings, FILE *problems)
{
        const char *mistake = section_mistake(settings);
        char title[SECTION_TITLE_MAX];
        int n;

        if (mistake) {
                problem_tell(problems, "%s: %s", section_title(title, config, i), mistake);
                return 1;
        }
        config->filters[i] = filter_free(config->filters[i]);
        n = clients_filter(&config->filters[i], &settings->allow_from, &settings->deny_from, problems);
        if (n >= 0)
                return (unsigned)n;
        problem_tell(problems, "%s: %s", section_title(title, config, i), strerror(-n));
        return 1;
}

unsigned config_check(Config *config, FILE *problems)
{
        unsigned n_problems = 0;
        Settings settings;

        if (config_for(config, LISTENER_DEFAULT_NAME, &settings) < 0 && config->n_sections == 1) {
                problem_tell(problems,
                             "no upstream: write Upstream=[address]:port under [Relay] in %s, or give --upstream",
                             config->path);
                n_problems++;
        } else if (settings.upstream.n > 0 && !own_section(config, LISTENER_DEFAULT_NAME))
                n_problems += check_section(config, 0, &settings, problems);
        for (size_t i = 1; i < config->n_sections; i++) {
                (void)config_for(config, config->sections[i].name, &settings);
                n_problems += check_section(config, i, &settings, problems);
        }
        return n_problems;
}

const Filter *config_filter(const Config *config, const char *listener_name)
{
        const ConfigSection *own = own_section(config, listener_name);

        return config->filters[own ? own - config->sections : 0];
}

void config_print(const Config *config, FILE *to)
{
        Settings settings;

        config_whole(config, &settings);
        (void)fprintf(to, "[Relay]\n");
        settings_print(&settings, to, 1);
        for (size_t i = 1; i < config->n_sections; i++) {
                (void)config_for(config, config->sections[i].name, &settings);
                (void)fprintf(to, "\n[Relay %s]\n", config->sections[i].name);
                settings_print(&settings, to, 0);
        }
}
