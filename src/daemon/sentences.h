/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Every sentence udp46 says, with its priority and MESSAGE_ID. Each one is explained in units/udp46.catalog, which
 * `journalctl -x` shows; tests/words holds the two together. An ID never changes its meaning.
 */
#include "base/log.h"

/* symbol, priority, MESSAGE_ID, sentence */
#define SENTENCES(X)                                                                                                \
        X(STARTING, LOG_INFO, "2a4e58c32a2d46b3a49a04c6a3f7cf66", "starting udp46")                                 \
        X(CONFIGURATION_ERROR, LOG_ERR, "025a468a8eb7456f91f231c0dc6937bf", "configuration error")                  \
        X(FAILED, LOG_ERR, "de800fd4f9b245c68bb26c7b666fbc7d", "udp46 failed")                                      \
        X(LISTENER_STARTED, LOG_INFO, "7bfbb5053ccc4de1a7d3bd0fe411a63b", "listener started")                       \
        X(HTTP_STARTED, LOG_INFO, "b1b0c7a54d6a4a8f9d55be64e2a2b1d7", "metrics server started")                     \
        X(LISTENER_STOPPED, LOG_INFO, "e921246f6edc4b9384c948fc0171c6ff", "listener stopped")                       \
        X(SECTION_UNUSED, LOG_WARNING, "5b7c1f0e9a3d4c6f8e2b41d07a95c3e8", "no listener has this name")             \
        X(LIMIT_LOWERED, LOG_WARNING, "382ad832543d4ebcbd0b4c4b2406ab6d", "session limit lowered")                  \
        X(SOURCE_FOREIGN, LOG_WARNING, "6c0d3b8be6a94c2f9d1f5a70b3e8c417", "source address is not this host's")     \
        X(DEVICE_MISSING, LOG_WARNING, "4d2f27c4ae2947edbc769b8ca465363e", "interface is not there")                \
        X(UPSTREAM_RESOLVED, LOG_INFO, "2734a967013546548307c8b48f38e2c7", "upstream resolved")                     \
        X(UPSTREAM_MOVED, LOG_INFO, "262392ff5f794c77a75ce987a9e2f096", "upstream moved")                           \
        X(UPSTREAM_LOOPS, LOG_ERR, "1d112572e1a045c896ff46e8ed7515b0", "upstream leads back to this relay")         \
        X(UPSTREAM_UNRESOLVED, LOG_WARNING, "8b3bb014691b430f96ffc14955a4c9bc", "upstream not resolved")            \
        X(UPSTREAM_DOWN, LOG_WARNING, "d94a1c0e7b3f4e28a5c6f1083b7d92e4", "upstream is down")                       \
        X(UPSTREAM_UP, LOG_INFO, "0b8e6f27c15d4a93b7e2d4489c60af31", "upstream is up")                              \
        X(UPSTREAM_CHOSEN, LOG_NOTICE, "73c5e90d2f8a4b16951ce7b06ad3f84c", "new sessions go to another upstream")   \
        X(UPSTREAM_DRAINED, LOG_NOTICE, "363fd1ff93054bbe991a3fda3c61564e", "upstream is drained")                  \
        X(UPSTREAM_UNDRAINED, LOG_NOTICE, "130b5198638c49bdae4bc836e89e5c87", "upstream is no longer drained")      \
        X(NOT_DRAINED, LOG_WARNING, "e566cf94c9fb42faaf91170d36b69f05", "upstream not drained")                     \
        X(RESTORED, LOG_INFO, "3f2c9a5be0d14f7c8b6a12d9c45e7f08", "sessions restored")                              \
        X(LOST, LOG_WARNING, "5be8c0d1f7324a69b1e5d40c93a7268f", "sessions lost")                                   \
        X(NOT_KEPT, LOG_WARNING, "9d4e0b7c5a1f4e6b8c23f7d10a96be54", "sessions would not outlive the process")      \
        X(KEPT, LOG_INFO, "c7a2f91d3e684b05a4d8160be5f3927c", "sessions would outlive the process again")           \
        X(SESSION_CREATED, LOG_INFO, "6ba8315bc48c4dc1a9cd2019b72c2eaa", "session created")                         \
        X(SESSION_CLOSED, LOG_INFO, "e4910fe90faf4ff0a026d58a65812339", "session closed")                           \
        X(SESSION_EVENTS_LEFT_OUT, LOG_INFO, "0f2440ad571746069b473b2c6ea6f92b", "session events left out")         \
        X(DROPS_BEGAN, LOG_WARNING, "7458ad674653461f921b90343c4d0386", "datagrams are dropped")                    \
        X(DROPS_ENDED, LOG_INFO, "e726af7a984f402c84be612668f3933f", "datagrams are no longer dropped")             \
        X(ICMP_BEGAN, LOG_WARNING, "bd06e2f794554addb76efd32fa548bb9", "upstream reports errors")                   \
        X(ICMP_ENDED, LOG_INFO, "a8bd9073457a4a89b850218f8bf009c9", "upstream reports no more errors")              \
        X(RELOADED, LOG_INFO, "bc1362dbc6714af8b155b7f0ecf427e0", "configuration reloaded")                         \
        X(RELOAD_FAILED, LOG_ERR, "eda43ed0f9eb4b3eb2019b755be982e6", "reload failed, the old configuration stays") \
        X(SHUTDOWN_REQUESTED, LOG_INFO, "d6b6fec79bf944d2a1aa0fe600e9509c", "shutdown requested")                   \
        X(SHUTDOWN_COMPLETE, LOG_INFO, "05e1fbb44e304c51b9d223ae8c3e1d9e", "shutdown complete")                     \
        X(RECORDS_LOST, LOG_WARNING, "2f84e24a72a74afa9a9f17451f215cad", "log records lost")

typedef enum SentenceId {
#define X(symbol, priority, id, text) SENTENCE_##symbol,
        SENTENCES(X)
#undef X
                        N_SENTENCES
} SentenceId;

extern const LogSentence sentences[N_SENTENCES];
