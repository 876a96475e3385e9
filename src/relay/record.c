/* SPDX-License-Identifier: MIT */
/*
 * Believes: a process that is killed has written what its instructions before that wrote (the memory is the kernel's),
 * so that only the compiler must be kept from changing their order. The seal finds what was damaged, not what was
 * forged: its key is known.
 */
#include <stdatomic.h>

#include "base/hash.h"
#include "relay/record.h"

uint32_t record_seal(const SessionRecord *record, uint64_t id)
{
        static const HashKey key;
        struct {
                uint64_t id;
                usec_t opened;
                Flow flow;
                struct in6_addr source;
                uint32_t scope;
                uint16_t port, bound;
        } sealed = {.id = id,
                    .opened = record->opened,
                    .flow = record->flow,
                    .port = record->source.port,
                    .bound = record->bound};

        if (record->bound) { /* the kernel may change its mind about the others */
                sealed.source = record->source.v6;
                sealed.scope = record->source.scope;
        }
        return (uint32_t)hash_bytes(&key, &sealed, sizeof(sealed));
}

void record_begin(SessionRecord *record, uint64_t id)
{
        record->seal = record_seal(record, id);
        atomic_signal_fence(memory_order_release);
        *(volatile uint64_t *)&record->id = id;
}

void record_end(SessionRecord *record)
{
        *(volatile uint64_t *)&record->id = 0;
        atomic_signal_fence(memory_order_acq_rel);
}

bool record_is_whole(const SessionRecord *record)
{
        return record->id != 0 && record->seal == record_seal(record, record->id);
}
