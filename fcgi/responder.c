#include "responder_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "client_address.h"
#include "device/token_crypto.h"
#include "log/log.h"
#include "routes.h"
#include "whitelist.h"

#define MINUTE_S 60
#define DAY_S    (24 * 60 * MINUTE_S)

/* Whole seconds until a bucket of so many in a period has refilled by one, rounded up. */
static unsigned refill_s(int64_t period_s, int64_t rate)
{
    return rate > 0 ? (unsigned)((period_s + rate - 1) / rate) : 1;
}

static bool open_crypto(struct responder *responder, FILE *errors)
{
    const struct settings_key *key = &responder->settings->server_private_key;

    if (!key->set)
        return true;
    responder->crypto = token_crypto_new(key->bytes);
    if (responder->crypto == NULL)
        (void)fputs("SERVER_PRIVATE_KEY, or its file: not a private key of secp256k1\n", errors);
    return responder->crypto != NULL;
}

/* An empty whitelist is as good as none. */
static bool read_whitelist(struct responder *responder, FILE *errors)
{
    if (!responder->settings->trusted_whitelist_enabled)
        return true;
    responder->whitelist = whitelist_read(responder->settings->trusted_mostro_pubkeys_file, errors);
    if (responder->whitelist == NULL)
        return false;
    if (whitelist_is_empty(responder->whitelist))
        whitelist_free(&responder->whitelist);
    return true;
}

static void set_retry_after(struct responder *responder)
{
    const struct settings *settings = responder->settings;
    unsigned by_address = refill_s(MINUTE_S, settings->notify_rate_per_address);
    unsigned by_pubkey = refill_s(MINUTE_S, settings->notify_rate_per_pubkey);

    /* Both limiters of notify share one number, so that it does not tell which of them refused. */
    responder->notify_retry_after_s = by_address > by_pubkey ? by_address : by_pubkey;
    responder->register_retry_after_s = refill_s(MINUTE_S, settings->register_rate_per_address);
    responder->new_retry_after_s = refill_s(DAY_S, settings->register_new_per_address);
}

struct responder *responder_new(const struct settings *settings, FILE *errors)
{
    struct responder *responder = calloc(1, sizeof *responder);

    if (responder != NULL) {
        responder->settings = settings;
        responder->registry = registry_new(settings, &responder->stats);
    }
    if (responder == NULL || responder->registry == NULL) {
        (void)fputs("out of memory\n", errors);
        responder_free(&responder);
        return NULL;
    }
    if (!open_crypto(responder, errors) || !read_whitelist(responder, errors)) {
        responder_free(&responder);
        return NULL;
    }
    responder->rules = (struct registration_rules){
        .allow_private_endpoints = settings->unifiedpush_allow_private,
        .endpoint_hosts = settings->unifiedpush_allowed_hosts.set
                              ? &settings->unifiedpush_allowed_hosts.compiled
                              : NULL,
        .crypto = responder->crypto,
        .whitelist = responder->whitelist};
    random_bytes(responder->address_key, sizeof responder->address_key);
    set_retry_after(responder);
    return responder;
}

void responder_free(struct responder **responder)
{
    if (*responder == NULL)
        return;
    registry_free(&(*responder)->registry);
    token_crypto_free(&(*responder)->crypto);
    whitelist_free(&(*responder)->whitelist);
    explicit_bzero(*responder, sizeof **responder);
    free(*responder);
    *responder = NULL;
}

static void learn_address_key(struct responder *responder)
{
    if (registry_address_key(responder->registry, responder->address_key) == REGISTRY_OK)
        responder->has_address_key = true;
}

/* The log must hear again what is wrong with Redis even while no requests come. */
void responder_begin(struct responder *responder)
{
    responder->counted = registry_check(responder->registry) != REGISTRY_OK;
}

bool responder_wants_tick(const struct responder *responder)
{
    return responder->counted;
}

void responder_tick(struct responder *responder)
{
    learn_address_key(responder);
    if (registry_flush_stats(responder->registry, &responder->stats) == REGISTRY_OK)
        responder->counted = false;
}

/* Whether all clients of a proxy count as one address, which is logged once. */
static bool is_shared(struct responder *responder, const struct request *request)
{
    bool shared = responder->settings->trust_proxy_headers == SETTINGS_PROXY_NONE &&
                  client_address_is_shared(request);

    if (shared && !responder->warned_of_proxy)
        log_warn("worker: a proxy forwards requests, but NOTIFY_TRUST_PROXY_HEADERS is not true: "
                 "all its clients count as one address");
    responder->warned_of_proxy |= shared;
    return shared;
}

static bool limits_registers(const struct settings *settings)
{
    return settings->register_rate_per_address > 0 || settings->register_new_per_address > 0;
}

bool responder_find_bucket(struct responder *responder, const struct request *request,
                           enum registry_bucket bucket, struct address_hash *address,
                           const struct address_hash **spend, struct response *response)
{
    struct client_address client;
    bool shared = is_shared(responder, request);

    *spend = NULL;
    if (bucket == REGISTRY_BUCKET_REGISTER && (shared || !limits_registers(responder->settings)))
        return true;
    if (!client_address_find(&client, request, responder->settings->trust_proxy_headers)) {
        response_error(response, 500, "internal error");
        return false;
    }
    if (!responder->has_address_key)
        learn_address_key(responder);
    if (!responder->has_address_key) {
        responder_refuse(responder, response, REGISTRY_UNAVAILABLE, bucket, NULL);
        return false;
    }
    *address = address_hash(responder->address_key, client.bytes, client.len);
    if (refused_addresses_has(&responder->refused, bucket, address, clock_monotonic_ms())) {
        log_debug(bucket == REGISTRY_BUCKET_NOTIFY
                      ? "notify: a request is refused unread: its address is over its limit"
                      : "register: a request is refused unread: its address is over its limit");
        responder_refuse(responder, response, REGISTRY_REFUSED_ADDRESS, bucket, NULL);
        return false;
    }
    *spend = address;
    return true;
}

const struct address_hash *responder_site(const struct responder *responder,
                                          const struct request *request, struct address_hash *site)
{
    struct client_address client;

    if (!client_address_find(&client, request, responder->settings->trust_proxy_headers) ||
        client.len <= CLIENT_ADDRESS_SITE_LEN)
        return NULL;
    *site = address_hash(responder->address_key, client.bytes, CLIENT_ADDRESS_SITE_LEN);
    return site;
}

const char *responder_reason(enum registry_result result)
{
    switch (result) {
    case REGISTRY_REFUSED_ADDRESS:
        return "the caller's address is over its limit";
    case REGISTRY_REFUSED_NEW:
        return "the caller's address is over its limit of new pubkeys";
    case REGISTRY_QUEUE_FULL:
        return "the queue of wakes, or Redis, is full";
    case REGISTRY_FULL:
        return "the registry, or Redis, is full";
    default:
        return "Redis cannot be used";
    }
}

static void refuse_as_limited(const struct responder *responder, struct response *response,
                              enum registry_bucket bucket)
{
    response_constant(response, 429, "{\"success\":false,\"message\":\"rate limited\"}");
    response->retry_after_s = bucket == REGISTRY_BUCKET_NOTIFY ? responder->notify_retry_after_s
                                                               : responder->register_retry_after_s;
}

static void remember_refused(struct responder *responder, enum registry_bucket bucket,
                             const struct address_hash *address)
{
    unsigned ms = registry_refused_for_ms(responder->registry);

    if (ms > 0)
        refused_addresses_add(&responder->refused, bucket, address, clock_monotonic_ms() + ms);
}

void responder_refuse(struct responder *responder, struct response *response,
                      enum registry_result result, enum registry_bucket bucket,
                      const struct address_hash *address)
{
    switch (result) {
    case REGISTRY_REFUSED_ADDRESS:
        if (address != NULL)
            remember_refused(responder, bucket, address);
        stats_add(&responder->stats, STAT_REFUSED_ADDRESS, 1);
        refuse_as_limited(responder, response, bucket);
        break;
    case REGISTRY_REFUSED_NEW: /* which says nothing of a renewal, so it is not remembered */
        stats_add(&responder->stats, STAT_REFUSED_NEW, 1);
        refuse_as_limited(responder, response, bucket);
        response->retry_after_s = responder->new_retry_after_s;
        break;
    case REGISTRY_REFUSED_PUBKEY:
        stats_add(&responder->stats, STAT_REFUSED_PUBKEY, 1);
        refuse_as_limited(responder, response, bucket);
        break;
    default:
        response_error(response, 503, "service unavailable");
        response->retry_after_s = 1;
        break;
    }
}

/* GET, or HEAD, which is GET without the body (RFC 9110, section 9.3.2); or POST. */
static bool method_fits(const struct route *route, const char *method)
{
    if (method == NULL)
        return false;
    if (route->is_post)
        return strcmp(method, "POST") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static void draw_request_id(struct responder *responder, struct response *response)
{
    if (responder->random_left == 0) {
        random_bytes(responder->random, sizeof responder->random);
        responder->random_left = sizeof responder->random;
    }
    responder->random_left -= RESPONSE_RANDOM_SIZE;
    response_set_request_id(response, responder->random + responder->random_left);
}

void responder_answer(struct responder *responder, const struct request *request,
                      struct response *response)
{
    const struct route *route = routes_find(request->path);

    if (route != NULL && route->is_private && !request->is_private)
        route = NULL;
    if (route == NULL) {
        response_error(response, 404, "not found");
    } else {
        if (route->has_request_id)
            draw_request_id(responder, response);
        if (method_fits(route, request->method)) {
            route->handle(responder, request, response);
        } else {
            response_error(response, 405, "method not allowed");
            response->allow = route->is_post ? "POST" : "GET, HEAD";
        }
    }
    response->without_body = request->method != NULL && strcmp(request->method, "HEAD") == 0;
    stats_add_request(&responder->stats, route != NULL ? route->counter : STAT_REQUESTS_OTHER_200,
                      response->status);
    responder->counted = true;
}
