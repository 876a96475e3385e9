/* SPDX-License-Identifier: MIT */
/*
 * Believes (libmicrohttpd 0.9.75): its own timeout counts inactivity only, so that one byte a second outlives it: the
 * time for the whole is kept here. MHD_get_timeout() is in milliseconds from now. A suspended connection must be
 * resumed before its daemon is stopped. With no place left, or no descriptor for whoever comes, it stops listening, and
 * listens again not when a connection ends but when it has its next turn: it is given one. With no descriptor for the
 * first connection it goes on listening and would be called again at once: it is given a rest.
 */
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/list.h"
#include "http/body.h"
#include "http/page.h"
#include "http/server.h"

/* A large answer rings once for each of its pieces: sd-event's own 250 ms would make 10 s of 5,000 sessions. */
enum { TIMER_ACCURACY = 1 }; /* µs */

typedef struct Listening {
        HttpServer *server;
        struct MHD_Daemon *daemon;
        int fd; /* libmicrohttpd's */
        bool tcp;
        bool ended; /* in the last turn, some connection */
        unsigned n_connections;
        sd_event_source *io, *timer;
        struct Listening *next;
} Listening;

/* One connection, as long as it lives. */
typedef struct Connection {
        ListNode node; /* in order of age */
        struct MHD_Connection *mhd;
        usec_t began;
} Connection;

struct HttpServer {
        sd_event *event;
        const ViewSource *source;
        HttpSettings settings;
        Listening *listening;
        List connections;
        sd_event_source *deadline;
        char policy[PAGE_POLICY_MAX]; /* what a browser may do with any of the answers */
        bool may_make_way;
        usec_t makes_way_from;  /* not before */
        usec_t makes_way_since; /* for whoever else wants the core, while it works; 0: it does not */
        bool closed;            /* libmicrohttpd gets no turn any more: it could begin another answer */
};

typedef struct Resource {
        const char *path;
        const BodyKind *kind;
} Resource;

static const Resource resources[] = {
                {"/", &body_page},
                {"/metrics", &body_metrics},
                {"/debug/sessions", &body_sessions},
                {"/debug/status", &body_status},
};

/* --- the loop --- */

static bool take_policy(int policy)
{
        return sched_setscheduler(0, policy, &(struct sched_param){0}) == 0;
}

static void *try_policies(void *userdata)
{
        *(bool *)userdata = take_policy(SCHED_IDLE) && take_policy(SCHED_OTHER);
        return NULL;
}

/* May a thread come back from the idle policy? That takes a privilege or RLIMIT_NICE, see sched(7): one tries it. */
static bool may_make_way(void)
{
        bool may = false;
        pthread_t thread;

        if (pthread_create(&thread, NULL, try_policies, &may) == 0)
                (void)pthread_join(thread, NULL);
        return may;
}

/* So long in one turn; whoever gets no further in that time has no core to give away, and pauses. */
#define MAKE_WAY_MAX (20 * USEC_PER_MSEC)
#define MAKE_WAY_PAUSE USEC_PER_SEC

/*
 * On one core a worker that wakes up would wait for the rest of a scheduler's slice, 3 ms, while an answer is made,
 * even if this thread were nice (Linux 6.6 and later). What is idle is interrupted at once. Only for the turn, and only
 * for a moment of it: signals and the watchdog do not make way, and where something always works an idle thread gets
 * 0.3 % of a core.
 */
static void make_way(HttpServer *server)
{
        usec_t now = clock_monotonic();

        if (server->may_make_way && now >= server->makes_way_from && take_policy(SCHED_IDLE))
                server->makes_way_since = now;
}

static void make_way_no_more(HttpServer *server)
{
        usec_t now = clock_monotonic();

        if (server->makes_way_since == 0)
                return;
        (void)take_policy(SCHED_OTHER);
        if (usec_sub(now, server->makes_way_since) > MAKE_WAY_MAX)
                server->makes_way_from = now + MAKE_WAY_PAUSE;
        server->makes_way_since = 0;
}

static void listening_worked(void *userdata)
{
        HttpServer *server = ((Listening *)userdata)->server;

        if (server->makes_way_since > 0 && usec_sub(clock_monotonic(), server->makes_way_since) > MAKE_WAY_MAX)
                make_way_no_more(server);
}

/* As long as there is no descriptor, or no memory, for a first connection, or to hear of one. */
#define REFUSED_REST (100 * USEC_PER_MSEC)

static bool first_is_refused(const Listening *listening)
{
        struct pollfd waits = {.fd = listening->fd, .events = POLLIN};

        return listening->n_connections == 0 && poll(&waits, 1, 0) > 0;
}

/* When there is to be another turn, though nothing happens; µs from now. */
static usec_t next_turn(const Listening *listening)
{
        MHD_UNSIGNED_LONG_LONG milliseconds;

        if (listening->ended)
                return 0;
        return MHD_get_timeout(listening->daemon, &milliseconds) == MHD_YES ? milliseconds * USEC_PER_MSEC : USEC_NEVER;
}

static void listening_turn(void *userdata)
{
        Listening *listening = userdata;
        bool rests;
        usec_t next;

        if (listening->server->closed)
                return;
        listening->ended = false;
        make_way(listening->server);
        (void)MHD_run(listening->daemon);
        make_way_no_more(listening->server);
        rests = (!listening->ended && first_is_refused(listening)) ||
                sd_event_source_set_enabled(listening->io, SD_EVENT_ON) < 0;
        if (rests)
                (void)sd_event_source_set_enabled(listening->io, SD_EVENT_OFF);
        next = rests ? REFUSED_REST : next_turn(listening);
        (void)sd_event_source_set_time_relative(listening->timer, next);
        (void)sd_event_source_set_enabled(listening->timer, next == USEC_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* --- answering --- */

static void add_headers(const HttpServer *server, struct MHD_Response *response, const char *content_type)
{
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
        (void)MHD_add_response_header(response, "Content-Security-Policy", server->policy);
}

static enum MHD_Result answer(const HttpServer *server, struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response, const char *content_type)
{
        enum MHD_Result queued;

        if (!response)
                return MHD_NO;
        add_headers(server, response, content_type);
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        queued = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return queued;
}

static enum MHD_Result refuse(const HttpServer *server, struct MHD_Connection *connection, unsigned status,
                              const char *text)
{
        return answer(server, connection, status,
                      MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT),
                      "text/plain; charset=utf-8");
}

typedef struct HostCheck {
        const char *names;
        bool refused;
} HostCheck;

static enum MHD_Result check_host(void *userdata, enum MHD_ValueKind kind, const char *name, size_t name_length,
                                  const char *value, size_t length)
{
        HostCheck *check = userdata;

        (void)kind, (void)name_length;
        if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0 &&
            !request_host_is_ours(check->names, value ? value : "", length))
                check->refused = true;
        return MHD_YES;
}

/* Without a Host it is no browser; with several, each must be ours. */
static bool host_is_ours(const HttpServer *server, struct MHD_Connection *connection)
{
        HostCheck check = {.names = server->settings.hosts};

        (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, check_host, &check);
        return !check.refused;
}

typedef struct QueryTake {
        RequestQuery *query;
        const char *problem;
} QueryTake;

static enum MHD_Result take_parameter(void *userdata, enum MHD_ValueKind kind, const char *name, size_t name_length,
                                      const char *value, size_t length)
{
        QueryTake *take = userdata;

        (void)kind;
        take->problem = request_take(take->query, name, name_length, value, length);
        return take->problem ? MHD_NO : MHD_YES;
}

/* What follows the question mark. NULL, or what is wrong with it. */
static const char *take_query(struct MHD_Connection *connection, RequestQuery *query)
{
        QueryTake take = {.query = query};

        (void)MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, take_parameter, &take);
        return take.problem;
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload, size_t *upload_size,
                                  void **state)
{
        Listening *listening = userdata;
        const HttpServer *server = listening->server;
        const BodyWake wake = {listening_turn, listening_worked, listening};
        BodyQuery query = {.session_labels = server->settings.session_labels,
                           .mask_clients = listening->tcp && !server->settings.show_clients};
        struct MHD_Response *response;
        const char *problem;

        (void)version, (void)upload, (void)upload_size, (void)state;
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return refuse(server, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        if (listening->tcp && !host_is_ours(server, connection))
                return refuse(server, connection, MHD_HTTP_FORBIDDEN,
                              "this name is not known here: use the address, or set HttpHosts= in udp46.conf\n");
        for (size_t i = 0; i < ELEMENTSOF(resources); i++) {
                if (strcmp(resources[i].path, url) != 0)
                        continue;
                problem = take_query(connection, &query.asked);
                if (!problem && query.asked.unknown && resources[i].kind == &body_sessions)
                        problem = "expected listener, client or limit\n"; /* a misspelt filter would show everything */
                if (problem)
                        return refuse(server, connection, MHD_HTTP_BAD_REQUEST, problem);
                response = body_response(resources[i].kind, &query, server->source, connection, &wake);
                /* Else libmicrohttpd ends a body that is not there. */
                if (response && strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
                        (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
                return answer(server, connection, MHD_HTTP_OK, response, resources[i].kind->content_type);
        }
        return refuse(server, connection, MHD_HTTP_NOT_FOUND,
                      "not here: see /, /metrics, /debug/sessions, /debug/status\n");
}

/* --- the time for the whole of a connection --- */

static usec_t deadline_of(const Connection *connection)
{
        return usec_add(connection->began, HTTP_CONNECTION_SECONDS * USEC_PER_SEC);
}

static void deadline_arm(HttpServer *server)
{
        const ListNode *first = server->connections.first;

        if (!first)
                return;
        (void)sd_event_source_set_time(server->deadline, deadline_of(container_of(first, Connection, node)));
        (void)sd_event_source_set_enabled(server->deadline, SD_EVENT_ONESHOT);
}

/* Cuts the connection; libmicrohttpd finds that out and forgets it. */
static void cut(Connection *connection)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection->mhd,
                                                                       MHD_CONNECTION_INFO_CONNECTION_FD);

        if (info)
                (void)shutdown(info->connect_fd, SHUT_RDWR);
}

static int on_deadline(sd_event_source *source, uint64_t at, void *userdata)
{
        HttpServer *server = userdata;
        usec_t now = clock_monotonic();
        ListNode *node;

        (void)source, (void)at;
        while ((node = server->connections.first) && deadline_of(container_of(node, Connection, node)) <= now) {
                Connection *connection = container_of(node, Connection, node);

                cut(connection);
                connection->began = now; /* once is enough; if it lingers, again */
                list_move_last(&server->connections, node);
        }
        deadline_arm(server);
        return 0;
}

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
        Listening *listening = userdata;
        HttpServer *server = listening->server;
        Connection *connection = *state;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                listening->n_connections++;
                connection = calloc(1, sizeof(Connection));
                if (!connection)
                        return;
                connection->mhd = mhd;
                connection->began = clock_monotonic();
                list_append(&server->connections, &connection->node);
                *state = connection;
                deadline_arm(server);
                return;
        }
        listening->n_connections--;
        listening->ended = true;
        if (connection) {
                list_remove(&server->connections, &connection->node);
                free(connection);
                *state = NULL;
        }
}

/* --- events --- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source, (void)fd, (void)events;
        listening_turn(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
        (void)source, (void)at;
        listening_turn(userdata);
        return 0;
}

/* --- birth and death --- */

static Listening *listening_free(Listening *listening)
{
        (void)sd_event_source_disable_unref(listening->io);
        (void)sd_event_source_disable_unref(listening->timer);
        if (listening->daemon)
                MHD_stop_daemon(listening->daemon);
        free(listening);
        return NULL;
}

static int listening_start(Listening *listening, int fd)
{
        const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
        const union MHD_DaemonInfo *info;
        int r;

        listening->daemon = MHD_start_daemon(
                        flags, 0, NULL, NULL, on_request, listening, MHD_OPTION_LISTEN_SOCKET, fd,
                        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                        listening->tcp ? (unsigned)HTTP_CONNECTIONS_OF_ONE : 0U, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        (size_t)HTTP_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
                        MHD_OPTION_NOTIFY_CONNECTION, on_connection, listening, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_END);
        if (!listening->daemon)
                return -ENOMEM;
        info = MHD_get_daemon_info(listening->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -EINVAL;
        r = sd_event_add_io(listening->server->event, &listening->io, info->epoll_fd, EPOLLIN, on_io, listening);
        if (r < 0)
                return r;
        return sd_event_add_time(listening->server->event, &listening->timer, CLOCK_MONOTONIC, UINT64_MAX,
                                 TIMER_ACCURACY, on_timer, listening);
}

int http_server_listen(HttpServer *server, int fd)
{
        Listening *listening = calloc(1, sizeof(Listening));
        int r;

        if (!listening)
                return -ENOMEM;
        listening->server = server;
        listening->fd = fd;
        listening->tcp = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, -1) <= 0;
        r = listening_start(listening, fd);
        if (r < 0) {
                if (listening->daemon)
                        (void)MHD_quiesce_daemon(listening->daemon); /* or it would close what is still the caller's */
                (void)listening_free(listening);
                return r;
        }
        listening->next = server->listening;
        server->listening = listening;
        listening_turn(listening);
        return 0;
}

int http_server_new(HttpServer **ret, sd_event *event, const ViewSource *source)
{
        _cleanup_(cleanup_http_server_free) HttpServer *server = calloc(1, sizeof(HttpServer));
        int r;

        if (!server)
                return -ENOMEM;
        server->event = sd_event_ref(event);
        server->source = source;
        server->may_make_way = may_make_way();
        page_policy_format(server->policy);
        r = sd_event_add_time(event, &server->deadline, CLOCK_MONOTONIC, UINT64_MAX, USEC_PER_SEC, on_deadline, server);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

void http_server_set(HttpServer *server, const HttpSettings *settings)
{
        server->settings = *settings;
}

size_t http_server_n_descriptors(const HttpServer *server)
{
        size_t n = 0;

        for (const Listening *listening = server->listening; listening; listening = listening->next)
                n += HTTP_CONNECTIONS_MAX + 2; /* its own and the epoll's */
        return n;
}

void http_server_close(HttpServer *server)
{
        if (server)
                server->closed = true;
}

HttpServer *http_server_free(HttpServer *server)
{
        if (!server)
                return NULL;
        for (Listening *listening = server->listening, *next; listening; listening = next) {
                next = listening->next;
                (void)listening_free(listening);
        }
        (void)sd_event_source_disable_unref(server->deadline);
        (void)sd_event_unref(server->event);
        free(server);
        return NULL;
}
