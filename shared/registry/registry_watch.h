/* registry_watch: what metrics show beside the state (registry_api.h): of each listener what it
 * reports of itself, and how long wakes wait. Redis may hold anything: what cannot be is left out.
 * Pure but for memory. */
#ifndef MOSTRO_REGISTRY_WATCH_H
#define MOSTRO_REGISTRY_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "listener_report.h"
#include "registry.h"

struct redisReply;

#define REGISTRY_WATCHED_MAX  32 /* listeners */
#define REGISTRY_VERSION_SIZE 33

struct registry_watched {
    char name[REGISTRY_NAME_SIZE]; /* no other has it */
    char version[REGISTRY_VERSION_SIZE];
    bool has_report; /* else an older version's, or none that can be read */
    struct listener_report report;
};

struct registry_watch {
    unsigned users;     /* who call registry_watch_free(), in one thread */
    uint64_t oldest_ms; /* for how long the oldest wake has been due; 0: none is */
    uint64_t traced;    /* pubkeys whose wakes are told of step by step */
    size_t count;       /* of those whose heartbeat is fresh */
    struct registry_watched listeners[];
};

/* Gives it back; the last of its users frees it. NULL is none. */
void registry_watch_free(struct registry_watch **watch);

/* What registry.lua's `watch` has answered, with one user; NULL where that is no such answer, or
 * without memory. */
struct registry_watch *registry_watch_read(const struct redisReply *reply);

#endif
