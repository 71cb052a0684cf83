/* redis_sentinel_link: a connection to a Sentinel that is kept up for ever, and either asks or
 * hears. Nothing here blocks.
 *
 * One that asks wants to know every half second whom the Sentinel names, and whenever it is told
 * to. One that hears has subscribed to what Sentinels say of a change, and pings every second.
 * Either is closed where what it waits for does not come within 3 s, and made anew. Belongs to one
 * thread. Times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_REDIS_SENTINEL_LINK_H
#define MOSTRO_REDIS_SENTINEL_LINK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "redis_sentinel.h"

struct redis_sentinel_link;

enum redis_sentinel_link_kind { REDIS_SENTINEL_ASKS, REDIS_SENTINEL_HEARS };

struct redis_sentinel_link_options {
    enum redis_sentinel_link_kind kind;
    const struct redis_node *node;
    const char *password; /* "" for none */
    const char *service;
};

/* All that the options point to must outlive it. NULL without memory. */
struct redis_sentinel_link *
redis_sentinel_link_new(const struct redis_sentinel_link_options *options);
void redis_sentinel_link_free(struct redis_sentinel_link **link);

/* Does all that can be done now. Returns when to be called again, unless its descriptor is ready
 * before. Where `question`, 1 or more, is higher than that of
 * the last call, it asks once more. */
int64_t redis_sentinel_link_run(struct redis_sentinel_link *link, uint64_t question,
                                int64_t now_ms);

/* What is to be waited for; the descriptor is -1 while there is none. */
struct pollfd redis_sentinel_link_pollfd(const struct redis_sentinel_link *link);

/* What it has last answered, or NULL while there is no connection, or no answer on it yet. */
const struct redis_sentinel_answer *
redis_sentinel_link_answer(const struct redis_sentinel_link *link);

/* The last question that was answered; 0 for none. */
uint64_t redis_sentinel_link_answered(const struct redis_sentinel_link *link);

/* Whether the answer to this question may still come soon: on a new connection within a quarter of
 * a second, else in about twice the time that the last one took. */
bool redis_sentinel_link_is_awaited(const struct redis_sentinel_link *link, uint64_t question,
                                    int64_t now_ms);

/* What it has heard since this was last asked. */
enum redis_sentinel_news redis_sentinel_link_heard(struct redis_sentinel_link *link);

/* Why the last connection was of no use; .what is NULL if it is. */
struct redis_sentinel_trouble redis_sentinel_link_trouble(const struct redis_sentinel_link *link);

#endif
