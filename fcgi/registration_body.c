#include "registration_body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64url.h"
#include "device/endpoint_url.h"
#include "device/token_crypto.h"
#include "device/web_push_keys.h"
#include "json_members.h"
#include "response.h"
#include "whitelist.h"

/* The members as they came; an empty one counts as absent. */
struct fields {
    struct json_text trade_pubkey, token, platform, p256dh, auth, encrypted_token, mostro_pubkey;
};

static bool read_fields(char *text, size_t len, struct fields *f)
{
    const struct json_member members[] = {
        {"trade_pubkey", &f->trade_pubkey},
        {"token", &f->token},
        {"platform", &f->platform},
        {"p256dh", &f->p256dh},
        {"auth", &f->auth},
        {"encrypted_token", &f->encrypted_token},
        {"mostro_pubkey", &f->mostro_pubkey},
    };

    return json_members_read(text, len, members, sizeof members / sizeof members[0]) &&
           !(f->token.len > 0 && f->encrypted_token.len > 0);
}

static bool refuse(struct response *response, int status, const char *message)
{
    response_error(response, status, message);
    return false;
}

static bool check_whitelist(const struct whitelist *whitelist,
                            const struct json_text *mostro_pubkey, struct response *response)
{
    struct trade_pubkey parsed;

    if (whitelist == NULL)
        return true;
    if (mostro_pubkey->len == 0)
        return refuse(response, 403, "Mostro instance pubkey required");
    if (!trade_pubkey_parse(&parsed, mostro_pubkey->text, mostro_pubkey->len))
        return refuse(response, 400, "Invalid mostro_pubkey format (expected 64 hex characters)");
    if (!whitelist_has(whitelist, parsed.hex))
        return refuse(response, 403, "Mostro instance not trusted");
    return true;
}

/* The Mostro node that the phone follows. Unless the whitelist needs it, a malformed one counts as
 * none, because clients have always been free to send anything. */
static void keep_mostro_pubkey(const struct json_text *field, struct registration *registration)
{
    struct trade_pubkey parsed;

    registration->mostro_pubkey[0] = '\0';
    if (trade_pubkey_parse(&parsed, field->text, field->len))
        memcpy(registration->mostro_pubkey, parsed.hex, sizeof registration->mostro_pubkey);
}

/* Both keys or none, and only beside an endpoint URL. Either base64 is accepted; they are kept in
 * base64url, which pushes are made from. */
static bool take_keys(const struct fields *f, bool is_endpoint, struct registration *registration)
{
    struct web_push_keys keys;
    bool good;

    registration->p256dh[0] = registration->auth[0] = '\0';
    if (f->p256dh.len == 0 && f->auth.len == 0)
        return true;
    good = is_endpoint &&
           web_push_keys_parse(&keys, f->p256dh.text, f->p256dh.len, f->auth.text, f->auth.len);
    if (good) {
        (void)base64url_encode(registration->p256dh, keys.point, sizeof keys.point);
        (void)base64url_encode(registration->auth, keys.secret, sizeof keys.secret);
    }
    explicit_bzero(&keys, sizeof keys);
    return good;
}

static bool check_token(const struct fields *f, const struct json_text *token, const char *platform,
                        const struct registration_rules *rules, struct registration *registration,
                        struct response *response)
{
    bool is_endpoint = strstr(token->text, ENDPOINT_URL_MARK) != NULL;
    bool is_ios = strcasecmp(platform, "ios") == 0;

    if (token->len == 0)
        return refuse(response, 400, "Token cannot be empty");
    if (token->len > DEVICE_TOKEN_MAX)
        return refuse(response, 400, "Token too long (maximum 4096 bytes)");
    if (!is_ios && strcasecmp(platform, "android") != 0) {
        response_error_about(response, 400, "Invalid platform '", platform,
                             "' (expected 'android' or 'ios')");
        return false;
    }
    if (is_endpoint && (is_ios || !endpoint_url_is_admitted(token->text, token->len,
                                                            rules->allow_private_endpoints,
                                                            rules->endpoint_hosts)))
        return refuse(response, 400, "Invalid UnifiedPush endpoint URL");
    if (!take_keys(f, is_endpoint, registration))
        return refuse(response, 400, "Invalid Web Push keys");
    registration->platform = is_ios ? PLATFORM_IOS : PLATFORM_ANDROID;
    memcpy(registration->token, token->text, token->len + 1);
    return true;
}

static bool open_token(const struct token_crypto *crypto, const struct json_text *encrypted,
                       struct token_crypto_token *opened, struct response *response)
{
    char message[96];
    size_t size = 0;
    enum token_crypto_result result =
        crypto != NULL ? token_crypto_open(crypto, encrypted->text, encrypted->len, opened, &size)
                       : TOKEN_CRYPTO_FAILED;

    switch (result) {
    case TOKEN_CRYPTO_OK:
        return true;
    case TOKEN_CRYPTO_BAD_BASE64:
        return refuse(response, 400, "Invalid base64 encoding in encrypted_token");
    case TOKEN_CRYPTO_BAD_SIZE:
        (void)snprintf(message, sizeof message,
                       "Invalid encrypted token size (expected %d bytes, got %zu)",
                       TOKEN_CRYPTO_MESSAGE_SIZE, size);
        return refuse(response, 400, message);
    case TOKEN_CRYPTO_FAILED:
        break;
    }
    return refuse(response, 400, "Failed to decrypt token");
}

static bool check_encrypted(const struct fields *f, const struct registration_rules *rules,
                            struct registration *registration, struct response *response)
{
    struct token_crypto_token opened = {.len = 0};
    struct json_text token;
    bool good = open_token(rules->crypto, &f->encrypted_token, &opened, response);

    if (good) {
        token = (struct json_text){.text = opened.text, .len = opened.len};
        good = check_token(f, &token, opened.is_ios ? "ios" : "android", rules, registration,
                           response);
    }
    explicit_bzero(&opened, sizeof opened);
    return good;
}

/* A token in the clear is checked before the whitelist; an encrypted one is not opened for a
 * stranger. */
static bool check_token_and_node(const struct fields *f, const struct registration_rules *rules,
                                 struct registration *registration, struct response *response)
{
    if (f->encrypted_token.len > 0)
        return check_whitelist(rules->whitelist, &f->mostro_pubkey, response) &&
               check_encrypted(f, rules, registration, response);
    if (!check_token(f, &f->token, f->platform.text, rules, registration, response))
        return false;
    if (check_whitelist(rules->whitelist, &f->mostro_pubkey, response))
        return true;
    explicit_bzero(registration, sizeof *registration);
    return false;
}

bool registration_body_check(char *text, size_t len, const struct registration_rules *rules,
                             struct trade_pubkey *key, struct registration *registration,
                             struct response *response)
{
    struct fields f;

    if (!read_fields(text, len, &f))
        return refuse(response, 400, "Invalid JSON body");
    if (!trade_pubkey_parse(key, f.trade_pubkey.text, f.trade_pubkey.len))
        return refuse(response, 400, "Invalid trade_pubkey format (expected 64 hex characters)");
    if (!check_token_and_node(&f, rules, registration, response))
        return false;
    keep_mostro_pubkey(&f.mostro_pubkey, registration);
    return true;
}
