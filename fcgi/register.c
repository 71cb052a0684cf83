/* register: a phone registers how it can be woken for a trade, or unregisters. */
#include "responder_priv.h"
#include "routes.h"

#include <string.h>

#include "log/log.h"

#define REGISTER_BODY_MAX   BODY_MAX
#define UNREGISTER_BODY_MAX (8 * 1024)

/* False when `response` already holds the answer; a refusal by the limit still replaces it. */
static bool read_registration(struct responder *responder, const struct request *request,
                              struct trade_pubkey *key, struct registration *registration,
                              struct response *response)
{
    bool good = false;

    switch (body_read(&responder->body, request, REGISTER_BODY_MAX)) {
    case BODY_OK:
        good = registration_body_check(responder->body.text, responder->body.len, &responder->rules,
                                       key, registration, response);
        break;
    case BODY_TOO_LARGE:
        response_error(response, 413, "Request body too large");
        break;
    case BODY_MALFORMED:
    case BODY_BAD_PUBKEY: /* never of this function */
        response_error(response, 400, "Invalid JSON body");
        break;
    }
    body_wipe(&responder->body);
    return good;
}

/* A request that already has its answer still spends its address's limit. */
static void spend_refused(struct responder *responder, const struct address_hash *spend,
                          struct response *response)
{
    enum registry_result result;

    if (spend == NULL)
        return;
    result = registry_spend(responder->registry, REGISTRY_BUCKET_REGISTER, spend);
    if (result != REGISTRY_OK)
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER, spend);
}

static void tell_registered(const struct trade_pubkey *key, enum registry_result result)
{
    struct log_name name = log_debug_name(key);

    if (result == REGISTRY_OK)
        log_debug("register: %s is registered", name.text);
    else
        log_debug("register: %s is not registered: %s", name.text, responder_reason(result));
}

static void tell_unregistered(const struct trade_pubkey *key, enum registry_result result)
{
    struct log_name name = log_debug_name(key);

    if (result == REGISTRY_OK)
        log_debug("register: %s is unregistered, as its phone asks", name.text);
    else if (result == REGISTRY_NOT_FOUND)
        log_debug("register: %s is to be unregistered, and is not registered", name.text);
    else
        log_debug("register: %s stays as it is: %s", name.text, responder_reason(result));
}

void register_handle(struct responder *responder, const struct request *request,
                     struct response *response)
{
    struct address_hash address, network;
    const struct address_hash *spend, *site;
    struct trade_pubkey key;
    struct registration registration;
    enum registry_result result;

    if (!responder_find_bucket(responder, request, REGISTRY_BUCKET_REGISTER, &address, &spend,
                               response))
        return;
    if (!read_registration(responder, request, &key, &registration, response)) {
        spend_refused(responder, spend, response);
        return;
    }
    site = spend != NULL ? responder_site(responder, request, &network) : NULL;
    result = registry_register(responder->registry, spend, site, &key, &registration);
    tell_registered(&key, result);
    if (result == REGISTRY_OK)
        response_json(response, 200,
                      "{\"success\":true,\"message\":\"Token registered successfully\","
                      "\"platform\":\"%s\"}",
                      platform_name(registration.platform));
    else
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER, spend);
    explicit_bzero(&registration, sizeof registration);
}

static bool read_unregistration(struct responder *responder, const struct request *request,
                                struct trade_pubkey *key, struct response *response)
{
    switch (body_read_pubkey(&responder->body, request, UNREGISTER_BODY_MAX, key)) {
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

void unregister_handle(struct responder *responder, const struct request *request,
                       struct response *response)
{
    struct address_hash address;
    const struct address_hash *spend;
    struct trade_pubkey key;
    enum registry_result result;

    if (!responder_find_bucket(responder, request, REGISTRY_BUCKET_REGISTER, &address, &spend,
                               response))
        return;
    if (!read_unregistration(responder, request, &key, response)) {
        spend_refused(responder, spend, response);
        return;
    }
    result = registry_unregister(responder->registry, spend, &key);
    tell_unregistered(&key, result);
    if (result == REGISTRY_OK)
        response_constant(response, 200,
                          "{\"success\":true,\"message\":\"Token unregistered successfully\"}");
    else if (result == REGISTRY_NOT_FOUND)
        response_constant(response, 200,
                          "{\"success\":true,"
                          "\"message\":\"Token not found (may have already been unregistered)\"}");
    else
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER, spend);
}
