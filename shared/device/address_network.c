#include "address_network.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/hex.h"

#define IPV4_PREFIX 3 /* bytes */
#define IPV6_PREFIX 6

/* The IPv4 address in an IPv6 one; NULL: there is none. */
static const uint8_t *ipv4_within(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
                         nat64[12] = {0, 0x64, 0xff, 0x9b};

    if (memcmp(address, mapped, sizeof mapped) == 0 || memcmp(address, nat64, sizeof nat64) == 0)
        return address + 12;
    return NULL;
}

static void write_network(char *out, char family, const uint8_t *bytes, size_t len)
{
    out[0] = family;
    out[1] = ':';
    hex_encode(out + 2, bytes, len);
}

bool address_network(char out[ADDRESS_NETWORK_SIZE], const char *ip)
{
    uint8_t address[16];
    const uint8_t *ipv4 = NULL;

    out[0] = '\0';
    if (inet_pton(AF_INET, ip, address) == 1)
        ipv4 = address;
    else if (inet_pton(AF_INET6, ip, address) == 1)
        ipv4 = ipv4_within(address);
    else
        return false;
    if (ipv4 != NULL)
        write_network(out, '4', ipv4, IPV4_PREFIX);
    else
        write_network(out, '6', address, IPV6_PREFIX);
    return true;
}
