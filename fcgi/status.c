/* status: the answers that are the same for every client: health, info, status. */
#include "responder_priv.h"
#include "routes.h"

#include <inttypes.h>

#include "device/token_crypto.h"

enum routes_step health_begin(struct responder *responder, struct exchange *exchange)
{
    (void)responder;
    response_constant(&exchange->response, 200, "{\"status\":\"ok\"}");
    return ROUTES_ANSWERED;
}

enum routes_step info_begin(struct responder *responder, struct exchange *exchange)
{
    const char *vapid = responder->settings->vapid_public_key;
    bool has_vapid = vapid[0] != '\0';
    /* The text before and after the VAPID key, which is there only where pushes are signed. */
    const char *before = has_vapid ? ",\"vapid_public_key\":\"" : "";
    const char *after = has_vapid ? "\"" : "";

    if (responder->crypto == NULL)
        response_json(&exchange->response, 200,
                      "{\"version\":\"%s\",\"encryption_enabled\":false,"
                      "\"note\":\"Token encryption will be enabled in a future phase\"%s%s%s}",
                      PACKAGE_VERSION, before, vapid, after);
    else
        response_json(&exchange->response, 200,
                      "{\"server_pubkey\":\"%s\",\"version\":\"%s\","
                      "\"encryption_enabled\":true,\"encrypted_token_size\":%d%s%s%s}",
                      token_crypto_pubkey(responder->crypto), PACKAGE_VERSION,
                      TOKEN_CRYPTO_MESSAGE_SIZE, before, vapid, after);
    return ROUTES_ANSWERED;
}

enum routes_step status_begin(struct responder *responder, struct exchange *exchange)
{
    (void)responder;
    exchange->call.kind = REGISTRY_CALL_COUNT;
    return ROUTES_ASK_REDIS;
}

void status_finish(struct responder *responder, struct exchange *exchange)
{
    const struct registry_call *call = &exchange->call;

    if (call->result != REGISTRY_OK) {
        responder_refuse(responder, exchange);
        return;
    }
    response_json(&exchange->response, 200,
                  "{\"status\":\"running\",\"version\":\"%s\",\"tokens\":{\"total\":%" PRIu64
                  ",\"android\":%" PRIu64 ",\"ios\":%" PRIu64 "}}",
                  PACKAGE_VERSION, call->android + call->ios, call->android, call->ios);
}
