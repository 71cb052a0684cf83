#include "endpoint_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "address_guard.h"

#define HOST_MAX  253 /* RFC 1035, section 2.3.4 */
#define LABEL_MAX 63

/* RFC 3986's characters without `#`: a fragment is for the client alone. */
static bool has_only_url_characters(const char *url, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)url[i]) &&
            (url[i] == '\0' || strchr("-._~:/?[]@!$&'()*+,;=%", url[i]) == NULL))
            return false;
    return true;
}

static bool is_port(const char *text, size_t len, bool allow_private)
{
    unsigned port = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port <= 65535 && port != 0 && (allow_private || port == 443 || port > 1023);
}

static bool is_ipv6(const char *host, bool allow_private)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};

    return inet_pton(AF_INET6, host, &address.sin6_addr) == 1 &&
           (allow_private ||
            address_guard_is_public((const struct sockaddr *)&address, sizeof address));
}

static bool is_ipv4(const char *host, bool allow_private)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    return inet_pton(AF_INET, host, &address.sin_addr) == 1 &&
           (allow_private ||
            address_guard_is_public((const struct sockaddr *)&address, sizeof address));
}

/* A host whose last label is a number is an address to some resolvers, in whatever short, octal or
 * hexadecimal form (WHATWG URL, "ends in a number"). */
static bool ends_in_a_number(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last != NULL ? last + 1 : host;
    if (strncasecmp(last, "0x", 2) == 0)
        return true;
    return *last != '\0' && last[strspn(last, "0123456789")] == '\0';
}

static bool is_name(const char *host)
{
    size_t label = 0;

    for (const char *c = host;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > LABEL_MAX || c[-1] == '-')
                return false;
            if (*c == '\0')
                return true;
            label = 0;
        } else {
            if (!isalnum((unsigned char)*c) && *c != '_' && (*c != '-' || label == 0))
                return false;
            label++;
        }
    }
}

/* RFC 6761 (localhost), RFC 6762 (.local), and the reserved .internal; a single label means
 * something only inside somebody's network. */
static bool is_local_name(const char *host)
{
    static const char *const local[] = {"localhost", "local", "internal"};
    const char *last = strrchr(host, '.');

    if (last == NULL)
        return true;
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (strcasecmp(last + 1, local[i]) == 0)
            return true;
    return false;
}

static bool is_host(const char *text, size_t len, bool allow_private)
{
    char host[HOST_MAX + 1];

    if (len == 0 || len > HOST_MAX)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] == '[') {
        if (host[len - 1] != ']')
            return false;
        host[len - 1] = '\0';
        return is_ipv6(host + 1, allow_private);
    }
    if (ends_in_a_number(host))
        return is_ipv4(host, allow_private);
    return is_name(host) && (allow_private || !is_local_name(host));
}

/* What an endpoint URL is made of, each a part of it. */
struct parts {
    const char *host;
    size_t host_len;
    const char *port; /* NULL where the URL names none */
    size_t port_len;
};

/* False for what has other characters than a URL, another scheme, or userinfo. */
static bool take_apart(struct parts *parts, const char *url, size_t len, bool allow_http)
{
    const char *host = url, *colon;
    size_t authority_len = 0;

    if (!has_only_url_characters(url, len))
        return false;
    if (len > 8 && strncasecmp(url, "https://", 8) == 0)
        host += 8;
    else if (allow_http && len > 7 && strncasecmp(url, "http://", 7) == 0)
        host += 7;
    else
        return false;
    len -= (size_t)(host - url);
    while (authority_len < len && host[authority_len] != '/' && host[authority_len] != '?')
        authority_len++;
    if (memchr(host, '@', authority_len) != NULL)
        return false;
    colon = memrchr(host, ':', authority_len);
    if (colon != NULL && memchr(colon, ']', authority_len - (size_t)(colon - host)) != NULL)
        colon = NULL; /* it stands inside a literal */
    *parts = (struct parts){.host = host, .host_len = authority_len};
    if (colon != NULL) {
        parts->host_len = (size_t)(colon - host);
        parts->port = colon + 1;
        parts->port_len = authority_len - parts->host_len - 1;
    }
    return true;
}

bool endpoint_url_is_valid(const char *url, size_t len, bool allow_private)
{
    struct parts parts;

    return take_apart(&parts, url, len, allow_private) &&
           (parts.port == NULL || is_port(parts.port, parts.port_len, allow_private)) &&
           is_host(parts.host, parts.host_len, allow_private);
}

bool endpoint_url_host_matches(const char *url, size_t len, const regex_t *hosts)
{
    struct parts parts;
    char host[HOST_MAX + 1];

    if (!take_apart(&parts, url, len, true) || parts.host_len > HOST_MAX)
        return false;
    for (size_t i = 0; i < parts.host_len; i++)
        host[i] = (char)tolower((unsigned char)parts.host[i]);
    host[parts.host_len] = '\0';
    return regexec(hosts, host, 0, NULL, 0) == 0;
}
