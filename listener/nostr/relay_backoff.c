#include "relay_backoff.h"

#include <limits.h>

#include "base/backoff.h"

int64_t relay_backoff_failed(struct relay_backoff *backoff, int64_t held_ms, uint64_t random)
{
    static const struct backoff rule = {RELAY_BACKOFF_LEAST_MS, RELAY_BACKOFF_MOST_MS, .jitter = 4};

    if (held_ms >= RELAY_BACKOFF_HEALTHY_MS)
        backoff->failures = 0;
    if (backoff->failures < UINT_MAX)
        backoff->failures++;
    return backoff_ms(&rule, backoff->failures, random);
}
