#include "refused_addresses.h"

#include <string.h>

#include "base/hex.h"

#define INDEX_DIGITS 3 /* 12 bits of hex, of which the places' share is used */

static size_t place_of(enum registry_bucket bucket, const struct address_hash *address)
{
    size_t index = bucket == REGISTRY_BUCKET_NOTIFY ? 0 : REFUSED_ADDRESSES_PLACES / 2;

    for (int i = 0; i < INDEX_DIGITS; i++)
        index ^= (size_t)hex_digit(address->hex[i]) << (4 * i);
    return index % REFUSED_ADDRESSES_PLACES;
}

void refused_addresses_add(struct refused_addresses *refused, enum registry_bucket bucket,
                           const struct address_hash *address, int64_t until_ms)
{
    refused->place[place_of(bucket, address)] =
        (struct refused_address){.address = *address, .bucket = bucket, .until_ms = until_ms};
}

bool refused_addresses_has(const struct refused_addresses *refused, enum registry_bucket bucket,
                           const struct address_hash *address, int64_t now_ms)
{
    const struct refused_address *place = &refused->place[place_of(bucket, address)];

    return now_ms < place->until_ms && place->bucket == bucket &&
           memcmp(place->address.hex, address->hex, ADDRESS_HASH_LEN) == 0;
}
