/* client_address: which client a request comes from, for the limits alone.
 *
 * IPv4-mapped IPv6 counts as IPv4. IPv6 counts by its /64, which is what one client gets. Pure. */
#ifndef MOSTRO_CLIENT_ADDRESS_H
#define MOSTRO_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "request.h"
#include "settings/settings.h"

#define CLIENT_ADDRESS_SITE_LEN 6 /* an IPv6 /48, the most that one customer is given */

struct client_address {
    uint8_t bytes[8];
    size_t len; /* 4 or 8 */
};

/* Finds the client's address: REMOTE_ADDR, unless the proxy is trusted. Then Fly-Client-IP counts
 * if it is one plain address, else the rightmost entry of X-Forwarded-For (which the trusted proxy
 * wrote), else REMOTE_ADDR. A header that is there twice, even if one is empty, is not trusted: web
 * servers make one parameter of names that differ in their punctuation, and the client may have
 * sent one of them. False where there is no address at all. */
bool client_address_find(struct client_address *address, const struct request *request,
                         enum settings_proxy trusted);

/* Whether the request came with forwarding headers from a loopback or private peer: then there is a
 * proxy, and all its clients count as one while it is not trusted. */
bool client_address_is_shared(const struct request *request);

#endif
