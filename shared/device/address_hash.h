/* address_hash: a client address as it may enter Redis.
 *
 * BLAKE3 keyed with a secret that all programs share through Redis (registry_address_key()), so
 * that no slow log or monitor pairs an address with a pubkey. Pure, thread-safe. */
#ifndef MOSTRO_ADDRESS_HASH_H
#define MOSTRO_ADDRESS_HASH_H

#include <stddef.h>
#include <stdint.h>

#define ADDRESS_KEY_SIZE 32
#define ADDRESS_HASH_LEN 32

/* 128 bits of the hash in hex. */
struct address_hash {
    char hex[ADDRESS_HASH_LEN + 1];
};

/* `address` is 4 bytes of IPv4, or of IPv6 the 8 of a /64 or the 6 of a /48; no two of these ever
 * hash alike. */
struct address_hash address_hash(const uint8_t key[ADDRESS_KEY_SIZE], const uint8_t *address,
                                 size_t len);

#endif
