#include "responder.h"

#include <stdlib.h>
#include <string.h>

#include "client_address.h"
#include "log.h"
#include "random.h"
#include "routes.h"

#define SECONDS_PER_MINUTE 60

/* Whole seconds until a bucket of this rate has refilled by one, rounded up. */
static unsigned refill_s(int64_t per_minute)
{
    return per_minute > 0 ? (unsigned)((SECONDS_PER_MINUTE + per_minute - 1) / per_minute) : 1;
}

struct responder *responder_new(const struct settings *settings)
{
    struct responder *responder = calloc(1, sizeof *responder);
    unsigned by_address, by_pubkey;

    if (responder == NULL)
        return NULL;
    responder->settings = settings;
    responder->registry = registry_new(settings);
    if (responder->registry == NULL)
        responder_free(&responder);
    if (responder == NULL)
        return NULL;
    random_bytes(responder->address_key, sizeof responder->address_key);
    /* One number for both limiters of notify, so that it does not tell which one refused. */
    by_address = refill_s(settings->notify_rate_per_address);
    by_pubkey = refill_s(settings->notify_rate_per_pubkey);
    responder->notify_retry_after_s = by_address > by_pubkey ? by_address : by_pubkey;
    responder->register_retry_after_s = refill_s(settings->register_rate_per_address);
    return responder;
}

void responder_free(struct responder **responder)
{
    if (*responder == NULL)
        return;
    registry_free(&(*responder)->registry);
    explicit_bzero(*responder, sizeof **responder);
    free(*responder);
    *responder = NULL;
}

static void learn_address_key(struct responder *responder)
{
    if (registry_address_key(responder->registry, responder->address_key) == REGISTRY_OK)
        responder->has_address_key = true;
}

void responder_tick(struct responder *responder)
{
    learn_address_key(responder);
    if (registry_flush_stats(responder->registry, &responder->stats) == REGISTRY_OK)
        responder->counted = false;
}

enum responder_limit responder_client(struct responder *responder, const struct request *request,
                                      enum registry_bucket bucket, struct address_hash *address)
{
    struct client_address client;
    bool shared = !responder->settings->trust_proxy_headers && client_address_is_shared(request);

    if (shared && !responder->warned_of_proxy)
        log_warn("a proxy forwards requests, but NOTIFY_TRUST_PROXY_HEADERS is not true: "
                 "all its clients count as one address");
    responder->warned_of_proxy |= shared;
    if (bucket == REGISTRY_BUCKET_REGISTER &&
        (shared || responder->settings->register_rate_per_address == 0))
        return RESPONDER_UNLIMITED;
    if (!client_address_find(&client, request, responder->settings->trust_proxy_headers))
        return RESPONDER_NO_ADDRESS;
    if (!responder->has_address_key)
        learn_address_key(responder);
    if (!responder->has_address_key)
        return RESPONDER_NO_KEY;
    *address = address_hash(responder->address_key, client.bytes, client.len);
    return RESPONDER_LIMITED;
}

static void refuse_as_limited(struct response *response, unsigned retry_after_s)
{
    response_error(response, 429, "rate limited");
    response->retry_after_s = retry_after_s;
}

void responder_refuse(struct responder *responder, struct response *response,
                      enum registry_result result, enum registry_bucket bucket)
{
    switch (result) {
    case REGISTRY_REFUSED_ADDRESS:
    case REGISTRY_REFUSED_PUBKEY:
        stats_add(&responder->stats,
                  result == REGISTRY_REFUSED_ADDRESS ? STAT_REFUSED_ADDRESS : STAT_REFUSED_PUBKEY,
                  1);
        refuse_as_limited(response, bucket == REGISTRY_BUCKET_NOTIFY
                                        ? responder->notify_retry_after_s
                                        : responder->register_retry_after_s);
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

void responder_answer(struct responder *responder, const struct request *request,
                      struct response *response)
{
    const struct route *route = routes_find(request->path);

    if (route == NULL) {
        stats_add(&responder->stats, STAT_REQUESTS_OTHER, 1);
        response_error(response, 404, "not found");
    } else {
        stats_add(&responder->stats, route->counter, 1);
        if (route->has_request_id)
            response_draw_request_id(response);
        if (method_fits(route, request->method)) {
            route->handle(responder, request, response);
        } else {
            response_error(response, 405, "method not allowed");
            response->allow = route->is_post ? "POST" : "GET, HEAD";
        }
    }
    response->without_body = request->method != NULL && strcmp(request->method, "HEAD") == 0;
    if (response->status >= 500)
        stats_add(&responder->stats, STAT_REQUESTS_FAILED, 1);
    responder->counted = true;
}
