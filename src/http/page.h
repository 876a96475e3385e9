/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The status page: one server-rendered document, no script, nothing from elsewhere. body_page (http/body.h) makes it.
 */

/* The policy that lets the page's own style sheet through, and nothing else. */
const char *page_content_security_policy(void);
