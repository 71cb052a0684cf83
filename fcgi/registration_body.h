/* registration_body: what the body of a registration says, checked row by row of the contract. */
#ifndef MOSTRO_REGISTRATION_BODY_H
#define MOSTRO_REGISTRATION_BODY_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "registry/registration.h"

struct response;
struct token_crypto;
struct whitelist;

/* What the rows depend on. */
struct registration_rules {
    bool allow_private_endpoints;
    const regex_t *endpoint_hosts;     /* hosts that endpoints may lead to; NULL: any */
    const struct token_crypto *crypto; /* NULL: encrypted tokens cannot be opened */
    const struct whitelist *whitelist; /* NULL: not active */
};

/* `text` is the body's, and is decoded in place. True: *key and *registration are set, and the
 * caller wipes the latter. False: `response` holds the answer, and *registration holds nothing. */
bool registration_body_check(char *text, size_t len, const struct registration_rules *rules,
                             struct trade_pubkey *key, struct registration *registration,
                             struct response *response);

#endif
