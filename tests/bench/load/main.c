/* SPDX-License-Identifier: MIT */
/*
 * Each prints lines of JSON and stops by itself.
 *
 *   load offer ADDRESS PORT FIRST FLOWS SIZE TRAIN RATE SECONDS ASKS FILE
 *      datagrams of SIZE bytes from FLOWS clients in turn, in trains of TRAIN (1: singly), RATE a second (-1: what
 *      goes, 0: none); besides, client FIRST asks ASKS times a second; each way's time goes into FILE, too (-: nowhere)
 *   load new ADDRESS PORT FIRST CLIENTS SIZE WINDOW SECONDS
 *      each of CLIENTS clients asks once; no more than WINDOW wait for their answer at a time (0: all at once)
 *   load home PORT TRAINS WHOLE
 *      counts what arrives, and answers what asks; "count" on standard input prints and clears the count once nothing
 *      waits in the socket, its end ends the program
 *   load flood ADDRESS PORT SOURCE SECONDS
 *      forged datagrams to there, from one SOURCE (0.0.0.0: from millions) and all its ports, as many as go
 *   load reply FROM PORT TO PORT SECONDS
 *      datagrams that say to be from there, over IPv6, to one address and port
 *
 * TRAINS 1: takes trains whole. WHOLE 1: reads all the payload (else the kernel copies its head only) and stamps
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "load.h"

enum { LIFE_MAX = 900 }; /* seconds, of what does not end with its standard input: whatever happens to who started it */

int main(int argc, char **argv)
{
        (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        if (argc == 5 && strcmp(argv[1], "home") == 0) {
                load_home(argv + 2);
                return 0;
        }
        (void)alarm(LIFE_MAX);
        if (argc == 12 && strcmp(argv[1], "offer") == 0)
                load_offer(argv + 2);
        else if (argc == 9 && strcmp(argv[1], "new") == 0)
                load_new(argv + 2);
        else if (argc == 6 && strcmp(argv[1], "flood") == 0)
                load_flood(argv + 2);
        else if (argc == 7 && strcmp(argv[1], "reply") == 0)
                load_reply(argv + 2);
        else {
                (void)fprintf(stderr, "usage: see the head of main.c\n");
                return 2;
        }
        return 0;
}
