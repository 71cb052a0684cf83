/* body: what is checked of a request's JSON body before a handler reads it. */
#ifndef MOSTRO_BODY_H
#define MOSTRO_BODY_H

#include <stddef.h>

#include "device/trade_pubkey.h"
#include "request.h"

enum body_verdict {
    BODY_OK,
    BODY_TOO_LARGE,
    BODY_MALFORMED, /* not application/json, not as long as announced, or not the JSON asked for */
    BODY_BAD_PUBKEY /* body_read_pubkey(): only the pubkey is wrong */
};

/* BODY_OK: the body is not empty, has at most `limit` bytes (REQUEST_BODY_MAX or less), and is
 * declared as JSON. */
enum body_verdict body_check(const struct request *request, size_t limit);

/* The same for a body that is {"trade_pubkey"}, with or without other members, which do not matter.
 */
enum body_verdict body_read_pubkey(const struct request *request, size_t limit,
                                   struct trade_pubkey *key);

#endif
