/* SPDX-License-Identifier: MIT */
/* Believes: a target that is moved, or a socket that failed, is best asked from a new socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/probe.h"
#include "wire/udp.h"

/* The value of a hexadecimal digit, or -1. */
static int digit(char c)
{
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = c ? strchr(digits, c) : NULL;

        return found ? (int)(found - digits) % 16 : -1;
}

int probe_payload_parse(const char *text, ProbePayload *ret, const char **ret_why)
{
        ProbePayload payload = {0};
        int high, low;

        for (; *text; text++) {
                if (*text == ' ' || *text == '\t')
                        continue;
                *ret_why = "expected hexadecimal digits, two for each byte";
                high = digit(text[0]);
                low = high < 0 ? high : digit(text[1]);
                if (low < 0)
                        return -EINVAL;
                *ret_why = "longer than 128 bytes";
                if (payload.n == PROBE_BYTES_MAX)
                        return -EINVAL;
                payload.bytes[payload.n++] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
                text++;
        }
        *ret = payload;
        return 0;
}

const char *probe_payload_format(char buffer[static PROBE_TEXT_MAX], const ProbePayload *payload)
{
        *buffer = '\0';
        for (unsigned i = 0; i < payload->n; i++)
                (void)snprintf(buffer + 2 * i, 3, "%02x", payload->bytes[i]);
        return buffer;
}

static void hang_up(Probe *probe)
{
        probe->answers = sd_event_source_disable_unref(probe->answers);
        probe->fd = safe_close(probe->fd);
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Probe *probe = userdata;
        char byte;

        (void)source, (void)events;
        if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0) {
                probe->n_answered++;
                probe->answered = clock_monotonic();
        }
        return 0; /* an error is told once, and says nothing that silence does not say */
}

static int on_time(sd_event_source *source, uint64_t at, void *userdata)
{
        Probe *probe = userdata;
        Address own;

        (void)at;
        (void)sd_event_source_set_time_relative(source, probe->interval);
        if (probe->fd < 0) {
                probe->fd = udp_connect(probe->device, NULL, &probe->address, &own);
                if (probe->fd >= 0 && sd_event_add_io(sd_event_source_get_event(source), &probe->answers, probe->fd,
                                                      EPOLLIN, on_answer, probe) < 0)
                        hang_up(probe);
        }
        probe->n_asked++;
        if (probe->fd >= 0 &&
            send(probe->fd, probe->payload.bytes, probe->payload.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
            errno != ECONNREFUSED && errno != EAGAIN)
                hang_up(probe); /* its way may be another one now */
        return 0;
}

/* Begins or ends, as there is something to ask and somebody. */
static void probe_arm(Probe *probe)
{
        bool on = probe->payload.n > 0 && probe->address.family != 0;

        if (!on)
                hang_up(probe);
        (void)sd_event_source_set_time_relative(probe->timer, 0);
        (void)sd_event_source_set_enabled(probe->timer, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

int probe_init(Probe *probe, sd_event *event)
{
        *probe = (Probe){.fd = -EBADF};
        return sd_event_add_time(event, &probe->timer, CLOCK_MONOTONIC, USEC_NEVER, 0, on_time, probe);
}

void probe_done(Probe *probe)
{
        if (!probe->timer)
                return;
        hang_up(probe);
        (void)sd_event_source_disable_unref(probe->timer);
}

void probe_set(Probe *probe, const ProbePayload *payload, usec_t interval, const char *device)
{
        if (memcmp(&probe->payload, payload, sizeof(*payload)) == 0 && probe->interval == interval &&
            strcmp(probe->device, device) == 0)
                return;
        probe->payload = *payload;
        probe->interval = interval;
        (void)snprintf(probe->device, sizeof(probe->device), "%s", device);
        hang_up(probe);
        probe_arm(probe);
}

void probe_direct(Probe *probe, const Address *address)
{
        if (address_equal(&probe->address, address))
                return;
        probe->address = *address;
        hang_up(probe);
        probe_arm(probe);
}
