/* address_guard: which addresses a device's endpoint may lead to.
 *
 * An endpoint URL comes from a stranger, so this server must not be made to speak to its own
 * network. The check is made on the address that is actually connected to, which a name that
 * resolves differently the second time (DNS rebinding) cannot get around. Ranges are those of
 * IANA's iana-ipv4-special-registry and iana-ipv6-special-registry (RFC 6890 and its updates), and
 * of multicast. Pure, thread-safe. */
#ifndef MOSTRO_ADDRESS_GUARD_H
#define MOSTRO_ADDRESS_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether this is a unicast address of the public internet. An address under NAT64's well-known
 * prefix (64:ff9b::/96) is judged by the IPv4 address in it, because a server without IPv4 reaches
 * distributors through it; a prefix that a network has chosen for itself looks like any other
 * address. False for any other family, and for a `len` too short for the family. */
bool address_guard_is_public(const struct sockaddr *address, socklen_t len);

#endif
