/* SPDX-License-Identifier: MIT */
/*
 * Believes: sd_journal_sendv() blocks for as long as journald does. Refuses: to let that reach a datagram, or to let
 * bytes that came from outside forge a second line or a field.
 */
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "base/log.h"
#include "base/mailbox.h"

#define FIELD_PREFIX "UDP46_"

struct LogWriter {
        Log *log;
        Mailbox *box;
        atomic_uint_fast64_t n_lost;
        /* the log thread's own: */
        uint64_t n_lost_said;
        bool has_next;
        LogRecord next;
};

struct Log {
        LogTarget target;
        atomic_int level;
        const LogSentence *lost;
        int stop_fd;
        bool running;
        pthread_t thread;
        size_t n_writers;
        LogWriter writers[];
};

LogTarget log_target_find(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return LOG_TARGET_STDERR;
        return st.st_dev == device && st.st_ino == inode ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;
}

void log_record_begin(LogRecord *record, const LogSentence *sentence)
{
        record->sentence = sentence;
        record->used = record->n_fields = 0;
        record->when = clock_monotonic();
}

void log_record_add(LogRecord *record, const char *key, const char *format, ...)
{
        char *start = record->bytes + record->used;
        size_t room = LOG_RECORD_BYTES - record->used;
        size_t key_length = strlen(key) + 1;
        va_list ap;
        int n;

        if (record->n_fields == LOG_RECORD_FIELDS_MAX || room < key_length + 2)
                return;
        (void)snprintf(start, room, "%s=", key);
        va_start(ap, format);
        n = vsnprintf(start + key_length, room - key_length, format, ap);
        va_end(ap);
        if (n < 0)
                return;
        for (char *p = start + key_length; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';
        record->used = (uint16_t)(record->used + strlen(start) + 1);
        record->n_fields++;
}

/* One `name=value` of the readable line; quoted when it would otherwise read as two. */
static void line_append(char *line, size_t size, const char *field)
{
        const char *name = strncmp(field, FIELD_PREFIX, strlen(FIELD_PREFIX)) == 0 ? field + strlen(FIELD_PREFIX)
                                                                                   : field;
        const char *value = strchr(name, '=') + 1;
        const char *quote = !*value || strchr(value, ' ') ? "\"" : "";
        size_t used = strlen(line);

        if (used + 2 >= size)
                return;
        line[used++] = ' ';
        for (; *name != '=' && used + 1 < size; name++)
                line[used++] = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
        (void)snprintf(line + used, size - used, "=%s%s%s", quote, value, quote);
}

void log_say_now(LogTarget target, const LogRecord *record)
{
        char line[LOG_RECORD_BYTES + 256], priority[16], id[64];
        struct iovec iov[LOG_RECORD_FIELDS_MAX + 4];
        const char *field = record->bytes;
        int n = 0;

        (void)snprintf(line, sizeof(line), "MESSAGE=%s", record->sentence->text);
        for (unsigned i = 0; i < record->n_fields; i++, field += strlen(field) + 1) {
                iov[n++] = (struct iovec){(void *)(uintptr_t)field, strlen(field)};
                line_append(line, sizeof(line), field);
        }
        if (target == LOG_TARGET_STDERR) {
                char text[sizeof(line) + 16];
                int length = snprintf(text, sizeof(text), "<%d>%s\n", record->sentence->priority,
                                      line + strlen("MESSAGE="));

                /* Not by stdio: exit(3) flushes every stream, and would wait where this thread is stuck. */
                (void)!write(STDERR_FILENO, text, (size_t)length); /* nobody to tell if it fails */
                return;
        }
        (void)snprintf(priority, sizeof(priority), "PRIORITY=%d", record->sentence->priority);
        (void)snprintf(id, sizeof(id), "MESSAGE_ID=%s", record->sentence->id);
        iov[n++] = (struct iovec){line, strlen(line)};
        iov[n++] = (struct iovec){priority, strlen(priority)};
        iov[n++] = (struct iovec){id, strlen(id)};
        iov[n++] = (struct iovec){(void *)(uintptr_t) "SYSLOG_IDENTIFIER=udp46", strlen("SYSLOG_IDENTIFIER=udp46")};
        (void)sd_journal_sendv(iov, n);
}

/*
 * The earliest of what all writers have to say, or NULL. Looked at twice: what one of them said because of another is
 * posted after it, so whoever seemed to have nothing before the later one was found has it now.
 */
static LogWriter *log_earliest(Log *log)
{
        LogWriter *earliest = NULL;

        for (unsigned look = 0; look < 2; look++)
                for (size_t i = 0; i < log->n_writers; i++) {
                        LogWriter *writer = &log->writers[i];

                        if (!writer->has_next)
                                writer->has_next = mailbox_take(writer->box, &writer->next);
                }
        for (size_t i = 0; i < log->n_writers; i++) {
                LogWriter *writer = &log->writers[i];

                if (writer->has_next && (!earliest || writer->next.when < earliest->next.when))
                        earliest = writer;
        }
        return earliest;
}

static void say_lost(Log *log, LogWriter *writer)
{
        uint64_t n_lost = atomic_load_explicit(&writer->n_lost, memory_order_relaxed);
        LogRecord record;

        if (n_lost == writer->n_lost_said)
                return;
        log_record_begin(&record, log->lost);
        log_record_add(&record, "UDP46_COUNT", "%" PRIu64, n_lost - writer->n_lost_said);
        writer->n_lost_said = n_lost;
        log_say_now(log->target, &record);
}

static void log_drain(Log *log)
{
        LogWriter *writer;

        while ((writer = log_earliest(log))) {
                log_say_now(log->target, &writer->next);
                writer->has_next = false;
        }
        for (size_t i = 0; i < log->n_writers; i++)
                say_lost(log, &log->writers[i]);
}

static void *log_thread(void *userdata)
{
        Log *log = userdata;
        struct pollfd fds[LOG_WRITERS_MAX + 1];
        bool stop = false;

        (void)pthread_setname_np(pthread_self(), "udp46-log");
        for (size_t i = 0; i < log->n_writers; i++)
                fds[i] = (struct pollfd){.fd = mailbox_get_fd(log->writers[i].box), .events = POLLIN};
        fds[log->n_writers] = (struct pollfd){.fd = log->stop_fd, .events = POLLIN};
        while (!stop) {
                if (poll(fds, log->n_writers + 1, -1) < 0)
                        continue;
                stop = fds[log->n_writers].revents;
                for (size_t i = 0; i < log->n_writers; i++)
                        mailbox_quiet(log->writers[i].box);
                log_drain(log);
        }
        return NULL;
}

int log_new(Log **ret, LogTarget target, int level, size_t n_writers, const LogSentence *lost)
{
        _cleanup_(cleanup_log_free) Log *log = NULL;
        int r;

        if (n_writers > LOG_WRITERS_MAX)
                return -E2BIG;
        log = calloc(1, sizeof(Log) + n_writers * sizeof(LogWriter));
        if (!log)
                return -ENOMEM;
        log->target = target;
        log->level = level;
        log->lost = lost;
        log->stop_fd = eventfd(0, EFD_CLOEXEC);
        if (log->stop_fd < 0)
                return -errno;
        for (; log->n_writers < n_writers; log->n_writers++) {
                LogWriter *writer = &log->writers[log->n_writers];

                writer->log = log;
                r = mailbox_new(&writer->box, sizeof(LogRecord), LOG_RING_RECORDS);
                if (r < 0)
                        return r;
        }
        r = pthread_create(&log->thread, NULL, log_thread, log);
        if (r != 0)
                return -r;
        log->running = true;
        *ret = TAKE_PTR(log);
        return 0;
}

Log *log_free(Log *log)
{
        struct timespec deadline;

        if (!log)
                return NULL;
        if (log->running) {
                (void)eventfd_write(log->stop_fd, 1);
                (void)clock_gettime(CLOCK_REALTIME, &deadline);
                deadline.tv_nsec += 500L * 1000 * 1000;
                deadline.tv_sec += deadline.tv_nsec / 1000000000L;
                deadline.tv_nsec %= 1000000000L;
                if (pthread_timedjoin_np(log->thread, NULL, &deadline) != 0)
                        return NULL; /* stuck in a journal that does not answer: the thread keeps what it uses */
        }
        for (size_t i = 0; i < log->n_writers; i++)
                (void)mailbox_free(log->writers[i].box);
        log->stop_fd = safe_close(log->stop_fd);
        free(log);
        return NULL;
}

uint64_t log_n_lost(const Log *log)
{
        uint64_t n = 0;

        for (size_t i = 0; i < log->n_writers; i++)
                n += atomic_load_explicit(&log->writers[i].n_lost, memory_order_relaxed);
        return n;
}

void log_set_level(Log *log, int level)
{
        atomic_store_explicit(&log->level, level, memory_order_relaxed);
}

LogWriter *log_writer(Log *log, size_t i)
{
        return &log->writers[i];
}

bool log_writer_wants(const LogWriter *writer, const LogSentence *sentence)
{
        return sentence->priority <= atomic_load_explicit(&writer->log->level, memory_order_relaxed);
}

bool log_writer_send(LogWriter *writer, const LogRecord *record)
{
        if (!log_writer_wants(writer, record->sentence))
                return true;
        if (mailbox_post(writer->box, record))
                return true;
        (void)atomic_fetch_add_explicit(&writer->n_lost, 1, memory_order_relaxed);
        return false;
}
