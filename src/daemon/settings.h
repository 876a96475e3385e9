/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What can be set, once: one table from which the file's keys, the command line's flags, --help, --check-config and the
 * tests of the manual all come. A Settings holds the values of one layer (the flags, [Relay], [Relay NAME]) and which
 * of them were given; layers are laid over each other.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "daemon/clients.h"
#include "daemon/probe.h"
#include "relay/rate.h"
#include "wire/address.h"

typedef enum SettingKey {
        SETTING_UPSTREAM,
        SETTING_REPLY_FROM,
        SETTING_RESOLVE_INTERVAL,
        SETTING_FAILOVER_SESSIONS,
        SETTING_FAILOVER_TIMEOUT,
        SETTING_FAILBACK_DELAY,
        SETTING_PROBE_PAYLOAD,
        SETTING_PROBE_INTERVAL,
        SETTING_ALLOW_FROM,
        SETTING_DENY_FROM,
        SETTING_SESSION_TIMEOUT,
        SETTING_UNREPLIED_TIMEOUT,
        SETTING_REPLY_REFRESH,
        SETTING_MAX_SESSIONS,
        SETTING_MAX_UNREPLIED_SESSIONS,
        SETTING_NEW_SESSION_LIMIT_BURST,
        SETTING_NEW_SESSION_LIMIT_INTERVAL,
        SETTING_CLIENT_LIMIT_BURST,
        SETTING_CLIENT_LIMIT_INTERVAL,
        SETTING_AMPLIFICATION_LIMIT,
        SETTING_MAX_DATAGRAM_SIZE,
        SETTING_WRITE_TIMEOUT,
        SETTING_SEGMENTATION_OFFLOAD,
        SETTING_SOURCE_ADDRESS,
        SETTING_SOURCE_PORTS,
        SETTING_SOURCE_PREFIX,
        SETTING_BIND_TO_DEVICE,
        SETTING_TRAFFIC_CLASS,
        SETTING_FRAGMENT_DATAGRAMS,
        SETTING_HTTP_HOSTS,
        SETTING_HTTP_SHOW_CLIENTS,
        SETTING_HTTP_SESSION_LABELS,
        SETTING_LOG_LEVEL,
        N_SETTINGS
} SettingKey;

/* `auto` is `yes`, but on kernels that are known to damage trains. */
enum { OFFLOAD_AUTO, OFFLOAD_YES, OFFLOAD_NO };

/* What becomes of the sessions of an upstream that is down. */
enum { FAILOVER_MOVE, FAILOVER_STAY };

/* Else a class from 0 to 255. */
enum { TRAFFIC_CLASS_NONE = -1, TRAFFIC_CLASS_COPY = -2 };

enum { HTTP_HOSTS_MAX = 512, DEVICE_NAME_MAX = 16 };

typedef struct Settings {
        uint64_t given;          /* a bit for each SettingKey */
        EndpointList upstream;   /* in order of preference */
        ReplySources reply_from; /* who may answer besides them */
        usec_t resolve_interval; /* 0: a name is not asked for again once it is known */
        int failover_sessions;   /* FAILOVER_… */
        usec_t failover_timeout, failback_delay;
        ProbePayload probe_payload;
        usec_t probe_interval;
        ClientList allow_from, deny_from;
        usec_t session_timeout, unreplied_timeout, reply_refresh, write_timeout;
        uint64_t max_sessions;           /* 0: the host's default */
        uint64_t max_unreplied_sessions; /* 0: a part of these */
        RateLimit new_session_limit, client_limit;
        uint64_t amplification_limit;
        uint64_t max_datagram_size;
        int segmentation_offload; /* OFFLOAD_… */
        PrefixList source_addresses;
        PortRange source_ports;               /* 0 to 0: the host's default */
        PrefixList source_prefix;             /* one of 96 bits, or none */
        char bind_to_device[DEVICE_NAME_MAX]; /* "": none */
        int traffic_class;                    /* TRAFFIC_CLASS_…, or 0 to 255 */
        int fragment_datagrams;
        char http_hosts[HTTP_HOSTS_MAX]; /* names, with blanks between them */
        int http_show_clients, http_session_labels;
        int log_level; /* LOG_DEBUG … LOG_ERR */
} Settings;

enum { SETTING_TEXT_MAX = CLIENT_LIST_TEXT_MAX };
_Static_assert((int)CLIENT_LIST_TEXT_MAX >= (int)ENDPOINT_LIST_TEXT_MAX, "the longest value is that list");

typedef struct SettingSpec {
        const char *key;      /* in the file */
        const char *flag;     /* on the command line, without the dashes */
        const char *argument; /* what --help calls the value */
        const char *fallback; /* the default as --help shows it */
        const char *help;
        /* 0, or -EINVAL and a static phrase that follows the text and a colon. */
        int (*parse)(const char *text, void *ret, const char **ret_why);
        void (*format)(char buffer[static SETTING_TEXT_MAX], const void *value);
        size_t offset, size;  /* of the value in Settings */
        int whole_relay_only; /* no meaning in [Relay NAME] */
        int repeatable;       /* another one adds to what is there */
} SettingSpec;

extern const SettingSpec setting_specs[N_SETTINGS];

static inline int settings_given(const Settings *s, SettingKey key)
{
        return s->given >> key & 1;
}

int settings_parse(Settings *s, SettingKey key, const char *text, const char **ret_why);

/* Lays what `over` was given over `under`. */
void settings_overlay(Settings *under, const Settings *over);

/* Gives every setting that was not given, but the upstream, its default; 0 max_sessions stays 0. */
void settings_complete(Settings *s);

/* The keys and values as a section of the file would say them. */
void settings_print(const Settings *s, FILE *to, int whole_relay);
