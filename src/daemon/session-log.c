/* SPDX-License-Identifier: MIT */
/* Believes: a flood of forged sources is logged best by one number. */
#include "daemon/session-log.h"
#include "daemon/sentences.h"
#include "wire/udp.h"

void session_log_init(SessionLog *log, LogWriter *writer, usec_t now)
{
        *log = (SessionLog){.writer = writer, .tokens = SESSION_LOG_BURST, .filled = now, .summary_due = USEC_NEVER};
}

static bool session_log_allows(SessionLog *log, usec_t now)
{
        uint64_t fresh = usec_sub(now, log->filled) * SESSION_LOG_PER_SEC / USEC_PER_SEC;

        if (fresh > 0) {
                log->tokens = log->tokens + fresh > SESSION_LOG_BURST ? SESSION_LOG_BURST : log->tokens + fresh;
                log->filled += fresh * USEC_PER_SEC / SESSION_LOG_PER_SEC;
        }
        if (log->tokens > 0) {
                log->tokens--;
                return true;
        }
        log->n_left_out++;
        if (log->summary_due == USEC_NEVER)
                log->summary_due = usec_add(now, SESSION_LOG_SUMMARY_EVERY);
        return false;
}

static void add_session(LogRecord *record, const Session *session)
{
        const Listener *listener = session->listener;
        const Address client = {
                        .family = AF_INET, .v4 = session->record.flow.client, .port = session->record.flow.client_port};
        char text[ADDRESS_TEXT_MAX];
        Address upstream;

        if (udp_peer(session->leg.fd, &upstream) < 0)
                upstream = upstream_peer(&listener->policy->upstream, &session->leg);
        log_record_add(record, "UDP46_SESSION", "%016" PRIx64, session->record.id);
        log_record_add(record, "UDP46_LISTENER", "%s", address_format(text, &listener->bound));
        log_record_add(record, "UDP46_CLIENT", "%s", address_format(text, &client));
        log_record_add(record, "UDP46_SOURCE", "%s", address_format(text, &session->record.source));
        log_record_add(record, "UDP46_UPSTREAM", "%s", address_format(text, &upstream));
}

void session_log_opened(SessionLog *log, const Session *session, usec_t now)
{
        LogRecord record;

        if (!log_writer_wants(log->writer, &sentences[SENTENCE_SESSION_CREATED]) || !session_log_allows(log, now))
                return;
        log_record_begin(&record, &sentences[SENTENCE_SESSION_CREATED]);
        add_session(&record, session);
        (void)log_writer_send(log->writer, &record);
}

void session_log_closed(SessionLog *log, const Session *session, SessionEnd end, usec_t now)
{
        const SessionTraffic *forward = &session->record.traffic[FORWARD], *reply = &session->record.traffic[REPLY];
        LogRecord record;

        if (!log_writer_wants(log->writer, &sentences[SENTENCE_SESSION_CLOSED]) || !session_log_allows(log, now))
                return;
        log_record_begin(&record, &sentences[SENTENCE_SESSION_CLOSED]);
        log_record_add(&record, "UDP46_REASON", "%s", session_end_name(end));
        add_session(&record, session);
        log_record_add(&record, "UDP46_FORWARD_DATAGRAMS", "%" PRIu64, forward->datagrams);
        log_record_add(&record, "UDP46_FORWARD_BYTES", "%" PRIu64, forward->bytes);
        log_record_add(&record, "UDP46_REPLY_DATAGRAMS", "%" PRIu64, reply->datagrams);
        log_record_add(&record, "UDP46_REPLY_BYTES", "%" PRIu64, reply->bytes);
        log_record_add(&record, "UDP46_DURATION_SEC", "%.3f",
                       (double)usec_sub(now, session->record.opened) / (double)USEC_PER_SEC);
        log_record_add(&record, "UDP46_AGE", "%s", session_age_name(session->record.age));
        (void)log_writer_send(log->writer, &record);
}

usec_t session_log_deadline(const SessionLog *log)
{
        return log->summary_due;
}

void session_log_finish(SessionLog *log)
{
        LogRecord record;

        if (log->n_left_out > 0) {
                log_record_begin(&record, &sentences[SENTENCE_SESSION_EVENTS_LEFT_OUT]);
                log_record_add(&record, "UDP46_COUNT", "%" PRIu64, log->n_left_out);
                if (!log_writer_send(log->writer, &record))
                        return; /* no room: the next summary says it */
        }
        log->n_left_out = 0;
        log->summary_due = USEC_NEVER;
}

void session_log_summarise(SessionLog *log, usec_t now)
{
        if (now < log->summary_due)
                return;
        session_log_finish(log);
        if (log->n_left_out > 0)
                log->summary_due = usec_add(now, SESSION_LOG_SUMMARY_EVERY);
}
