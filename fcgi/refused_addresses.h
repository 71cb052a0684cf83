/* refused_addresses: the client addresses that Redis has refused and would still refuse.
 *
 * A refusal by address holds until the address's own refill time, whatever happens meanwhile, so
 * a worker can repeat it by itself: a flood from one address then costs Redis next to nothing. Of
 * fixed size; an address that finds its place taken takes it over, which only costs a question to
 * Redis. Addresses are known by their keyed hashes, so nobody can choose whose place he takes.
 * Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_REFUSED_ADDRESSES_H
#define MOSTRO_REFUSED_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "device/address_hash.h"
#include "registry/registry_api.h"

#define REFUSED_ADDRESSES_PLACES 1024 /* a power of two */

struct refused_addresses {
    struct refused_address {
        struct address_hash address;
        enum registry_bucket bucket;
        int64_t until_ms;
    } place[REFUSED_ADDRESSES_PLACES];
};

void refused_addresses_add(struct refused_addresses *refused, enum registry_bucket bucket,
                           const struct address_hash *address, int64_t until_ms);

bool refused_addresses_has(const struct refused_addresses *refused, enum registry_bucket bucket,
                           const struct address_hash *address, int64_t now_ms);

#endif
