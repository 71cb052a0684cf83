/* responder_priv: the inside of a responder, for it and its handlers (routes.h) alone. */
#ifndef MOSTRO_RESPONDER_PRIV_H
#define MOSTRO_RESPONDER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "refused_addresses.h"
#include "registration_body.h"
#include "registry/registry_api.h"
#include "registry/registry_stats.h"
#include "registry/stats.h"
#include "request.h"
#include "responder.h"
#include "response.h"
#include "settings/settings.h"

struct responder {
    const struct settings *settings;
    struct registry *registry;
    struct stats stats;
    struct token_crypto *crypto; /* NULL: no server key */
    struct whitelist *whitelist; /* NULL: not active */
    struct registration_rules rules;
    bool has_address_key;
    uint8_t address_key[ADDRESS_KEY_SIZE];
    bool counted; /* something waits in stats */
    bool warned_of_proxy;
    unsigned notify_retry_after_s;
    unsigned register_retry_after_s;
    unsigned new_retry_after_s;
    struct refused_addresses refused;
    uint8_t random[32 * RESPONSE_RANDOM_SIZE]; /* for request ids; drawn in one go */
    size_t random_left;
    struct readiness {
        bool asked; /* then, at asked_ms, this was the answer */
        int64_t asked_ms;
        bool is_ready;
        char reason[256]; /* for operators; "": all is well */
    } readiness;
    struct body body;
};

/* Finds the limit that a request spends. True: *spend is `address`, which is set, or NULL where no
 * limit applies (never for notify). False: the request is refused, and `response` says why. */
bool responder_find_bucket(struct responder *responder, const struct request *request,
                           enum registry_bucket bucket, struct address_hash *address,
                           const struct address_hash **spend, struct response *response);

/* The hash of the site that the client of a request is in, in `site`; NULL where it has none. To be
 * called for a request whose bucket was found. */
const struct address_hash *responder_site(const struct responder *responder,
                                          const struct request *request, struct address_hash *site);

/* Answers a `result` other than REGISTRY_OK, where the answer is the same for every route.
 * `address` (or NULL) is remembered where it is the one refused. */
void responder_refuse(struct responder *responder, struct response *response,
                      enum registry_result result, enum registry_bucket bucket,
                      const struct address_hash *address);

/* Why the registry did not do what was asked, for the debug log. */
const char *responder_reason(enum registry_result result);

#endif
