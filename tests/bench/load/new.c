/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const double QUIET_MAX = 0.5; /* seconds without any answer: what is still out is lost */

typedef struct New {
        Clients clients;
        unsigned size, window, asked, answered, waiting;
        uint64_t begin, last_ask, last_answer;
        bool done[CLIENTS_MAX];
        Samples samples;
} New;

static void ask_some(New *new)
{
        while (new->asked < new->clients.n && (new->window == 0 || new->waiting < new->window)) {
                clients_ask(&new->clients, new->asked++, new->size);
                new->waiting++;
                new->last_ask = now_ns();
        }
}

static void take(New *new, const Answer *answer)
{
        uint64_t k = answer->client - new->clients.first;

        if (k >= new->clients.n || new->done[k])
                return;
        new->done[k] = true;
        new->answered++;
        if (new->waiting > 0)
                new->waiting--;
        if (answer->at > new->last_answer)
                new->last_answer = answer->at;
        samples_add(&new->samples, (double)(answer->at - new->begin) / 1e9, answer->way);
}

static void take_answers(New *new)
{
        struct pollfd fds[SOCKETS_MAX];
        Answer answers[BATCH];

        for (unsigned i = 0; i < new->clients.n_sockets; i++)
                fds[i] = (struct pollfd){new->clients.fds[i], POLLIN, 0};
        if (poll(fds, new->clients.n_sockets, 10) <= 0)
                return;
        for (unsigned i = 0; i < new->clients.n_sockets; i++) {
                unsigned n = fds[i].revents ? clients_answers(&new->clients, i, answers) : 0;

                for (unsigned j = 0; j < n; j++)
                        take(new, &answers[j]);
        }
}

/* Lost ones give their place in the window to others; when none is left to ask, it is over. */
static bool over(New *new, double seconds)
{
        uint64_t now = now_ns(), heard = new->last_answer > new->last_ask ? new->last_answer : new->last_ask;

        if (new->answered == new->clients.n || now - new->begin > (uint64_t)(seconds * 1e9))
                return true;
        if (now < heard || now - heard < (uint64_t)(QUIET_MAX * 1e9))
                return false;
        new->waiting = 0;
        return new->asked == new->clients.n;
}

static void print(New *new)
{
        double took = new->last_answer > new->begin ? (double)(new->last_answer - new->begin) / 1e9 : 0;

        (void)printf("{\"clients\": %u, \"asked\": %u, \"answered\": %u, \"asked_in\": %.6f, \"answered_in\": %.6f, ",
                     new->clients.n, new->asked, new->answered, (double)(new->last_ask - new->begin) / 1e9, took);
        samples_print(&new->samples);
        (void)printf("}\n");
}

void load_new(char **a)
{
        static New new;

        new.size = (unsigned)atoi(a[4]);
        new.window = (unsigned)atoi(a[5]);
        if (new.size < sizeof(Ask) || new.size > ROOM) {
                (void)fprintf(stderr, "an ask has from %zu to %d bytes\n", sizeof(Ask), ROOM);
                exit(2);
        }
        clients_open(&new.clients, a[0], atoi(a[1]), (unsigned)atoi(a[2]), (unsigned)atoi(a[3]), false);
        for (unsigned i = 0; i < new.clients.n_sockets; i++)
                set_option(new.clients.fds[i], SOL_SOCKET, SO_TIMESTAMPNS, 1);
        samples_init(&new.samples);
        new.begin = new.last_ask = now_ns();
        do {
                ask_some(&new);
                take_answers(&new);
        } while (!over(&new, atof(a[6])));
        print(&new);
}
