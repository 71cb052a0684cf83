/* redis_primary_priv: what the thread that asks the Sentinels shares with those who want to know.
 */
#ifndef MOSTRO_REDIS_PRIMARY_PRIV_H
#define MOSTRO_REDIS_PRIMARY_PRIV_H

#include <pthread.h>
#include <sys/queue.h>

#include "redis_primary.h"
#include "redis_sentinel.h"
#include "redis_url.h"

LIST_HEAD(redis_memberships, redis_membership);

struct redis_primary {
    /* Set once: */
    struct redis_node sentinels[REDIS_URL_SENTINELS_MAX];
    size_t sentinel_count;
    char service[REDIS_URL_SERVICE_MAX + 1];
    char password[REDIS_URL_PART_MAX]; /* the Sentinels' own; "": none */
    pthread_t thread;
    int bell; /* rung for a question, and for the end */

    unsigned users; /* joined or members; under the process's lock */

    /* Under the lock: */
    pthread_mutex_t lock;
    pthread_cond_t learnt;
    bool is_started, ends;
    uint64_t question; /* the newest one */
    uint64_t answered; /* the newest one that a Sentinel has answered */
    uint64_t settled;  /* and to which no answer is awaited any more */
    bool is_current;   /* `answer` is what Sentinels say now; else `trouble` says why not */
    struct redis_sentinel_answer answer;
    struct redis_sentinel_trouble trouble;
    bool has_primary, is_used;
    struct redis_node primary;  /* the one named, or where a hop has led */
    int64_t suspended_until_ms; /* the primary is not used; see redis_primary_suspend() */
    struct redis_memberships members;
};

/* What the thread has found. */
struct redis_primary_news {
    const struct redis_sentinel_answer *answer; /* the one that counts, or NULL */
    struct redis_sentinel_trouble trouble;      /* why there is none */
    uint64_t answered, settled;
};

void redis_primary_learn(struct redis_primary *primary, const struct redis_primary_news *news);

/* A replica is about to be made the primary: the present one is left now, and not used until the
 * Sentinels name another, or for so long, if none is. */
#define REDIS_PRIMARY_SUSPENDED_MS 5000
void redis_primary_suspend(struct redis_primary *primary, int64_t now_ms);

/* The thread; `arg` is the primary. */
void *redis_primary_watch(void *arg);

#endif
