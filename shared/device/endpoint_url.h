/* endpoint_url: whether a device's endpoint may be registered, by its text alone.
 *
 * A responder resolves no names, so this sees syntax and literal addresses; the address that is
 * connected to is checked by the listener (address_guard). Pure, thread-safe. */
#ifndef MOSTRO_ENDPOINT_URL_H
#define MOSTRO_ENDPOINT_URL_H

#include <stdbool.h>
#include <stddef.h>

/* A token is taken for an endpoint URL if it contains this. */
#define ENDPOINT_URL_MARK "://"

/* https without userinfo or fragment, on port 443 or over 1023, to a name of several labels that is
 * not one of a local network, or to a literal public address. `allow_private` admits http, any port
 * and any host as well. */
bool endpoint_url_is_valid(const char *url, size_t len, bool allow_private);

#endif
