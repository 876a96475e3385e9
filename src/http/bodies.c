/* SPDX-License-Identifier: MIT */
/* What is served besides the page: metrics, sessions and the state of the relay. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "http/body.h"
#include "http/health.h"
#include "http/metrics.h"

/* Of what lately is; a sample is some seconds long. */
#define RECENT USEC_PER_MINUTE

/* --- /metrics --- */

static void metrics_begin(Body *body, FILE *to)
{
        metrics_write(to, body_look(body));
}

static unsigned metrics_walks(Body *body)
{
        return body->query.session_labels ? N_SESSION_METRICS : 0;
}

static void metrics_walk(Body *body, FILE *to)
{
        metrics_write_session_head(to, (SessionMetric)body->walk);
}

static void metrics_row(Body *body, FILE *to, const ListingRow *row)
{
        metrics_write_session(to, body->clock_offset, (SessionMetric)body->walk, row);
}

const BodyKind body_metrics = {
                .content_type = METRICS_CONTENT_TYPE,
                .begin = metrics_begin,
                .n_walks = metrics_walks,
                .walk = metrics_walk,
                .row = metrics_row,
};

/* --- /debug/sessions --- */

/* RFC 3339 in UTC; what has not happened is the Go program's zero time. */
static json_t *json_time(const Body *body, usec_t when)
{
        int64_t t = (int64_t)when + body->clock_offset;
        time_t second = (time_t)(t / 1000000);
        char text[64];
        struct tm tm;

        if (when == 0)
                return json_string("0001-01-01T00:00:00Z");
        (void)gmtime_r(&second, &tm);
        (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(t % 1000000));
        return json_string(text);
}

static json_t *json_host(const Address *address)
{
        char text[ADDRESS_HOST_MAX];

        return json_string(address_format_host(text, address));
}

static json_t *json_number(uint64_t n)
{
        return json_integer((json_int_t)n);
}

static json_t *session_object(const Body *body, const ListingRow *row)
{
        const SessionTraffic *forward = &row->traffic[FORWARD], *reply = &row->traffic[REPLY];
        char id[17], listener[ADDRESS_TEXT_MAX];

        (void)snprintf(id, sizeof(id), "%016" PRIx64, row->id);
        return json_pack("{s:s, s:s, s:o, s:i, s:o, s:i, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}",
                         "session_id", id, "listener", address_format(listener, &row->listener), "client_address",
                         json_host(&row->client), "client_port", row->client.port, "upstream_local_address",
                         json_host(&row->source), "upstream_local_port", row->source.port, "upstream_remote_address",
                         json_host(&row->upstream), "upstream_remote_port", row->upstream.port, "created",
                         json_time(body, row->opened), "last_client_packet", json_time(body, forward->last),
                         "last_upstream_packet", json_time(body, reply->last), "client_to_upstream_packets",
                         json_number(forward->datagrams), "client_to_upstream_bytes", json_number(forward->bytes),
                         "upstream_to_client_packets", json_number(reply->datagrams), "upstream_to_client_bytes",
                         json_number(reply->bytes), "state", session_age_name((SessionAge)row->age));
}

static bool row_is_wanted(const RequestQuery *asked, const ListingRow *row)
{
        Address client = row->client;

        if (asked->listener.family != 0 && !address_equal(&asked->listener, &row->listener))
                return false;
        if (asked->client.port == 0)
                client.port = 0;
        return asked->client.family == 0 || address_equal(&asked->client, &client);
}

static void sessions_begin(Body *body, FILE *to)
{
        (void)body_look(body);
        (void)fputc('[', to);
}

static unsigned sessions_walks(Body *body)
{
        return !body->query.asked.limited || body->query.asked.limit > 0;
}

static void sessions_row(Body *body, FILE *to, const ListingRow *row)
{
        json_t *object;

        if (body->enough || !row_is_wanted(&body->query.asked, row))
                return;
        object = session_object(body, row);
        (void)fputs(body->n_rows++ > 0 ? ",\n" : "", to);
        (void)json_dumpf(object, to, JSON_COMPACT);
        json_decref(object);
        body->enough = body->query.asked.limited && body->n_rows == body->query.asked.limit;
}

static void sessions_end(Body *body, FILE *to)
{
        (void)body;
        (void)fputs("]\n", to);
}

const BodyKind body_sessions = {
                .content_type = "application/json",
                .begin = sessions_begin,
                .n_walks = sessions_walks,
                .row = sessions_row,
                .end = sessions_end,
};

/* --- /debug/status --- */

static json_t *json_age(const View *view, usec_t when)
{
        return when > 0 ? json_real((double)usec_sub(view->now, when) / (double)USEC_PER_SEC) : json_null();
}

static json_t *drops_object(const DirectionStats *stats)
{
        json_t *object = json_object();

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                (void)json_object_set_new(object, verdict_name(v), json_number(counter_get(&stats->verdicts[v])));
        return object;
}

/* A verdict as the page has it. */
static json_t *health_object(const Finding *finding)
{
        return json_pack("{s:s, s:s, s:o}", "level", health_level_name(finding->level), "word", finding->word, "text",
                         json_string(finding->text));
}

static json_t *drops_since(const ViewSample *then, const ViewSample *now, Direction direction)
{
        json_t *object = json_object();

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                (void)json_object_set_new(object, verdict_name(v),
                                          json_number(now->verdicts[direction][v] - then->verdicts[direction][v]));
        return json_pack("{s:o}", "drops", object);
}

/* What went wrong lately, as far as the samples tell. */
static json_t *recent_object(const History *history)
{
        const ViewSample *now = &history->points[history->n - 1], *then = history_before(history, RECENT);

        return json_pack("{s:f, s:o, s:o, s:o, s:o}", "seconds",
                         (double)usec_sub(now->at, then->at) / (double)USEC_PER_SEC, "client_to_upstream",
                         drops_since(then, now, FORWARD), "upstream_to_client", drops_since(then, now, REPLY),
                         "kernel_drops", json_number(now->kernel_drops - then->kernel_drops), "icmp_errors",
                         json_number(now->icmp_errors - then->icmp_errors));
}

static json_t *direction_object(const DirectionStats *stats)
{
        return json_pack("{s:o, s:o, s:o, s:o}", "received", json_number(counter_get(&stats->received)), "datagrams",
                         json_number(counter_get(&stats->verdicts[VERDICT_FORWARDED])), "bytes",
                         json_number(counter_get(&stats->bytes)), "drops", drops_object(stats));
}

static json_t *place_object(const ViewPlace *place)
{
        char text[ADDRESS_TEXT_MAX];

        return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "listener", address_format(text, &place->bound), "name",
                         place->name, "workers", (int)place->n_workers, "kernel_drops",
                         json_number(place->kernel_drops), "icmp_errors",
                         json_number(counter_get(&place->stats.icmp_errors)), "client_to_upstream",
                         direction_object(&place->stats.directions[FORWARD]), "upstream_to_client",
                         direction_object(&place->stats.directions[REPLY]));
}

static json_t *targets_array(const View *view, const ViewName *name)
{
        json_t *array = json_array();
        char text[ADDRESS_TEXT_MAX];

        for (unsigned i = 0; i < name->n_targets; i++) {
                const ViewTarget *target = &name->targets[i];

                (void)json_array_append_new(
                                array,
                                json_pack("{s:s, s:o, s:o, s:o, s:s, s:b, s:b, s:o, s:o}", "upstream", target->upstream,
                                          "address",
                                          target->address.family ? json_string(address_format(text, &target->address))
                                                                 : json_null(),
                                          "resolve_error", *target->why ? json_string(target->why) : json_null(),
                                          "reply_age_seconds", json_age(view, target->last_reply), "state",
                                          target->health, "chosen", target->chosen, "drained", target->drained,
                                          "sessions", json_number(target->sessions), "icmp_errors",
                                          json_number(target->icmp_errors)));
        }
        return array;
}

static json_t *name_object(const View *view, size_t i, usec_t asked)
{
        const ViewName *name = &view->names[i];
        const Finding finding = health_of_name(view, i, asked);
        char text[ADDRESS_TEXT_MAX];

        return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                         name->name, "health", health_object(&finding), "sessions", json_number(name->sessions),
                         "unreplied", json_number(name->by_age[SESSION_UNREPLIED]), "assured",
                         json_number(name->by_age[SESSION_ASSURED]), "peak", json_number(name->peak), "limit",
                         json_number(name->limit), "unreplied_limit", json_number(name->unreplied_limit), "upstream",
                         name->upstream, "upstream_address",
                         name->address.family ? json_string(address_format(text, &name->address)) : json_null(),
                         "resolved_age_seconds", json_age(view, name->resolved), "resolve_error",
                         *name->why ? json_string(name->why) : json_null(), "reply_age_seconds",
                         json_age(view, view_last_reply(name)), "asked_age_seconds",
                         json_age(view, health_is_silent(view, name) ? asked : 0), "upstreams",
                         targets_array(view, name));
}

/* What came from the process before; null if there was none, or before it is done. */
static json_t *restored_object(const ViewRestored *restored)
{
        uint64_t lost = 0;

        if (!restored->taken)
                return json_null();
        for (unsigned i = 0; i < VIEW_LOSSES; i++)
                lost += restored->n_lost[i];
        return json_pack("{s:o, s:o, s:f}", "sessions", json_number(restored->n), "lost", json_number(lost),
                         "gap_seconds", (double)restored->gap / (double)USEC_PER_SEC);
}

static json_t *json_text(const char *text)
{
        return text && *text ? json_string(text) : json_null();
}

/* The sessions matter only for a verdict on somebody who is silent. */
static unsigned status_walks(Body *body)
{
        return health_wants_asked(body_look(body));
}

static Health judge(const Body *body, const View *view, const History *history)
{
        Finding notes[HEALTH_NOTES_MAX];

        return health_of_all(view, body->asked, notes, health_notes(view, history, notes));
}

static void status_end(Body *body, FILE *to)
{
        const View *view = body_look(body);
        json_t *places = json_array(), *names = json_array(), *status;
        History history;
        Health health;

        history_init(&history, view);
        health = judge(body, view, &history);

        for (size_t i = 0; i < view->n_places; i++)
                (void)json_array_append_new(places, place_object(&view->places[i]));
        for (size_t i = 0; i < view->n_names; i++)
                (void)json_array_append_new(names, name_object(view, i, body->asked[i]));
        status = json_pack("{s:s, s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                           "version", view->version, "commit", view->commit, "date", view->date, "uptime_seconds",
                           (double)usec_sub(view->now, view->started) / (double)USEC_PER_SEC, "health",
                           health_object(&health.finding), "recent", recent_object(&history), "sessions",
                           json_number(view->sessions), "unreplied", json_number(view->unreplied), "peak",
                           json_number(view->peak), "limit", json_number(view->limit), "unreplied_limit",
                           json_number(view->unreplied_limit), "limit_lowered", json_text(view->lowered),
                           "reload_error", json_text(view->reload_trouble), "restored",
                           restored_object(&view->restored), "names", names, "listeners", places);
        (void)json_dumpf(status, to, JSON_INDENT(2));
        (void)fputc('\n', to);
        json_decref(status);
}

const BodyKind body_status = {.content_type = "application/json", .n_walks = status_walks, .end = status_end};
