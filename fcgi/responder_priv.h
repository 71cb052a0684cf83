/* responder_priv: the inside of a responder, for it and its handlers (routes.h) alone. */
#ifndef MOSTRO_RESPONDER_PRIV_H
#define MOSTRO_RESPONDER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "exchange.h"
#include "patience.h"
#include "refused_addresses.h"
#include "registration_body.h"
#include "registry/stats.h"
#include "responder.h"
#include "settings/settings.h"

struct responder {
    const struct settings *settings;
    struct stats *stats;
    struct registry_pipeline *pipeline, *registrar;
    struct aide *aide;
    struct token_crypto *crypto; /* NULL: no server key */
    struct whitelist *whitelist; /* NULL: not active */
    struct registration_rules rules;
    bool warned_of_proxy;
    unsigned notify_retry_after_s;
    unsigned register_retry_after_s;
    unsigned new_retry_after_s;
    struct refused_addresses refused;
    struct patience patience;
    uint8_t random[32 * RESPONSE_RANDOM_SIZE]; /* for request ids; drawn in one go */
    size_t random_left;
    struct readiness {
        bool asked; /* then, at asked_ms, this was the answer */
        int64_t asked_ms;
        bool is_ready;
        char reason[AIDE_REASON_SIZE + 32]; /* for operators; "": all is well */
    } readiness;
};

/* Finds the limit that a request spends and puts it into its call: bucket, and address, which is
 * NULL where no limit applies (never for notify), or where the key of the hashes is not known yet
 * (is_limited, for requests that may wait until it is). False: the request is refused, and its
 * response says why. */
bool responder_find_bucket(struct responder *responder, struct exchange *exchange,
                           enum registry_bucket bucket);

/* For a request that is limited: the hash of the client's address into its call. False: the key of
 * the hashes is not known. */
bool responder_hash_client(const struct responder *responder, struct exchange *exchange);

/* Then also the hash of the site that the client is in, if it has one. */
void responder_hash_site(const struct responder *responder, struct exchange *exchange);

/* Asks what exchange->call says. */
void responder_ask_redis(struct exchange *exchange);

/* Makes the response of what the call, or the question, was answered, and hands it over. */
void responder_finish(struct exchange *exchange);

/* Answers a call's result other than REGISTRY_OK, where the answer is the same for every route. The
 * address is remembered where it is the one refused. */
void responder_refuse(struct responder *responder, struct exchange *exchange);

/* Why the registry did not do what was asked, for the debug log. */
const char *responder_reason(enum registry_result result);

#endif
