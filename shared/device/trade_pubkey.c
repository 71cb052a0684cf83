#include "trade_pubkey.h"

#include "base/hex.h"

bool trade_pubkey_parse(struct trade_pubkey *key, const char *text, size_t len)
{
    struct trade_pubkey lower;

    if (len != TRADE_PUBKEY_LEN)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (hex_digit(text[i]) < 0)
            return false;
        lower.hex[i] = (char)(text[i] | ('a' ^ 'A')); /* digits have that bit */
    }
    lower.hex[len] = '\0';
    *key = lower;
    return true;
}
