/* SPDX-License-Identifier: MIT */
/*
 * Believes: what is known of an interval is its average, so that it is drawn as a step. The picture is stretched to the
 * width there is; letters would be stretched with it, so that they stand outside.
 */
#include "http/chart.h"
#include "http/html.h"

enum { WIDTH = 600, HEIGHT = 100, STRIP = 6 };

#define SPAN (5 * USEC_PER_MINUTE)

typedef struct Facts {
        double peak;
        uint64_t datagrams, bytes, dropped;
} Facts;

/* The first interval of those that are drawn. */
static size_t first_drawn(const History *history)
{
        const usec_t from = usec_sub(history->points[history->n - 1].at, SPAN);
        size_t i = 1;

        while (i + 1 < history->n && history->points[i].at <= from)
                i++;
        return i;
}

static double x_of(const History *history, size_t i)
{
        usec_t age = usec_sub(history->points[history->n - 1].at, history->points[i].at);

        return age >= SPAN ? 0 : WIDTH - (double)age * WIDTH / (double)SPAN;
}

static double peak_of(const History *history, Direction direction)
{
        double peak = 0;

        for (size_t i = first_drawn(history); i < history->n; i++)
                if (history_rate(history, direction, i) > peak)
                        peak = history_rate(history, direction, i);
        return peak;
}

double chart_scale(const History *history)
{
        static const double steps[] = {2, 2.5, 2}; /* 1, 2, 5, 10 */
        double peak = peak_of(history, FORWARD), scale = 1000;

        if (peak_of(history, REPLY) > peak)
                peak = peak_of(history, REPLY);
        for (unsigned i = 0; scale < peak; i++)
                scale *= steps[i % 3];
        return scale;
}

static Facts facts_of(const History *history, Direction direction)
{
        const size_t first = first_drawn(history);
        const ViewSample *from = &history->points[first - 1], *to = &history->points[history->n - 1];
        Facts facts = {.peak = peak_of(history, direction),
                       .datagrams = to->verdicts[direction][VERDICT_FORWARDED] -
                                    from->verdicts[direction][VERDICT_FORWARDED],
                       .bytes = to->bytes[direction] - from->bytes[direction]};

        for (size_t i = first; i < history->n; i++)
                facts.dropped += history_dropped(history, direction, i);
        return facts;
}

/* The steps, and back along the ground. */
static void write_area(FILE *to, const History *history, Direction direction, double scale)
{
        const size_t first = first_drawn(history);

        (void)fprintf(to, "<path class=\"area\" d=\"M%.1f %d", x_of(history, first - 1), HEIGHT);
        for (size_t i = first; i < history->n; i++)
                (void)fprintf(to, "V%.1fH%.1f", HEIGHT - history_rate(history, direction, i) * HEIGHT / scale,
                              x_of(history, i));
        (void)fprintf(to, "V%dZ\"/>", HEIGHT);
}

/* A strip below the ground: where something was dropped. */
static void write_drops(FILE *to, const History *history, Direction direction)
{
        for (size_t i = first_drawn(history); i < history->n; i++)
                if (history_dropped(history, direction, i) > 0)
                        (void)fprintf(to, "<path class=\"drops\" d=\"M%.1f %dH%.1fv%dH%.1fz\"/>", x_of(history, i - 1),
                                      HEIGHT + 2, x_of(history, i), STRIP, x_of(history, i - 1));
}

static void write_picture(FILE *to, const History *history, Direction direction, double scale, const char *title,
                          const Facts *facts)
{
        char now[HTML_NUMBER_MAX], peak[HTML_NUMBER_MAX], datagrams[HTML_NUMBER_MAX], bytes[HTML_NUMBER_MAX],
                        dropped[HTML_NUMBER_MAX];
        const char *id = direction == FORWARD ? "forward" : "reply";

        (void)fprintf(to,
                      "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
                      "aria-labelledby=\"%s-title\" aria-describedby=\"%s-desc\">"
                      "<title id=\"%s-title\">%s, the last 5 min</title>"
                      "<desc id=\"%s-desc\">Now %s, at most %s. %s datagrams with %s went this way, %s were dropped."
                      "</desc>",
                      WIDTH, HEIGHT + 2 + STRIP, id, id, id, title, id,
                      html_format_rate(now, history_rate_now(history, direction)), html_format_rate(peak, facts->peak),
                      html_format_count(datagrams, facts->datagrams), html_format_bytes(bytes, facts->bytes),
                      html_format_count(dropped, facts->dropped));
        (void)fprintf(to, "<path class=\"grid\" d=\"M0 .5H%dM0 %dH%dM0 %dH%d\"/>", WIDTH, HEIGHT / 2, WIDTH, HEIGHT,
                      WIDTH);
        write_area(to, history, direction, scale);
        write_drops(to, history, direction);
        (void)fputs("</svg>", to);
}

void chart_write(FILE *to, const History *history, Direction direction, double scale)
{
        const char *title = direction == FORWARD ? "Forward, clients to upstream" : "Reply, upstream to clients";
        const Facts facts = facts_of(history, direction);
        const char *id = direction == FORWARD ? "forward" : "reply";
        char text[HTML_NUMBER_MAX];

        (void)fprintf(to,
                      "<figure class=\"%s\" aria-labelledby=\"%s-caption\"><figcaption id=\"%s-caption\">"
                      "<b>%s %s</b> <span>now %s, ",
                      id, id, id, direction == FORWARD ? "\u2192" : "\u2190", title,
                      html_format_rate(text, history_rate_now(history, direction)));
        (void)fprintf(to, "at most %s</span></figcaption><p class=\"scale\">", html_format_rate(text, facts.peak));
        (void)fprintf(to, "%s</p>", html_format_rate(text, scale));
        write_picture(to, history, direction, scale, title, &facts);
        (void)fputs("<p class=\"axis\"><span>5 min ago</span>", to);
        if (facts.dropped > 0)
                (void)fputs("<span class=\"key\">\u25ae datagrams dropped</span>", to);
        (void)fputs("<span>now</span></p></figure>\n", to);
}
