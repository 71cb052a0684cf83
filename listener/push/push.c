#include "push.h"

bool push_was_not_made(enum push_outcome outcome)
{
    return outcome == PUSH_UNBEGUN || outcome == PUSH_NO_ROOM || outcome == PUSH_DAMAGED;
}

int64_t push_retry_most_ms(unsigned failures)
{
    static const int64_t waits[PUSH_TRIES_MAX - 1] = {1000, 5000, 25000, 120000, 300000};

    if (failures == 0)
        return 0;
    return waits[failures < PUSH_TRIES_MAX ? failures - 1 : PUSH_TRIES_MAX - 2];
}
