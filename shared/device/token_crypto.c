#include "token_crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/random.h"

#define PUBKEY_SIZE     33
#define NONCE_SIZE      12
#define TAG_SIZE        16
#define PLAINTEXT_SIZE  220
#define CIPHERTEXT_SIZE (PLAINTEXT_SIZE + TAG_SIZE)
#define BASE64_LEN      ((TOKEN_CRYPTO_MESSAGE_SIZE + 2) / 3 * 4)

#define PLATFORM_BYTE_IOS     1
#define PLATFORM_BYTE_ANDROID 2
#define HEADER_SIZE           3 /* platform and length */

struct token_crypto {
    secp256k1_context *secp256k1;
    uint8_t private_key[TOKEN_CRYPTO_KEY_SIZE];
    char pubkey[TOKEN_CRYPTO_PUBKEY_LEN + 1];
};

static bool make_pubkey(struct token_crypto *crypto)
{
    secp256k1_pubkey pubkey;
    uint8_t bytes[PUBKEY_SIZE], seed[32];
    size_t len = sizeof bytes;

    random_bytes(seed, sizeof seed);
    if (secp256k1_context_randomize(crypto->secp256k1, seed) != 1 ||
        secp256k1_ec_pubkey_create(crypto->secp256k1, &pubkey, crypto->private_key) != 1)
        return false;
    (void)secp256k1_ec_pubkey_serialize(crypto->secp256k1, bytes, &len, &pubkey,
                                        SECP256K1_EC_COMPRESSED);
    hex_encode(crypto->pubkey, bytes, sizeof bytes);
    return true;
}

struct token_crypto *token_crypto_new(const uint8_t private_key[TOKEN_CRYPTO_KEY_SIZE])
{
    struct token_crypto *crypto = calloc(1, sizeof *crypto);

    if (crypto == NULL)
        return NULL;
    memcpy(crypto->private_key, private_key, sizeof crypto->private_key);
    crypto->secp256k1 = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (crypto->secp256k1 == NULL || !make_pubkey(crypto))
        token_crypto_free(&crypto);
    return crypto;
}

void token_crypto_free(struct token_crypto **crypto)
{
    if (*crypto == NULL)
        return;
    if ((*crypto)->secp256k1 != NULL)
        secp256k1_context_destroy((*crypto)->secp256k1);
    explicit_bzero(*crypto, sizeof **crypto);
    free(*crypto);
    *crypto = NULL;
}

const char *token_crypto_pubkey(const struct token_crypto *crypto)
{
    return crypto->pubkey;
}

/* ---- base64 ------------------------------------------------------------------------------------
 */

/* How many bytes this padded base64 stands for, or -1 where its form is not base64's. */
static long base64_size(const char *text, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t padding = 0;

    if (len % 4 != 0)
        return -1;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < len - padding; i++)
        if (text[i] == '\0' || strchr(digits, text[i]) == NULL)
            return -1;
    return (long)(len / 4 * 3 - padding);
}

/* Unused bits must be zero, so that each message has exactly one text. */
static bool decode_base64(uint8_t message[TOKEN_CRYPTO_MESSAGE_SIZE], const char *text)
{
    uint8_t decoded[BASE64_LEN], encoded[BASE64_LEN + 1];
    bool same;

    if (EVP_DecodeBlock(decoded, (const uint8_t *)text, BASE64_LEN) < TOKEN_CRYPTO_MESSAGE_SIZE)
        return false;
    (void)EVP_EncodeBlock(encoded, decoded, TOKEN_CRYPTO_MESSAGE_SIZE);
    same = memcmp(encoded, text, BASE64_LEN) == 0;
    memcpy(message, decoded, TOKEN_CRYPTO_MESSAGE_SIZE);
    return same;
}

/* ---- The key -----------------------------------------------------------------------------------
 */

static int copy_x(unsigned char *output, const unsigned char *x32, const unsigned char *y32,
                  void *data)
{
    (void)y32;
    (void)data;
    memcpy(output, x32, 32);
    return 1;
}

static bool derive(uint8_t key[32], uint8_t secret[32])
{
    static const char salt[] = "mostro-push-v1", info[] = "mostro-token-encryption";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
                                          sizeof salt - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info,
                                          sizeof info - 1),
        OSSL_PARAM_construct_end(),
    };
    bool good = context != NULL && EVP_KDF_derive(context, key, 32, params) == 1;

    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return good;
}

static bool agree(const struct token_crypto *crypto, const uint8_t ephemeral[PUBKEY_SIZE],
                  uint8_t key[32])
{
    secp256k1_pubkey pubkey;
    uint8_t secret[32];
    bool good =
        secp256k1_ec_pubkey_parse(crypto->secp256k1, &pubkey, ephemeral, PUBKEY_SIZE) == 1 &&
        secp256k1_ecdh(crypto->secp256k1, secret, &pubkey, crypto->private_key, copy_x, NULL) ==
            1 &&
        derive(key, secret);

    explicit_bzero(secret, sizeof secret);
    return good;
}

/* ---- The message -------------------------------------------------------------------------------
 */

static bool decrypt(const uint8_t key[32], const uint8_t nonce[NONCE_SIZE],
                    const uint8_t ciphertext[CIPHERTEXT_SIZE], uint8_t plaintext[PLAINTEXT_SIZE])
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_SIZE];
    int len = 0, rest = 0;
    bool good;

    memcpy(tag, ciphertext + PLAINTEXT_SIZE, TAG_SIZE);
    good = context != NULL &&
           EVP_DecryptInit_ex(context, EVP_chacha20_poly1305(), NULL, key, nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
           EVP_DecryptUpdate(context, plaintext, &len, ciphertext, PLAINTEXT_SIZE) == 1 &&
           EVP_DecryptFinal_ex(context, plaintext + len, &rest) == 1 &&
           len + rest == PLAINTEXT_SIZE;
    EVP_CIPHER_CTX_free(context);
    return good;
}

/* RFC 3629; no overlong forms, no surrogates. */
static bool is_utf8_without_nul(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t c = text[i];
        size_t more = c < 0x80 ? 0 : (c & 0xe0) == 0xc0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
        uint32_t point = more == 0 ? c : c & (0x3fu >> more);
        static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};

        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((text[i + k] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (text[i + k] & 0x3fu);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

static bool read_plaintext(const uint8_t plaintext[PLAINTEXT_SIZE],
                           struct token_crypto_token *token)
{
    size_t len = (size_t)plaintext[1] << 8 | plaintext[2];

    if ((plaintext[0] != PLATFORM_BYTE_IOS && plaintext[0] != PLATFORM_BYTE_ANDROID) ||
        len > TOKEN_CRYPTO_TOKEN_MAX || !is_utf8_without_nul(plaintext + HEADER_SIZE, len))
        return false;
    token->is_ios = plaintext[0] == PLATFORM_BYTE_IOS;
    token->len = len;
    memcpy(token->text, plaintext + HEADER_SIZE, len);
    token->text[len] = '\0';
    return true;
}

enum token_crypto_result token_crypto_open(const struct token_crypto *crypto, const char *base64,
                                           size_t len, struct token_crypto_token *token,
                                           size_t *size)
{
    uint8_t message[TOKEN_CRYPTO_MESSAGE_SIZE], key[32], plaintext[PLAINTEXT_SIZE];
    const uint8_t *nonce = message + PUBKEY_SIZE, *ciphertext = nonce + NONCE_SIZE;
    long bytes = base64_size(base64, len);
    bool good;

    if (bytes < 0)
        return TOKEN_CRYPTO_BAD_BASE64;
    *size = (size_t)bytes;
    if (bytes != TOKEN_CRYPTO_MESSAGE_SIZE)
        return TOKEN_CRYPTO_BAD_SIZE;
    if (!decode_base64(message, base64))
        return TOKEN_CRYPTO_BAD_BASE64;
    good = agree(crypto, message, key) && decrypt(key, nonce, ciphertext, plaintext) &&
           read_plaintext(plaintext, token);
    explicit_bzero(key, sizeof key);
    explicit_bzero(plaintext, sizeof plaintext);
    return good ? TOKEN_CRYPTO_OK : TOKEN_CRYPTO_FAILED;
}
