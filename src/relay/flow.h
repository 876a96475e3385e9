/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The identity of one conversation: which listener, which client, and which of our addresses the client wrote to. Two
 * datagrams of one flow go the same way. No padding: a Flow is hashed and compared as its bytes.
 */
#include <netinet/in.h>
#include <stdint.h>

typedef struct Flow {
        struct in_addr client;
        struct in_addr local;
        uint16_t client_port; /* host byte order */
        uint16_t listener;    /* Listener.index */
        uint32_t channel;     /* of a link with several conversations; 0 where there is none */
} Flow;

_Static_assert(sizeof(Flow) == 16, "a Flow has no padding");
