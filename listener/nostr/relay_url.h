/* relay_url: the parts of a ws:// or wss:// URL (RFC 6455, 3) that a connection needs. Pure. */
#ifndef MOSTRO_RELAY_URL_H
#define MOSTRO_RELAY_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/url.h"

#define RELAY_URL_MAX_LEN 1024

struct relay_url {
    bool tls;
    uint16_t port;
    char host[URL_HOST_SIZE];           /* lower case; an IPv6 address without its brackets */
    char authority[URL_AUTHORITY_SIZE]; /* for the Host header */
    char path[RELAY_URL_MAX_LEN + 2];   /* with the query; begins with a slash */
    char place[RELAY_URL_MAX_LEN + 9];  /* without user information and query */
    char name[URL_AUTHORITY_SIZE + 12]; /* for the log, where paths may be secrets, too */
};

/* Whether both lead to the same relay: they differ in nothing, or only in what the parts above
 * leave out and in a slash at the end of the path. */
bool relay_url_is_same(const struct relay_url *a, const struct relay_url *b);

/* Drops user information and fragment. False if this is not such a URL, or it is too long. */
bool relay_url_parse(struct relay_url *parts, const char *url) __attribute__((warn_unused_result));

#endif
