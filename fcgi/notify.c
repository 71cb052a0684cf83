/* notify: any client may ask that the phone behind a pubkey be woken.
 *
 * The privacy contract: nothing here looks a pubkey up, so that the answer, its headers and its
 * timing are the same for registered and unregistered pubkeys. The wake is queued either way; the
 * dispatcher looks the pubkey up. */
#include "log/log.h"
#include "responder_priv.h"
#include "routes.h"

#define NOTIFY_BODY_MAX (8 * 1024)

#define BAD_PUBKEY "Invalid trade_pubkey format (expected 64 hex characters)"

/* The debug log tells what the caller is told, and no more: nothing here knows a registration. */
static void tell(const struct trade_pubkey *key, enum registry_result result)
{
    struct log_name name = log_debug_name(key);

    if (result == REGISTRY_OK)
        log_debug("notify: %s is notified: a wake is queued", name.text);
    else if (result == REGISTRY_REFUSED_PUBKEY)
        log_debug("notify: %s is over its limit: its one deferred wake waits", name.text);
    else
        log_debug("notify: %s is not notified: %s", name.text, responder_reason(result));
}

void notify_handle(struct responder *responder, const struct request *request,
                   struct response *response)
{
    struct address_hash address;
    const struct address_hash *spend;
    struct trade_pubkey key;
    enum body_verdict verdict;
    enum registry_result result;

    if (!responder_find_bucket(responder, request, REGISTRY_BUCKET_NOTIFY, &address, &spend,
                               response))
        return;
    verdict = body_read_pubkey(&responder->body, request, NOTIFY_BODY_MAX, &key);
    /* A malformed request spends the address's limit, too, and learns no more than others when it
     * is refused. */
    result = verdict == BODY_OK
                 ? registry_notify(responder->registry, spend, &key)
                 : registry_spend(responder->registry, REGISTRY_BUCKET_NOTIFY, spend);
    if (verdict == BODY_OK)
        tell(&key, result);
    if (result != REGISTRY_OK)
        responder_refuse(responder, response, result, REGISTRY_BUCKET_NOTIFY, spend);
    else if (verdict == BODY_TOO_LARGE)
        response_error(response, 413, "Request body too large");
    else if (verdict != BODY_OK) /* one message for all that can be wrong with it */
        response_error(response, 400, BAD_PUBKEY);
    else
        response_constant(response, 202, "{\"accepted\":true}");
}
