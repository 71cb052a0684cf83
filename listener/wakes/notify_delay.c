#include "notify_delay.h"

int64_t notify_delay_ms(random_up_to_fn *random)
{
    return NOTIFY_DELAY_LEAST_MS + (int64_t)random(NOTIFY_DELAY_MOST_MS - NOTIFY_DELAY_LEAST_MS);
}
