/* aide: a worker's second thread, for what may wait for Redis.
 *
 * The worker's own thread must never block, and making a connection blocks (a look-up of the host's
 * name, connecting, asking whether the server may be used, loading our library). The aide has a
 * blocking registry of its own. It makes connections for the worker's pipelines, as soon as the
 * last one is lost and then every 250 ms until one is made; once a second it flushes the counters,
 * and reads the key of the address hashes again, so that all programs agree on it even after Redis
 * has lost its data; and it answers an operator's questions, each on a new connection, so that the
 * answer shows that Redis may be used now.
 *
 * All functions are for the worker's thread. */
#ifndef MOSTRO_AIDE_H
#define MOSTRO_AIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "registry/registry_pipeline.h"

#define AIDE_REASON_SIZE 256

struct aide;

/* The caller owns it, and keeps it until it is answered. */
struct aide_question {
    bool wants_metrics;                               /* else only metrics.state */
    void (*answered)(struct aide_question *question); /* called by aide_serve() */

    /* The answer: */
    enum registry_result result;
    struct registry_metrics metrics; /* its watch is the caller's to give back */
    bool is_refused;                 /* registry_is_refused() */
    char reason[AIDE_REASON_SIZE];   /* registry_down_reason() */

    STAILQ_ENTRY(aide_question) next; /* the aide's own */
};

/* All must outlive it. NULL without memory. */
struct aide *aide_new(const struct settings *settings, struct stats *stats,
                      struct registry_pipeline *pipeline);

/* The aide makes connections for this one, too. To be called once, before aide_start(). */
void aide_add_pipeline(struct aide *aide, struct registry_pipeline *pipeline);

/* registry_is_replicated() */
bool aide_is_replicated(const struct aide *aide);

/* Starts the thread, and waits at most a second for its first connection, which the pipeline has
 * then got. False, with an error logged, where no thread can be started. */
bool aide_start(struct aide *aide) __attribute__((warn_unused_result));

/* Flushes the counters a last time and ends the thread; questions under way are not answered any
 * more. */
void aide_free(struct aide **aide);

/* Readable when aide_serve() has something to do; never changes. */
int aide_fd(const struct aide *aide);

/* Gives the pipeline a new connection, takes over the key of the address hashes, and answers
 * questions, as each of these is there. */
void aide_serve(struct aide *aide);

/* A pipeline has lost its connection. May be called any number of times. */
void aide_reconnect(struct aide *aide);

/* Whether the last connection could not be made because Redis may not be used until an operator
 * acts (registry_is_refused()): there is nothing to wait for. */
bool aide_is_refused(const struct aide *aide);

void aide_ask(struct aide *aide, struct aide_question *question);

/* The key of the address hashes, or NULL as long as Redis has not given one. */
const uint8_t *aide_address_key(const struct aide *aide);

#endif
