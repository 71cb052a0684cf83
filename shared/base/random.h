/* random: bytes from the kernel's generator (getrandom(2)).
 *
 * Fills the buffer or ends the process: a server without randomness must not go on. Thread-safe. */
#ifndef MOSTRO_RANDOM_H
#define MOSTRO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t len);

/* An even number of hexadecimal digits, and a NUL behind them. */
void random_hex(char *out, size_t digits);

/* Evenly drawn from 0 to limit inclusive. */
uint64_t random_up_to(uint64_t limit);

/* That, or what a test has drawn in its place. */
typedef uint64_t random_up_to_fn(uint64_t limit);

#endif
