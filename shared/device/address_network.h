/* address_network: the network that an address is in, as one party may be given it: a /24 of IPv4,
 * a /48 of IPv6. An IPv4 address within IPv6 (mapped, or behind NAT64's well-known prefix
 * 64:ff9b::/96, RFC 6052) counts as IPv4. Pure, thread-safe. */
#ifndef MOSTRO_ADDRESS_NETWORK_H
#define MOSTRO_ADDRESS_NETWORK_H

#include <stdbool.h>

#define ADDRESS_NETWORK_SIZE sizeof "6:001122334455"

/* Writes `4:` or `6:` and the network's bytes in hex; or, with false, "" where `ip` is no numeric
 * address. */
bool address_network(char out[ADDRESS_NETWORK_SIZE], const char *ip);

#endif
