#include "backoff.h"

int64_t backoff_failed(struct backoff *backoff, int64_t held_ms, uint64_t random)
{
    int64_t delay = BACKOFF_LEAST_MS;

    if (held_ms >= BACKOFF_HEALTHY_MS)
        backoff->failures = 0;
    for (uint32_t i = 0; i < backoff->failures && delay < BACKOFF_MOST_MS; i++)
        delay *= 2;
    if (delay >= BACKOFF_MOST_MS)
        delay = BACKOFF_MOST_MS;
    else
        backoff->failures++;
    return delay - (int64_t)(random % (uint64_t)(delay / 4 + 1));
}
