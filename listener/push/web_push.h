/* web_push: encrypts what a push carries, so that its distributor cannot read it (RFC 8291, in the
 * aes128gcm content coding of RFC 8188).
 *
 * One record a message, with an ephemeral key and a salt of its own. What it computes with is
 * wiped. Not thread-safe: one web_push per thread. */
#ifndef MOSTRO_WEB_PUSH_H
#define MOSTRO_WEB_PUSH_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/web_push_keys.h"

#define WEB_PUSH_SALT_SIZE 16

/* By how much a message is longer than its plaintext: salt, record size, length of the key, the
 * key, the delimiter and the tag. */
#define WEB_PUSH_OVERHEAD (WEB_PUSH_SALT_SIZE + 4 + 1 + WEB_PUSH_POINT_SIZE + 1 + 16)

/* A distributor must accept 4096 bytes (RFC 8291, section 4). */
#define WEB_PUSH_PLAINTEXT_MAX (4096 - WEB_PUSH_OVERHEAD)

struct web_push;

/* NULL when out of memory. */
struct web_push *web_push_new(void);
void web_push_free(struct web_push **web_push);

enum web_push_result {
    WEB_PUSH_OK,
    WEB_PUSH_BAD_KEYS, /* their point is not on the curve */
    WEB_PUSH_FAILED    /* a plaintext that is too long, or memory is out */
};

/* Writes plaintext_len + WEB_PUSH_OVERHEAD bytes. */
enum web_push_result web_push_encrypt(struct web_push *web_push, const struct web_push_keys *keys,
                                      const void *plaintext, size_t plaintext_len, uint8_t *message)
    __attribute__((warn_unused_result));

/* The same with a given ephemeral key of P-256 and a given salt. For test vectors alone: using
 * either twice would give the plaintext away. */
enum web_push_result web_push_encrypt_with(struct web_push *web_push, EVP_PKEY *ephemeral,
                                           const uint8_t salt[WEB_PUSH_SALT_SIZE],
                                           const struct web_push_keys *keys, const void *plaintext,
                                           size_t plaintext_len, uint8_t *message)
    __attribute__((warn_unused_result));

#endif
