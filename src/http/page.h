/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The status page: one server-rendered document, no script, nothing from elsewhere. body_page (http/body.h) makes it.
 *
 * It does not load itself again unless it is asked for with ?refresh, which it links to: a reader who is in the middle
 * of a table, has marked something, or hears the page read aloud shall not lose their place.
 */
enum { PAGE_POLICY_MAX = 256, PAGE_REFRESH_SECONDS = 15 };

/* The Content-Security-Policy that lets the page's own style sheet through, and nothing else. */
void page_policy_format(char buffer[static PAGE_POLICY_MAX]);
