/* es256: checks signatures as RFC 7518, 3.4 has them, with OpenSSL alone. */
#ifndef MOSTRO_TEST_ES256_H
#define MOSTRO_TEST_ES256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "unit.h"

static inline bool es256_verifies(EVP_PKEY *with, const char *text, size_t len,
                                  const uint8_t signature[64])
{
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t *der = NULL;
    int der_len;
    bool ok;

    ck_assert_int_eq(ECDSA_SIG_set0(numbers, BN_bin2bn(signature, 32, NULL),
                                    BN_bin2bn(signature + 32, 32, NULL)),
                     1);
    der_len = i2d_ECDSA_SIG(numbers, &der);
    ck_assert_int_eq(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, with), 1);
    ok = EVP_DigestVerify(context, der, (size_t)der_len, (const uint8_t *)text, len) == 1;
    EVP_MD_CTX_free(context);
    ECDSA_SIG_free(numbers);
    OPENSSL_free(der);
    return ok;
}

#endif
