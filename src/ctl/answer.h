/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * JSON from the relay, or from whoever answers in its place: nothing is taken for granted, what is missing or of
 * another type reads as "" or 0.
 */
#include <jansson.h>

#include "ctl/client.h"
#include "ctl/options.h"

static inline void cleanup_json(json_t **json)
{
        json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* Asks for /debug/status. 0, or as client_get() does. */
int answer_status(Client *client, json_t **ret);

/* Writes it in the form that was asked for, in ASCII without control characters. */
void answer_print(const json_t *json, JsonForm form, FILE *to);

const char *answer_text(const json_t *object, const char *key);
uint64_t answer_count(const json_t *object, const char *key);
/* Seconds. false: there is no such number. */
bool answer_span(const json_t *object, const char *key, usec_t *ret);
/* The value, or NULL. */
const json_t *answer_part(const json_t *object, const char *key);

/* All that a direction of a listener dropped; one reason. */
uint64_t answer_dropped(const json_t *direction);
