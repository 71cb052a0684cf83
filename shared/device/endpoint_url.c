#include "endpoint_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "address_guard.h"
#include "base/must.h"

static bool is_public_address(const struct url *url)
{
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    char host[INET6_ADDRSTRLEN];

    MUST(url->host.len < sizeof host);
    memcpy(host, url->host.text, url->host.len);
    host[url->host.len] = '\0';
    if (url->host_kind == URL_HOST_IPV6)
        return inet_pton(AF_INET6, host, &ipv6.sin6_addr) == 1 &&
               address_guard_is_public((const struct sockaddr *)&ipv6, sizeof ipv6);
    return inet_pton(AF_INET, host, &ipv4.sin_addr) == 1 &&
           address_guard_is_public((const struct sockaddr *)&ipv4, sizeof ipv4);
}

/* Names that mean something only inside one network: RFC 6761 (localhost), RFC 6762 (.local), the
 * reserved .internal, and every single label. */
static bool is_local_name(const struct url *url)
{
    static const char *const local[] = {"localhost", "local", "internal"};
    const char *dot = memrchr(url->host.text, '.', url->host.len);
    size_t len;

    if (dot == NULL)
        return true;
    len = url->host.len - (size_t)(dot + 1 - url->host.text);
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (len == strlen(local[i]) && strncasecmp(dot + 1, local[i], len) == 0)
            return true;
    return false;
}

bool endpoint_url_parse(struct url *parts, const char *url, size_t len, bool allow_http)
{
    return len <= ENDPOINT_URL_MAX &&
           url_parse(parts, url, len, URL_USERINFO_OF_AUTHORITY) == URL_GOOD &&
           url_is_for_http(parts) && (allow_http || url_scheme_is(parts, "https")) &&
           parts->userinfo.text == NULL && parts->fragment.text == NULL &&
           (parts->host_kind != URL_HOST_NAME || url_host_is_dns_name(parts));
}

bool endpoint_url_is_valid(const char *url, size_t len, bool allow_private)
{
    struct url parts;

    if (!endpoint_url_parse(&parts, url, len, allow_private))
        return false;
    if (allow_private)
        return true;
    if (url_port(&parts) != 443 && url_port(&parts) < 1024)
        return false;
    return parts.host_kind == URL_HOST_NAME ? !is_local_name(&parts) : is_public_address(&parts);
}

bool endpoint_url_host_matches(const char *url, size_t len, const regex_t *hosts)
{
    struct url parts;
    char host[URL_HOST_SIZE];

    if (!endpoint_url_parse(&parts, url, len, true))
        return false;
    url_write_host(host, &parts);
    return regexec(hosts, host, 0, NULL, 0) == 0;
}

bool endpoint_url_is_admitted(const char *url, size_t len, bool allow_private, const regex_t *hosts)
{
    return endpoint_url_is_valid(url, len, allow_private) &&
           (hosts == NULL || endpoint_url_host_matches(url, len, hosts));
}
