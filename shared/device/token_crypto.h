/* token_crypto: opens device tokens that phones encrypted for this server.
 *
 * 281 bytes: a compressed ephemeral pubkey (33), a nonce (12), and 236 bytes of ChaCha20-Poly1305
 * (RFC 8439, no associated data). The key is HKDF-SHA256 (RFC 5869) of the raw x coordinate of the
 * ECDH point, not of its hash. The plaintext is a platform (01 ios, 02 android), a length (2 bytes,
 * big endian), the token, and padding to 220 bytes, so that nothing is learnt from its size.
 *
 * Not thread-safe. Wipes what it computes with. */
#ifndef MOSTRO_TOKEN_CRYPTO_H
#define MOSTRO_TOKEN_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_CRYPTO_KEY_SIZE     32
#define TOKEN_CRYPTO_MESSAGE_SIZE 281
#define TOKEN_CRYPTO_TOKEN_MAX    217
#define TOKEN_CRYPTO_PUBKEY_LEN   66 /* hex of a compressed pubkey */

struct token_crypto;

struct token_crypto_token {
    bool is_ios;
    size_t len;
    char text[TOKEN_CRYPTO_TOKEN_MAX + 1];
};

enum token_crypto_result {
    TOKEN_CRYPTO_OK,
    TOKEN_CRYPTO_BAD_BASE64,
    TOKEN_CRYPTO_BAD_SIZE,
    TOKEN_CRYPTO_FAILED /* not for this key, tampered with, or not a token inside */
};

/* Copies the private key. NULL if it is not a private key of secp256k1, or out of memory. */
struct token_crypto *token_crypto_new(const uint8_t private_key[TOKEN_CRYPTO_KEY_SIZE]);
void token_crypto_free(struct token_crypto **crypto);

/* The compressed public key in lower-case hex. */
const char *token_crypto_pubkey(const struct token_crypto *crypto);

/* Opens padded base64 (RFC 4648, section 4, strictly). TOKEN_CRYPTO_BAD_SIZE sets *size to the
 * number of bytes that came. TOKEN_CRYPTO_OK: *token is a string without NUL in valid UTF-8, maybe
 * empty; the caller wipes it. */
enum token_crypto_result token_crypto_open(const struct token_crypto *crypto, const char *base64,
                                           size_t len, struct token_crypto_token *token,
                                           size_t *size);

#endif
