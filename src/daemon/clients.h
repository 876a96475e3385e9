/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Who may come, as a person writes it: addresses, networks, and files of these (one in a line, comments behind # or ;,
 * as block lists have them). From two such lists a Filter is made.
 */
#include <stdio.h>

#include "relay/filter.h"
#include "wire/address.h"

enum {
        CLIENT_NETWORKS_MAX = 64, /* written into the configuration itself */
        CLIENT_FILES_MAX = 4,
        CLIENT_PATH_MAX = 256,
        CLIENT_LIST_TEXT_MAX = CLIENT_NETWORKS_MAX * NETWORK_TEXT_MAX + CLIENT_FILES_MAX * CLIENT_PATH_MAX,
        CLIENT_FILE_NETWORKS_MAX = 1 << 18, /* in all files of a list: 3 MiB */
};

typedef struct ClientList {
        unsigned n, n_files;
        Network items[CLIENT_NETWORKS_MAX];
        char files[CLIENT_FILES_MAX][CLIENT_PATH_MAX];
} ClientList;

/* As the parsers of wire/address.h: one or more, behind what is there; "" takes that back. */
int client_list_add(const char *text, ClientList *to, const char **ret_why);
const char *client_list_format(char buffer[static CLIENT_LIST_TEXT_MAX], const ClientList *list);

/*
 * Reads the files. Mistakes are told one line each, the first of them, with file and line. *ret NULL: everybody may
 * come. How many mistakes there were, or -ENOMEM.
 */
int clients_filter(Filter **ret, const ClientList *allowed, const ClientList *denied, FILE *problems);
