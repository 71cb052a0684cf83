/* clock: the two clocks of the system, each read in one place.
 *
 * Functions that depend on time are given it as an argument; only loops and owners of sockets
 * call these. Thread-safe, never fail. */
#ifndef MOSTRO_CLOCK_H
#define MOSTRO_CLOCK_H

#include <stdint.h>

/* Milliseconds of a clock that never steps; its zero means nothing. */
int64_t clock_monotonic_ms(void);

/* Unix time, which an operator may step. */
int64_t clock_unix_ms(void);
int64_t clock_unix_s(void);

#endif
