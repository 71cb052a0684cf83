/* redis_wire: commands out and answers in over a hiredis connection, within bounds that hiredis
 * lacks: the time for a whole answer, its size, and its number of elements. For redis.c alone.
 *
 * Functions that can fail return NULL, or what went wrong in words for the log; the connection is
 * then of no further use. */
#ifndef MOSTRO_REDIS_WIRE_H
#define MOSTRO_REDIS_WIRE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest regular answer is that of a look-up of 256 registrations. */
#define REDIS_WIRE_ANSWER_MAX   (8u << 20)
#define REDIS_WIRE_ELEMENTS_MAX 65536

/* Zero-initialised is closed. */
struct redis_wire {
    redisContext *context;
    redisReplyObjectFunctions functions; /* hiredis's, with a bound on arrays */
    const redisReplyObjectFunctions *original;
    size_t received; /* bytes since the last command was sent */
    char *room;      /* for a command as Redis reads it; wiped after use */
    size_t room_size;
};

/* Takes over a connected context, whose reads and writes must have timeouts. */
void redis_wire_open(struct redis_wire *wire, redisContext *context);
void redis_wire_close(struct redis_wire *wire);

/* Frees what is kept between connections. */
void redis_wire_free(struct redis_wire *wire);

/* The first adds a command to those that are to be sent, the second sends all of them. */
const char *redis_wire_append(struct redis_wire *wire, int argc, const char **argv,
                              const size_t *argvlen);
const char *redis_wire_send(struct redis_wire *wire);

/* Reads once; *reply stays NULL while it is not whole. */
const char *redis_wire_read(struct redis_wire *wire, redisReply **reply);

/* Reads until the answer is whole, for at most `timeout_ms` and one more read. */
const char *redis_wire_await(struct redis_wire *wire, redisReply **reply, unsigned timeout_ms);

/* Whether nothing has come unasked. */
bool redis_wire_is_clean(const struct redis_wire *wire);

#endif
