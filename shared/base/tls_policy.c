#include "tls_policy.h"

#include <openssl/err.h>

/* The second is for an OpenSSL before 3.5, which does not know the first one's first name. */
static bool set_groups(SSL_CTX *tls)
{
    if (SSL_CTX_set1_groups_list(tls, "X25519MLKEM768:X25519:P-256:P-384:P-521") == 1)
        return true;
    ERR_clear_error();
    return SSL_CTX_set1_groups_list(tls, "X25519:P-256:P-384:P-521") == 1;
}

bool tls_policy_apply(SSL_CTX *tls)
{
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    return SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(tls, "DEFAULT:!kDHE") == 1 && set_groups(tls);
}
