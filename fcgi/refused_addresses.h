/* refused_addresses: the client addresses that Redis has refused and would still refuse.
 *
 * A refusal by address holds until the address's own refill time, so a worker can repeat it without
 * asking: a flood from one address then costs Redis next to nothing. The table has a fixed size. An
 * address whose place is taken takes it over; the other then costs one more question to Redis.
 * Places follow from keyed hashes, so no client can choose whose place it takes. Times are
 * milliseconds of clock_monotonic_ms(). Not thread-safe. */
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
