/* tls_policy: what our side of TLS does not do for a stranger who answers. */
#ifndef MOSTRO_TLS_POLICY_H
#define MOSTRO_TLS_POLICY_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* TLS 1.2 at least. No key exchange by Diffie-Hellman in a finite field, in TLS 1.2 or 1.3 (0.24 s
 * of our processor a connection, at next to none of the peer's), and no second handshake at the
 * peer's wish. False when out of memory. */
bool tls_policy_apply(SSL_CTX *tls) __attribute__((warn_unused_result));

#endif
