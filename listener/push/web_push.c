#include "web_push.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define CURVE          "P-256"
#define RECORD_SIZE    4096
#define HEADER_SIZE    (WEB_PUSH_SALT_SIZE + 4 + 1 + WEB_PUSH_POINT_SIZE)
#define SHARED_SIZE    32 /* the x coordinate */
#define IKM_SIZE       32
#define KEY_SIZE       16
#define NONCE_SIZE     12
#define TAG_SIZE       16
#define LAST_DELIMITER 2 /* RFC 8188, section 2: there is no further record */

/* Kept here, because OpenSSL would look it up or make it again for every message, at more than the
 * message's own cost. */
struct web_push {
    EVP_PKEY_CTX *generator;
    EVP_PKEY *device; /* set to each message's device in turn */
    EVP_KDF_CTX *hkdf;
    EVP_CIPHER *aes;
    EVP_CIPHER_CTX *cipher;
};

static EVP_PKEY_CTX *new_generator(void)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    if (context != NULL &&
        (EVP_PKEY_keygen_init(context) != 1 || EVP_PKEY_CTX_set_group_name(context, CURVE) != 1)) {
        EVP_PKEY_CTX_free(context);
        context = NULL;
    }
    return context;
}

/* A key with a curve and no point yet. */
static EVP_PKEY *new_device(void)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;

    if (context == NULL || EVP_PKEY_paramgen_init(context) != 1 ||
        EVP_PKEY_CTX_set_group_name(context, CURVE) != 1 || EVP_PKEY_paramgen(context, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    return key;
}

struct web_push *web_push_new(void)
{
    struct web_push *it = calloc(1, sizeof *it);
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);

    if (it != NULL && hkdf != NULL) {
        it->generator = new_generator();
        it->device = new_device();
        it->hkdf = EVP_KDF_CTX_new(hkdf);
        it->aes = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
        it->cipher = EVP_CIPHER_CTX_new();
    }
    EVP_KDF_free(hkdf);
    if (it != NULL && (it->generator == NULL || it->device == NULL || it->hkdf == NULL ||
                       it->aes == NULL || it->cipher == NULL))
        web_push_free(&it);
    return it;
}

void web_push_free(struct web_push **web_push)
{
    struct web_push *it = *web_push;

    if (it == NULL)
        return;
    EVP_PKEY_CTX_free(it->generator);
    EVP_PKEY_free(it->device);
    EVP_KDF_CTX_free(it->hkdf);
    EVP_CIPHER_free(it->aes);
    EVP_CIPHER_CTX_free(it->cipher);
    free(it);
    *web_push = NULL;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static bool agree(EVP_PKEY *ephemeral, EVP_PKEY *device, uint8_t shared[SHARED_SIZE])
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, ephemeral, NULL);
    size_t len = SHARED_SIZE;
    bool ok = context != NULL && EVP_PKEY_derive_init(context) == 1 &&
              EVP_PKEY_derive_set_peer_ex(context, device, 0) == 1 &&
              EVP_PKEY_derive(context, shared, &len) == 1 && len == SHARED_SIZE;

    EVP_PKEY_CTX_free(context);
    return ok;
}

/* RFC 5869, both steps, with SHA-256. */
static bool hkdf(struct web_push *it, const uint8_t *salt, size_t salt_len, const uint8_t *key,
                 size_t key_len, const uint8_t *info, size_t info_len, uint8_t *out, size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_len),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_KDF_derive(it->hkdf, out, len, params) == 1;

    EVP_KDF_CTX_reset(it->hkdf); /* wipes its copy of the key */
    return ok;
}

/* RFC 8291, section 3.4, for the device whose point is set; `sender` is the ephemeral public key.
 */
static bool derive_ikm(struct web_push *it, EVP_PKEY *ephemeral, const uint8_t *sender,
                       const struct web_push_keys *keys, uint8_t ikm[IKM_SIZE])
{
    static const char label[] = "WebPush: info"; /* its NUL counts */
    uint8_t info[sizeof label + 2 * WEB_PUSH_POINT_SIZE];
    uint8_t shared[SHARED_SIZE];
    bool ok;

    memcpy(info, label, sizeof label);
    memcpy(info + sizeof label, keys->point, WEB_PUSH_POINT_SIZE);
    memcpy(info + sizeof label + WEB_PUSH_POINT_SIZE, sender, WEB_PUSH_POINT_SIZE);
    ok = agree(ephemeral, it->device, shared) &&
         hkdf(it, keys->secret, WEB_PUSH_SECRET_SIZE, shared, sizeof shared, info, sizeof info, ikm,
              IKM_SIZE);
    OPENSSL_cleanse(shared, sizeof shared);
    return ok;
}

/* RFC 8188, sections 2.2 and 2.3. */
static bool derive_key(struct web_push *it, const uint8_t *salt, const uint8_t ikm[IKM_SIZE],
                       uint8_t key[KEY_SIZE], uint8_t nonce[NONCE_SIZE])
{
    static const char key_label[] = "Content-Encoding: aes128gcm";
    static const char nonce_label[] = "Content-Encoding: nonce";

    return hkdf(it, salt, WEB_PUSH_SALT_SIZE, ikm, IKM_SIZE, (const uint8_t *)key_label,
                sizeof key_label, key, KEY_SIZE) &&
           hkdf(it, salt, WEB_PUSH_SALT_SIZE, ikm, IKM_SIZE, (const uint8_t *)nonce_label,
                sizeof nonce_label, nonce, NONCE_SIZE);
}

/* ---- The message ----------------------------------------------------------------------------- */

static bool write_header(uint8_t *header, EVP_PKEY *ephemeral, const uint8_t *salt)
{
    uint8_t *at = header + WEB_PUSH_SALT_SIZE;
    size_t len = 0;

    memcpy(header, salt, WEB_PUSH_SALT_SIZE);
    *at++ = RECORD_SIZE >> 24;
    *at++ = RECORD_SIZE >> 16 & 0xff;
    *at++ = RECORD_SIZE >> 8 & 0xff;
    *at++ = RECORD_SIZE & 0xff;
    *at++ = WEB_PUSH_POINT_SIZE;
    return EVP_PKEY_get_octet_string_param(ephemeral, OSSL_PKEY_PARAM_PUB_KEY, at,
                                           WEB_PUSH_POINT_SIZE, &len) == 1 &&
           len == WEB_PUSH_POINT_SIZE;
}

static bool seal(struct web_push *it, const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
                 const void *plaintext, size_t plaintext_len, uint8_t *record)
{
    static const uint8_t delimiter = LAST_DELIMITER;
    uint8_t *at = record;
    int len = 0;
    bool ok = EVP_EncryptInit_ex2(it->cipher, it->aes, key, nonce, NULL) == 1 &&
              EVP_EncryptUpdate(it->cipher, at, &len, plaintext, (int)plaintext_len) == 1 &&
              EVP_EncryptUpdate(it->cipher, at += len, &len, &delimiter, 1) == 1 &&
              EVP_EncryptFinal_ex(it->cipher, at += len, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(it->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, at + len) == 1;

    (void)EVP_CIPHER_CTX_reset(it->cipher); /* wipes the key */
    return ok;
}

enum web_push_result web_push_encrypt_with(struct web_push *web_push, EVP_PKEY *ephemeral,
                                           const uint8_t salt[WEB_PUSH_SALT_SIZE],
                                           const struct web_push_keys *keys, const void *plaintext,
                                           size_t plaintext_len, uint8_t *message)
{
    const uint8_t *sender = message + HEADER_SIZE - WEB_PUSH_POINT_SIZE;
    uint8_t ikm[IKM_SIZE], key[KEY_SIZE], nonce[NONCE_SIZE];
    enum web_push_result result = WEB_PUSH_FAILED;

    if (plaintext_len > WEB_PUSH_PLAINTEXT_MAX)
        return WEB_PUSH_FAILED;
    if (EVP_PKEY_set1_encoded_public_key(web_push->device, keys->point, sizeof keys->point) != 1)
        result = WEB_PUSH_BAD_KEYS;
    else if (write_header(message, ephemeral, salt) &&
             derive_ikm(web_push, ephemeral, sender, keys, ikm) &&
             derive_key(web_push, salt, ikm, key, nonce) &&
             seal(web_push, key, nonce, plaintext, plaintext_len, message + HEADER_SIZE))
        result = WEB_PUSH_OK;
    OPENSSL_cleanse(ikm, sizeof ikm);
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(nonce, sizeof nonce);
    if (result != WEB_PUSH_OK)
        ERR_clear_error(); /* libcurl reads this thread's error queue, too */
    return result;
}

enum web_push_result web_push_encrypt(struct web_push *web_push, const struct web_push_keys *keys,
                                      const void *plaintext, size_t plaintext_len, uint8_t *message)
{
    enum web_push_result result = WEB_PUSH_FAILED;
    uint8_t salt[WEB_PUSH_SALT_SIZE];
    EVP_PKEY *ephemeral = NULL;

    random_bytes(salt, sizeof salt);
    if (EVP_PKEY_generate(web_push->generator, &ephemeral) == 1)
        result = web_push_encrypt_with(web_push, ephemeral, salt, keys, plaintext, plaintext_len,
                                       message);
    EVP_PKEY_free(ephemeral); /* wipes it */
    return result;
}
