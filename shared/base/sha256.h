/* sha256: SHA-256 (FIPS 180-4), as hexadecimal digits. Pure, thread-safe. */
#ifndef MOSTRO_SHA256_H
#define MOSTRO_SHA256_H

#include <stdbool.h>

#define SHA256_HEX_LEN 64

/* Of a text, in lower case. False, with an empty text, when out of memory. */
bool sha256_hex(char hex[SHA256_HEX_LEN + 1], const char *text);

#endif
