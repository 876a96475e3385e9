/* SPDX-License-Identifier: MIT */
/*
 * Believes: sd_event_new(), because the default loop asks for its thread's id in every iteration. The thread waits in
 * the relay's epoll, where sd-event's own descriptor is one watch among the sockets: the other way round each datagram
 * would wake two epolls and pay for an iteration of sd-event. Refuses: to return a negative number from a callback,
 * which would switch the source off with nothing but a debug line.
 */
#include <pthread.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "base/mailbox.h"
#include "daemon/session-log.h"
#include "daemon/worker.h"
#include "relay/waiting.h"

#define LEAVE_MAX (100 * USEC_PER_MSEC)

/* So long a worker that has taken over its sessions waits for the others, and looks so often. */
#define AWAIT_MAX (2 * USEC_PER_SEC)
#define AWAIT_STEP 100 /* µs */

enum {
        ORDERS_MAX = 1024,
        ORDER_TRIES = 1000,
        ORDER_PAUSE = 1000,    /* µs */
        TIMER_ACCURACY = 1000, /* µs */
        EVENTS_MAX = 2,        /* of sd-event in a round: orders, and the timer */
        TURNS_MAX = 8,         /* of the relay, before the loop looks at orders and the timer again */
        STOP_MAX_SEC = 2,
};

struct Worker {
        Mailbox *orders, *answers;
        uint64_t n_ordered; /* the control thread's */
        Counter n_obeyed;
        Relay *relay;
        Keeper *keeper;  /* or NULL: sessions end with us */
        sd_event *event; /* orders and the timer */
        Watch event_watch;
        bool event_due; /* it has something, or its timer was moved */
        sd_event_source *timer;
        usec_t timer_at;
        SessionLog session_log;
        bool running;
        pthread_t thread;
};

static void session_opened(void *userdata, Session *session, usec_t now)
{
        Worker *worker = userdata;

        if (worker->keeper)
                keeper_opened(worker->keeper, session, now);
        session_log_opened(&worker->session_log, session, now);
}

static void session_closed(void *userdata, Session *session, SessionEnd end, usec_t now)
{
        Worker *worker = userdata;

        session_log_closed(&worker->session_log, session, end, now);
        if (worker->keeper)
                keeper_closed(worker->keeper, session, now);
}

static void leg_changed(void *userdata, Session *session, usec_t now)
{
        const Worker *worker = userdata;

        if (worker->keeper)
                keeper_changed(worker->keeper, session, now);
}

RelayObserver worker_observer(Worker *worker)
{
        return (RelayObserver){.session_opened = session_opened,
                               .session_closed = session_closed,
                               .leg_changed = leg_changed,
                               .userdata = worker};
}

/* The timer only ever moves towards now; when it rings too early, it is set again. */
static int worker_arm(Worker *worker, bool rang)
{
        usec_t at = relay_deadline(worker->relay);
        usec_t log_at = session_log_deadline(&worker->session_log);
        int r;

        if (log_at < at)
                at = log_at;
        if (worker->keeper && worker->keeper->due < at)
                at = worker->keeper->due;
        if (!rang && at >= worker->timer_at)
                return 0;
        worker->timer_at = at;
        worker->event_due = true;
        r = sd_event_source_set_time(worker->timer, at);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(worker->timer, at == USEC_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int worker_fail_on(Worker *worker, int r)
{
        return r < 0 ? sd_event_exit(worker->event, r) : 0;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
        Worker *worker = userdata;
        usec_t now = clock_monotonic();

        (void)source, (void)at;
        relay_expire(worker->relay, now);
        session_log_summarise(&worker->session_log, now);
        if (worker->keeper && worker->keeper->due <= now)
                keeper_turn(worker->keeper, now);
        return worker_fail_on(worker, worker_arm(worker, true));
}

/* Strangers would get the places of others' sessions. Only for a moment: another worker may have ended. */
static void await_others(Counter *n_restored, unsigned n_workers)
{
        const usec_t until = usec_add(clock_monotonic(), AWAIT_MAX);

        (void)counter_share(n_restored, 1);
        while (counter_get(n_restored) < n_workers && clock_monotonic() < until)
                (void)usleep(AWAIT_STEP);
}

static void worker_obey(Worker *worker, const WorkerOrder *order)
{
        WorkerAnswer answer = {0};

        switch (order->kind) {
        case WORKER_PING:
                answer.ping = order->ping;
                answer.at = clock_monotonic();
                (void)mailbox_post(worker->answers, &answer);
                break;
        case WORKER_SET_LIMIT:
                relay_set_limit(worker->relay, order->limit);
                break;
        case WORKER_SET_POLICY:
                policy_set(worker->relay->policies[order->policy], &order->settings);
                break;
        case WORKER_SET_UPSTREAM:
                upstream_set_targets(&worker->relay->policies[order->policy]->upstream, &order->targets);
                break;
        case WORKER_SET_SOURCES:
                upstream_set_sources(&worker->relay->policies[order->policy]->upstream, order->sources);
                break;
        case WORKER_SET_FILTER:
                policy_set_filter(worker->relay->policies[order->policy], order->filter);
                break;
        case WORKER_EXPECT_ECHO:
                echo_expect(&worker->relay->echo, order->echo);
                break;
        case WORKER_RESTORE:
                answer.revival = order->revival;
                revival_adopt(answer.revival, worker->relay, worker->keeper, clock_monotonic());
                await_others(order->n_restored, order->n_workers);
                (void)mailbox_post(worker->answers, &answer);
                break;
        case WORKER_LIST:
                answer.listing = order->listing;
                relay_list(worker->relay, answer.listing);
                (void)mailbox_post(worker->answers, &answer);
                break;
        case WORKER_STOP:
                (void)sd_event_exit(worker->event, 0);
                break;
        }
}

static int on_orders(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Worker *worker = userdata;
        WorkerOrder order;

        (void)source, (void)fd, (void)events;
        mailbox_quiet(worker->orders);
        while (mailbox_take(worker->orders, &order)) {
                worker_obey(worker, &order);
                counter_add(&worker->n_obeyed, 1);
        }
        return worker_fail_on(worker, worker_arm(worker, true));
}

static int worker_add_sources(Worker *worker)
{
        sd_event_source *orders;
        int r;

        r = sd_event_add_io(worker->event, &orders, mailbox_get_fd(worker->orders), EPOLLIN, on_orders, worker);
        if (r < 0)
                return r;
        r = sd_event_source_set_floating(orders, true);
        if (r < 0)
                return r;
        (void)sd_event_source_unref(orders);
        return sd_event_add_time(worker->event, &worker->timer, CLOCK_MONOTONIC, USEC_NEVER, TIMER_ACCURACY, on_timer,
                                 worker);
}

static int on_event(Watch *watch, void *context, usec_t now)
{
        (void)context, (void)now;
        container_of(watch, Worker, event_watch)->event_due = true;
        return 0;
}

/* A round of what sd-event has, with its timer armed at the end. Closing many sessions takes many, and legs wait. */
static int worker_serve_event(Worker *worker)
{
        int r = 1;

        for (unsigned i = 0; i < EVENTS_MAX && r > 0 && sd_event_get_state(worker->event) != SD_EVENT_FINISHED; i++)
                r = sd_event_run(worker->event, 0);
        worker->event_due = r > 0;
        return r;
}

/* Waits, if sd-event has nothing, and lets the relay work until it has nothing more to do, or sd-event has. */
static int worker_serve_relay(Worker *worker)
{
        int r = worker->event_due ? 0 : relay_wait(worker->relay);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < TURNS_MAX; i++) {
                r = relay_dispatch(worker->relay, clock_monotonic());
                if (r <= 0 || worker->event_due)
                        break;
        }
        if (worker->keeper)
                keeper_live(worker->keeper, clock_monotonic());
        worker->event_due = worker->event_due || r > 0;
        return r < 0 ? r : worker_arm(worker, false);
}

/* Orders first: the datagram that activated us must not meet an upstream that has not been told yet. */
static int worker_run(Worker *worker)
{
        int r, code = 0;

        if ((r = worker_add_sources(worker)) < 0 || (r = worker_arm(worker, true)) < 0 ||
            (r = relay_watch(worker->relay, &worker->event_watch, sd_event_get_fd(worker->event), on_event)) < 0)
                return r;
        worker->event_due = true;
        while (r >= 0 && sd_event_get_state(worker->event) != SD_EVENT_FINISHED) {
                if (worker->event_due)
                        r = worker_serve_event(worker);
                if (r >= 0 && sd_event_get_state(worker->event) != SD_EVENT_FINISHED)
                        r = worker_serve_relay(worker);
        }
        if (r >= 0)
                r = sd_event_get_exit_code(worker->event, &code);
        return r < 0 ? r : code;
}

/* Whoever waits for room in a send buffer is not left behind: that takes WriteTimeoutSec= at most, and no longer. */
static void let_waiting_go(Worker *worker)
{
        usec_t now = clock_monotonic(), until = usec_add(now, LEAVE_MAX);

        while (waiting_deadline(worker->relay->waiting) != USEC_NEVER && now < until) {
                (void)watch_set_wait(&worker->relay->watches, 1);
                now = clock_monotonic();
                if (relay_dispatch(worker->relay, now) < 0)
                        return;
                relay_expire(worker->relay, now);
        }
}

/* They go on in the next process, if somebody keeps them. */
static void worker_end_sessions(Worker *worker)
{
        if (!worker->keeper) {
                relay_close_sessions(worker->relay, SESSION_SHUTDOWN, clock_monotonic());
                return;
        }
        let_waiting_go(worker);
        keeper_finish(worker->keeper, clock_monotonic());
}

static void *worker_thread(void *userdata)
{
        Worker *worker = userdata;
        WorkerAnswer answer = {.stopped = true};

        (void)pthread_setname_np(pthread_self(), "udp46-worker");
        answer.error = worker_run(worker);
        worker_end_sessions(worker);
        session_log_finish(&worker->session_log);
        (void)mailbox_post(worker->answers, &answer);
        return NULL;
}

int worker_new(Worker **ret, LogWriter *log)
{
        _cleanup_(cleanup_worker_free) Worker *worker = calloc(1, sizeof(Worker));
        int r;

        if (!worker)
                return -ENOMEM;
        session_log_init(&worker->session_log, log, clock_monotonic());
        worker->timer_at = USEC_NEVER;
        r = mailbox_new(&worker->orders, sizeof(WorkerOrder), ORDERS_MAX);
        if (r < 0)
                return r;
        r = mailbox_new(&worker->answers, sizeof(WorkerAnswer), ORDERS_MAX);
        if (r < 0)
                return r;
        r = sd_event_new(&worker->event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(worker);
        return 0;
}

void worker_host(Worker *worker, Relay *relay)
{
        worker->relay = relay;
}

int worker_start(Worker *worker)
{
        int r = pthread_create(&worker->thread, NULL, worker_thread, worker);

        if (r != 0)
                return -r;
        worker->running = true;
        return 0;
}

void worker_keep(Worker *worker, Keeper *keeper)
{
        worker->keeper = keeper;
}

const Keeper *worker_keeper(const Worker *worker)
{
        return worker->keeper;
}

const Relay *worker_relay(const Worker *worker)
{
        return worker->relay;
}

bool worker_order(Worker *worker, const WorkerOrder *order)
{
        for (unsigned i = 0; i < ORDER_TRIES; i++) {
                if (mailbox_post(worker->orders, order)) {
                        worker->n_ordered++;
                        return true;
                }
                (void)usleep(ORDER_PAUSE);
        }
        return false;
}

bool worker_has_obeyed(const Worker *worker)
{
        return counter_get(&worker->n_obeyed) == worker->n_ordered;
}

int worker_get_fd(const Worker *worker)
{
        return mailbox_get_fd(worker->answers);
}

void worker_quiet(Worker *worker)
{
        mailbox_quiet(worker->answers);
}

void worker_again(Worker *worker)
{
        mailbox_again(worker->answers);
}

bool worker_take(Worker *worker, WorkerAnswer *ret)
{
        return mailbox_take(worker->answers, ret);
}

static void worker_join(Worker *worker)
{
        const WorkerOrder stop = {.kind = WORKER_STOP}; /* a second one does no harm */
        struct timespec until;

        (void)worker_order(worker, &stop);
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STOP_MAX_SEC;
        if (pthread_timedjoin_np(worker->thread, NULL, &until) != 0)
                _exit(EXIT_FAILURE); /* what it uses cannot be taken down under it */
}

/* What an order gives away, when nobody is left to obey it. */
static void drop_orders(Mailbox *orders)
{
        WorkerOrder order;

        while (mailbox_take(orders, &order)) {
                if (order.kind == WORKER_SET_SOURCES)
                        (void)sources_free(order.sources);
                else if (order.kind == WORKER_SET_FILTER)
                        (void)filter_free(order.filter);
        }
}

Worker *worker_free(Worker *worker)
{
        if (!worker)
                return NULL;
        if (worker->running)
                worker_join(worker);
        if (worker->orders)
                drop_orders(worker->orders);
        (void)sd_event_source_unref(worker->timer);
        (void)sd_event_unref(worker->event);
        (void)relay_free(worker->relay);
        (void)keeper_free(worker->keeper);
        (void)mailbox_free(worker->orders);
        (void)mailbox_free(worker->answers);
        free(worker);
        return NULL;
}
