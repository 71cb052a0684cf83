#include "address_guard.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

struct range {
    sa_family_t family;
    uint8_t bits;
    uint8_t prefix[16];
};

/* clang-format off */
#define V4(bits, ...) {AF_INET, bits, {__VA_ARGS__}}
#define V6(bits, ...) {AF_INET6, bits, {__VA_ARGS__}}
/* clang-format on */

/* Whole blocks are listed where the registries make single addresses in them reachable (PCP and
 * TURN anycast, AS112, ORCHIDv2): no distributor lives there. */
static const struct range special[] = {
    V4(8, 0),             /* this network, unspecified: RFC 791 */
    V4(8, 10),            /* private: RFC 1918 */
    V4(10, 100, 64),      /* carrier-grade NAT: RFC 6598 */
    V4(8, 127),           /* loopback: RFC 1122 */
    V4(16, 169, 254),     /* link-local, cloud metadata: RFC 3927 */
    V4(12, 172, 16),      /* private: RFC 1918 */
    V4(24, 192, 0, 0),    /* IETF protocol assignments, DS-Lite: RFC 6890 */
    V4(24, 192, 0, 2),    /* documentation: RFC 5737 */
    V4(24, 192, 31, 196), /* AS112: RFC 7535 */
    V4(24, 192, 52, 193), /* AMT: RFC 7450 */
    V4(24, 192, 88, 99),  /* 6to4 relays, withdrawn: RFC 7526 */
    V4(16, 192, 168),     /* private: RFC 1918 */
    V4(24, 192, 175, 48), /* AS112: RFC 7534 */
    V4(15, 198, 18),      /* benchmarks: RFC 2544 */
    V4(24, 198, 51, 100), /* documentation: RFC 5737 */
    V4(24, 203, 0, 113),  /* documentation: RFC 5737 */
    V4(4, 224),           /* multicast: RFC 5771 */
    V4(4, 240),           /* reserved, and broadcast: RFC 1112, RFC 919 */

    /* Global unicast is 2000::/3 (RFC 4291). Below it lie ::, ::1, IPv4-compatible, IPv4-mapped and
     * IPv4-translated addresses, a network's own NAT64 (64:ff9b:1::/48) and discard-only
     * (100::/64); above it SRv6 (5f00::/16), unique-local, link-local, site-local and multicast. */
    V6(3, 0),                       /* 0000::/3 */
    V6(2, 0x40),                    /* 4000::/2 */
    V6(1, 0x80),                    /* 8000::/1 */
    V6(23, 0x20, 0x01),             /* IETF protocol assignments, Teredo, benchmarks: RFC 2928 */
    V6(32, 0x20, 0x01, 0x0d, 0xb8), /* documentation: RFC 3849 */
    V6(16, 0x20, 0x02),             /* 6to4: RFC 3056 */
    V6(48, 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00), /* AS112: RFC 7534 */
    V6(20, 0x3f, 0xff),                         /* documentation: RFC 9637 */
};

/* NAT64 (RFC 6052): the last four bytes are the IPv4 address that is reached. The other ranges that
 * embed one lead to tunnels that are withdrawn, or nowhere. */
static const struct range nat64 = V6(96, 0x00, 0x64, 0xff, 0x9b);

static bool in_range(const struct range *range, const uint8_t *address)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    unsigned mask = 0xffu & ~(0xffu >> rest);

    if (memcmp(range->prefix, address, whole) != 0)
        return false;
    return rest == 0 || ((range->prefix[whole] ^ address[whole]) & mask) == 0;
}

static bool is_special(sa_family_t family, const uint8_t *address)
{
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (special[i].family == family && in_range(&special[i], address))
            return true;
    }
    return false;
}

bool address_guard_is_public(const struct sockaddr *address, socklen_t len)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (len < sizeof *address)
        return false;
    if (address->sa_family == AF_INET && len >= sizeof v4) {
        memcpy(&v4, address, sizeof v4);
        return !is_special(AF_INET, (const uint8_t *)&v4.sin_addr);
    }
    if (address->sa_family == AF_INET6 && len >= sizeof v6) {
        const uint8_t *bytes = v6.sin6_addr.s6_addr;

        memcpy(&v6, address, sizeof v6);
        if (in_range(&nat64, bytes))
            return !is_special(AF_INET, bytes + nat64.bits / 8);
        return !is_special(AF_INET6, bytes);
    }
    return false;
}
