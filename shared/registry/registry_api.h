/* registry_api: what the API's workers ask of the registry and may wait for; what they ask for the
 * sake of a request is in registry_pipeline.h. */
#ifndef MOSTRO_REGISTRY_API_H
#define MOSTRO_REGISTRY_API_H

#include <stdbool.h>
#include <stdint.h>

#include "device/address_hash.h"
#include "device/trade_pubkey.h"
#include "registration.h"
#include "registry.h"
#include "registry_watch.h"
#include "stats.h"

enum registry_bucket { REGISTRY_BUCKET_NOTIFY, REGISTRY_BUCKET_REGISTER };

/* Reads the key of the address hashes from Redis. Where Redis has none, `key` becomes it. */
enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE]);

/* Its name in requests and in Redis. */
const char *platform_name(enum platform platform);

/* Sums over the listeners whose heartbeat is fresh. */
struct registry_listeners {
    uint64_t alive;
    uint64_t relays_connected;
    uint64_t relays_configured;
    uint64_t in_flight;
    uint64_t backlog;
    uint64_t relays_may_hide_wraps;
};

struct registry_state {
    uint64_t android, ios;       /* live registrations */
    uint64_t inbox;              /* wakes that no listener has taken yet */
    uint64_t queued;             /* wakes that wait or are under way, those included */
    bool paused;                 /* an operator holds pushing */
    bool lost;                   /* Redis has lost its data, which no operator has seen to yet, */
    uint64_t lost_registrations; /* and so many registrations; 0: unknown */
    struct registry_listeners listeners;
    /* While one of these is set, requests are answered 503. */
    bool redis_full;         /* its maxmemory is reached */
    bool memory_short;       /* 70 % of it are: for new pubkeys */
    bool registrations_full; /* MAX_REGISTRATIONS is reached */
    bool queue_half_full;    /* the inbox has half of WAKES_MAX */
};

/* Makes a new connection first, so that the answer also shows that Redis may be used now. */
enum registry_result registry_state(struct registry *registry, struct registry_state *state);

struct registry_metrics {
    struct registry_state state;
    uint64_t counter[STAT_COUNT];
    struct registry_watch *watch; /* NULL unless all of it was answered */
};

/* On a new connection, too. The watch is to be given back. */
enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics);

#endif
