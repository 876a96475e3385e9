/* SPDX-License-Identifier: MIT */
/*
 * Believes: libinih splits lines into sections, keys and values well, but cuts what is too long for it and says only
 * numbers. So every line passes our own eyes first (length, NUL bytes, sections) and libinih sees only what it can
 * hold.
 */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/config.h"

typedef struct Reader {
        Config *config;
        FILE *file;
        FILE *problems;
        unsigned n_problems;
        unsigned line;
        ConfigSection *section; /* NULL: a refused section, its keys are passed over */
        bool stop;
} Reader;

static void __attribute__((format(printf, 2, 3))) complain(Reader *reader, const char *format, ...)
{
        va_list ap;

        (void)fprintf(reader->problems, "%s:%u: ", reader->config->path, reader->line);
        va_start(ap, format);
        (void)vfprintf(reader->problems, format, ap);
        va_end(ap);
        (void)fputc('\n', reader->problems);
        reader->n_problems++;
}

/* `Relay` is "", `Relay NAME` is NAME, anything else is NULL. */
static const char *section_listener(const char *title)
{
        if (strcmp(title, "Relay") == 0)
                return "";
        if (strncmp(title, "Relay ", 6) == 0 && title[6] && title[6] != ' ')
                return title + 6;
        return NULL;
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

/* libinih's line source: fgets() with a look at what comes. */
static char *read_line(char *text, int size, void *userdata)
{
        Reader *reader = userdata;
        char line[CONFIG_LINE_MAX + 2];
        size_t length, start;

        if (reader->stop)
                return NULL;
        memset(line, '\n', sizeof(line));
        if (!fgets(line, sizeof(line), reader->file))
                return NULL;
        reader->line++;
        length = (size_t)((char *)memrchr(line, '\0', sizeof(line)) - line); /* the NUL that fgets() wrote */
        reader->stop = true;
        if (strlen(line) < length) {
                complain(reader, "not a text file (a NUL byte)");
                return NULL;
        }
        if (length == sizeof(line) - 1 && line[length - 1] != '\n') {
                complain(reader, "the line is longer than %d bytes", CONFIG_LINE_MAX);
                return NULL;
        }
        reader->stop = false;
        start = strspn(line, " \t");
        if (line[start] == '[') {
                char *close = strchr(line + start, ']');

                if (close) {
                        *close = '\0';
                        open_section(reader, line + start + 1);
                        *close = ']';
                }
                if (!reader->section) /* libinih need not know a section that was refused, nor could it hold any name */
                        return strcpy(text, "\n");
        }
        return strncpy(text, line, (size_t)size);
}

static int take_key(void *userdata, const char *title, const char *key, const char *value)
{
        Reader *reader = userdata;
        ConfigSection *section = reader->section;
        const char *why;

        if (!*title) {
                complain(reader, "%s: stands before the first section", key);
                return 1;
        }
        if (!section)
                return 1;
        for (SettingKey i = 0; i < N_SETTINGS; i++) {
                if (strcmp(setting_specs[i].key, key) != 0)
                        continue;
                if (setting_specs[i].whole_relay_only && *section->name)
                        complain(reader, "%s: belongs into [Relay], it holds for all listeners", key);
                else if (section->lines[i] > 0)
                        complain(reader, "%s=%s: given twice, first in line %u", key, value, section->lines[i]);
                else if (settings_parse(&section->settings, i, value, &why) < 0)
                        complain(reader, "%s=%s: %s", key, value, why);
                section->lines[i] = reader->line;
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
        if (line > 0) {
                reader->line = (unsigned)line;
                complain(reader, "expected Key=value, [Relay] or [Relay NAME]");
        }
        if (ferror(reader->file)) {
                (void)fprintf(reader->problems, "%s: %s\n", reader->config->path, strerror(errno));
                reader->n_problems++;
        }
}

int config_load(Config **ret, const char *path, int must_exist, const Settings *flags, FILE *problems,
                unsigned *ret_n_problems)
{
        _cleanup_free_ Config *config = calloc(1, sizeof(Config));
        Reader reader = {.config = config, .problems = problems};

        if (!config)
                return -ENOMEM;
        config->path = path;
        config->flags = *flags;
        config->n_sections = 1;
        reader.file = fopen(path, "re");
        if (!reader.file && (errno != ENOENT || must_exist)) {
                (void)fprintf(problems, "%s: %s\n", path, strerror(errno));
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

int config_for(const Config *config, const char *listener_name, Settings *ret)
{
        const ConfigSection *own = NULL;

        for (size_t i = 1; i < config->n_sections && !own; i++)
                if (strcmp(config->sections[i].name, listener_name) == 0)
                        own = &config->sections[i];
        if (!own && strcmp(listener_name, LISTENER_DEFAULT_NAME) != 0)
                return -ENOENT;
        *ret = config->sections[0].settings;
        if (own)
                settings_overlay(ret, &own->settings);
        settings_overlay(ret, &config->flags);
        settings_complete(ret);
        return ret->upstream.port == 0 ? -EDESTADDRREQ : 0;
}

unsigned config_check_upstreams(const Config *config, FILE *problems)
{
        unsigned n_problems = 0;
        Settings settings;

        if (config->n_sections == 1 && config_for(config, LISTENER_DEFAULT_NAME, &settings) < 0) {
                (void)fprintf(problems,
                              "no upstream: write Upstream=[address]:port under [Relay] in %s, or give --upstream\n",
                              config->path);
                n_problems++;
        }
        for (size_t i = 1; i < config->n_sections; i++)
                if (config_for(config, config->sections[i].name, &settings) < 0) {
                        (void)fprintf(problems,
                                      "%s:%u: [Relay %s]: no upstream: write Upstream= there or under [Relay]\n",
                                      config->path, config->sections[i].line, config->sections[i].name);
                        n_problems++;
                }
        return n_problems;
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
