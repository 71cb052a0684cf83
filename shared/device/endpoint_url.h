/* endpoint_url: whether a device's endpoint may be registered, by its text alone.
 *
 * A responder resolves no names, so this sees syntax and literal addresses; the address that is
 * connected to is checked by the listener (address_guard). Pure, thread-safe. */
#ifndef MOSTRO_ENDPOINT_URL_H
#define MOSTRO_ENDPOINT_URL_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/url.h"

/* A token is taken for an endpoint URL if it contains this. */
#define ENDPOINT_URL_MARK "://"

/* Longer ones are no endpoints, in whatever they come: a request, Redis or the endpoint file. */
#define ENDPOINT_URL_MAX 1024

/* The parts of what may be an endpoint at all: https (with `allow_http` http, too) without userinfo
 * and fragment to a DNS name or an address, of at most ENDPOINT_URL_MAX bytes. Registering and
 * pushing both take them from here. */
bool endpoint_url_parse(struct url *parts, const char *url, size_t len, bool allow_http)
    __attribute__((warn_unused_result));

/* Such a URL on port 443 or over 1023, to a name of several labels that is
 * not one of a local network, or to a literal public address. `allow_private` admits http, any port
 * and any host as well. */
bool endpoint_url_is_valid(const char *url, size_t len, bool allow_private);

/* Whether the URL's host, in lower case (an IPv6 address as RFC 5952 has it, in brackets) and
 * without its port, matches (UNIFIEDPUSH_ALLOWED_HOSTS_REGEX). */
bool endpoint_url_host_matches(const char *url, size_t len, const regex_t *hosts);

/* Whether the URL is valid and its host matches `hosts` (NULL: any host does). Registering and
 * pushing both ask this function, so that a phone whose registration is accepted is also woken. */
bool endpoint_url_is_admitted(const char *url, size_t len, bool allow_private,
                              const regex_t *hosts);

#endif
