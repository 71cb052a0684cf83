/* backoff: how long to wait before trying again.
 *
 * The wait doubles with each failure in a row, from the least to the most. A random part is taken
 * off, so that many clients that failed together do not come back in step. Pure: randomness is
 * given. */
#ifndef MOSTRO_BACKOFF_H
#define MOSTRO_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t least_ms, most_ms;
    unsigned jitter; /* up to one part in so many is taken off: 2 is a half; 0: nothing is */
};

/* `failures` in a row, 1 or more; `random` is any evenly drawn number. */
int64_t backoff_ms(const struct backoff *backoff, unsigned failures, uint64_t random);

#endif
