#include "relay_url.h"

#include <stdio.h>
#include <string.h>

#include "base/url.h"

/* The path's length without its query and without a slash at its end. */
static size_t place_len(const char *path)
{
    size_t len = strcspn(path, "?");

    return len > 0 && path[len - 1] == '/' ? len - 1 : len;
}

bool relay_url_is_same(const struct relay_url *a, const struct relay_url *b)
{
    size_t len = place_len(a->path);

    return a->tls == b->tls && strcmp(a->authority, b->authority) == 0 &&
           place_len(b->path) == len && memcmp(a->path, b->path, len) == 0 &&
           strcmp(a->path + strcspn(a->path, "?"), b->path + strcspn(b->path, "?")) == 0;
}

/* A zone names one of this machine's interfaces, so it is not part of the Host header. */
static void write_host(struct relay_url *parts, const struct url *url)
{
    char host[URL_HOST_SIZE];
    bool is_ipv6 = url->host_kind == URL_HOST_IPV6;

    url_write_authority(parts->authority, url, !url_has_default_port(url));
    url_write_host(host, url);
    if (is_ipv6)
        host[strlen(host) - 1] = '\0';
    (void)snprintf(parts->host, sizeof parts->host, "%s%s%.*s", host + is_ipv6,
                   url->zone.text != NULL ? "%" : "", (int)url->zone.len,
                   url->zone.text != NULL ? url->zone.text : "");
}

bool relay_url_parse(struct relay_url *parts, const char *url)
{
    struct url split;
    const char *scheme;
    int path_len, query_len;

    memset(parts, 0, sizeof *parts);
    if (strlen(url) > RELAY_URL_MAX_LEN ||
        url_parse(&split, url, strlen(url), URL_USERINFO_OF_AUTHORITY) != URL_GOOD)
        return false;
    parts->tls = url_scheme_is(&split, "wss");
    if (!parts->tls && !url_scheme_is(&split, "ws"))
        return false;
    scheme = parts->tls ? "wss" : "ws";
    parts->port = url_port(&split);
    write_host(parts, &split);
    path_len = (int)split.path.len;
    query_len = split.query.text != NULL ? (int)split.query.len + 1 : 0; /* with its ? */
    (void)snprintf(parts->path, sizeof parts->path, "%s%.*s", path_len == 0 ? "/" : "",
                   path_len + query_len, split.path.text);
    (void)snprintf(parts->place, sizeof parts->place, "%s://%s%.*s", scheme, parts->authority,
                   path_len, split.path.text);
    (void)snprintf(parts->name, sizeof parts->name, "%s://%s%s", scheme, parts->authority,
                   parts->path[1] != '\0' ? "/[...]" : "");
    return true;
}
