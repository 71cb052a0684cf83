/* registry: typed calls on registry.lua, which holds every atomic operation on the data.
 *
 * Here is the handle, and what calls answer. The calls themselves are in a header for each who
 * makes them: registry_api.h (the API's workers), registry_events.h (a relay's reader),
 * registry_wakes.h (the dispatcher), registry_endpoints.h (the endpoint file's keeper),
 * registry_listener.h (a listener as a whole) and registry_stats.h (both programs); who may see
 * which is in tests/static/layers.
 *
 * Each call is one command to Redis (the library is loaded first where Redis does not have it).
 * Not thread-safe: one registry per thread, each with a connection of its own. No call blocks for
 * longer than a connect and a command may take (see redis.h). */
#ifndef MOSTRO_REGISTRY_H
#define MOSTRO_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

struct registry;
struct settings;
struct stats;

/* The most pubkeys, entries or ids in one call. */
#define REGISTRY_BATCH_MAX 256

/* Where reading in pages goes on. */
#define REGISTRY_CURSOR_SIZE 24

/* Of a LISTENER_NAME. */
#define REGISTRY_NAME_SIZE 65

/* Stands for a time that does not exist. */
#define REGISTRY_NO_MOMENT INT64_MIN

enum registry_result {
    REGISTRY_OK,
    REGISTRY_NOT_FOUND,
    REGISTRY_REFUSED_ADDRESS, /* over the client address's limit */
    REGISTRY_REFUSED_NEW,     /* over its limit of new pubkeys */
    REGISTRY_REFUSED_PUBKEY,  /* over the pubkey's limit; its deferred wake is queued */
    REGISTRY_QUEUE_FULL,      /* too many wakes are in the inbox */
    REGISTRY_FULL,            /* MAX_REGISTRATIONS reached, or Redis is short or out of memory */
    REGISTRY_PENDING,         /* not yet */
    REGISTRY_UNAVAILABLE,     /* Redis cannot be used now; try again later */
    REGISTRY_LAPSED           /* this listener's name is not held as it was: see struct lease */
};

/* `settings` and `stats` must outlive the registry, which counts Redis's failures in `stats`.
 * Connects at the first call. */
struct registry *registry_new(const struct settings *settings, struct stats *stats);
void registry_free(struct registry **registry);

/* For a program's start: connects, and replaces the library in Redis by this program's, because the
 * program started last is the newest. REGISTRY_UNAVAILABLE: registry_down_reason() says why, and
 * the next call that finds Redis usable loads the library first. */
enum registry_result registry_check(struct registry *registry);
const char *registry_down_reason(const struct registry *registry);

/* Whether Redis answers but may not be used until an operator acts: it persists, is a replica,
 * refuses our password ... The log says once a minute what to do. */
bool registry_is_refused(const struct registry *registry);

bool registry_is_connected(const struct registry *registry);

/* Whether REDIS_URL names Sentinels, and so a primary with replicas. */
bool registry_is_replicated(const struct registry *registry);

/* How many times this process has found that another Redis had become the primary (see
 * redis_primary.h). Each is without the last that the one before had been told, from some moment
 * on: nothing for most, seconds, or as long as that one was cut off together with this process. */
uint64_t registry_primary_changes(void);

/* Closes the connection, even while an answer is awaited. */
void registry_disconnect(struct registry *registry);

#endif
