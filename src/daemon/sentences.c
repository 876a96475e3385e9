/* SPDX-License-Identifier: MIT */
#include <syslog.h>

#include "daemon/sentences.h"

const LogSentence sentences[N_SENTENCES] = {
#define X(symbol, priority, id, text) [SENTENCE_##symbol] = {id, priority, text},
                SENTENCES(X)
#undef X
};
