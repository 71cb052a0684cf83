/* redis_priv: what the files have in common that make connections, wait for answers, and do not. */
#ifndef MOSTRO_REDIS_PRIV_H
#define MOSTRO_REDIS_PRIV_H

#include "redis.h"
#include "redis_address.h"
#include "redis_fault.h"
#include "redis_greeting.h"
#include "redis_url.h"
#include "redis_wire.h"

struct redis_primary;

#define REDIS_ERROR_SIZE 201
#define REDIS_WHERE_SIZE 520

struct redis {
    struct redis_url url;
    struct redis_primary *primary; /* NULL without Sentinels */
    bool has_failed;               /* the last connection that was tried to what that says */
    struct redis_node node;        /* where it connects to; none with a path, or not yet */
    struct redis_address address;  /* the node's */
    char *prefix;
    bool allow_persistence;
    struct redis_wire wire;
    struct redis_greeting greeting; /* of the last connection */
    int64_t held_off_until;         /* clock_monotonic_ms() */
    bool refused;                   /* redis_is_refused() */
    char error[REDIS_ERROR_SIZE];
    char down_reason[REDIS_PROBLEM_SIZE];
};

/* Makes a new connection, unless one has just failed. False: there is none. */
bool redis_connect_anew(struct redis *redis);

/* Closes the connection, logs why, and holds off new ones for a moment, so that a dead server costs
 * callers little. `reason` may be a text of the connection. REDIS_DOWN. */
enum redis_status redis_down(struct redis *redis, const char *reason, bool refused);

/* The same for what ends by itself, and may have ended because another node is the primary. */
enum redis_status redis_lost(struct redis *redis, const char *reason);

/* The server's address, for the log. */
void redis_where(const struct redis *redis, char where[REDIS_WHERE_SIZE]);

/* Gives the open connection to `wire`. False: there is none. */
bool redis_hand_over(struct redis *redis, struct redis_wire *wire);

/* Takes an error reply, copies its text, and says what it means for the caller. On REDIS_DOWN
 * *fault says why the connection is to be closed. `has_sentinels`: see redis_fault_of(). */
enum redis_status redis_judge(redisReply **reply, bool has_sentinels, char error[REDIS_ERROR_SIZE],
                              const struct redis_fault **fault);

#define REDIS_LEFT "another node is the primary now"

#endif
