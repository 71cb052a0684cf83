#include "responder_priv.h"

#include <stddef.h>
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
    if (whitelist_count(responder->whitelist) == 0)
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

struct responder *responder_new(const struct responder_parts *parts, FILE *errors)
{
    const struct settings *settings = parts->settings;
    struct responder *responder = calloc(1, sizeof *responder);

    if (responder == NULL) {
        (void)fputs("out of memory\n", errors);
        return NULL;
    }
    responder->settings = settings;
    responder->stats = parts->stats;
    responder->pipeline = parts->pipeline;
    responder->registrar = parts->registrar;
    responder->aide = parts->aide;
    patience_init(&responder->patience, parts->waiting_max);
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
    set_retry_after(responder);
    return responder;
}

void responder_free(struct responder **responder)
{
    if (*responder == NULL)
        return;
    token_crypto_free(&(*responder)->crypto);
    whitelist_free(&(*responder)->whitelist);
    explicit_bzero(*responder, sizeof **responder);
    free(*responder);
    *responder = NULL;
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

static bool refuse(struct responder *responder, struct exchange *exchange,
                   enum registry_result result)
{
    exchange->call.result = result;
    exchange->call.refused_for_ms = 0;
    responder_refuse(responder, exchange);
    return false;
}

bool responder_hash_client(const struct responder *responder, struct exchange *exchange)
{
    const uint8_t *key = aide_address_key(responder->aide);

    exchange->call.address = NULL;
    if (key == NULL)
        return false;
    exchange->address = address_hash(key, exchange->client.bytes, exchange->client.len);
    exchange->call.address = &exchange->address;
    return true;
}

void responder_hash_site(const struct responder *responder, struct exchange *exchange)
{
    exchange->call.site = NULL;
    if (exchange->client.len <= CLIENT_ADDRESS_SITE_LEN)
        return;
    exchange->site = address_hash(aide_address_key(responder->aide), exchange->client.bytes,
                                  CLIENT_ADDRESS_SITE_LEN);
    exchange->call.site = &exchange->site;
}

bool responder_find_bucket(struct responder *responder, struct exchange *exchange,
                           enum registry_bucket bucket)
{
    const struct request *request = &exchange->request;
    struct address_hash *address = &exchange->address;
    bool shared = is_shared(responder, request);

    exchange->call.bucket = bucket;
    if (bucket == REGISTRY_BUCKET_REGISTER && (shared || !limits_registers(responder->settings)))
        return true;
    if (!client_address_find(&exchange->client, request,
                             responder->settings->trust_proxy_headers)) {
        response_error(&exchange->response, 500, "internal error");
        return false;
    }
    exchange->is_limited = true;
    if (!responder_hash_client(responder, exchange))
        return exchange->route->may_wait || refuse(responder, exchange, REGISTRY_UNAVAILABLE);
    if (refused_addresses_has(&responder->refused, bucket, address, clock_monotonic_ms())) {
        log_debug(bucket == REGISTRY_BUCKET_NOTIFY
                      ? "notify: a request is refused unread: its address is over its limit"
                      : "register: a request is refused unread: its address is over its limit");
        return refuse(responder, exchange, REGISTRY_REFUSED_ADDRESS);
    }
    return true;
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

static void refuse_as_limited(const struct responder *responder, struct exchange *exchange)
{
    struct response *response = &exchange->response;

    response_constant(response, 429, "{\"success\":false,\"message\":\"rate limited\"}");
    response->retry_after_s = exchange->call.bucket == REGISTRY_BUCKET_NOTIFY
                                  ? responder->notify_retry_after_s
                                  : responder->register_retry_after_s;
}

static void remember_refused(struct responder *responder, const struct registry_call *call)
{
    if (call->refused_for_ms > 0) {
        refused_addresses_add(&responder->refused, call->bucket, call->address,
                              clock_monotonic_ms() + call->refused_for_ms);
        stats_add(responder->stats,
                  call->bucket == REGISTRY_BUCKET_NOTIFY ? STAT_REFUSED_ADDRESSES_NOTIFY
                                                         : STAT_REFUSED_ADDRESSES_REGISTER,
                  1);
    }
}

void responder_refuse(struct responder *responder, struct exchange *exchange)
{
    switch (exchange->call.result) {
    case REGISTRY_REFUSED_ADDRESS:
        remember_refused(responder, &exchange->call);
        stats_add(responder->stats, STAT_REFUSED_ADDRESS, 1);
        refuse_as_limited(responder, exchange);
        break;
    case REGISTRY_REFUSED_NEW: /* which says nothing of a renewal, so it is not remembered */
        stats_add(responder->stats, STAT_REFUSED_NEW, 1);
        refuse_as_limited(responder, exchange);
        exchange->response.retry_after_s = responder->new_retry_after_s;
        break;
    case REGISTRY_REFUSED_PUBKEY:
        stats_add(responder->stats, STAT_REFUSED_PUBKEY, 1);
        refuse_as_limited(responder, exchange);
        break;
    default:
        response_error(&exchange->response, 503, "service unavailable");
        exchange->response.retry_after_s = 1;
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

static void complete(struct exchange *exchange)
{
    const struct route *route = exchange->route;
    const char *method = exchange->request.method;

    exchange->response.without_body = method != NULL && strcmp(method, "HEAD") == 0;
    stats_add_request(exchange->responder->stats,
                      route != NULL ? route->counter : STAT_REQUESTS_OTHER_200,
                      exchange->response.status);
    exchange->answered(exchange);
}

void responder_finish(struct exchange *exchange)
{
    exchange->route->finish(exchange->responder, exchange);
    complete(exchange);
}

#define EXCHANGE_OF(pointer, member) \
    ((struct exchange *)(void *)((char *)(pointer)-offsetof(struct exchange, member)))

static void call_answered(struct registry_call *call)
{
    struct exchange *exchange = EXCHANGE_OF(call, call);

    if (!patience_keeps(exchange))
        responder_finish(exchange);
}

static void question_answered(struct aide_question *question)
{
    responder_finish(EXCHANGE_OF(question, with.question));
}

/* Registrations have a pipeline of their own: what holds it up must not delay a notify. */
static struct registry_pipeline *pipeline_of(const struct exchange *exchange)
{
    enum registry_call_kind kind = exchange->call.kind;

    return kind == REGISTRY_CALL_REGISTER || kind == REGISTRY_CALL_UNREGISTER
               ? exchange->responder->registrar
               : exchange->responder->pipeline;
}

void responder_ask_redis(struct exchange *exchange)
{
    struct registry_call *call = &exchange->call;

    call->answered = call_answered;
    if (!exchange->is_limited || call->address != NULL) {
        registry_pipeline_ask(pipeline_of(exchange), call);
        return;
    }
    /* No Redis has ever been there to give the key of the address hashes. */
    call->result = REGISTRY_UNAVAILABLE;
    call->is_away = true;
    call->may_have_run = false;
    call_answered(call);
}

/* The handler's first step, or the answer to a request that no handler gets. */
static enum routes_step begin(struct responder *responder, struct exchange *exchange)
{
    const struct route *route = exchange->route;

    if (route == NULL) {
        response_error(&exchange->response, 404, "not found");
        return ROUTES_ANSWERED;
    }
    if (route->has_request_id)
        draw_request_id(responder, &exchange->response);
    if (method_fits(route, exchange->request.method))
        return route->begin(responder, exchange);
    response_error(&exchange->response, 405, "method not allowed");
    exchange->response.allow = route->is_post ? "POST" : "GET, HEAD";
    return ROUTES_ANSWERED;
}

void responder_answer(struct responder *responder, struct exchange *exchange)
{
    const struct route *route = routes_find(exchange->request.path);

    exchange->responder = responder;
    exchange->route =
        route != NULL && route->is_private && !exchange->request.is_private ? NULL : route;
    exchange->call.result = REGISTRY_OK;
    exchange->call.address = exchange->call.site = NULL;
    exchange->is_limited = false;
    patience_begin(exchange);
    switch (begin(responder, exchange)) {
    case ROUTES_ANSWERED:
        complete(exchange);
        break;
    case ROUTES_ASK_REDIS:
        responder_ask_redis(exchange);
        break;
    case ROUTES_ASK_AIDE:
        exchange->with.question.answered = question_answered;
        aide_ask(responder->aide, &exchange->with.question);
        break;
    }
}
