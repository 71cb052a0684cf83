/* relay_backoff: how long to wait before asking a relay again that has failed or refused.
 *
 * 5 s doubling to 60 s, less up to a quarter (see base/backoff.h), for connections, subscriptions
 * and pages of stored events alike. Pure: time and randomness are given. */
#ifndef MOSTRO_RELAY_BACKOFF_H
#define MOSTRO_RELAY_BACKOFF_H

#include <stdint.h>

#define RELAY_BACKOFF_LEAST_MS   5000
#define RELAY_BACKOFF_MOST_MS    60000
#define RELAY_BACKOFF_HEALTHY_MS 60000 /* without failure; then counting starts again */

/* Zero-initialised is ready for use. */
struct relay_backoff {
    unsigned failures; /* in a row */
};

/* Milliseconds to wait after one more failure. `held_ms` is how long it worked before it failed, 0
 * if it did not; `random` is any evenly drawn number. */
int64_t relay_backoff_failed(struct relay_backoff *backoff, int64_t held_ms, uint64_t random);

#endif
