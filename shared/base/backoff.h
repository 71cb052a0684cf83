/* backoff: how long to wait before trying again what has failed.
 *
 * Doubles from BACKOFF_LEAST_MS to BACKOFF_MOST_MS and is jittered downwards by up to a quarter, so
 * that many clients of one relay do not come back in step. Pure: time and randomness are given. */
#ifndef MOSTRO_BACKOFF_H
#define MOSTRO_BACKOFF_H

#include <stdint.h>

#define BACKOFF_LEAST_MS   5000
#define BACKOFF_MOST_MS    60000
#define BACKOFF_HEALTHY_MS 60000 /* what has held this long starts over when it fails */

/* Zero-initialised is ready for use. */
struct backoff {
    uint32_t failures;
};

/* Milliseconds to wait after one more failure. `held_ms` is how long it worked before it failed, 0
 * if it never did; `random` is any evenly drawn number. */
int64_t backoff_failed(struct backoff *backoff, int64_t held_ms, uint64_t random);

#endif
