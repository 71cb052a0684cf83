/* redis_pipeline: a connection to Redis on which nothing blocks, and many commands are under way.
 *
 * It does not make connections: it takes over those that a struct redis has made, and so found
 * usable. The caller waits for redis_pipeline_fd(), matches answers to what it has asked, which
 * come in the same order, and watches the time. What ends the connection is logged here, as by
 * redis.h. Not thread-safe. */
#ifndef MOSTRO_REDIS_PIPELINE_H
#define MOSTRO_REDIS_PIPELINE_H

#include "redis.h"

struct redis_pipeline;

/* It has no connection yet. NULL without memory. */
struct redis_pipeline *redis_pipeline_new(void);
void redis_pipeline_free(struct redis_pipeline **pipeline);

/* Takes over the open connection of `from`, which makes a new one at its next call. False: it has
 * none. To be called where there is no connection. */
bool redis_pipeline_open(struct redis_pipeline *pipeline, struct redis *from);

/* Closes the connection and logs why; the next one may be taken over. */
void redis_pipeline_lose(struct redis_pipeline *pipeline, const char *reason);

/* The connection's descriptor, or -1. */
int redis_pipeline_fd(const struct redis_pipeline *pipeline);

/* The following want a connection. REDIS_DOWN: it is closed, and the log knows why. */

/* Adds a command to those that are to be written. */
enum redis_status redis_pipeline_add(struct redis_pipeline *pipeline, int argc, const char **argv,
                                     const size_t *argvlen) __attribute__((warn_unused_result));

/* Writes once; redis_pipeline_has_written() then tells whether the socket took all. */
enum redis_status redis_pipeline_write(struct redis_pipeline *pipeline)
    __attribute__((warn_unused_result));
bool redis_pipeline_has_written(const struct redis_pipeline *pipeline);

/* Reads once. `is_idle`: no answer is awaited, so that a server that closes the connection is no
 * news. */
enum redis_status redis_pipeline_read(struct redis_pipeline *pipeline, bool is_idle)
    __attribute__((warn_unused_result));

/* Takes the next answer of those that were read. REDIS_OK_REPLY: *reply is NULL where there is no
 * whole one. REDIS_ERROR_REPLY: redis_pipeline_error() says what. */
enum redis_status redis_pipeline_take(struct redis_pipeline *pipeline, redisReply **reply)
    __attribute__((warn_unused_result));
const char *redis_pipeline_error(const struct redis_pipeline *pipeline);

#endif
