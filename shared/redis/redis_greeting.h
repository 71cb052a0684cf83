/* redis_greeting: asks a Redis on each new connection whether it may be used: it must take the
 * password of REDIS_URL, be a primary, persist nothing (unless allowed), and take writes of our
 * keys. For redis.c alone.
 *
 * A refused Redis is left as it was found. An answer to AUTH is never shown: some servers repeat in
 * it what they were sent. */
#ifndef MOSTRO_REDIS_GREETING_H
#define MOSTRO_REDIS_GREETING_H

#include <stdbool.h>

#include "redis_url.h"
#include "redis_wire.h"

struct redis_greeting_options {
    const struct redis_url *url;
    const char *prefix; /* of every key */
    bool allow_persistence;
    bool has_sentinels;  /* they have named it */
    unsigned timeout_ms; /* for all answers together */
};

#define REDIS_PROBLEM_SIZE 256

struct redis_greeting {
    char problem[REDIS_PROBLEM_SIZE]; /* why it cannot be used, for the log; "" if it can */
    bool refused;                     /* only an operator can change that */
    bool full;                        /* its maxmemory is reached */
    bool may_evict;                   /* its maxmemory-policy may evict registrations */
    struct redis_node replica_of;     /* where it says so; else its port is 0 */
};

void redis_greet(struct redis_wire *wire, const struct redis_greeting_options *options,
                 struct redis_greeting *greeting);

#endif
