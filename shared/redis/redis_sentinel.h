/* redis_sentinel: what a Sentinel says of the service in REDIS_URL, and whom several of them name.
 * What they say is not trusted to be well-formed. Pure.
 *
 * Where they disagree the highest configuration epoch decides, as it does among Sentinels
 * themselves: a fail-over draws a new one, and those who have missed it (cut off, with the old
 * primary beside them, or just started) still tell of an older. Counting heads would be worse:
 * where only such a one can be reached, it would be the majority. Nor is an epoch ever gone back
 * on, unless more than half of all Sentinels say so, as after an operator has set them up anew. */
#ifndef MOSTRO_REDIS_SENTINEL_H
#define MOSTRO_REDIS_SENTINEL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "redis_node.h"

#define REDIS_SENTINEL_REPLICAS_MAX 16 /* more are not looked at */

struct redis_sentinel_answer {
    uint64_t epoch;
    struct redis_node primary;
    size_t replica_count;
    struct redis_node replicas[REDIS_SENTINEL_REPLICAS_MAX];
};

/* Why a Sentinel is of no use: a text for the log. */
struct redis_sentinel_trouble {
    const char *what;
    bool refused; /* only an operator can change that */
};

/* These read the answers to the commands of their names into *answer, the password's into nothing.
 * False: *trouble says why. */
bool redis_sentinel_read_auth(const redisReply *reply, struct redis_sentinel_trouble *trouble);

/* SENTINEL MASTER service: the epoch. */
bool redis_sentinel_read_master(const redisReply *reply, struct redis_sentinel_answer *answer,
                                struct redis_sentinel_trouble *trouble);

/* SENTINEL GET-MASTER-ADDR-BY-NAME service: the primary, which during a fail-over is named earlier
 * here than there. */
bool redis_sentinel_read_address(const redisReply *reply, struct redis_sentinel_answer *answer,
                                 struct redis_sentinel_trouble *trouble);

/* SENTINEL REPLICAS service. Replicas that cannot be understood are left out. */
bool redis_sentinel_read_replicas(const redisReply *reply, struct redis_sentinel_answer *answer,
                                  struct redis_sentinel_trouble *trouble);

/* What may be heard of a service; a later one counts for more. */
enum redis_sentinel_news {
    REDIS_SENTINEL_NO_NEWS,
    REDIS_SENTINEL_SWITCHES, /* a replica is about to be made the primary */
    REDIS_SENTINEL_SWITCHED  /* another node is the primary */
};

/* The channels to subscribe to, and then SUBSCRIBE's answers and what comes after. */
#define REDIS_SENTINEL_SWITCHES_CHANNEL "+failover-state-send-slaveof-noone"
#define REDIS_SENTINEL_SWITCHED_CHANNEL "+switch-master"
bool redis_sentinel_read_message(const redisReply *reply, const char *service,
                                 enum redis_sentinel_news *news,
                                 struct redis_sentinel_trouble *trouble);

/* Which of the answers counts, or NULL. `count` Sentinels have answered, of `all`; `seen_epoch` is
 * that of the answer that counted last. */
const struct redis_sentinel_answer *
redis_sentinel_choose(const struct redis_sentinel_answer *const *answers, size_t count, size_t all,
                      uint64_t seen_epoch);

/* Whether the answer names this node, as the primary or a replica. */
bool redis_sentinel_knows(const struct redis_sentinel_answer *answer,
                          const struct redis_node *node);

#endif
