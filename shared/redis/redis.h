/* redis: one blocking connection to Redis that is never trusted to be there.
 *
 * Every command has REDIS_TIMEOUT_MS, and a long one a millisecond more for each 256 bytes (our
 * library a quarter of a second): a far server takes several round trips for it. A connection that
 * timed out or failed is closed at once and never used again, because a late reply would answer
 * another command. For REDIS_HOLD_OFF_MS after a failure every call fails at once; the next call
 * then makes a new connection. A connection that the server closed before a command is sent is
 * replaced within the call; one that ends before the answer is a failure.
 *
 * Where REDIS_URL names Sentinels, each connection is to the primary that they name, and ends as
 * soon as another node is it (redis_primary.h), as if the server had closed it.
 *
 * A server that may not be used counts as unreachable. Every new connection checks that: the server
 * must not persist (save or appendonly on; unless allowed) or hide whether it does, must not be a
 * replica, and must take writes and our password. This module logs what is wrong: once, or, where
 * only an operator can change it, once a minute for the whole process. A host name is looked up at
 * each connect, which may take a third of REDIS_TIMEOUT_MS beside it (see redis_address.h).
 * Sentinels may take twice REDIS_PRIMARY_ASK_MS, and a hop connects twice. Not thread-safe. */
#ifndef MOSTRO_REDIS_H
#define MOSTRO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#define REDIS_TIMEOUT_MS  300
#define REDIS_HOLD_OFF_MS 250

struct redis;

enum redis_status {
    REDIS_OK_REPLY,    /* *reply is set, not an error; free it with freeReplyObject() */
    REDIS_ERROR_REPLY, /* the server refused the command; redis_error() says how */
    REDIS_FULL,        /* the server is out of memory (maxmemory) */
    REDIS_DOWN         /* unreachable, too slow, loading, or refused: try again later */
};

struct redis_options {
    const char *url;
    const char *prefix;            /* of every key */
    const char *sentinel_password; /* the Sentinels' own; NULL for none */
    bool allow_persistence;
};

/* Does not connect yet. NULL when the URL is malformed, or without memory. */
struct redis *redis_new(const struct redis_options *options);
void redis_free(struct redis **redis);

/* Sends one command and waits for its answer. On REDIS_DOWN whether the server ran the command is
 * unknown. */
enum redis_status redis_call(struct redis *redis, redisReply **reply, int argc, const char **argv,
                             const size_t *argvlen) __attribute__((warn_unused_result));

/* Sends one command and returns; for commands that block in the server. The caller waits until
 * redis_fd() is readable and then calls redis_collect() until it no longer returns REDIS_OK_REPLY
 * with *reply NULL (part of the answer is still to come). Until then only redis_close() may be
 * called. */
enum redis_status redis_ask(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
    __attribute__((warn_unused_result));
enum redis_status redis_collect(struct redis *redis, redisReply **reply)
    __attribute__((warn_unused_result));

/* The connection's descriptor, or -1. */
int redis_fd(const struct redis *redis);

/* Makes sure that there is a connection. False: redis_down_reason() says why there is none. */
bool redis_connect(struct redis *redis);

/* Closes the connection; the next call makes a new one, without hold-off. */
void redis_close(struct redis *redis);

/* The last REDIS_ERROR_REPLY's text, cut at 200 characters; for comparing, and for the log through
 * log_redact(). */
const char *redis_error(const struct redis *redis);

/* Why the server was last found unusable, for the log and --check-config; "" if it has always been
 * usable. */
const char *redis_down_reason(const struct redis *redis);

/* Whether Redis was reached but may not be used until an operator acts; redis_down_reason() says
 * what to do. */
bool redis_is_refused(const struct redis *redis);

/* Whether it was out of memory (maxmemory) when the last connection was made. */
bool redis_is_full(const struct redis *redis);

#endif
