/* redis_url: the parts of unix:///path, redis://[user:pass@]host[:port][/db], or
 * redis+sentinel://[user:pass@]host[:port][,host[:port]...]/service[/db]. Pure. */
#ifndef MOSTRO_REDIS_URL_H
#define MOSTRO_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "redis_node.h"

#define REDIS_URL_PART_MAX      512
#define REDIS_URL_SENTINELS_MAX 16
#define REDIS_URL_SERVICE_MAX   128 /* characters */

/* Percent-escapes are decoded; what the URL leaves out is "" or 0, the port 6379 or a Sentinel's
 * 26379. User and password are those of the Redis to be used, never of Sentinels. */
struct redis_url {
    char path[REDIS_URL_PART_MAX]; /* of a socket, */
    struct redis_node node;        /* or where it listens, */
    size_t sentinel_count;         /* or who knows that, */
    struct redis_node sentinels[REDIS_URL_SENTINELS_MAX];
    char service[REDIS_URL_SERVICE_MAX + 1]; /* and by which name */
    int database;
    char user[REDIS_URL_PART_MAX];
    char password[REDIS_URL_PART_MAX];
};

/* NULL, or what is wrong: a sentence that repeats nothing of the URL. User and password reach up to
 * the last `@`, so that a password may hold any character. The log shows host and path, so both are
 * refused where a part of a password could be in them. The caller wipes *parsed either way. */
const char *redis_url_parse(struct redis_url *parsed, const char *url)
    __attribute__((warn_unused_result));

/* The same, where the parts are not needed. */
const char *redis_url_problem(const char *url);

#endif
