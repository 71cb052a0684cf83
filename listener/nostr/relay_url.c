#include "relay_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PORT_WS  80
#define PORT_WSS 443

/* Reads `:port` or nothing up to `end`. */
static bool read_port(struct relay_url *parts, const char *at, const char *end)
{
    unsigned port = 0;

    parts->port = parts->tls ? PORT_WSS : PORT_WS;
    if (at == end)
        return true;
    if (*at++ != ':')
        return false;
    if (at == end)
        return true;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        port = port * 10 + (unsigned)(*at - '0');
        if (port > UINT16_MAX)
            return false;
    }
    parts->port = (uint16_t)port;
    return port > 0;
}

static bool read_authority(struct relay_url *parts, const char *at, const char *end)
{
    const char *user_end = memrchr(at, '@', (size_t)(end - at));
    const char *host, *host_end;
    bool ipv6;
    size_t len;

    host = user_end == NULL ? at : user_end + 1;
    ipv6 = host < end && *host == '[';
    host += ipv6;
    if (host >= end)
        return false;
    host_end = memchr(host, ipv6 ? ']' : ':', (size_t)(end - host));
    if (host_end == NULL && ipv6)
        return false;
    if (host_end == NULL)
        host_end = end;
    len = (size_t)(host_end - host);
    if (len == 0 || len >= sizeof parts->host)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];

        if (c <= ' ' || c >= 0x7f)
            return false;
        parts->host[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    parts->host[len] = '\0';
    return read_port(parts, host_end + ipv6, end);
}

static void write_authority(struct relay_url *parts)
{
    bool ipv6 = strchr(parts->host, ':') != NULL;
    char port[7] = "";

    if (parts->port != (parts->tls ? PORT_WSS : PORT_WS))
        (void)snprintf(port, sizeof port, ":%u", (unsigned)parts->port);
    (void)snprintf(parts->authority, sizeof parts->authority, "%s%s%s%s", ipv6 ? "[" : "",
                   parts->host, ipv6 ? "]" : "", port);
}

/* Of the path before its query, less a slash at its end. */
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

bool relay_url_parse(struct relay_url *parts, const char *url)
{
    const char *authority, *path;
    int path_len;

    memset(parts, 0, sizeof *parts);
    if (strlen(url) > RELAY_URL_MAX_LEN)
        return false;
    if (strncasecmp(url, "wss://", 6) == 0)
        parts->tls = true;
    else if (strncasecmp(url, "ws://", 5) != 0)
        return false;
    authority = url + (parts->tls ? 6 : 5);
    path = authority + strcspn(authority, "/?#");
    if (!read_authority(parts, authority, path))
        return false;
    write_authority(parts);
    path_len = (int)strcspn(path, "#");
    (void)snprintf(parts->path, sizeof parts->path, "%s%.*s", *path == '/' ? "" : "/", path_len,
                   path);
    for (const char *p = parts->path; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return false;
    }
    path_len = (int)strcspn(path, "?#");
    (void)snprintf(parts->place, sizeof parts->place, "%s://%s%.*s", parts->tls ? "wss" : "ws",
                   parts->authority, path_len, path);
    (void)snprintf(parts->name, sizeof parts->name, "%s://%s%s", parts->tls ? "wss" : "ws",
                   parts->authority, parts->path[1] != '\0' ? "/[...]" : "");
    return true;
}
