/* redis_priv: what a connection that waits for its answers and one that does not have in common. */
#ifndef MOSTRO_REDIS_PRIV_H
#define MOSTRO_REDIS_PRIV_H

#include "redis.h"
#include "redis_fault.h"
#include "redis_wire.h"

#define REDIS_ERROR_SIZE 201
#define REDIS_WHERE_SIZE 520

/* The server's address, for the log. */
void redis_where(const struct redis *redis, char where[REDIS_WHERE_SIZE]);

/* Gives the open connection to `wire`. False: there is none. */
bool redis_hand_over(struct redis *redis, struct redis_wire *wire);

/* Takes an error reply, copies its text, and says what it means for the caller. On REDIS_DOWN
 * *fault says why the connection is to be closed. */
enum redis_status redis_judge(redisReply **reply, char error[REDIS_ERROR_SIZE],
                              const struct redis_fault **fault);

#endif
