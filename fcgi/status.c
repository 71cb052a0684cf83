/* status: the answers that are the same for every client: health, info, status. */
#include "responder_priv.h"
#include "routes.h"

#include <inttypes.h>

#include "device/token_crypto.h"

void health_handle(struct responder *responder, const struct request *request,
                   struct response *response)
{
    (void)responder;
    (void)request;
    response_constant(response, 200, "{\"status\":\"ok\"}");
}

void info_handle(struct responder *responder, const struct request *request,
                 struct response *response)
{
    const char *vapid = responder->settings->vapid_public_key;
    bool has_vapid = vapid[0] != '\0';
    /* The text before and after the VAPID key, which is there only where pushes are signed. */
    const char *before = has_vapid ? ",\"vapid_public_key\":\"" : "";
    const char *after = has_vapid ? "\"" : "";

    (void)request;
    if (responder->crypto == NULL)
        response_json(response, 200,
                      "{\"version\":\"%s\",\"encryption_enabled\":false,"
                      "\"note\":\"Token encryption will be enabled in a future phase\"%s%s%s}",
                      PACKAGE_VERSION, before, vapid, after);
    else
        response_json(response, 200,
                      "{\"server_pubkey\":\"%s\",\"version\":\"%s\","
                      "\"encryption_enabled\":true,\"encrypted_token_size\":%d%s%s%s}",
                      token_crypto_pubkey(responder->crypto), PACKAGE_VERSION,
                      TOKEN_CRYPTO_MESSAGE_SIZE, before, vapid, after);
}

void status_handle(struct responder *responder, const struct request *request,
                   struct response *response)
{
    uint64_t android, ios;
    enum registry_result result = registry_count(responder->registry, &android, &ios);

    (void)request;
    if (result != REGISTRY_OK) {
        responder_refuse(responder, response, result, REGISTRY_BUCKET_REGISTER, NULL);
        return;
    }
    response_json(response, 200,
                  "{\"status\":\"running\",\"version\":\"%s\",\"tokens\":{\"total\":%" PRIu64
                  ",\"android\":%" PRIu64 ",\"ios\":%" PRIu64 "}}",
                  PACKAGE_VERSION, android + ios, android, ios);
}
