/* SPDX-License-Identifier: MIT */
/*
 * Believes: the list is one array of objects, of whatever else is in them. A scanner finds where each object ends,
 * which takes no more than strings and braces; jansson reads it. Refuses: objects larger than SESSION_OBJECT_MAX, more
 * than SESSIONS_MAX of them, more than JSON_MAX to keep, a list that does not end.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/answer.h"
#include "ctl/sessions.h"

/* Some 500,000 sessions. */
enum { JSON_MAX = 256 << 20 };

typedef enum Place { PLACE_BEFORE, PLACE_BETWEEN, PLACE_OBJECT, PLACE_AFTER } Place;

typedef struct Scanner {
        Sessions *sessions;
        bool keep_json;
        size_t kept; /* bytes of it, JSON_MAX at most */
        Place place;
        bool comma; /* there was one since the last object */
        bool in_string, escaped;
        unsigned depth;
        size_t n;
        char object[SESSION_OBJECT_MAX];
} Scanner;

void sessions_done(Sessions *sessions)
{
        for (size_t i = 0; i < sessions->n; i++)
                free(sessions->items[i].json);
        free(sessions->items);
        *sessions = (Sessions){0};
}

uint64_t session_bytes(const Session *session)
{
        return session->forward_bytes + session->reply_bytes;
}

/* --- one session --- */

/* RFC 3339 in UTC. 0: it is no such time, or the zero time that means never. */
static usec_t time_read(const char *text)
{
        struct tm tm = {0};
        unsigned fraction = 0;
        const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        time_t seconds;

        if (!rest)
                return 0;
        if (*rest == '.') {
                unsigned scale = 100000;

                for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
                        fraction += scale * (unsigned)(*rest - '0');
        }
        seconds = timegm(&tm);
        return seconds > 0 ? (usec_t)seconds * USEC_PER_SEC + fraction : 0;
}

static usec_t take_time(char *to, size_t size, const json_t *object, const char *key)
{
        const char *text = answer_text(object, key);
        usec_t t = time_read(text);

        (void)text_safe(to, size, t > 0 ? text : "-");
        return t;
}

static void take_text(char *to, size_t size, const json_t *object, const char *key)
{
        const char *text = answer_text(object, key);

        (void)text_safe(to, size, *text ? text : "-");
}

/* Address and port, which come as two. */
static void take_endpoint(char *to, size_t size, const json_t *object, const char *address, const char *port)
{
        const char *host = answer_text(object, address);
        uint64_t n = answer_count(object, port);
        char safe[SESSION_TEXT_MAX - 8];

        (void)text_safe(safe, size - 8 < sizeof(safe) ? size - 8 : sizeof(safe), host);
        if (!*host)
                (void)snprintf(to, size, "-");
        else
                (void)snprintf(to, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", safe, n <= 65535 ? (unsigned)n : 0);
}

static void take_client_key(Session *session, const json_t *object)
{
        const char *host = answer_text(object, "client_address");
        uint64_t port = answer_count(object, "client_port");

        if (inet_pton(AF_INET, host, session->client_key + 12) == 1)
                memset(session->client_key + 10, 0xff, 2);
        else if (inet_pton(AF_INET6, host, session->client_key) != 1)
                memset(session->client_key, 0xff, 16); /* whatever it is, it comes last */
        session->client_key[16] = (unsigned char)(port >> 8);
        session->client_key[17] = (unsigned char)port;
}

static void session_read(Session *session, const json_t *object)
{
        usec_t last_client, last_upstream;

        take_text(session->id, sizeof(session->id), object, "session_id");
        take_text(session->state, sizeof(session->state), object, "state");
        take_text(session->listener, sizeof(session->listener), object, "listener");
        take_endpoint(session->client, sizeof(session->client), object, "client_address", "client_port");
        take_endpoint(session->source, sizeof(session->source), object, "upstream_local_address",
                      "upstream_local_port");
        take_endpoint(session->upstream, sizeof(session->upstream), object, "upstream_remote_address",
                      "upstream_remote_port");
        take_client_key(session, object);
        session->opened = take_time(session->created, sizeof(session->created), object, "created");
        last_client = take_time(session->last_client, sizeof(session->last_client), object, "last_client_packet");
        last_upstream = take_time(session->last_upstream, sizeof(session->last_upstream), object,
                                  "last_upstream_packet");
        session->last = last_client > last_upstream ? last_client : last_upstream;
        session->forward_datagrams = answer_count(object, "client_to_upstream_packets");
        session->forward_bytes = answer_count(object, "client_to_upstream_bytes");
        session->reply_datagrams = answer_count(object, "upstream_to_client_packets");
        session->reply_bytes = answer_count(object, "upstream_to_client_bytes");
}

/* --- the list --- */

static const char *sessions_add(Scanner *scanner)
{
        Sessions *sessions = scanner->sessions;
        _cleanup_json_ json_t *object = json_loadb(scanner->object, scanner->n, 0, NULL);
        Session session = {0};

        if (!object)
                return "the answer is not JSON";
        if (sessions->n == SESSIONS_MAX)
                return "the list has more sessions than there can be";
        if (sessions->n == sessions->room) {
                size_t room = sessions->room > 0 ? 2 * sessions->room : 256;
                Session *items = reallocarray(sessions->items, room, sizeof(Session));

                if (!items)
                        return "out of memory";
                sessions->items = items;
                sessions->room = room;
        }
        session_read(&session, object);
        if (scanner->keep_json) {
                if (scanner->n > JSON_MAX - scanner->kept)
                        return "the list is larger than any relay's";
                session.json = strndup(scanner->object, scanner->n);
                if (!session.json)
                        return "out of memory";
                scanner->kept += scanner->n;
        }
        sessions->items[sessions->n++] = session;
        return NULL;
}

static const char *scan_object(Scanner *scanner, char c)
{
        if (scanner->n == sizeof(scanner->object))
                return "a session in the list is too large";
        scanner->object[scanner->n++] = c;
        if (scanner->escaped)
                scanner->escaped = false;
        else if (scanner->in_string && c == '\\')
                scanner->escaped = true;
        else if (c == '"')
                scanner->in_string = !scanner->in_string;
        else if (!scanner->in_string && c == '{')
                scanner->depth++;
        else if (!scanner->in_string && c == '}' && --scanner->depth == 0) {
                scanner->place = PLACE_BETWEEN;
                return sessions_add(scanner);
        }
        return NULL;
}

/* Outside of objects: `[`, `,` between two of them, `]`. */
static const char *scan_between(Scanner *scanner, char c)
{
        if (scanner->place == PLACE_BEFORE && c == '[')
                scanner->place = PLACE_BETWEEN;
        else if (scanner->place == PLACE_BETWEEN && c == ']' && !scanner->comma)
                scanner->place = PLACE_AFTER;
        else if (scanner->place == PLACE_BETWEEN && c == ',' && scanner->sessions->n > 0 && !scanner->comma)
                scanner->comma = true;
        else if (scanner->place == PLACE_BETWEEN && c == '{' && (scanner->comma || scanner->sessions->n == 0)) {
                scanner->place = PLACE_OBJECT;
                scanner->comma = false;
                scanner->n = 0;
                return scan_object(scanner, c);
        } else
                return "the answer is not JSON, or no list of sessions";
        return NULL;
}

static const char *scan(void *userdata, const char *data, size_t size)
{
        Scanner *scanner = userdata;
        const char *why = NULL;

        for (size_t i = 0; i < size && !why; i++)
                if (scanner->place == PLACE_OBJECT)
                        why = scan_object(scanner, data[i]);
                else if (data[i] != ' ' && data[i] != '\n' && data[i] != '\r' && data[i] != '\t')
                        why = scan_between(scanner, data[i]);
        return why;
}

/* --- order --- */

static int in_order(uint64_t a, uint64_t b)
{
        return (a > b) - (a < b);
}

static int by_client(const void *a, const void *b)
{
        const Session *s = a, *t = b;
        int order = memcmp(s->client_key, t->client_key, sizeof(s->client_key));

        return order ? order : strcmp(s->id, t->id);
}

static int by_bytes(const void *a, const void *b)
{
        int order = in_order(session_bytes(b), session_bytes(a));

        return order ? order : by_client(a, b);
}

static int by_age(const void *a, const void *b)
{
        int order = in_order(((const Session *)a)->opened, ((const Session *)b)->opened);

        return order ? order : by_client(a, b);
}

static int by_idle(const void *a, const void *b)
{
        int order = in_order(((const Session *)a)->last, ((const Session *)b)->last);

        return order ? order : by_client(a, b);
}

static void sessions_sort(Sessions *sessions, SortKey key)
{
        static int (*const orders[])(const void *, const void *) = {
                        [SORT_BYTES] = by_bytes,
                        [SORT_AGE] = by_age,
                        [SORT_IDLE] = by_idle,
                        [SORT_CLIENT] = by_client,
        };

        if (key != SORT_NONE && sessions->n > 1)
                qsort(sessions->items, sessions->n, sizeof(Session), orders[key]);
}

static void sessions_cut(Sessions *sessions, uint64_t limit)
{
        sessions->n_found = sessions->n;
        while (sessions->n > limit)
                free(sessions->items[--sessions->n].json);
}

/* The order and the number of those that are not shown are not known to the relay: where either matters, all come. */
static bool relay_may_cut(const Options *options)
{
        return options->limit != UINT64_MAX && options->sort == SORT_NONE &&
               (options->command == COMMAND_DUMP || options->json != JSON_FORM_NONE);
}

static void resource_make(char *to, size_t size, const Options *options)
{
        int n = snprintf(to, size, "/debug/sessions?");

        if (*options->client)
                n += snprintf(to + n, size - (size_t)n, "client=%s&", options->client);
        if (*options->listener)
                n += snprintf(to + n, size - (size_t)n, "listener=%s&", options->listener);
        if (relay_may_cut(options))
                n += snprintf(to + n, size - (size_t)n, "limit=%" PRIu64 "&", options->limit);
        to[n - 1] = '\0'; /* the ? or & that nothing follows */
}

static int listener_find(Client *client, const char *listener)
{
        _cleanup_json_ json_t *status = NULL;
        const json_t *listeners;
        int r = answer_status(client, &status);

        if (r < 0)
                return r;
        listeners = answer_part(status, "listeners");
        for (size_t i = 0; i < json_array_size(listeners); i++)
                if (strcmp(answer_text(json_array_get(listeners, i), "listener"), listener) == 0)
                        return 0;
        return client_refuse(client, "no listener has this address", "See `udp46ctl status` for those there are.");
}

int sessions_fetch(Sessions *ret, Client *client, const Options *options)
{
        _cleanup_free_ Scanner *scanner = calloc(1, sizeof(Scanner));
        char resource[64 + 2 * ADDRESS_TEXT_MAX];
        struct timespec now;
        int r;

        *ret = (Sessions){0};
        if (!scanner)
                return client_refuse(client, "out of memory", "");
        scanner->sessions = ret;
        scanner->keep_json = options->json != JSON_FORM_NONE;
        resource_make(resource, sizeof(resource), options);
        r = client_get(client, resource, scan, scanner);
        if (r >= 0 && scanner->place != PLACE_AFTER)
                r = client_refuse(client, "the answer is not JSON, or its end is missing", CLIENT_ASK_ELSEWHERE);
        if (r >= 0 && ret->n == 0 && *options->listener)
                r = listener_find(client, options->listener);
        if (r < 0)
                return r;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        ret->taken = (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
        sessions_sort(ret, options->sort);
        sessions_cut(ret, options->limit);
        return 0;
}

/* --- the columns --- */

#define COLUMN(name, format, ...)                                                                        \
        static void write_##name(char cell[static TABLE_CELL_MAX], const void *row, const void *context) \
        {                                                                                                \
                const Session *session = row;                                                            \
                (void)context;                                                                           \
                (void)snprintf(cell, TABLE_CELL_MAX, format, __VA_ARGS__);                               \
        }

COLUMN(client, "%s", session->client)
COLUMN(listener, "%s", session->listener)
COLUMN(source, "%s", session->source)
COLUMN(upstream, "%s", session->upstream)
COLUMN(state, "%s", session->state)

static void write_since(char cell[static TABLE_CELL_MAX], usec_t when, const Sessions *sessions)
{
        char text[SPAN_TEXT_MAX];

        (void)snprintf(cell, TABLE_CELL_MAX, "%s", when > 0 ? span_format(text, usec_sub(sessions->taken, when)) : "-");
}

static void write_age(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        write_since(cell, ((const Session *)row)->opened, context);
}

static void write_idle(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        write_since(cell, ((const Session *)row)->last, context);
}

static void write_forward(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)amount_format(cell, ((const Session *)row)->forward_bytes);
}

static void write_reply(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)amount_format(cell, ((const Session *)row)->reply_bytes);
}

static Shade state_shade(const void *row)
{
        const char *state = ((const Session *)row)->state;

        return strcmp(state, "assured") == 0 ? SHADE_GOOD : SHADE_WARN;
}

const TableColumn session_columns[N_SESSION_COLUMNS] = {
                {"CLIENT", false, write_client, NULL},      {"LISTENER", false, write_listener, NULL},
                {"SOURCE", false, write_source, NULL},      {"UPSTREAM", false, write_upstream, NULL},
                {"STATE", false, write_state, state_shade}, {"AGE", true, write_age, NULL},
                {"IDLE", true, write_idle, NULL},           {"FORWARD", true, write_forward, NULL},
                {"REPLY", true, write_reply, NULL},
};
