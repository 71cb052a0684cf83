/* redis_wire: commands out and answers in over a hiredis connection, within bounds that hiredis
 * lacks: the time for a whole answer, its size, its number of elements, and its depth. For redis.c
 * and redis_pipeline.c alone.
 *
 * Functions that can fail return NULL, or what went wrong in words for the log; the connection is
 * then of no further use. */
#ifndef MOSTRO_REDIS_WIRE_H
#define MOSTRO_REDIS_WIRE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one answer. The largest regular one is that of a look-up of 256 registrations. */
#define REDIS_WIRE_ANSWER_MAX   (8u << 20)
#define REDIS_WIRE_ELEMENTS_MAX 65536
#define REDIS_WIRE_DEPTH_MAX    7 /* arrays within each other, which every hiredis takes */

/* Zero-initialised is closed. */
struct redis_wire {
    redisContext *context;
    redisReplyObjectFunctions functions; /* hiredis's, with a bound on arrays */
    const redisReplyObjectFunctions *original;
    size_t received; /* bytes since the last answer that was taken */
    size_t elements; /* of arrays, since then */
    char *room;      /* commands as Redis reads them: room[sent] to room[len - 1] wait */
    size_t room_size, len, sent;         /* what was sent is wiped */
    struct redis_membership *membership; /* owned; NULL without Sentinels (redis_primary.h) */
};

/* Takes over a connected context, whose reads and writes must have timeouts. */
void redis_wire_open(struct redis_wire *wire, redisContext *context);
void redis_wire_close(struct redis_wire *wire);

/* Takes over the open connection of `from`, which is then closed; nothing may be under way on it.
 */
void redis_wire_take_over(struct redis_wire *wire, struct redis_wire *from);

/* Reads and writes do not wait from here on. False where the system does not want that. */
bool redis_wire_stop_blocking(struct redis_wire *wire);

/* Frees what is kept between connections. */
void redis_wire_free(struct redis_wire *wire);

/* The first adds a command to those that are to be sent, the second sends all of them. */
const char *redis_wire_append(struct redis_wire *wire, int argc, const char **argv,
                              const size_t *argvlen);
const char *redis_wire_send(struct redis_wire *wire);

/* Writes once, as much as the socket takes; then whether nothing is left. */
const char *redis_wire_write(struct redis_wire *wire);
bool redis_wire_has_sent(const struct redis_wire *wire);

/* Reads once. */
const char *redis_wire_read(struct redis_wire *wire);

/* Takes the next answer from what was read; *reply is NULL while it is not whole. */
const char *redis_wire_take(struct redis_wire *wire, redisReply **reply);

/* Reads until the answer is whole, for at most `timeout_ms`. */
const char *redis_wire_await(struct redis_wire *wire, redisReply **reply, unsigned timeout_ms);

/* Whether nothing has come unasked. */
bool redis_wire_is_clean(const struct redis_wire *wire);

#endif
