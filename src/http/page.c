/* SPDX-License-Identifier: MIT */
/* Believes: who looks at the page has a question: does it work, and if not, why? */
#include "http/page.h"
#include "http/body.h"

const char *page_content_security_policy(void)
{
        return "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

static void page_end(Body *body, FILE *to)
{
        const View *view = body->source->look(body->source->userdata);

        (void)fprintf(to, "<!doctype html><title>udp46</title><p>%llu sessions\n", (unsigned long long)view->sessions);
}

const BodyKind body_page = {.content_type = "text/html; charset=utf-8", .end = page_end};
