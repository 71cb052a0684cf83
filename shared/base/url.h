/* url: takes a URL apart. Only this module says where a URL's host begins or ends.
 *
 * The grammar is RFC 3986's for `scheme://[userinfo@]host[:port]path[?query][#fragment]`, without
 * what we never need: relative references, empty hosts, escapes in a host. The caller judges what a
 * scheme, a port or a host is good for. Parts point into the text: nothing is copied, decoded or
 * allocated. Pure, thread-safe. */
#ifndef MOSTRO_URL_H
#define MOSTRO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_LEN_MAX         4096
#define URL_HOST_MAX        255 /* RFC 3986, section 3.2.2; with an IPv6 address its brackets */
#define URL_PORT_DIGITS_MAX 5   /* of 65535 */
#define URL_ZONE_MAX        15  /* a network interface's name */
#define URL_NAME_MAX        253 /* of a host name in DNS (RFC 1035, section 2.3.4) */
#define URL_LABEL_MAX       63

/* An absent part has text NULL. A present one may be empty, as the port of `h:/`. */
struct url_part {
    const char *text;
    size_t len;
};

enum url_host_kind {
    URL_HOST_NAME,   /* letters, digits, `.`, `-`, `_`; see url_host_is_dns_name() */
    URL_HOST_NUMBER, /* such a name, but some resolvers take it for an address: 127.1, 0x7f000001 */
    URL_HOST_IPV4,   /* four decimal numbers */
    URL_HOST_IPV6    /* in brackets */
};

struct url {
    struct url_part scheme;
    struct url_part userinfo; /* before the @ */
    struct url_part host;     /* as written; an IPv6 address without brackets and zone */
    struct url_part zone;     /* of an IPv6 address (RFC 6874); a bare % begins one, too */
    struct url_part port;
    struct url_part path; /* always there; empty, or begins with a slash */
    struct url_part query;
    struct url_part fragment;
    enum url_host_kind host_kind;
    uint16_t port_number; /* 0 where the URL names none */
};

/* Which @ ends the userinfo. */
enum url_userinfo {
    URL_USERINFO_OF_AUTHORITY, /* the last one before the path, the query and the fragment */
    URL_USERINFO_TO_LAST_AT    /* the last of all; any character may be in a password then */
};

enum url_fault {
    URL_GOOD,
    URL_TOO_LONG,   /* no part is set */
    URL_BAD_SCHEME, /* no part is set */
    URL_BAD_HOST,   /* scheme and userinfo are set */
    URL_BAD_PORT,   /* more than five digits, more than 65535, or 0; the same are set */
    URL_BAD_CHARACTER
};

enum url_fault url_parse(struct url *url, const char *text, size_t len, enum url_userinfo userinfo)
    __attribute__((warn_unused_result));

/* Without regard to case. */
bool url_scheme_is(const struct url *url, const char *scheme);

/* The port to connect to: the URL's own, or that of http, https, ws or wss, or else 0. */
uint16_t url_port(const struct url *url);

/* Whether the port is absent, or equals the scheme's own. */
bool url_has_default_port(const struct url *url);

/* Whether its labels are those of a DNS host name, `_` allowed, without a dot at the end. */
bool url_host_is_dns_name(const struct url *url);

/* Whether this is http or https to a host and a port that we and libcurl read alike: the port is
 * not empty, and the host is no URL_HOST_NUMBER and has no zone. */
bool url_is_for_http(const struct url *url);

/* Takes apart an operator's URL, which must be https, good for HTTP and without userinfo. */
bool url_parse_https(struct url *url, const char *text) __attribute__((warn_unused_result));

/* The part of a text that may be shown where a URL was expected: scheme and authority, for path and
 * query may be secrets. Absent where the text has an @: then any of it may be a secret. */
struct url_part url_public_part(const char *text, size_t len);

#define URL_HOST_SIZE      (URL_HOST_MAX + 1)
#define URL_AUTHORITY_SIZE (URL_HOST_MAX + sizeof ":65535")

/* Writes the host in its one spelling: lower case; an IPv6 address in brackets, without zone, as
 * RFC 5952 has it. */
void url_write_host(char out[URL_HOST_SIZE], const struct url *url);

/* Writes the same and `:port`; `with_port` false leaves that out. */
void url_write_authority(char out[URL_AUTHORITY_SIZE], const struct url *url, bool with_port);

#endif
