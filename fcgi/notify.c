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
    struct log_name name = log_step_name(key);

    if (result == REGISTRY_OK)
        log_step(&name, "notify: %s is notified: a wake is queued", name.text);
    else if (result == REGISTRY_REFUSED_PUBKEY)
        log_step(&name, "notify: %s is over its limit: its one deferred wake waits", name.text);
    else
        log_step(&name, "notify: %s is not notified: %s", name.text, responder_reason(result));
}

enum routes_step notify_begin(struct responder *responder, struct exchange *exchange)
{
    struct registry_call *call = &exchange->call;
    struct response *response = &exchange->response;

    if (!responder_find_bucket(responder, exchange, REGISTRY_BUCKET_NOTIFY))
        return ROUTES_ANSWERED;
    /* A malformed request spends the address's limit, too, and learns no more than others when it
     * is refused: its answer holds only where the limit admits it. */
    call->kind = REGISTRY_CALL_SPEND;
    switch (body_read_pubkey(&exchange->request, NOTIFY_BODY_MAX, &call->key)) {
    case BODY_OK:
        call->kind = REGISTRY_CALL_NOTIFY;
        response_constant(response, 202, "{\"accepted\":true}");
        break;
    case BODY_TOO_LARGE:
        response_error(response, 413, "Request body too large");
        break;
    case BODY_MALFORMED:
    case BODY_BAD_PUBKEY: /* one message for all that can be wrong with it */
        response_error(response, 400, BAD_PUBKEY);
        break;
    }
    return ROUTES_ASK_REDIS;
}

void notify_finish(struct responder *responder, struct exchange *exchange)
{
    const struct registry_call *call = &exchange->call;

    if (call->kind == REGISTRY_CALL_NOTIFY)
        tell(&call->key, call->result);
    if (call->result != REGISTRY_OK)
        responder_refuse(responder, exchange);
}
