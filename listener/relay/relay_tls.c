#include "relay_tls.h"

#include <openssl/err.h>

#include "base/tls_policy.h"
#include "log/log.h"

SSL_CTX *relay_tls_new(const char *ca_file)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL || !tls_policy_apply(tls)) {
        log_error("relays: TLS cannot be set up");
        SSL_CTX_free(tls);
        return NULL;
    }
    (void)SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_default_verify_paths(tls) != 1)
        log_warn("relays: the system's CA certificates cannot be loaded");
    if (ca_file != NULL && SSL_CTX_load_verify_file(tls, ca_file) != 1) {
        log_error("relays: TLS_CA_FILE %s cannot be loaded", ca_file);
        SSL_CTX_free(tls);
        tls = NULL;
    }
    ERR_clear_error();
    return tls;
}
