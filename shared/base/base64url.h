/* base64url: RFC 4648, section 5, without padding, as JWTs (RFC 7515) and Web Push keys (RFC 8291)
 * write it. Pure, thread-safe. */
#ifndef MOSTRO_BASE64URL_H
#define MOSTRO_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the text of `len` bytes and its NUL. */
#define BASE64URL_SIZE(len) (((len)*4 + 2) / 3 + 1)

/* Writes the text and a NUL; returns the text's length. */
size_t base64url_encode(char *out, const void *bytes, size_t len);

/* Reads text that stands for exactly `len` bytes; the padding that some clients add is accepted.
 * False for any other text, and where unused bits of its last character are not zero. */
bool base64url_decode(uint8_t *out, size_t len, const char *text, size_t text_len);

#endif
