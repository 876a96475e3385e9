/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A keyed hash for tables whose keys strangers choose. Whoever does not know the key cannot aim at one bucket, so that
 * forged source addresses cost the same as honest ones (SipHash-2-4, by libsodium's crypto_shorthash).
 */
#include <stddef.h>
#include <stdint.h>

typedef struct HashKey {
        uint8_t bytes[16];
} HashKey;

/* Draws a key from the kernel. 0, or -EIO when there is no randomness to be had. */
int hash_key_init(HashKey *ret);

uint64_t hash_bytes(const HashKey *key, const void *data, size_t size);
