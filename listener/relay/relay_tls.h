/* relay_tls: what a TLS connection to a relay trusts. */
#ifndef MOSTRO_RELAY_TLS_H
#define MOSTRO_RELAY_TLS_H

#include <openssl/ssl.h>

/* A client context under tls_policy.h that trusts the system's CAs and, beside them, those in
 * `ca_file` (PEM; NULL for none). Free with SSL_CTX_free(). NULL with a line in the log. */
SSL_CTX *relay_tls_new(const char *ca_file);

#endif
