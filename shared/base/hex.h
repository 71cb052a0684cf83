/* hex: bytes to lower-case hexadecimal and back. Pure, thread-safe. */
#ifndef MOSTRO_HEX_H
#define MOSTRO_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * len characters and a NUL. */
void hex_encode(char *out, const uint8_t *bytes, size_t len);

/* Reads exactly 2 * len characters of either case; false if `text_len` differs or one is not hex.
 */
bool hex_decode(uint8_t *out, size_t len, const char *text, size_t text_len);

/* The value of one hexadecimal digit of either case, or -1. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

#endif
