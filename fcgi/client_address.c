#include "client_address.h"

#include <arpa/inet.h>
#include <string.h>

/* The longest that an entry can be: a bracketed IPv6 address with a port. */
#define ENTRY_MAX (INET6_ADDRSTRLEN + 8)

static bool parse_ipv4(struct client_address *address, const char *text)
{
    address->len = 4;
    return inet_pton(AF_INET, text, address->bytes) == 1;
}

static bool parse_ipv6(struct client_address *address, const char *text)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint8_t bytes[16];

    if (inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    address->len = memcmp(bytes, mapped, sizeof mapped) == 0 ? 4 : 8;
    memcpy(address->bytes, address->len == 4 ? bytes + 12 : bytes, address->len);
    return true;
}

static bool parse_address(struct client_address *address, const char *text)
{
    return parse_ipv4(address, text) || parse_ipv6(address, text);
}

/* One entry of X-Forwarded-For; some proxies add the port. */
static bool parse_entry(struct client_address *address, const char *text, size_t len)
{
    char entry[ENTRY_MAX];
    char *end;

    if (len == 0 || len >= sizeof entry)
        return false;
    memcpy(entry, text, len);
    entry[len] = '\0';
    if (entry[0] == '[') {
        end = strchr(entry, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        *end = '\0';
        return parse_ipv6(address, entry + 1);
    }
    end = strchr(entry, ':');
    if (end != NULL && end == strrchr(entry, ':'))
        *end = '\0';
    return parse_address(address, entry);
}

static bool parse_rightmost(struct client_address *address, const char *list)
{
    const char *comma = strrchr(list, ',');
    size_t len;

    if (comma != NULL)
        list = comma + 1;
    list += strspn(list, " \t");
    len = strcspn(list, " \t");
    if (list[len + strspn(list + len, " \t")] != '\0')
        return false;
    return parse_entry(address, list, len);
}

bool client_address_find(struct client_address *address, const struct request *request,
                         enum settings_proxy trusted)
{
    bool either = trusted == SETTINGS_PROXY_EITHER;

    memset(address, 0, sizeof *address);
    if ((either || trusted == SETTINGS_PROXY_FLY_CLIENT_IP) && request->fly_client_ip_count == 1 &&
        parse_address(address, request->fly_client_ip))
        return true;
    if ((either || trusted == SETTINGS_PROXY_FORWARDED_FOR) && request->forwarded_for != NULL &&
        request->forwarded_for_count <= 1 && parse_rightmost(address, request->forwarded_for))
        return true;
    return request->remote_addr != NULL && parse_address(address, request->remote_addr);
}

/* RFC 1918, RFC 1122 (loopback), RFC 3927; of IPv6 loopback, fc00::/7 and fe80::/10. */
static bool is_private_peer(const struct client_address *address)
{
    static const uint8_t loopback[8] = {0}; /* ::1 by its /64 */
    const uint8_t *b = address->bytes;

    if (address->len == 4)
        return b[0] == 127 || b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
               (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254);
    return memcmp(b, loopback, sizeof loopback) == 0 || (b[0] & 0xfe) == 0xfc ||
           (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

static bool is_there(const char *header)
{
    return header != NULL && header[0] != '\0';
}

bool client_address_is_shared(const struct request *request)
{
    struct client_address peer;

    if (!is_there(request->forwarded_for) && !is_there(request->fly_client_ip))
        return false;
    return client_address_find(&peer, request, SETTINGS_PROXY_NONE) && is_private_peer(&peer);
}
