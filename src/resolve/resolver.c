/* SPDX-License-Identifier: MIT */
/*
 * Believes: the order getaddrinfo() gives (RFC 6724) is the host's own policy; but name servers turn it round from
 * answer to answer, so it decides only for who has no address yet. /etc/resolv.conf and /etc/hosts need no care: glibc
 * looks at both with each query (at the first since 2.26).
 * Refuses by name what is not IPv6 in earnest (mapped, unspecified, multicast), so that a slip in a zone is not
 * silence.
 */
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mailbox.h"
#include "resolve/resolver.h"

enum { QUESTIONS_MAX = 512 };

struct Resolver {
        Mailbox *questions, *answers;
        int stop_fd;
        bool running;
        pthread_t thread;
};

static const char *explain(int error)
{
        switch (error) {
        case EAI_NONAME:
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
                return "no IPv6 address (AAAA) is known for this name";
        case EAI_AGAIN:
                return "the name service does not answer";
        case EAI_FAIL:
                return "the name service reports a failure";
        default:
                return gai_strerror(error);
        }
}

static void take_address(ResolverAnswer *answer, const struct addrinfo *info, uint16_t port)
{
        struct sockaddr_in6 name;
        const char *refusal;
        Address address;

        memcpy(&name, info->ai_addr, sizeof(name));
        address = (Address){.family = AF_INET6, .port = port, .scope = name.sin6_scope_id, .v6 = name.sin6_addr};
        refusal = address_upstream_refusal(&address);
        if (refusal) {
                answer->why = refusal;
                answer->refused = address;
        } else if (answer->n < RESOLVER_ADDRESSES_MAX)
                answer->addresses[answer->n++] = address;
}

void resolver_query(const Endpoint *endpoint, ResolverAnswer *ret)
{
        const struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_DGRAM};
        struct addrinfo *list = NULL;
        int r = getaddrinfo(endpoint->host, NULL, &hints, &list);

        ret->refused = (Address){0};
        ret->n = 0;
        ret->why = strchr(endpoint->host, '%') ? "no network interface has the name behind the %"
                                               : explain(r != 0 ? r : EAI_NODATA);
        for (const struct addrinfo *i = r == 0 ? list : NULL; i; i = i->ai_next)
                if (i->ai_family == AF_INET6)
                        take_address(ret, i, endpoint->port);
        if (ret->n > 0)
                ret->why = NULL;
        if (list)
                freeaddrinfo(list);
}

const Address *resolver_choose(const ResolverAnswer *answer, const Address *current)
{
        for (unsigned i = 0; i < answer->n; i++)
                if (address_equal(&answer->addresses[i], current))
                        return &answer->addresses[i];
        return &answer->addresses[0];
}

static void *resolver_thread(void *userdata)
{
        Resolver *resolver = userdata;
        struct pollfd fds[] = {{.fd = mailbox_get_fd(resolver->questions), .events = POLLIN},
                               {.fd = resolver->stop_fd, .events = POLLIN}};
        ResolverQuestion question;

        (void)pthread_setname_np(pthread_self(), "udp46-resolve");
        while (poll(fds, ELEMENTSOF(fds), -1) < 0 || !fds[1].revents) {
                mailbox_quiet(resolver->questions);
                while (mailbox_take(resolver->questions, &question)) {
                        ResolverAnswer answer = {.id = question.id, .serial = question.serial};

                        resolver_query(&question.endpoint, &answer);
                        (void)mailbox_post(resolver->answers, &answer); /* as large as the questions' box */
                }
        }
        return NULL;
}

int resolver_new(Resolver **ret)
{
        _cleanup_(cleanup_resolver_free) Resolver *resolver = calloc(1, sizeof(Resolver));
        int r;

        if (!resolver)
                return -ENOMEM;
        resolver->stop_fd = eventfd(0, EFD_CLOEXEC);
        if (resolver->stop_fd < 0)
                return -errno;
        r = mailbox_new(&resolver->questions, sizeof(ResolverQuestion), QUESTIONS_MAX);
        if (r < 0)
                return r;
        r = mailbox_new(&resolver->answers, sizeof(ResolverAnswer), 2 * QUESTIONS_MAX);
        if (r < 0)
                return r;
        r = pthread_create(&resolver->thread, NULL, resolver_thread, resolver);
        if (r != 0)
                return -r;
        resolver->running = true;
        *ret = TAKE_PTR(resolver);
        return 0;
}

Resolver *resolver_free(Resolver *resolver)
{
        struct timespec now;

        if (!resolver)
                return NULL;
        if (resolver->running) {
                (void)eventfd_write(resolver->stop_fd, 1);
                (void)clock_gettime(CLOCK_REALTIME, &now);
                now.tv_nsec += 50L * 1000 * 1000;
                now.tv_sec += now.tv_nsec / 1000000000L;
                now.tv_nsec %= 1000000000L;
                if (pthread_timedjoin_np(resolver->thread, NULL, &now) != 0)
                        return NULL; /* it keeps what it uses */
        }
        (void)mailbox_free(resolver->questions);
        (void)mailbox_free(resolver->answers);
        resolver->stop_fd = safe_close(resolver->stop_fd);
        free(resolver);
        return NULL;
}

bool resolver_ask(Resolver *resolver, const ResolverQuestion *question)
{
        return mailbox_post(resolver->questions, question);
}

int resolver_get_fd(const Resolver *resolver)
{
        return mailbox_get_fd(resolver->answers);
}

void resolver_quiet(Resolver *resolver)
{
        mailbox_quiet(resolver->answers);
}

bool resolver_take(Resolver *resolver, ResolverAnswer *ret)
{
        return mailbox_take(resolver->answers, ret);
}
