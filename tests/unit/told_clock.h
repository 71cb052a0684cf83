/* told_clock: replaces clock.c by a clock that the test sets. */
#ifndef MOSTRO_TOLD_CLOCK_H
#define MOSTRO_TOLD_CLOCK_H

#include "base/clock.h"

static int64_t now; /* milliseconds */

int64_t clock_monotonic_ms(void)
{
    return now;
}

int64_t clock_unix_ms(void)
{
    return now;
}

int64_t clock_unix_s(void)
{
    return now / 1000;
}

#endif
