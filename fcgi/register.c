/* register: a phone says how it can be woken for a trade, or takes that back. */
#include "routes.h"

#include <string.h>
#include <strings.h>

#include "endpoint_url.h"
#include "web_push_keys.h"

#define REGISTER_BODY_MAX   BODY_MAX
#define UNREGISTER_BODY_MAX (8 * 1024)

/* The members of the body, as they came; "" where absent. */
struct fields {
    const char *trade_pubkey, *token, *platform, *p256dh, *auth, *encrypted_token, *mostro_pubkey;
    size_t trade_pubkey_len, token_len, platform_len, p256dh_len, auth_len, encrypted_token_len,
        mostro_pubkey_len;
};

static bool read_fields(const json_t *json, struct fields *f)
{
    return body_text(json, "trade_pubkey", &f->trade_pubkey, &f->trade_pubkey_len) == BODY_OK &&
           body_text(json, "token", &f->token, &f->token_len) == BODY_OK &&
           body_text(json, "platform", &f->platform, &f->platform_len) == BODY_OK &&
           body_text(json, "p256dh", &f->p256dh, &f->p256dh_len) == BODY_OK &&
           body_text(json, "auth", &f->auth, &f->auth_len) == BODY_OK &&
           body_text(json, "encrypted_token", &f->encrypted_token, &f->encrypted_token_len) ==
               BODY_OK &&
           body_text(json, "mostro_pubkey", &f->mostro_pubkey, &f->mostro_pubkey_len) == BODY_OK;
}

static bool is_present(const json_t *json, const char *name)
{
    const json_t *member = json_object_get(json, name);

    return member != NULL && !json_is_null(member);
}

static void refuse(struct response *response, const char *message)
{
    response_error(response, 400, message);
}

static bool read_platform(const char *text, enum platform *platform)
{
    *platform = strcasecmp(text, "ios") == 0 ? PLATFORM_IOS : PLATFORM_ANDROID;
    return *platform == PLATFORM_IOS || strcasecmp(text, "android") == 0;
}

/* Both keys or none, and only beside an endpoint URL. */
static bool keys_are_good(const struct fields *f, bool is_endpoint)
{
    struct web_push_keys keys;

    if (f->p256dh_len == 0 && f->auth_len == 0)
        return true;
    return is_endpoint && f->p256dh_len <= WEB_PUSH_KEY_MAX && f->auth_len <= WEB_PUSH_KEY_MAX &&
           web_push_keys_parse(&keys, f->p256dh, f->p256dh_len, f->auth, f->auth_len);
}

/* The rows of the contract's table, from the top; false when one of them has answered. */
static bool check_fields(const struct settings *settings, const struct fields *f,
                         struct trade_pubkey *key, struct registration *registration,
                         struct response *response)
{
    bool is_endpoint = strstr(f->token, ENDPOINT_URL_MARK) != NULL;

    if (!trade_pubkey_parse(key, f->trade_pubkey, f->trade_pubkey_len)) {
        refuse(response, "Invalid trade_pubkey format (expected 64 hex characters)");
    } else if (f->token_len == 0) {
        refuse(response, "Token cannot be empty");
    } else if (f->token_len > DEVICE_TOKEN_MAX) {
        refuse(response, "Token too long (maximum 4096 bytes)");
    } else if (!read_platform(f->platform, &registration->platform)) {
        response_error_about(response, 400, "Invalid platform '", f->platform,
                             "' (expected 'android' or 'ios')");
    } else if (is_endpoint && (registration->platform == PLATFORM_IOS ||
                               !endpoint_url_is_valid(f->token, f->token_len,
                                                      settings->unifiedpush_allow_private))) {
        refuse(response, "Invalid UnifiedPush endpoint URL");
    } else if (!keys_are_good(f, is_endpoint)) {
        refuse(response, "Invalid Web Push keys");
    } else {
        memcpy(registration->token, f->token, f->token_len + 1);
        memcpy(registration->p256dh, f->p256dh, f->p256dh_len + 1);
        memcpy(registration->auth, f->auth, f->auth_len + 1);
        return true;
    }
    return false;
}

/* False when `response` already holds the answer, which a refusal by the limit still overrides. */
static bool read_registration(struct responder *responder, const struct request *request,
                              struct trade_pubkey *key, struct registration *registration,
                              struct response *response)
{
    struct fields fields;
    json_t *json;
    bool good = false;
    enum body_verdict verdict = body_read(request, REGISTER_BODY_MAX, responder->body, &json);

    if (verdict == BODY_TOO_LARGE)
        response_error(response, 413, "Request body too large");
    else if (verdict == BODY_MALFORMED || !read_fields(json, &fields) ||
             (is_present(json, "token") && is_present(json, "encrypted_token")))
        refuse(response, "Invalid JSON body");
    else
        good = check_fields(responder->settings, &fields, key, registration, response);
    json_decref(json);
    return good;
}

/* Finds the bucket; false when there is none, which is answered. */
static bool find_bucket(struct responder *responder, const struct request *request,
                        struct address_hash *address, const struct address_hash **spend,
                        struct response *response)
{
    switch (responder_client(responder, request, REGISTRY_BUCKET_REGISTER, address)) {
    case RESPONDER_LIMITED:
        *spend = address;
        return true;
    case RESPONDER_UNLIMITED:
        *spend = NULL;
        return true;
    case RESPONDER_NO_ADDRESS:
        response_error(response, 500, "internal error");
        return false;
    case RESPONDER_NO_KEY:
        responder_refuse(responder, response, REGISTRY_UNAVAILABLE, REGISTRY_BUCKET_REGISTER);
        return false;
    }
    return false;
}

/* A request that is answered already has still to spend its address's limit. */
static void spend_refused(struct responder *responder, const struct address_hash *spend,
                          struct response *response)
{
    enum registry_result result;

    if (spend == NULL)
        return;
    result = registry_spend(responder->registry, REGISTRY_BUCKET_REGISTER, spend);
    if (result != REGISTRY_OK)
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER);
}

void register_handle(struct responder *responder, const struct request *request,
                     struct response *response)
{
    struct address_hash address;
    const struct address_hash *spend;
    struct trade_pubkey key;
    struct registration registration;
    enum registry_result result;

    if (!find_bucket(responder, request, &address, &spend, response))
        return;
    if (!read_registration(responder, request, &key, &registration, response)) {
        spend_refused(responder, spend, response);
        return;
    }
    result = registry_register(responder->registry, spend, &key, &registration);
    if (result == REGISTRY_OK)
        response_json(response, 200,
                      "{\"success\":true,\"message\":\"Token registered successfully\","
                      "\"platform\":\"%s\"}",
                      platform_name(registration.platform));
    else
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER);
    explicit_bzero(&registration, sizeof registration);
}

static bool read_unregistration(struct responder *responder, const struct request *request,
                                struct trade_pubkey *key, struct response *response)
{
    const char *text;
    size_t len;
    json_t *json;
    bool good = false;
    enum body_verdict verdict = body_read(request, UNREGISTER_BODY_MAX, responder->body, &json);

    if (verdict == BODY_TOO_LARGE)
        response_error(response, 413, "Request body too large");
    else if (verdict == BODY_MALFORMED || body_text(json, "trade_pubkey", &text, &len) != BODY_OK)
        refuse(response, "Invalid JSON body");
    else if (!trade_pubkey_parse(key, text, len))
        refuse(response, "Invalid trade_pubkey format (expected 64 hex characters)");
    else
        good = true;
    json_decref(json);
    return good;
}

void unregister_handle(struct responder *responder, const struct request *request,
                       struct response *response)
{
    struct address_hash address;
    const struct address_hash *spend;
    struct trade_pubkey key;
    enum registry_result result;

    if (!find_bucket(responder, request, &address, &spend, response))
        return;
    if (!read_unregistration(responder, request, &key, response)) {
        spend_refused(responder, spend, response);
        return;
    }
    result = registry_unregister(responder->registry, spend, &key);
    if (result == REGISTRY_OK)
        response_json(response, 200,
                      "{\"success\":true,\"message\":\"Token unregistered successfully\"}");
    else if (result == REGISTRY_NOT_FOUND)
        response_json(response, 200,
                      "{\"success\":true,"
                      "\"message\":\"Token not found (may have already been unregistered)\"}");
    else
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER);
}
