/* web_push_keys: the two values that a device gives for encrypted pushes (RFC 8291, section 3). */
#ifndef MOSTRO_WEB_PUSH_KEYS_H
#define MOSTRO_WEB_PUSH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEB_PUSH_POINT_SIZE  65 /* an uncompressed point of P-256 */
#define WEB_PUSH_SECRET_SIZE 16

struct web_push_keys {
    uint8_t point[WEB_PUSH_POINT_SIZE];
    uint8_t secret[WEB_PUSH_SECRET_SIZE];
};

/* Reads both from base64url, in which they are kept; false unless they are 65 bytes, the first of
 * which says that this is an uncompressed point, and 16. */
bool web_push_keys_decode(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                          const char *auth, size_t auth_len);

/* The same for what a device sends: each may be in standard base64 as well (RFC 4648, section 4;
 * JavaScript's btoa() makes that), and the point must be on the curve. */
bool web_push_keys_parse(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                         const char *auth, size_t auth_len);

#endif
