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

/* Reads both from base64url, as Redis holds them. False unless the first is 65 bytes that begin as
 * an uncompressed point does, and the second is 16 bytes. */
bool web_push_keys_decode(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                          const char *auth, size_t auth_len);

/* Reads both as a device sends them: each may be in standard base64 as well (RFC 4648, section 4;
 * JavaScript's btoa() makes that), and the point must be on the curve. */
bool web_push_keys_parse(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                         const char *auth, size_t auth_len);

#endif
