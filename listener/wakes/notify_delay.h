/* notify_delay: how long the push of a notify waits before it begins.
 *
 * A push takes processor time, and on a shared machine that shows: in the time of the notify's own
 * answer if the push begins at once, and in that of a later request if it begins at a moment which
 * is known beforehand. So it begins after the answer, at a moment nobody can know: each is as
 * likely. Pure: randomness is given. */
#ifndef MOSTRO_NOTIFY_DELAY_H
#define MOSTRO_NOTIFY_DELAY_H

#include <stdint.h>

#include "base/random.h"

#define NOTIFY_DELAY_LEAST_MS 20
#define NOTIFY_DELAY_MOST_MS  500

/* Milliseconds, drawn anew at each call. */
int64_t notify_delay_ms(random_up_to_fn *random);

#endif
