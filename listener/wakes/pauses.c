#include "pauses.h"

#include "base/clock.h"
#include "log/log.h"

static void tell(bool held)
{
    if (held)
        log_warn("wakes: an operator holds pushing (the key `paused` is in Redis): wakes wait");
    else
        log_info("wakes: pushing is no longer held by an operator");
}

enum registry_result pauses_run(struct pauses *pauses, struct registry *registry, int64_t now_ms)
{
    int64_t redis_ms, ahead_ms;
    enum registry_result result;
    bool held;

    if (now_ms < pauses->due_ms)
        return REGISTRY_OK;
    result = registry_pauses(registry, &redis_ms, &held, pauses->all, &pauses->count);
    pauses->due_ms = now_ms + PAUSES_EVERY_MS; /* also if it fails */
    if (result != REGISTRY_OK) {
        pauses->count = 0;
        return result;
    }
    ahead_ms = redis_ms - clock_monotonic_ms();
    for (size_t i = 0; i < pauses->count; i++) {
        pauses->all[i].from_ms -= ahead_ms;
        if (pauses->all[i].to_ms != INT64_MAX)
            pauses->all[i].to_ms -= ahead_ms;
    }
    if (held != pauses->held)
        tell(held);
    pauses->held = held;
    return REGISTRY_OK;
}
