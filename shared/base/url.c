#include "url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "must.h"

/* ---- Characters ------------------------------------------------------------------------------ */

static bool is_only(struct url_part part, const char *marks)
{
    for (size_t i = 0; i < part.len; i++)
        if (!isalnum((unsigned char)part.text[i]) &&
            (part.text[i] == '\0' || strchr(marks, part.text[i]) == NULL))
            return false;
    return true;
}

/* All characters that a URI is made of (RFC 3986, section 2). */
static bool is_only_url_characters(struct url_part part)
{
    return is_only(part, "-._~:/?#[]@!$&'()*+,;=%");
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* Takes from the front of *rest up to the first of these marks, or all of it. */
static struct url_part take_until(struct url_part *rest, const char *marks)
{
    struct url_part taken = {rest->text, 0};

    while (taken.len < rest->len &&
           (rest->text[taken.len] == '\0' || strchr(marks, rest->text[taken.len]) == NULL))
        taken.len++;
    rest->text += taken.len;
    rest->len -= taken.len;
    return taken;
}

/* The same where *rest begins with `mark`, which is dropped; otherwise an absent part. */
static struct url_part take_behind(struct url_part *rest, char mark, const char *marks)
{
    if (rest->len == 0 || rest->text[0] != mark)
        return (struct url_part){NULL, 0};
    rest->text++;
    rest->len--;
    return take_until(rest, marks);
}

/* What comes before the last @ of `within`, which is dropped with it from *rest. */
static struct url_part take_userinfo(struct url_part *rest, struct url_part within)
{
    const char *at = memrchr(within.text, '@', within.len);
    struct url_part taken = {NULL, 0};

    if (at == NULL)
        return taken;
    taken = (struct url_part){rest->text, (size_t)(at - rest->text)};
    rest->text += taken.len + 1;
    rest->len -= taken.len + 1;
    return taken;
}

static bool take_scheme(struct url *url, struct url_part *rest)
{
    url->scheme = take_until(rest, ":");
    if (rest->len < 3 || memcmp(rest->text, "://", 3) != 0)
        return false;
    rest->text += 3;
    rest->len -= 3;
    return url->scheme.len > 0 && isalpha((unsigned char)url->scheme.text[0]) &&
           is_only(url->scheme, "+-.");
}

static bool read_port(struct url *url)
{
    unsigned port = 0;

    if (url->port.text == NULL || url->port.len == 0)
        return true;
    if (url->port.len > URL_PORT_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < url->port.len; i++) {
        if (!isdigit((unsigned char)url->port.text[i]))
            return false;
        port = port * 10 + (unsigned)(url->port.text[i] - '0');
    }
    url->port_number = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

/* ---- The host -------------------------------------------------------------------------------- */

/* `host` is shorter than URL_HOST_SIZE. */
static bool is_address(int family, struct url_part host)
{
    char text[URL_HOST_SIZE];
    struct in6_addr address;

    if (!is_only(host, ".:")) /* no NUL, which would end it for inet_pton() */
        return false;
    memcpy(text, host.text, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, &address) == 1;
}

/* Whether the last label is a number, of any kind (WHATWG URL, "ends in a number"). */
static bool ends_in_a_number(struct url_part host)
{
    const char *dot;

    if (host.len > 0 && host.text[host.len - 1] == '.')
        host.len--;
    dot = memrchr(host.text, '.', host.len);
    if (dot != NULL) {
        host.len -= (size_t)(dot + 1 - host.text);
        host.text = dot + 1;
    }
    if (host.len >= 2 && strncasecmp(host.text, "0x", 2) == 0)
        return true;
    for (size_t i = 0; i < host.len; i++)
        if (!isdigit((unsigned char)host.text[i]))
            return false;
    return host.len > 0;
}

static bool take_ipv6(struct url *url, struct url_part *rest)
{
    struct url_part zone;

    url->host_kind = URL_HOST_IPV6;
    url->host = take_behind(rest, '[', "]");
    if (rest->len == 0 || url->host.len > URL_HOST_MAX - 2)
        return false;
    rest->text++;
    rest->len--;
    zone = url->host;
    url->host = take_until(&zone, "%");
    url->zone = take_behind(&zone, '%', "");
    if (url->zone.len > 2 && memcmp(url->zone.text, "25", 2) == 0) {
        url->zone.text += 2;
        url->zone.len -= 2;
    }
    return is_address(AF_INET6, url->host) &&
           (url->zone.text == NULL ||
            (url->zone.len > 0 && url->zone.len <= URL_ZONE_MAX && is_only(url->zone, "-._~")));
}

static bool take_name(struct url *url, struct url_part *rest)
{
    url->host = take_until(rest, ":");
    if (url->host.len == 0 || url->host.len > URL_HOST_MAX || !is_only(url->host, "-._"))
        return false;
    url->host_kind = URL_HOST_NAME;
    if (ends_in_a_number(url->host))
        url->host_kind = is_address(AF_INET, url->host) ? URL_HOST_IPV4 : URL_HOST_NUMBER;
    return true;
}

static enum url_fault take_host_and_port(struct url *url, struct url_part rest)
{
    bool is_ipv6 = rest.len > 0 && rest.text[0] == '[';

    if (!(is_ipv6 ? take_ipv6(url, &rest) : take_name(url, &rest)))
        return URL_BAD_HOST;
    url->port = take_behind(&rest, ':', "");
    if (rest.len > 0)
        return URL_BAD_HOST;
    return read_port(url) ? URL_GOOD : URL_BAD_PORT;
}

enum url_fault url_parse(struct url *url, const char *text, size_t len, enum url_userinfo userinfo)
{
    struct url_part rest = {text, len}, behind, within;
    enum url_fault fault;

    memset(url, 0, sizeof *url);
    if (len > URL_LEN_MAX)
        return URL_TOO_LONG;
    if (!take_scheme(url, &rest)) {
        url->scheme = (struct url_part){NULL, 0};
        return URL_BAD_SCHEME;
    }
    behind = rest;
    within = userinfo == URL_USERINFO_TO_LAST_AT ? rest : take_until(&behind, "/?#");
    url->userinfo = take_userinfo(&rest, within);
    if (userinfo == URL_USERINFO_OF_AUTHORITY && url->userinfo.text != NULL &&
        !is_only_url_characters(url->userinfo))
        return URL_BAD_CHARACTER;
    within = take_until(&rest, "/?#");
    fault = take_host_and_port(url, within);
    if (fault != URL_GOOD)
        return fault;
    if (!is_only_url_characters(rest))
        return URL_BAD_CHARACTER;
    url->path = take_until(&rest, "?#");
    url->query = take_behind(&rest, '?', "#");
    url->fragment = take_behind(&rest, '#', "");
    return URL_GOOD;
}

/* ---- What they say --------------------------------------------------------------------------- */

bool url_scheme_is(const struct url *url, const char *scheme)
{
    return url->scheme.len == strlen(scheme) &&
           strncasecmp(url->scheme.text, scheme, url->scheme.len) == 0;
}

static uint16_t default_port(const struct url *url)
{
    if (url_scheme_is(url, "https") || url_scheme_is(url, "wss"))
        return 443;
    return url_scheme_is(url, "http") || url_scheme_is(url, "ws") ? 80 : 0;
}

uint16_t url_port(const struct url *url)
{
    return url->port_number != 0 ? url->port_number : default_port(url);
}

bool url_has_default_port(const struct url *url)
{
    return url_port(url) == default_port(url);
}

bool url_host_is_dns_name(const struct url *url)
{
    size_t label = 0;

    if (url->host_kind != URL_HOST_NAME || url->host.len > URL_NAME_MAX)
        return false;
    for (size_t i = 0; i <= url->host.len; i++) {
        if (i < url->host.len && url->host.text[i] != '.') {
            if (url->host.text[i] == '-' && label == 0)
                return false;
            label++;
            continue;
        }
        if (label == 0 || label > URL_LABEL_MAX || url->host.text[i - 1] == '-')
            return false;
        label = 0;
    }
    return true;
}

bool url_is_for_http(const struct url *url)
{
    return (url_scheme_is(url, "https") || url_scheme_is(url, "http")) &&
           url->host_kind != URL_HOST_NUMBER && url->zone.text == NULL &&
           (url->port.text == NULL || url->port.len > 0);
}

bool url_parse_https(struct url *url, const char *text)
{
    return url_parse(url, text, strlen(text), URL_USERINFO_OF_AUTHORITY) == URL_GOOD &&
           url_is_for_http(url) && url_scheme_is(url, "https") && url->userinfo.text == NULL;
}

struct url_part url_public_part(const char *text, size_t len)
{
    struct url_part rest = {text, len};

    if (memchr(text, '@', len) != NULL)
        return (struct url_part){NULL, 0};
    (void)take_until(&rest, ":/?#");
    if (rest.len >= 3 && memcmp(rest.text, "://", 3) == 0) {
        rest.text += 3;
        rest.len -= 3;
    }
    (void)take_until(&rest, "/?#");
    return (struct url_part){text, (size_t)(rest.text - text)};
}

void url_write_host(char out[URL_HOST_SIZE], const struct url *url)
{
    struct in6_addr address;

    MUST(url->host.len > 0 && url->host.len <= URL_HOST_MAX);
    for (size_t i = 0; i < url->host.len; i++)
        out[i] = (char)tolower((unsigned char)url->host.text[i]);
    out[url->host.len] = '\0';
    if (url->host_kind != URL_HOST_IPV6)
        return;
    MUST(inet_pton(AF_INET6, out, &address) == 1);
    MUST(inet_ntop(AF_INET6, &address, out + 1, INET6_ADDRSTRLEN) != NULL);
    out[0] = '[';
    (void)strcat(out, "]");
}

void url_write_authority(char out[URL_AUTHORITY_SIZE], const struct url *url, bool with_port)
{
    url_write_host(out, url);
    if (with_port)
        (void)snprintf(out + strlen(out), sizeof ":65535", ":%u", (unsigned)url_port(url));
}
