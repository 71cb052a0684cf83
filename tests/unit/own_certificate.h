/* own_certificate: a server's side of TLS for tests, with a certificate that nobody has signed. */
#ifndef MOSTRO_OWN_CERTIFICATE_H
#define MOSTRO_OWN_CERTIFICATE_H

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "unit.h"

/* Self-signed, for this name; its PEM goes to `file`. */
static SSL_CTX *tls_of_its_own(const char *alt_name, FILE *file)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *certificate = X509_new();
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_name);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    (void)X509_set_version(certificate, X509_VERSION_3);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"test", -1, -1, 0);
    (void)X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    (void)X509_set_pubkey(certificate, key);
    (void)X509_add_ext(certificate, name, -1);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_EXTENSION_free(name);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return context;
}

#endif
