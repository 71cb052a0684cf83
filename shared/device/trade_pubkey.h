/* trade_pubkey: the key a phone registers for one trade and events are addressed to.
 *
 * An x-only secp256k1 public key as NIP-01 writes it: 64 lower-case hexadecimal characters. Held
 * as text, because Redis and JSON want it so and nothing here computes with the point. It is a
 * secret of its owner: log it only through log_pubkey(). */
#ifndef MOSTRO_TRADE_PUBKEY_H
#define MOSTRO_TRADE_PUBKEY_H

#include <stdbool.h>
#include <stddef.h>

#define TRADE_PUBKEY_LEN 64

struct trade_pubkey {
    char hex[TRADE_PUBKEY_LEN + 1];
};

/* Accepts either case and stores lower case; false leaves *key untouched. `text` may hold NULs. */
bool trade_pubkey_parse(struct trade_pubkey *key, const char *text, size_t len);

#endif
