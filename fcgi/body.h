/* body: a request's JSON body, read within its limit. */
#ifndef MOSTRO_BODY_H
#define MOSTRO_BODY_H

#include <stddef.h>

#include "device/trade_pubkey.h"
#include "request.h"

#define BODY_MAX (128 * 1024)

/* What is in it is secret: wipe it. */
struct body {
    size_t len;
    char text[BODY_MAX + 1];
};

enum body_verdict {
    BODY_OK,
    BODY_TOO_LARGE,
    BODY_MALFORMED, /* not application/json, not as long as announced, or not the JSON asked for */
    BODY_BAD_PUBKEY /* body_read_pubkey(): only the pubkey is wrong */
};

/* Reads at most `limit` + 1 bytes; `limit` is BODY_MAX or less. BODY_OK: the body is not empty and
 * is declared as JSON. Otherwise `body` is empty and wiped. */
enum body_verdict body_read(struct body *body, const struct request *request, size_t limit);

/* The same for a body that is {"trade_pubkey"}, with or without other members, which do not matter;
 * `body` is wiped in any case. */
enum body_verdict body_read_pubkey(struct body *body, const struct request *request, size_t limit,
                                   struct trade_pubkey *key);

void body_wipe(struct body *body);

#endif
