/* vapid_key: the key that this server signs its pushes with (RFC 8292), ES256 over P-256.
 *
 * It is kept in a PEM file, PKCS #8 or SEC 1, that only its owner can read. Not thread-safe. */
#ifndef MOSTRO_VAPID_KEY_H
#define MOSTRO_VAPID_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAPID_KEY_POINT_SIZE     65 /* an uncompressed point of P-256 */
#define VAPID_KEY_PUBLIC_SIZE    88 /* that in base64url without padding, and a NUL */
#define VAPID_KEY_SIGNATURE_SIZE 64 /* r and s (RFC 7518, section 3.4) */

struct vapid_key;

/* NULL where the file holds no usable key; *problem then says why, in words for an operator. */
struct vapid_key *vapid_key_read(const char *path, const char **problem);

/* Wipes it. */
void vapid_key_free(struct vapid_key **key);

/* The public half, as browsers and phones are given it. */
const char *vapid_key_public(const struct vapid_key *key);

/* False when out of memory. */
bool vapid_key_sign(const struct vapid_key *key, const void *text, size_t len,
                    uint8_t signature[VAPID_KEY_SIGNATURE_SIZE])
    __attribute__((warn_unused_result));

/* Writes a new key to a new file, mode 0600; an existing file is left as it is. Returns NULL with
 * `public_half` set, or what went wrong. */
const char *vapid_key_generate(const char *path, char public_half[VAPID_KEY_PUBLIC_SIZE]);

#endif
