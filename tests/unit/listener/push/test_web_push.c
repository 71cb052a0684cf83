#include "push/web_push.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/base64url.h"
#include "unit.h"

/* ---- RFC 8291, Appendix A -------------------------------------------------------------------- */

#define PLAINTEXT "When I grow up, I want to be a watermelon"
#define AUTH      "BTBZMqHH6r4Tts7J_aSIgg"
#define SALT      "DGv6ra1nlYgDCS1FRnbzlw"
#define RECEIVER_PUBLIC \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
#define RECEIVER_PRIVATE "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
#define SENDER_PUBLIC \
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
#define SENDER_PRIVATE "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
#define MESSAGE                                                                                \
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmY" \
    "WAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexS" \
    "gSxsj_Qulcy4a-fN"

static void decode(uint8_t *out, size_t len, const char *text)
{
    ck_assert_msg(base64url_decode(out, len, text, strlen(text)), "%s", text);
}

static EVP_PKEY *key_pair(const char *private_half, const char *public_half)
{
    uint8_t number[32], point[65];
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;
    BIGNUM *scalar;

    decode(number, sizeof number, private_half);
    decode(point, sizeof point, public_half);
    scalar = BN_bin2bn(number, sizeof number, NULL);
    ck_assert(OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0));
    ck_assert(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, scalar));
    ck_assert(OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 65));
    params = OSSL_PARAM_BLD_to_param(builder);
    ck_assert_int_eq(EVP_PKEY_fromdata_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(scalar);
    return key;
}

static struct web_push_keys receiver_keys(void)
{
    struct web_push_keys keys;

    ck_assert(
        web_push_keys_parse(&keys, RECEIVER_PUBLIC, strlen(RECEIVER_PUBLIC), AUTH, strlen(AUTH)));
    return keys;
}

START_TEST(the_rfcs_example)
{
    struct web_push *web_push = web_push_new();
    struct web_push_keys keys = receiver_keys();
    EVP_PKEY *sender = key_pair(SENDER_PRIVATE, SENDER_PUBLIC);
    uint8_t salt[16], message[sizeof PLAINTEXT - 1 + WEB_PUSH_OVERHEAD];
    char text[BASE64URL_SIZE(sizeof message)];

    decode(salt, sizeof salt, SALT);
    for (int i = 0; i < 3; i++) { /* nothing is left of the one before */
        ck_assert_int_eq(web_push_encrypt_with(web_push, sender, salt, &keys, PLAINTEXT,
                                               sizeof PLAINTEXT - 1, message),
                         WEB_PUSH_OK);
        (void)base64url_encode(text, message, sizeof message);
        ck_assert_str_eq(text, MESSAGE);
    }
    EVP_PKEY_free(sender);
    web_push_free(&web_push);
    ck_assert_ptr_null(web_push);
}
END_TEST

/* ---- The receiver, from the RFCs once more ----------------------------------------------------
 */

static void hmac(const void *key, size_t key_len, const void *text, size_t len, uint8_t out[32])
{
    unsigned size = 32;

    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), key, (int)key_len, text, len, out, &size));
}

static void agree(const uint8_t *sender_point, uint8_t secret[32])
{
    EVP_PKEY *receiver = key_pair(RECEIVER_PRIVATE, RECEIVER_PUBLIC), *sender = EVP_PKEY_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(receiver, NULL);
    size_t len = 32;

    ck_assert_int_eq(EVP_PKEY_copy_parameters(sender, receiver), 1);
    ck_assert_int_eq(EVP_PKEY_set1_encoded_public_key(sender, sender_point, 65), 1);
    ck_assert_int_eq(EVP_PKEY_derive_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_derive_set_peer(context, sender), 1);
    ck_assert_int_eq(EVP_PKEY_derive(context, secret, &len), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(sender);
    EVP_PKEY_free(receiver);
}

/* The plaintext with its delimiter; -1 where the tag does not fit. */
static int decrypt(const uint8_t *message, size_t len, uint8_t *out)
{
    static const char labels[2][32] = {"Content-Encoding: aes128gcm\0\1",
                                       "Content-Encoding: nonce\0\1"};
    uint8_t secret[32], prk[32], ikm[32], key[32], nonce[32], info[14 + 65 + 65 + 1];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    bool ok;

    agree(message + 21, secret);
    memcpy(info, "WebPush: info", 14);
    decode(info + 14, 65, RECEIVER_PUBLIC);
    memcpy(info + 79, message + 21, 65);
    info[144] = 1;
    decode(nonce, 16, AUTH);
    hmac(nonce, 16, secret, 32, prk);
    hmac(prk, 32, info, sizeof info, ikm);
    hmac(message, 16, ikm, 32, prk);
    hmac(prk, 32, labels[0], 29, key);
    hmac(prk, 32, labels[1], 25, nonce);
    ck_assert_int_eq(EVP_DecryptInit_ex(context, EVP_aes_128_gcm(), NULL, key, nonce), 1);
    ck_assert_int_eq(EVP_DecryptUpdate(context, out, &n, message + 86, (int)len - 86 - 16), 1);
    ck_assert_int_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16,
                                         (void *)(uintptr_t)(message + len - 16)),
                     1);
    ok = EVP_DecryptFinal_ex(context, out + n, &rest) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok ? n + rest : -1;
}

START_TEST(what_is_sent_can_be_read)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 54, 1000, WEB_PUSH_PLAINTEXT_MAX};
    static const uint8_t after_salt[] = {0, 0, 16, 0, 65, 4};
    static uint8_t plaintext[WEB_PUSH_PLAINTEXT_MAX], message[4096], back[4096];
    struct web_push *web_push = web_push_new();
    struct web_push_keys keys = receiver_keys();

    for (size_t i = 0; i < sizeof plaintext; i++)
        plaintext[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];

        ck_assert_int_eq(web_push_encrypt(web_push, &keys, plaintext, len, message), WEB_PUSH_OK);
        ck_assert_mem_eq(message + 16, after_salt, sizeof after_salt);
        ck_assert_int_eq(decrypt(message, len + WEB_PUSH_OVERHEAD, back), (int)len + 1);
        ck_assert_mem_eq(back, plaintext, len);
        ck_assert_uint_eq(back[len], 2);
        message[len + 90] ^= 1;
        ck_assert_int_eq(decrypt(message, len + WEB_PUSH_OVERHEAD, back), -1);
    }
    web_push_free(&web_push);
}
END_TEST

START_TEST(a_distributor_need_not_take_more)
{
    static uint8_t plaintext[WEB_PUSH_PLAINTEXT_MAX + 1], message[4096 + 1];
    struct web_push *web_push = web_push_new();
    struct web_push_keys keys = receiver_keys();

    ck_assert_uint_eq(WEB_PUSH_PLAINTEXT_MAX, 3993); /* RFC 8291, section 4 */
    ck_assert_int_eq(web_push_encrypt(web_push, &keys, plaintext, sizeof plaintext, message),
                     WEB_PUSH_FAILED);
    web_push_free(&web_push);
}
END_TEST

START_TEST(no_salt_and_no_key_comes_twice)
{
    enum { MESSAGES = 50 };
    static uint8_t messages[MESSAGES][1 + WEB_PUSH_OVERHEAD];
    struct web_push *web_push = web_push_new();
    struct web_push_keys keys = receiver_keys();

    for (size_t i = 0; i < MESSAGES; i++) {
        ck_assert_int_eq(web_push_encrypt(web_push, &keys, "x", 1, messages[i]), WEB_PUSH_OK);
        for (size_t k = 0; k < i; k++) {
            ck_assert_mem_ne(messages[i], messages[k], 16);
            ck_assert_mem_ne(messages[i] + 22, messages[k] + 22, 64);
        }
    }
    web_push_free(&web_push);
}
END_TEST

START_TEST(a_point_off_the_curve_is_refused)
{
    struct web_push *web_push = web_push_new();
    struct web_push_keys keys = receiver_keys();
    uint8_t message[1 + WEB_PUSH_OVERHEAD];

    for (size_t i = 0; i < sizeof keys.point; i++) {
        keys.point[i] ^= 0x10;
        ck_assert_msg(web_push_encrypt(web_push, &keys, "x", 1, message) == WEB_PUSH_BAD_KEYS,
                      "byte %zu", i);
        keys.point[i] ^= 0x10;
    }
    memset(keys.point, 0, sizeof keys.point);
    ck_assert_int_eq(web_push_encrypt(web_push, &keys, "x", 1, message), WEB_PUSH_BAD_KEYS);
    keys = receiver_keys();
    ck_assert_int_eq(web_push_encrypt(web_push, &keys, "x", 1, message), WEB_PUSH_OK);
    web_push_free(&web_push);
}
END_TEST

UNIT_MAIN("web_push", the_rfcs_example, what_is_sent_can_be_read, a_distributor_need_not_take_more,
          no_salt_and_no_key_comes_twice, a_point_off_the_curve_is_refused)
