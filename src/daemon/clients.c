/* SPDX-License-Identifier: MIT */
/*
 * Believes: of a list that is half understood nobody knows whom it keeps out. Refuses: to go on with less than was
 * written.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/lines.h"
#include "daemon/clients.h"
#include "daemon/problems.h"

enum { FILE_BYTES_MAX = 64 << 20, PROBLEMS_TOLD = 5 };

/* --- as it is written --- */

static int add_word(ClientList *to, const char *word, const char **ret_why)
{
        if (*word == '/') {
                *ret_why = "more than 4 files, or a path of more than 255 bytes";
                if (to->n_files == CLIENT_FILES_MAX || strlen(word) >= CLIENT_PATH_MAX)
                        return -EINVAL;
                (void)strcpy(to->files[to->n_files++], word);
                return 0;
        }
        *ret_why = "more than 64 addresses and networks: write them into a file, and name that";
        if (to->n == CLIENT_NETWORKS_MAX)
                return -EINVAL;
        if (network_parse(word, &to->items[to->n], ret_why) < 0) {
                if (!isdigit((unsigned char)*word))
                        *ret_why = "expected an IPv4 address, a network like 192.0.2.0/24, or a file by its whole path";
                return -EINVAL;
        }
        to->n++;
        return 0;
}

int client_list_add(const char *text, ClientList *to, const char **ret_why)
{
        _cleanup_free_ char *words = strdup(text);
        ClientList list = *to;
        char *rest = words;

        *ret_why = "no memory";
        if (!words)
                return -EINVAL;
        if (!*text) /* takes back what was said before */
                list = (ClientList){0};
        for (char *word; (word = strsep(&rest, " \t"));)
                if (*word && add_word(&list, word, ret_why) < 0)
                        return -EINVAL;
        *to = list;
        return 0;
}

const char *client_list_format(char buffer[static CLIENT_LIST_TEXT_MAX], const ClientList *list)
{
        char text[NETWORK_TEXT_MAX], *end = buffer;

        *end = '\0';
        for (unsigned i = 0; i < list->n; i++)
                end += sprintf(end, "%s%s", end > buffer ? " " : "", network_format(text, &list->items[i]));
        for (unsigned i = 0; i < list->n_files; i++)
                end += sprintf(end, "%s%s", end > buffer ? " " : "", list->files[i]);
        return buffer;
}

/* --- as it is meant --- */

typedef struct Networks {
        Network *items; /* owned */
        size_t n, room;
        const char *setting, *path; /* that is read now */
        FILE *problems;
        unsigned n_problems;
} Networks;

static int networks_add(Networks *to, const Network *network)
{
        if (to->n == to->room) {
                size_t room = to->room > 0 ? 2 * to->room : CLIENT_NETWORKS_MAX;
                Network *items = reallocarray(to->items, room, sizeof(Network));

                if (!items)
                        return -ENOMEM;
                to->items = items;
                to->room = room;
        }
        to->items[to->n++] = *network;
        return 0;
}

static void complain(Networks *of, unsigned line, const char *text, const char *why)
{
        if (of->n_problems++ < PROBLEMS_TOLD)
                problem_tell(of->problems, "%s:%u: %.100s: %s", of->path, line, text, why);
}

static int take_line(void *userdata, unsigned number, char *line, const char *why)
{
        size_t length = strcspn(line, "#;");
        Networks *to = userdata;
        Network network;

        while (length > 0 && strchr(" \t", line[length - 1]))
                length--;
        line[length] = '\0';
        if (!why && !*line)
                return 0;
        if (!why && network_parse(line, &network, &why) >= 0) {
                if (to->n < CLIENT_FILE_NETWORKS_MAX)
                        return networks_add(to, &network);
                complain(to, number, line, "more networks than one list may have (262144)");
                return -E2BIG;
        }
        complain(to, number, line, why);
        return 0;
}

static int networks_load(Networks *to, const ClientList *list)
{
        int r = 0;

        for (unsigned i = 0; i < list->n && r >= 0; i++)
                r = networks_add(to, &list->items[i]);
        for (unsigned i = 0; i < list->n_files && r >= 0; i++) {
                to->path = list->files[i];
                r = lines_read(to->path, FILE_BYTES_MAX, take_line, to);
                if (r < 0 && r != -ENOMEM && r != -E2BIG) {
                        problem_tell(to->problems, "%s=%s: %s", to->setting, to->path,
                                     r == -EINVAL ? "not a regular file" : strerror(-r));
                        to->n_problems++;
                        r = 0;
                }
        }
        if (to->n_problems > PROBLEMS_TOLD)
                problem_tell(to->problems, "%s: %u more lines like these", to->path, to->n_problems - PROBLEMS_TOLD);
        return r == -E2BIG ? 0 : r;
}

int clients_filter(Filter **ret, const ClientList *allowed, const ClientList *denied, FILE *problems)
{
        Networks yes = {.problems = problems, .setting = "AllowFrom"},
                 no = {.problems = problems, .setting = "DenyFrom"};
        static const Network nobody[1]; /* an empty file lets nobody in */
        const bool chosen = allowed->n > 0 || allowed->n_files > 0;
        Filter *filter = NULL;
        int r = networks_load(&yes, allowed);

        if (r >= 0)
                r = networks_load(&no, denied);
        if (r >= 0)
                r = (int)(yes.n_problems + no.n_problems);
        if (r == 0)
                r = filter_new(&filter, yes.items ? yes.items : chosen ? nobody : NULL, yes.n, no.items, no.n);
        free(yes.items);
        free(no.items);
        *ret = filter;
        return r;
}
