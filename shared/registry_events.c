/* What the readers of the relays ask of the registry. */
#include <string.h>

#include "registry_priv.h"

static bool event_outcome(const char *word, enum registry_event *outcome)
{
    static const char *const words[] = {
        [REGISTRY_EVENT_UNREGISTERED] = "unregistered",
        [REGISTRY_EVENT_QUEUED] = "queued",
        [REGISTRY_EVENT_DEFERRED] = "deferred",
        [REGISTRY_EVENT_REPEATED] = "repeated",
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *outcome = (enum registry_event)i;
            return true;
        }
    return false;
}

enum registry_result registry_relay_event(struct registry *registry, const char *event_id,
                                          const struct trade_pubkey *key, bool stored,
                                          enum registry_event *outcome)
{
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "event");
    registry_add(registry, event_id);
    registry_add_pubkey(registry, key);
    registry_add_pubkey_limit(registry);
    registry_add(registry, registry->event_wakes_max);
    registry_add(registry, stored ? "stored" : "live");
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_STRING)
        return registry_strange(reply);
    if (strcmp(reply->str, "full") == 0)
        result = REGISTRY_QUEUE_FULL;
    else if (!event_outcome(reply->str, outcome))
        return registry_strange(reply);
    freeReplyObject(reply);
    return result;
}
