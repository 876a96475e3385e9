/* SPDX-License-Identifier: MIT */
/*
 * Believes: a status is some kilobytes. jansson takes up to twenty times the text in memory, so the text is bounded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"

enum { STATUS_BYTES_MAX = 4 * 1024 * 1024 };

typedef struct Text {
        char *bytes;
        size_t size, room;
} Text;

static const char *text_take(void *userdata, const char *data, size_t size)
{
        Text *text = userdata;

        if (size > STATUS_BYTES_MAX - text->size)
                return "the answer is larger than any status";
        if (text->size + size > text->room) {
                size_t room = 2 * (text->size + size);
                char *bytes = realloc(text->bytes, room);

                if (!bytes)
                        return "out of memory";
                text->bytes = bytes;
                text->room = room;
        }
        memcpy(text->bytes + text->size, data, size);
        text->size += size;
        return NULL;
}

int answer_status(Client *client, json_t **ret)
{
        _cleanup_json_ json_t *status = NULL;
        Text text = {0};
        int r = client_get(client, "/debug/status", text_take, &text);

        if (r >= 0)
                status = json_loadb(text.bytes ? text.bytes : "", text.size, 0, NULL);
        free(text.bytes);
        if (r < 0)
                return r;
        if (!status)
                return client_refuse(client, "the answer is not JSON", CLIENT_ASK_ELSEWHERE);
        if (!json_is_array(json_object_get(status, "listeners")) || !json_is_array(json_object_get(status, "names")))
                return client_refuse(client, "this is not the status of udp46", CLIENT_ASK_ELSEWHERE);
        *ret = TAKE_PTR(status);
        return 0;
}

/* Of control characters jansson leaves one as it is. Outside of strings it cannot be. */
static int put_safe(const char *text, size_t size, void *to)
{
        for (size_t i = 0; i < size; i++)
                if (text[i] == 0x7f)
                        (void)fputs("\\u007f", to);
                else
                        (void)fputc(text[i], to);
        return 0;
}

void answer_print(const json_t *json, JsonForm form, FILE *to)
{
        const size_t layout = form == JSON_FORM_PRETTY ? JSON_INDENT(2) : JSON_COMPACT;

        (void)json_dump_callback(json, put_safe, to, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15) | layout);
}

const json_t *answer_part(const json_t *object, const char *key)
{
        return json_object_get(object, key);
}

const char *answer_text(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

uint64_t answer_count(const json_t *object, const char *key)
{
        json_int_t n = json_integer_value(json_object_get(object, key));

        return n > 0 ? (uint64_t)n : 0;
}

bool answer_span(const json_t *object, const char *key, usec_t *ret)
{
        const json_t *value = json_object_get(object, key);
        double seconds = json_number_value(value);

        *ret = 0;
        if (!json_is_number(value))
                return false;
        if (seconds > 1e12)
                *ret = (usec_t)1e18;
        else if (seconds > 0)
                *ret = (usec_t)(seconds * (double)USEC_PER_SEC);
        return true;
}

uint64_t answer_dropped(const json_t *direction)
{
        uint64_t sum = 0;
        json_t *value;
        const char *key;

        json_object_foreach(json_object_get(direction, "drops"), key, value)
        {
                json_int_t n = json_integer_value(value);

                sum += n > 0 ? (uint64_t)n : 0;
        }
        return sum;
}
