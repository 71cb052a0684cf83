/* register: a phone registers how it can be woken for a trade, or unregisters. */
#include "responder_priv.h"
#include "routes.h"

#include <string.h>

#include "log/log.h"

#define REGISTER_BODY_MAX   REQUEST_BODY_MAX
#define UNREGISTER_BODY_MAX (8 * 1024)

/* False when the response already holds the answer; a refusal by the limit still replaces it. */
static bool read_registration(struct responder *responder, struct exchange *exchange)
{
    struct request *request = &exchange->request;
    struct response *response = &exchange->response;

    switch (body_check(request, REGISTER_BODY_MAX)) {
    case BODY_OK:
        return registration_body_check(request->body, request->body_len, &responder->rules,
                                       &exchange->call.key, &exchange->with.registration, response);
    case BODY_TOO_LARGE:
        response_error(response, 413, "Request body too large");
        break;
    case BODY_MALFORMED:
    case BODY_BAD_PUBKEY: /* never of this function */
        response_error(response, 400, "Invalid JSON body");
        break;
    }
    return false;
}

/* A request that already has its answer still spends its address's limit. */
static enum routes_step spend_refused(struct exchange *exchange)
{
    if (!exchange->is_limited)
        return ROUTES_ANSWERED;
    exchange->call.kind = REGISTRY_CALL_SPEND;
    return ROUTES_ASK_REDIS;
}

static void tell_registered(const struct registry_call *call)
{
    struct log_name name = log_step_name(&call->key);

    if (call->result == REGISTRY_OK)
        log_step(&name, "register: %s is registered", name.text);
    else
        log_step(&name, "register: %s is not registered: %s", name.text,
                 responder_reason(call->result));
}

static void tell_unregistered(const struct registry_call *call)
{
    struct log_name name = log_step_name(&call->key);

    if (call->result == REGISTRY_OK)
        log_step(&name, "register: %s is unregistered, as its phone asks", name.text);
    else if (call->result == REGISTRY_NOT_FOUND)
        log_step(&name, "register: %s is to be unregistered, and is not registered", name.text);
    else
        log_step(&name, "register: %s stays as it is: %s", name.text,
                 responder_reason(call->result));
}

enum routes_step register_begin(struct responder *responder, struct exchange *exchange)
{
    struct registry_call *call = &exchange->call;

    if (!responder_find_bucket(responder, exchange, REGISTRY_BUCKET_REGISTER))
        return ROUTES_ANSWERED;
    if (!read_registration(responder, exchange))
        return spend_refused(exchange);
    call->kind = REGISTRY_CALL_REGISTER;
    call->registration = &exchange->with.registration;
    if (call->address != NULL)
        responder_hash_site(responder, exchange);
    return ROUTES_ASK_REDIS;
}

void register_finish(struct responder *responder, struct exchange *exchange)
{
    const struct registry_call *call = &exchange->call;

    if (call->kind == REGISTRY_CALL_REGISTER)
        tell_registered(call);
    if (call->result != REGISTRY_OK)
        responder_refuse(responder, exchange);
    else if (call->kind == REGISTRY_CALL_REGISTER)
        response_json(&exchange->response, 200,
                      "{\"success\":true,\"message\":\"Token registered successfully\","
                      "\"platform\":\"%s\"}",
                      platform_name(call->registration->platform));
    if (call->kind == REGISTRY_CALL_REGISTER)
        explicit_bzero(&exchange->with.registration, sizeof exchange->with.registration);
}

static bool read_unregistration(struct exchange *exchange)
{
    struct response *response = &exchange->response;

    switch (body_read_pubkey(&exchange->request, UNREGISTER_BODY_MAX, &exchange->call.key)) {
    case BODY_OK:
        return true;
    case BODY_TOO_LARGE:
        response_error(response, 413, "Request body too large");
        break;
    case BODY_MALFORMED:
        response_error(response, 400, "Invalid JSON body");
        break;
    case BODY_BAD_PUBKEY:
        response_error(response, 400, "Invalid trade_pubkey format (expected 64 hex characters)");
        break;
    }
    return false;
}

enum routes_step unregister_begin(struct responder *responder, struct exchange *exchange)
{
    if (!responder_find_bucket(responder, exchange, REGISTRY_BUCKET_REGISTER))
        return ROUTES_ANSWERED;
    if (!read_unregistration(exchange))
        return spend_refused(exchange);
    exchange->call.kind = REGISTRY_CALL_UNREGISTER;
    return ROUTES_ASK_REDIS;
}

void unregister_finish(struct responder *responder, struct exchange *exchange)
{
    const struct registry_call *call = &exchange->call;

    if (call->kind == REGISTRY_CALL_UNREGISTER)
        tell_unregistered(call);
    if (call->result != REGISTRY_OK && call->result != REGISTRY_NOT_FOUND)
        responder_refuse(responder, exchange);
    else if (call->kind == REGISTRY_CALL_UNREGISTER && call->result == REGISTRY_OK)
        response_constant(&exchange->response, 200,
                          "{\"success\":true,\"message\":\"Token unregistered successfully\"}");
    else if (call->kind == REGISTRY_CALL_UNREGISTER)
        response_constant(&exchange->response, 200,
                          "{\"success\":true,"
                          "\"message\":\"Token not found (may have already been unregistered)\"}");
}
