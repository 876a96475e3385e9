/* SPDX-License-Identifier: MIT */
/* Believes: a table of flows is attacked the day it is reachable. Refuses: to run with a key that others can guess. */
#include <errno.h>
#include <sodium.h>

#include "base/hash.h"

_Static_assert(sizeof(HashKey) == crypto_shorthash_KEYBYTES, "the key is libsodium's");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "the hash is libsodium's");

int hash_key_init(HashKey *ret)
{
        if (sodium_init() < 0)
                return -EIO;
        randombytes_buf(ret->bytes, sizeof(ret->bytes));
        return 0;
}

uint64_t hash_bytes(const HashKey *key, const void *data, size_t size)
{
        uint64_t h;

        (void)crypto_shorthash((unsigned char *)&h, data, size, key->bytes);
        return h;
}
