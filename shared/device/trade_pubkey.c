#include "trade_pubkey.h"

#include "base/hex.h"

bool trade_pubkey_parse(struct trade_pubkey *key, const char *text, size_t len)
{
    uint8_t bytes[TRADE_PUBKEY_LEN / 2];

    if (!hex_decode(bytes, sizeof bytes, text, len))
        return false;
    hex_encode(key->hex, bytes, sizeof bytes);
    return true;
}
