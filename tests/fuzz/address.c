/* SPDX-License-Identifier: MIT */
/* Whatever stands for an address: what is understood is printed so that it is understood as the same. */
#include <stdlib.h>
#include <string.h>

#include "wire/address.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void expect(bool true_always)
{
        if (!true_always)
                abort();
}

static void endpoints(const char *text)
{
        char said[ENDPOINT_LIST_TEXT_MAX], again[ENDPOINT_LIST_TEXT_MAX];
        EndpointList list = {0}, other = {0};
        const char *why = NULL;

        if (endpoint_list_add(text, &list, &why) < 0) {
                expect(why && *why);
                return;
        }
        expect(list.n <= ENDPOINT_LIST_MAX);
        expect(endpoint_list_add(endpoint_list_format(said, &list), &other, &why) == 0 && list.n == other.n);
        for (unsigned i = 0; i < list.n; i++)
                expect(endpoint_same(&list.items[i], &other.items[i]));
        expect(strcmp(said, endpoint_list_format(again, &other)) == 0);
}

static void prefixes(const char *text)
{
        char said[PREFIX_LIST_TEXT_MAX];
        PrefixList list = {0}, other = {0};
        const char *why = NULL;

        if (prefix_list_parse(text, &list, &why) < 0) {
                expect(why && *why);
                return;
        }
        expect(prefix_list_parse(prefix_list_format(said, &list), &other, &why) == 0 && list.n == other.n);
        for (unsigned i = 0; i < list.n; i++) {
                const struct in6_addr first = prefix_address(&list.items[i], 0);

                expect(memcmp(&list.items[i].address, &other.items[i].address, 16) == 0);
                expect(prefix_has(&list.items[i], &first));
        }
}

static void replies(const char *text)
{
        char said[REPLY_SOURCES_TEXT_MAX];
        ReplySources list = {0}, other = {0};
        const char *why = NULL;

        if (reply_sources_add(text, &list, &why) < 0) {
                expect(why && *why);
                return;
        }
        expect(reply_sources_add(reply_sources_format(said, &list), &other, &why) == 0);
        expect(reply_sources_equal(&list, &other));
}

static void others(const char *text)
{
        char said[ADDRESS_TEXT_MAX], network_said[NETWORK_TEXT_MAX];
        Network network, other_network;
        const char *why = NULL;
        Address address, other;
        PortRange ports;

        if (address_parse_listener(text, &address, &why) == 0)
                expect(address_parse_listener(address_format(said, &address), &other, &why) == 0 &&
                       address_equal(&address, &other));
        if (network_parse(text, &network, &why) == 0)
                expect(network_parse(network_format(network_said, &network), &other_network, &why) == 0 &&
                       network.address.s_addr == other_network.address.s_addr &&
                       network.length == other_network.length);
        if (port_range_parse(text, &ports, &why) == 0)
                expect(ports.low >= 1024 && ports.low <= ports.high);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        char *text = malloc(size + 1);

        expect(text);
        memcpy(text, data, size);
        text[size] = '\0';
        endpoints(text);
        prefixes(text);
        replies(text);
        others(text);
        free(text);
        return 0;
}
