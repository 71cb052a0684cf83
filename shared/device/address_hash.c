#include "address_hash.h"

#include "base/blake3.h"
#include "base/hex.h"

struct address_hash address_hash(const uint8_t key[ADDRESS_KEY_SIZE], const uint8_t *address,
                                 size_t len)
{
    uint8_t out[BLAKE3_OUT_SIZE];
    struct address_hash hash = {""};

    blake3_keyed(out, key, address, len);
    hex_encode(hash.hex, out, ADDRESS_HASH_LEN / 2);
    return hash;
}
