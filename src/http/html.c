/* SPDX-License-Identifier: MIT */
/* Believes: a number of twelve digits is read by nobody, and one that was rounded without saying so is a lie. */
#include <time.h>

#include "http/html.h"

#define EXACT_BELOW 1000000

void html_text(FILE *to, const char *text)
{
        for (const char *p = text; *p; p++)
                switch (*p) {
                case '&':
                        (void)fputs("&amp;", to);
                        break;
                case '<':
                        (void)fputs("&lt;", to);
                        break;
                case '>':
                        (void)fputs("&gt;", to);
                        break;
                case '"':
                        (void)fputs("&quot;", to);
                        break;
                case '\'':
                        (void)fputs("&#39;", to);
                        break;
                default:
                        if ((unsigned char)*p < ' ' || *p == 0x7f)
                                (void)fputs("&#65533;", to); /* no control character belongs into a document */
                        else
                                (void)fputc(*p, to);
                }
}

/* All digits, in groups of three. */
static const char *format_exact(char buffer[static HTML_NUMBER_MAX], uint64_t n)
{
        char digits[24];
        int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
        char *to = buffer;

        for (int i = 0; i < length; i++) {
                if (i > 0 && (length - i) % 3 == 0)
                        *to++ = ',';
                *to++ = digits[i];
        }
        *to = '\0';
        return buffer;
}

/* Three digits or so and a decimal unit: `1.23 M`, `12.3 M`, `123 M`. Cut off, not rounded up to the next unit. */
static const char *format_scaled(char buffer[static HTML_NUMBER_MAX], double n, const char *unit)
{
        static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
        unsigned i = 0;

        while (n >= 999.5 && i + 1 < sizeof(prefixes) / sizeof(*prefixes)) {
                n /= 1000;
                i++;
        }
        (void)snprintf(buffer, HTML_NUMBER_MAX, "%.*f %s%s",
                       i == 0 || n >= 99.95 || n == (double)(int)n ? 0
                       : n >= 9.995                                ? 1
                                                                   : 2,
                       n, prefixes[i], unit);
        return buffer;
}

const char *html_format_count(char buffer[static HTML_NUMBER_MAX], uint64_t n)
{
        return n < EXACT_BELOW ? format_exact(buffer, n) : format_scaled(buffer, (double)n, "");
}

const char *html_format_bytes(char buffer[static HTML_NUMBER_MAX], uint64_t n)
{
        return format_scaled(buffer, (double)n, "B");
}

const char *html_format_rate(char buffer[static HTML_NUMBER_MAX], double bits_per_second)
{
        return format_scaled(buffer, bits_per_second, "bit/s");
}

const char *html_format_span(char buffer[static HTML_NUMBER_MAX], usec_t t)
{
        static const struct {
                usec_t unit, part;
                const char *unit_name, *part_name;
        } scales[] = {
                        {USEC_PER_DAY, USEC_PER_HOUR, "d", "h"},
                        {USEC_PER_HOUR, USEC_PER_MINUTE, "h", "min"},
                        {USEC_PER_MINUTE, USEC_PER_SEC, "min", "s"},
        };

        for (unsigned i = 0; i < sizeof(scales) / sizeof(*scales); i++) {
                uint64_t part = t % scales[i].unit / scales[i].part;

                if (t < scales[i].unit)
                        continue;
                (void)snprintf(buffer, HTML_NUMBER_MAX, part > 0 ? "%" PRIu64 " %s %" PRIu64 " %s" : "%" PRIu64 " %s",
                               t / scales[i].unit, scales[i].unit_name, part, scales[i].part_name);
                return buffer;
        }
        if (t > 0 && t < USEC_PER_MSEC)
                (void)snprintf(buffer, HTML_NUMBER_MAX, "%" PRIu64 " \u00b5s", t);
        else if (t > 0 && t < USEC_PER_SEC)
                (void)snprintf(buffer, HTML_NUMBER_MAX, "%" PRIu64 " ms", t / USEC_PER_MSEC);
        else
                (void)snprintf(buffer, HTML_NUMBER_MAX, "%" PRIu64 " s", t / USEC_PER_SEC);
        return buffer;
}

const char *html_format_age(char buffer[static HTML_NUMBER_MAX], usec_t t)
{
        char span[HTML_NUMBER_MAX];

        if (t < USEC_PER_SEC)
                return "just now";
        (void)snprintf(buffer, HTML_NUMBER_MAX, "%.40s ago", html_format_span(span, t));
        return buffer;
}

void html_count(FILE *to, uint64_t n)
{
        char text[HTML_NUMBER_MAX], exact[HTML_NUMBER_MAX];

        (void)fprintf(to, "<data value=\"%" PRIu64 "\"", n);
        if (n >= EXACT_BELOW)
                (void)fprintf(to, " title=\"%s\"", format_exact(exact, n));
        (void)fprintf(to, ">%s</data>", html_format_count(text, n));
}

void html_bytes(FILE *to, uint64_t n)
{
        char text[HTML_NUMBER_MAX], exact[HTML_NUMBER_MAX];

        (void)fprintf(to, "<data value=\"%" PRIu64 "\" title=\"%s bytes\">%s</data>", n, format_exact(exact, n),
                      html_format_bytes(text, n));
}

void html_ago(FILE *to, usec_t now, usec_t when, int64_t clock_offset)
{
        time_t second = (time_t)(((int64_t)when + clock_offset) / (int64_t)USEC_PER_SEC);
        char text[HTML_NUMBER_MAX], date[32];
        struct tm tm;

        if (when == 0) {
                (void)fputs("never", to);
                return;
        }
        (void)gmtime_r(&second, &tm);
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
        (void)fprintf(to, "<time datetime=\"%s\" title=\"%s\">%s</time>", date, date,
                      html_format_age(text, usec_sub(now, when)));
}
