/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The log thread. Whoever has something to say fills a LogRecord and sends it through a LogWriter of its own (one for
 * each thread that speaks, because behind it is a Mailbox). The log thread alone talks to the journal, which may block;
 * nobody else ever does. A full mailbox loses the record and counts it, and the count is said as soon as there is room.
 *
 * A record is a sentence (constant text, priority, MESSAGE_ID) and fields. The MESSAGE= a person reads is the sentence
 * followed by the fields as `name=value`, where UDP46_CLIENT= becomes `client=`. On standard error the same line
 * bears a `<priority>` prefix as in sd-daemon(3).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"

typedef struct LogSentence {
        const char *id; /* MESSAGE_ID, 32 hexadecimal digits */
        int priority;   /* LOG_ERR … LOG_DEBUG of syslog.h */
        const char *text;
} LogSentence;

enum { LOG_RECORD_FIELDS_MAX = 24, LOG_RECORD_BYTES = 1000, LOG_RING_RECORDS = 256, LOG_WRITERS_MAX = 64 };

typedef struct LogRecord {
        const LogSentence *sentence;
        usec_t when; /* it was begun: what several writers say is told in this order */
        uint16_t used;
        uint16_t n_fields;
        char bytes[LOG_RECORD_BYTES]; /* `KEY=value` strings, one behind the other, each with its NUL */
} LogRecord;

typedef struct Log Log;
typedef struct LogWriter LogWriter;

typedef enum LogTarget { LOG_TARGET_JOURNAL, LOG_TARGET_STDERR } LogTarget;

/* The journal where standard error leads to it (JOURNAL_STREAM=, systemd.exec(5)), else standard error itself. */
LogTarget log_target_find(void);

/* Starts the thread. `lost` is the sentence for records that found no room. 0 or negative errno. */
int log_new(Log **ret, LogTarget target, int level, size_t n_writers, const LogSentence *lost);

/* Says what is still queued, for at most half a second, and ends the thread. */
Log *log_free(Log *log);
DEFINE_CLEANUP(Log, log_free)

/* Records that found no room, of all writers, since the beginning. Any thread. */
uint64_t log_n_lost(const Log *log);

/* Any thread, any time. */
void log_set_level(Log *log, int level);

/* The i-th writer; one thread each. Lives as long as the log. */
LogWriter *log_writer(Log *log, size_t i);

/* Worth formatting? Below the level nothing is queued. */
bool log_writer_wants(const LogWriter *writer, const LogSentence *sentence);

void log_record_begin(LogRecord *record, const LogSentence *sentence);
/* What does not fit into the record is left out. Control characters in a value become `?`. */
void log_record_add(LogRecord *record, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Never waits. false: lost (and counted). A record below the level is dropped in silence and counts as sent. */
bool log_writer_send(LogWriter *writer, const LogRecord *record);

/* Writes the record to a target at once, from the calling thread: for what is said before a Log is there. */
void log_say_now(LogTarget target, const LogRecord *record);
