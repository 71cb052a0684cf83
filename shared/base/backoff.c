#include "backoff.h"

int64_t backoff_ms(const struct backoff *backoff, unsigned failures, uint64_t random)
{
    int64_t wait = backoff->least_ms;

    for (unsigned i = 1; i < failures && wait < backoff->most_ms; i++)
        wait *= 2;
    if (wait > backoff->most_ms)
        wait = backoff->most_ms;
    if (backoff->jitter > 0)
        wait -= (int64_t)(random % ((uint64_t)wait / backoff->jitter + 1));
    return wait;
}
