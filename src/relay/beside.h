/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A second socket of a leg, for upstreams that answer from another address than the one that was asked (ReplyFrom=): on
 * the leg's own address and port, so that both are one to the upstream. The kernel gives what the leg's peer sends to
 * the leg, which is connected, and everything else to this one, whose filter lets in nobody but those who may answer.
 */
#include "relay/session.h"

struct Beside {
        Watch watch;
        int fd; /* owned; -EBADF: there is none at present */
        Session *session;
        Address local;   /* the leg's, when it was opened, */
        uint32_t device; /* and its device */
        uint16_t port;   /* the leg's peer's, for reply sources that have none */
        uint32_t n_replies;
        Manner manner;
};

/*
 * Has a session what its upstream's reply sources ask for? To be called when its leg is open, and whenever that may
 * lead elsewhere, and before a datagram is sent there. What cannot be opened is counted, and tried again when the leg
 * is pointed anew; while there are more sessions than there may be, none is opened.
 */
void beside_follow(Relay *relay, Session *session, usec_t now);

/* Takes a socket that was one before, of an earlier process; closes what is none of this leg's, or not asked for. */
void beside_take(Session *session, int fd);

/* As udp_receive(). *ret_answered: any of it proves that the upstream that the leg leads to is there. */
int beside_receive(Beside *beside, Batch *batch, unsigned n_max, Icmp *icmp, bool *ret_answered);

/* Closes it; the memory stays until beside_free(), because the kernel's answer of this turn may still point at it. */
void beside_close(Relay *relay, Session *session);
void beside_free(Session *session);
