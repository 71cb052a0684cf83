/* registry_why: what Redis knows of one trade pubkey, for an owner who asks why he is not woken,
 * and which pubkeys are traced. No call changes a limit, and none answers a token or an endpoint.
 */
#ifndef MOSTRO_REGISTRY_WHY_H
#define MOSTRO_REGISTRY_WHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/url.h"
#include "device/trade_pubkey.h"
#include "listener_report.h"
#include "registration.h"
#include "registry.h"
#include "registry_wakes.h"

#define REGISTRY_WHY_MAX    16 /* of each of the lists below; more are left out */
#define REGISTRY_TRACES_MAX 8  /* the same as registry.lua's, as are the next two */
#define REGISTRY_STEPS_MAX  32
#define REGISTRY_TRACE_NAME 8
#define REGISTRY_STEP_SIZE  160

struct registry_why_wake {
    char listener[REGISTRY_NAME_SIZE];
    bool is_alive;
    enum wake_via via;
    int64_t due_ms;
};

struct registry_why_listener {
    char name[REGISTRY_NAME_SIZE];
    unsigned relays_connected, relays_configured;
    bool has_report; /* then: */
    enum report_state backends[STATS_BACKEND_COUNT];
    bool holds_host;    /* the endpoint's: it is down, or takes nothing for a while */
    bool holds_unnamed; /* more hosts than it names, that one perhaps among them */
};

struct registry_step {
    int64_t at_ms;
    char listener[REGISTRY_NAME_SIZE];
    char text[REGISTRY_STEP_SIZE]; /* printable ASCII */
};

/* Moments are Unix milliseconds by Redis's clock. */
struct registry_why {
    int64_t now_ms;
    bool is_registered;
    enum platform platform;
    bool has_token; /* false: its endpoint's record is gone */
    bool is_endpoint, is_encrypted;
    int64_t since_s, until_ms;
    int64_t limit_wait_ms;    /* until one more wake is within its limit; 0: now */
    int64_t visible_wait_ms;  /* until one may be visible */
    int64_t deferred_wait_ms; /* until its one deferred wake is due; 0: it has none */
    unsigned events;          /* that have woken it in four days, 64 at most, */
    int64_t event_ms;         /* and the last */
    struct registry_why_wake wakes[REGISTRY_WHY_MAX];
    size_t wake_count;
    uint64_t inbox; /* wakes of anybody that no listener has taken yet */
    bool is_paused;
    int64_t lost_s; /* see struct registry_data */
    uint64_t lost_registrations;
    struct registry_why_listener listeners[REGISTRY_WHY_MAX]; /* with a heartbeat */
    size_t listener_count;
    char trace[REGISTRY_TRACE_NAME + 1]; /* "": it is not traced */
    int64_t traced_until_ms;
    struct registry_step steps[REGISTRY_STEPS_MAX]; /* oldest first */
    size_t step_count;
};

/* Writes the name that listeners have for the host of an endpoint. False: there is none. */
typedef bool registry_host_fn(const struct settings *settings, const char *url,
                              char host[URL_AUTHORITY_SIZE]);

/* Reads all that. */
enum registry_result registry_why(struct registry *registry, const struct trade_pubkey *key,
                                  registry_host_fn *host_of, struct registry_why *why);

/* Has the listeners trace a pubkey for so long, by this name (REGISTRY_TRACE_NAME characters) or,
 * where it is traced already, by the one that it has: `name` is set to that. 0 ms ends its trace.
 * REGISTRY_FULL: REGISTRY_TRACES_MAX others are traced. REGISTRY_NOT_FOUND: there was none to
 * end. */
enum registry_result registry_trace(struct registry *registry, const struct trade_pubkey *key,
                                    char name[REGISTRY_TRACE_NAME + 1], int64_t for_ms);

/* A step of a traced pubkey, as the log has told it. */
struct registry_traced_step {
    const char *name;
    const char *text;
    int64_t age_ms;
};

struct registry_traced {
    struct trade_pubkey key;
    char name[REGISTRY_TRACE_NAME + 1];
    int64_t for_ms; /* from now on */
};

/* Keeps n (up to REGISTRY_STEPS_MAX) steps for registry_why(), and tells which pubkeys are
 * traced. */
enum registry_result registry_traced(struct registry *registry,
                                     const struct registry_traced_step *steps, size_t n,
                                     struct registry_traced traced[REGISTRY_TRACES_MAX],
                                     size_t *count);

#endif
