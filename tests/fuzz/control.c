/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says beside a datagram, and what it would if it were somebody else. The input is the size of the
 * datagram (4 bytes) and the control messages as they lie in memory.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wire/datagram.h"
#include "wire/udp.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        struct msghdr header = {0};
        uint32_t payload;
        Datagram d;

        if (size < sizeof(payload))
                return 0;
        memcpy(&payload, data, sizeof(payload));
        payload = le32toh(payload) % (DATAGRAM_ROOM + 1);
        header.msg_controllen = size - sizeof(payload);
        header.msg_control = malloc(header.msg_controllen + 1);
        if (!header.msg_control)
                abort();
        memcpy(header.msg_control, data + sizeof(payload), header.msg_controllen);
        d = (Datagram){.size = payload, .n = 1};
        udp_describe(&d, &header);
        if (d.n == 0 || (d.segment > 0 && (d.segment >= d.size || (uint64_t)d.segment * d.n < d.size)) ||
            (d.segment == 0 && d.n != 1))
                abort();
        free(header.msg_control);
        return 0;
}
